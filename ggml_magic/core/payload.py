"""What a message holds: a JSON object, bounded before it can cost much."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TYPE = "application/json"
# Deeper than any configuration, and far from the interpreter's own depth, to which what is read
# here may be walked, copied and written again.
MOST_DEPTH = 100
# Objects, lists and their items: each costs up to fifty times the bytes in which it came, and the
# core reads nothing else meanwhile. A text or a blob is one, whatever its length.
MOST_PARTS = 500_000


class PayloadError(ValueError):
    """No JSON object, or one that is more than it may be."""


def _no_number(name: str) -> Any:
    raise PayloadError(f"{name} is no JSON")


_READER = json.JSONDecoder(parse_constant=_no_number)
_WRITER = json.JSONEncoder(separators=(",", ":"))


def read(content: bytes) -> dict[str, Any]:
    """The object that a payload is, empty for none; raises ``PayloadError``."""
    if not content:
        return {}
    containers = 0 if len(content) < MOST_DEPTH else content.count(b"{") + content.count(b"[")
    # marks within a text are counted too: finding out would cost what this is to save
    if len(content) > MOST_PARTS and containers + content.count(b",") > MOST_PARTS:
        raise PayloadError(f"more than {MOST_PARTS} objects, lists and items")
    try:
        value = _READER.decode(content.decode())
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise PayloadError("no JSON object")
    if containers > MOST_DEPTH:
        _bounded(value)
    return value


def _bounded(value: Any) -> None:
    """Refuse what is nested too deep."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise PayloadError(f"nested more than {MOST_DEPTH} deep")


def write(value: Mapping[str, Any]) -> bytes:
    """An object as a payload, without spaces."""
    return _WRITER.encode(value).encode()
