"""Versions and the npm ranges that components ask for them by (EDGE-CORE 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nodesemver import rsort, satisfies, valid_range  # type: ignore[import-untyped]  # ships no types

LONGEST_VERSION = 64
VERSION = re.compile(
    r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})"
    r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


def is_version(text: str) -> bool:
    """Whether a text is a version that Greengrass takes: each number at most 999999."""
    return len(text) <= LONGEST_VERSION and VERSION.fullmatch(text) is not None


def is_range(text: str) -> bool:
    """Whether a text is a range of versions as npm's."""
    try:
        return valid_range(text, loose=False) is not None
    except ValueError:
        return False


def fits(version: str, requirements: Iterable[str]) -> bool:
    """Whether a version meets npm ranges; a malformed range is met by nothing."""
    try:
        return all(satisfies(version, requirement, loose=False) for requirement in requirements)
    except ValueError:
        return False


def highest(versions: Iterable[str]) -> str | None:
    """The newest of versions, or ``None`` of none."""
    ordered = rsort(list(versions), loose=False)
    return str(ordered[0]) if ordered else None
