"""The algebra of shadow documents, the same on the device and in the cloud."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ggml_magic.core.config import same


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


def delta(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    """What is desired and not, or otherwise, reported."""
    found: dict[str, Any] = {}
    for key, value in desired.items():
        known = reported.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            inner = delta(value, known)
            if inner:
                found[key] = inner
        elif key not in reported or not same(value, known):
            found[key] = copy.deepcopy(value)
    return found
