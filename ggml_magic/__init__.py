"""From a notebook cell to a proven model on an edge device.

Each verb of ``%ggml`` is a function here, ``ggml_magic.deploy("rain", to="thing/weather-pi")``.
They load on first use, so that ``%load_ext ggml_magic`` and ``import ggml_magic`` cost next to
nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"

VERBS = frozenset(
    (
        "config",
        "sandbox",
        "core",
        "doctor",
        "model",
        "convert",
        "validate",
        "profile",
        "inference",
        "package",
        "plan",
        "deploy",
        "status",
        "replay",
        "predictions",
        "messages",
        "shadow",
        "logs",
        "run",
    )
)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Give a notebook ``%ggml`` and ``%%ggml``."""
    from ggml_magic.notebook.magics import register

    register(shell)


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in VERBS:
        raise AttributeError(f"module 'ggml_magic' has no attribute {name!r}")
    from ggml_magic.verbs.public import function

    return function(name)


def __dir__() -> list[str]:
    return sorted((*VERBS, "__version__", "load_ipython_extension"))


class _Package(ModuleType):
    # importing a room that is called like its verb (say, ggml_magic.deploy) would bind it here,
    # in the verb's place
    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in VERBS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
