"""What two sides of a shadow should both hold, from what they last agreed on.

The rule. Both sides are compared with what they were when they last agreed, key by key. A key
that one side changed is changed on the other. A key of ``reported`` that both changed is the
device's to say; a key of ``desired`` that both changed is the cloud's. A shadow that was deleted
is one whose keys were all deleted: what the other side changed meanwhile outlives the deletion,
by the same rule, and only when nothing is left is the shadow gone on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ggml_magic.core.document import difference, equal, merged

SECTIONS = ("desired", "reported")
# Of two changes of the same key in this section the device's counts, in the other the cloud's.
DEVICES = "reported"
ABSENT = object()
# A shadow's state, or that there is none.
Side = dict[str, Any] | None


def resolved(base: Side, local: Side, cloud: Side) -> Side:
    """What both sides should be."""
    wanted = agree(base or {}, local or {}, cloud or {})
    if wanted:
        return wanted
    # nothing is left: who changed whether there is a shadow at all decides
    decides = local if (cloud is None) == (base is None) else cloud
    return None if decides is None else {}


def imposed(target: Side, base: Side, source: Side) -> Side:
    """What a target should be when only changes of the source count, since ``base``."""
    if source is None:
        return target if base is None else None
    if base is None or target is None:
        return merged(target or {}, source)
    return trimmed(merged(target, difference(base, source)))


def agree(base: dict[str, Any], local: dict[str, Any], cloud: dict[str, Any]) -> dict[str, Any]:
    """The state both sides should have: the device wins in reported, the cloud in desired."""
    wanted: dict[str, Any] = {}
    for section in SECTIONS:
        sides = (side.get(section, ABSENT) for side in (base, local, cloud))
        value = _three_ways(*sides, local_wins=section == DEVICES)
        if value is not ABSENT:
            wanted[section] = value
    return trimmed(wanted)


def _three_ways(base: Any, local: Any, cloud: Any, *, local_wins: bool) -> Any:
    if _equal(local, cloud) or _equal(cloud, base):
        return local
    if _equal(local, base):
        return cloud
    maps = [side for side in (local, cloud) if isinstance(side, Mapping)]
    if not maps or (len(maps) == 1 and ABSENT not in (local, cloud)):
        return local if local_wins else cloud
    sides = [side if isinstance(side, Mapping) else {} for side in (base, local, cloud)]
    keys = {key: None for side in sides for key in side}
    found = {
        key: _three_ways(*(side.get(key, ABSENT) for side in sides), local_wins=local_wins)
        for key in keys
    }
    return {key: value for key, value in found.items() if value is not ABSENT}


def _equal(left: Any, right: Any) -> bool:
    if left is ABSENT or right is ABSENT:
        return left is right
    return equal(left, right)


def trimmed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Desired and reported without empty objects, which the two sides keep differently."""
    sections = ((section, _without_empty(state.get(section))) for section in SECTIONS)
    return {section: value for section, value in sections if value}


def _without_empty(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    inner = ((key, _without_empty(item)) for key, item in value.items())
    return {key: item for key, item in inner if item is not None and item != {}}
