"""Component versions: the next one, and the one that a content already has.

A version is never published twice with different content (DESIGN, rule 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cmp_to_key

import nodesemver  # type: ignore[import-untyped]  # the library has no types

from ggml_magic.errors import PackagingError

FIRST = "1.0.0"
# GREENGRASS 1: at most 64 characters, each number at most 999999
LONGEST = 64
LARGEST = 999_999
SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


def fault(version: str) -> str | None:
    """Why Greengrass would refuse a version, or ``None``."""
    match = SEMVER.fullmatch(version)
    if match is None:
        return "it is not MAJOR.MINOR.PATCH"
    if len(version) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if any(int(number) > LARGEST for number in match.groups()):
        return f"a number in it is above {LARGEST}"
    return None


def highest(versions: Iterable[str]) -> str | None:
    """The highest version by semantic precedence; ``None`` of none."""
    ordered = sorted(versions, key=cmp_to_key(lambda a, b: nodesemver.compare(a, b, False)))
    return ordered[-1] if ordered else None


def after(version: str) -> str:
    """The next patch version; the next minor one where patches are used up."""
    match = SEMVER.fullmatch(version)
    if match is None:
        raise PackagingError(f"{version!r} is no version", "it is not MAJOR.MINOR.PATCH")
    numbers = [int(number) for number in match.groups()]
    for place in (2, 1, 0):
        if numbers[place] < LARGEST:
            numbers = [*numbers[:place], numbers[place] + 1, *[0] * (2 - place)]
            return ".".join(map(str, numbers))
    raise PackagingError(f"there is no version after {version}", f"its numbers are all {LARGEST}")


def choose(content: str, taken: Mapping[str, str], wanted: str | None) -> str:
    """The version for a content, where ``taken`` maps versions to their contents' hashes.

    The same content keeps the highest version that it has; other content gets the next patch.
    A ``wanted`` version is used as it is. Raises ``PackagingError`` when that is taken by other
    content, or cannot be a version.
    """
    if wanted is None:
        same = highest(version for version, held in taken.items() if held == content)
        last = highest(taken)
        return same or (FIRST if last is None else after(last))
    wrong = fault(wanted)
    if wrong:
        raise PackagingError(f"{wanted!r} cannot be a version", wrong, "%ggml package --help")
    if taken.get(wanted, content) != content:
        raise PackagingError(
            f"version {wanted} is taken",
            "it has other content, and a version never changes",
            f"the same command with version {after(highest(taken) or wanted)}",
        )
    return wanted
