"""The public functions by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ggml_magic.grammar import reading
from ggml_magic.verbs import around, cores, devices, rollout, stages

MODULES = (around, cores, stages, rollout, devices)


def function(name: str) -> Callable[..., Any]:
    """The public function of a verb; raises ``GrammarError`` for a name that is none."""
    verb = reading.find(name)
    found: Callable[..., Any] = next(
        getattr(module, verb.name) for module in MODULES if hasattr(module, verb.name)
    )
    return found
