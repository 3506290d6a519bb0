"""The policies of a device, loaded once and again whenever an ``accessControl`` changes.

A deployment replaces the device's contents, and only it changes an ``accessControl``
(EDGE-CORE 8); the caller's own is looked at in each call all the same, which costs little.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ggml_magic.core import authorize
from ggml_magic.core.authorize import ACCESS_CONTROL
from ggml_magic.core.config import Node
from ggml_magic.core.inventory import Contents, Inventory
from ggml_magic.core.logs import Log

KEY = ACCESS_CONTROL.lower()
# A component without an ``accessControl``.
NOTHING: tuple[Node | None, int] = (None, 0)


@dataclass(frozen=True)
class Loaded:
    """Policies, and what they were loaded from."""

    policies: authorize.Policies
    contents: Contents
    marks: dict[str, tuple[Node | None, int]]


_LOADED: WeakKeyDictionary[Inventory, Loaded] = WeakKeyDictionary()
_LOGS: WeakKeyDictionary[Inventory, Log] = WeakKeyDictionary()


def log_to(held: Inventory, log: Log) -> None:
    """Write into this log, at each loading, which policies are not loaded and why."""
    _LOGS[held] = log


def of(held: Inventory, component: str) -> authorize.Policies:
    """The policies as they are now, as far as the component is concerned."""
    known = _LOADED.get(held)
    if (
        known is not None
        and known.contents is held.contents
        and _same(known.marks.get(component, NOTHING), _mark(known.contents, component))
    ):
        return known.policies
    return load(held)


def load(held: Inventory) -> authorize.Policies:
    """Load all policies of the device; what was refused before is not told again."""
    contents = held.contents
    trees = {name: each.configuration for name, each in contents.components.items()}
    marks = {name: _mark(contents, name) for name in contents.components}
    policies = authorize.Policies(trees)
    before = _LOADED.get(held)
    _LOADED[held] = Loaded(policies, contents, marks)
    if held in _LOGS:
        told = before.policies.refusals if before else ()
        for refusal in policies.refusals:
            if refusal not in told:
                _LOGS[held].warn(refusal)
    return policies


def _mark(contents: Contents, component: str) -> tuple[Node | None, int]:
    """What changes when a component's ``accessControl`` does."""
    held = contents.components.get(component)
    found = held.configuration.root.children.get(KEY) if held else None
    return (found[1], found[1].modified) if found else NOTHING


def _same(left: tuple[Node | None, int], right: tuple[Node | None, int]) -> bool:
    return left[0] is right[0] and left[1] == right[1]
