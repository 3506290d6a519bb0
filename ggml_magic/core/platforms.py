"""What a device is, and whether a manifest is for it (EDGE-CORE 1)."""

from __future__ import annotations

import os
import platform as machine
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Literal

from ggml_magic.core.decode import RecipeError

Dialect = Literal["classic", "lite"]
DIALECTS: tuple[Dialect, ...] = ("classic", "lite")
# By this key a nucleus lite is told from the classic one, which has no such key.
RUNTIME, LITE_RUNTIME = "runtime", "aws_nucleus_lite"
LITE_OS = ("linux", "*", "all", "any", None)
ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "i386": "x86",
    "i686": "x86",
    "aarch64": "aarch64",
    "arm64": "aarch64",
}
DETAILED = ("arm", "aarch64")
PLAIN_BEGINNING = re.compile(r"[A-Za-z0-9]")


def device_platform(
    override: Mapping[str, object] | None = None, dialect: str = "classic"
) -> dict[str, str]:
    """This device's platform as a nucleus of the dialect describes it.

    ``override`` is the nucleus configuration's ``platformOverride``: it adds and replaces keys.
    """
    kind = machine.machine().lower()
    architecture = ARCHITECTURES.get(kind, "arm" if kind.startswith("arm") else kind)
    found = {"os": "darwin" if sys.platform == "darwin" else "linux", "architecture": architecture}
    if architecture in DETAILED:
        found["architecture.detail"] = os.uname().machine
    if dialect == "lite":
        found[RUNTIME] = LITE_RUNTIME
    own = override if isinstance(override, Mapping) else {}
    return {**found, **{str(key): text(value) for key, value in own.items() if value is not None}}


def dialect_of(platform: Mapping[str, str]) -> Dialect:
    """The nucleus that describes itself so."""
    return "lite" if platform.get(RUNTIME) == LITE_RUNTIME else "classic"


def matches(wanted: Mapping[str, object], platform: Mapping[str, str]) -> bool:
    """Whether every entry of a manifest's Platform is satisfied.

    On nucleus lite a manifest must name its runtime, and patterns are not read. Raises
    ``RecipeError`` for a pattern that is none.
    """
    if dialect_of(platform) == "lite":
        if wanted.get(RUNTIME) not in ("*", LITE_RUNTIME):
            return False
        if any(is_pattern(value) for value in wanted.values()):
            return False
    return all(_entry_matches(key, value, platform.get(key)) for key, value in wanted.items())


def never_on_lite(wanted: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Why nucleus lite never chooses a manifest: the key of its Platform, and the reason."""
    if wanted.get(RUNTIME) not in ("*", LITE_RUNTIME):
        yield "", f'nucleus lite takes only what names runtime "*" or "{LITE_RUNTIME}"'
    for key, value in wanted.items():
        if is_pattern(value):
            yield key, "nucleus lite reads no regular expressions"
    if not is_pattern(wanted.get("os")) and wanted.get("os") not in LITE_OS:
        yield "os", "nucleus lite runs on linux only"


def is_pattern(value: object) -> bool:
    """Whether a Platform's value is a regular expression."""
    return isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == "/"


def text(value: object) -> str:
    """A scalar of a recipe as text, as the nucleus coerces it: ``true``, not ``True``."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _entry_matches(key: str, wanted: object, own: str | None) -> bool:
    if wanted is None or wanted == "*":
        return True
    said = text(wanted)
    if own is None:
        return False
    if is_pattern(said):
        try:
            return re.fullmatch(said[1:-1], own) is not None
        except re.error as error:
            raise RecipeError(f"Platform {key} {said} is no pattern: {error}") from None
    if key in ("os", "architecture") and said in ("all", "any"):
        return True
    return PLAIN_BEGINNING.match(said) is not None and said == own
