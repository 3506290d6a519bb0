"""What the doctor can mend himself, by name: ``ggml doctor --fix NAME``.

Each says what it will fetch before it fetches it; a second time there is nothing to fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ggml_magic.errors import GrammarError
from ggml_magic.runtimes import emulation, machines
from ggml_magic.runtimes import runtime as runtimes

Tell = Callable[[str], None]


def mend(name: str, tell: Tell) -> None:
    """Mend what is called ``name``; ``tell`` gets each line as it happens.

    Raises ``GrammarError`` that lists the names, and whatever the mending raises.
    """
    if name not in MENDS:
        raise GrammarError(
            f"the doctor has no fix called {name!r}",
            f"there are {', '.join(MENDS)}",
            f"ggml doctor --fix {next(iter(MENDS))}",
        )
    MENDS[name](tell)


def set_up_emulation(tell: Tell) -> None:
    """Set up every architecture that can be emulated, without root and in the user's cache."""
    for arch in machines.MACHINES:
        planned = emulation.plan(arch)
        for line in planned:
            tell(f"to fetch for {arch}: {line}")
        if not planned:
            tell(f"{arch}: nothing to fetch")
        emulation.set_up(arch, tell)


def build_runtimes(tell: Tell) -> None:
    """Build the environment of every runtime, so that no network is needed afterwards."""
    every = [runtimes.get(name) for name in runtimes.names()]
    missing = [runtime for runtime in every if runtimes.find(runtime) is None]
    for runtime in missing:
        tell(f"to build: {runtime.name} {runtime.version}{_size(runtime.name)}")
    for runtime in every:
        made = runtimes.environment(runtime)
        what = f"built in {made.seconds:.0f} s" if made.built else "was built already"
        tell(f"{runtime.name} {runtime.version}: {what}")


# what the environments measured, so that nobody is surprised (RUNTIMES 1, 2)
SIZES = {
    "ai-edge-litert": "163 MB",
    "tensorflow": "1.5 GB",
    "tflite-runtime": "111 MB",
}
MENDS: Mapping[str, Callable[[Tell], None]] = {
    "emulation": set_up_emulation,
    "runtimes": build_runtimes,
}


def _size(name: str) -> str:
    return f", about {SIZES[name]}" if name in SIZES else ""
