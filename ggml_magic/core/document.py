"""The algebra of shadow documents, the same on the device and in the cloud."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any


def merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """Merge a patch in place: objects deeply, ``null`` deletes, all else replaces."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            inner = target.get(key)
            if not isinstance(inner, dict):
                inner = target[key] = {}
            merge(inner, value)
        else:
            target[key] = copy.deepcopy(value)


def merged(state: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A state of its own with a patch merged in."""
    result = copy.deepcopy(dict(state))
    merge(result, patch)
    return result


def delta(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    """What is desired and not, or otherwise, reported."""
    found: dict[str, Any] = {}
    for key, value in desired.items():
        known = reported.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            inner = delta(value, known)
            if inner:
                found[key] = inner
        elif key not in reported or not equal(value, known):
            found[key] = copy.deepcopy(value)
    return found


def difference(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that turns a present state into a wanted one; ``null`` deletes."""
    patch: dict[str, Any] = {key: None for key in present if key not in wanted}
    for key, value in wanted.items():
        old = present.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = difference(old, value)
            if inner:
                patch[key] = inner
        elif key not in present or not equal(old, value):
            patch[key] = value
    return patch


def equal(left: Any, right: Any) -> bool:
    """JSON equality by value: 1 is 1.0, and ``true`` is not 1."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def depth(value: object) -> int:
    """Levels of objects and lists in a JSON value; 0 for a leaf."""
    if isinstance(value, Mapping):
        return 1 + max((depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def size(state: Mapping[str, Any]) -> int:
    """Bytes of all sections of a state, each as compact JSON in UTF-8."""
    texts = (
        json.dumps(section, ensure_ascii=False, separators=(",", ":"))
        for section in state.values()
        if section
    )
    # half of a surrogate pair is no UTF-8, and still has a size
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def stamps(state: Any, patch: Any, old: Any, seconds: int) -> dict[str, Any]:
    """Metadata of a state: what the patch names is of now, all else as old as it was.

    It mirrors the state, with ``{"timestamp": seconds}`` for a leaf, and in a list for each item.
    """
    patch, old = (value if isinstance(value, Mapping) else {} for value in (patch, old))
    return {
        key: stamps(value, patch.get(key), old.get(key), seconds)
        if isinstance(value, Mapping)
        else (old[key] if key in old and key not in patch else _stamp(value, seconds))
        for key, value in state.items()
    }


def _stamp(value: Any, seconds: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _stamp(item, seconds) for key, item in value.items()}
    if isinstance(value, list):
        return [_stamp(item, seconds) for item in value]
    return {"timestamp": seconds}


def picked(metadata: Any, part: Mapping[str, Any]) -> dict[str, Any]:
    """Of a section's metadata, what belongs to a part of that section."""
    return {
        key: picked(metadata[key], value) if isinstance(value, Mapping) else metadata[key]
        for key, value in part.items()
        if isinstance(metadata, Mapping) and key in metadata
    }
