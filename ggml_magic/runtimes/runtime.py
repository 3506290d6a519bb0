"""Edge runtimes by name, their environments, and a model run in one of them.

The same lock, environment builder and interpreter go to the device, so that what is proven here
is what runs there (DESIGN, rule 4). This module is the room's door: it holds the names of what
stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ggml_magic.errors import GrammarError
from ggml_magic.runtimes.environments import Environment, cache_folder, environment, find
from ggml_magic.runtimes.kinds import PinnedRuntime, Runtime
from ggml_magic.runtimes.limits import RUN_SECONDS, Limits
from ggml_magic.runtimes.machines import NATIVE
from ggml_magic.runtimes.runs import Run, Running, run, start

__all__ = [
    "DEFAULT",
    "GROUP",
    "NATIVE",
    "RUN_SECONDS",
    "Environment",
    "Limits",
    "PinnedRuntime",
    "Run",
    "Running",
    "Runtime",
    "cache_folder",
    "environment",
    "find",
    "get",
    "names",
    "run",
    "start",
]

GROUP = "ggml_magic.runtimes"
DEFAULT = "ai-edge-litert"


def names() -> tuple[str, ...]:
    """The runtimes that are installed, by name."""
    return tuple(sorted(_entries()))


def get(name: str = DEFAULT) -> Runtime:
    """A runtime by name.

    Raises ``GrammarError``, which names those that there are.
    """
    entry = _entries().get(name)
    if entry is None:
        raise GrammarError(
            f"no runtime is called {name!r}",
            f"there are {', '.join(names())}",
            f"--runtime {DEFAULT}",
        )
    runtime: Runtime = entry.load()
    return runtime


@cache
def _entries() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
