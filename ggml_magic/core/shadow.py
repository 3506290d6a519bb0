"""Device shadows kept on the device (EDGE-CORE 8, Shadow).

A document is ``{state{desired, reported}, metadata, version, timestamp}``. A deleted shadow's
version lives on, so that it never goes back.

How a request can fail: ``ShadowError`` is the base of ``InvalidShadowError`` (and of it
``ShadowTooLargeError``), ``NoShadowError`` and ``VersionConflictError``; each has the ``code`` that
the shadow topics give.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_magic.core.agreement import SECTIONS
from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.document import delta, depth, merged, size, stamps

# Levels below desired and below reported.
MAX_DEPTH = 6
# Shadow manager's default for desired and reported together, and the most it can be told.
MAX_STATE_BYTES = 8 * 1024
LARGEST_STATE_BYTES = 30 * 1024
# No request that can be kept is larger: each value may be written with escapes, and once deleted.
MAX_PAYLOAD_BYTES = 4 * LARGEST_STATE_BYTES
MAX_TOKEN = 64
# What a client may send of a document that it has read; it is dropped.
DROPPED = "delta"
THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
NAME = re.compile(r"[a-zA-Z0-9:_-]{0,64}")
NAMED = ".named."


class ShadowError(Exception):
    """A request on a shadow that is refused; ``code`` is what the topics call it."""

    code = 500


class InvalidShadowError(ShadowError):
    """Names or a payload that cannot be."""

    code = 400


class ShadowTooLargeError(InvalidShadowError):
    """A payload or a state of too many bytes."""

    code = 413


class NoShadowError(ShadowError):
    """No such shadow."""

    code = 404


class VersionConflictError(ShadowError):
    """The version that the request is meant for is not the present one."""

    code = 409


@dataclass(frozen=True)
class Shadow:
    """One shadow; ``metadata`` mirrors ``state`` with ``{"timestamp": seconds}`` for a leaf."""

    state: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    timestamp: int = 0
    deleted: bool = True

    def document(self) -> dict[str, Any]:
        """What others are shown, without the delta."""
        return {"state": self.state, "metadata": self.metadata, "version": self.version}


@dataclass(frozen=True)
class Change:
    """A shadow before and after an accepted request, and the answer to the request."""

    thing: str
    name: str
    previous: Shadow
    current: Shadow
    answer: Mapping[str, Any]


class Shadows:
    """The shadows of one device, each in a file of ``folder``.

    ``limit`` gives the bytes that a state may have now. ``on_change`` hears of each change.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.time,
        limit: Callable[[], int] = lambda: MAX_STATE_BYTES,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._limit = limit
        self._known: dict[tuple[str, str], Shadow] = {}
        self.on_change: list[Callable[[Change], None]] = []

    def get(self, thing: str, name: str = "") -> dict[str, Any]:
        """The document with its delta; raises ``NoShadowError``."""
        shadow = self._existing(thing, name)
        state = dict(shadow.state)
        different = delta(state.get("desired", {}), state.get("reported", {}))
        if different:
            state["delta"] = different
        return {**shadow.document(), "state": state, "timestamp": int(self._clock())}

    def update(self, thing: str, name: str, payload: bytes) -> dict[str, Any]:
        """Merge a request ``{state, version?, clientToken?}``; returns what was accepted.

        Raises ``InvalidShadowError`` and ``VersionConflictError``.
        """
        check_names(thing, name)
        request = _request(payload)
        shadow = self._shadow(thing, name)
        _check_version(shadow, request.get("version"))
        patch, now = request["state"], int(self._clock())
        state = merged(shadow.state, patch)
        if size(state) > self._limit():
            raise ShadowTooLargeError(f"the state is larger than {self._limit()} bytes")
        metadata = stamps(state, patch, shadow.metadata, now)
        current = Shadow(state, metadata, shadow.version + 1, now, deleted=False)
        answer = {
            "state": patch,
            "metadata": stamps({key: part for key, part in patch.items() if part}, patch, {}, now),
            "version": current.version,
            "timestamp": now,
        }
        if "clientToken" in request:
            answer["clientToken"] = request["clientToken"]
        self._store(Change(thing, name, shadow, current, answer))
        return answer

    def delete(self, thing: str, name: str = "") -> dict[str, Any]:
        """Delete a shadow; its version goes on from here. Raises ``NoShadowError``."""
        shadow = self._existing(thing, name)
        now = int(self._clock())
        answer = {"version": shadow.version, "timestamp": now}
        current = Shadow(version=shadow.version + 1, timestamp=now)
        self._store(Change(thing, name, shadow, current, answer))
        return answer

    def names(self, thing: str) -> list[str]:
        """The names of a thing's named shadows, in order."""
        check_names(thing, "")
        beginning = thing + NAMED
        found = (path.name for path in self._folder.glob(f"{beginning}*.json"))
        named = (file[len(beginning) : -len(".json")] for file in found)
        known = (name for name in named if NAME.fullmatch(name))
        return sorted(name for name in known if not self._shadow(thing, name).deleted)

    def _existing(self, thing: str, name: str) -> Shadow:
        check_names(thing, name)
        shadow = self._shadow(thing, name)
        if shadow.deleted:
            raise NoShadowError("there is no shadow" + (f" named {name}" if name else ""))
        return shadow

    def _shadow(self, thing: str, name: str) -> Shadow:
        known = self._known.get((thing, name))
        if known is None:
            stored = read_json(file_of(self._folder, thing, name))
            # what is not there is not remembered: anyone may ask for any name
            known = Shadow(**stored) if stored else Shadow()
            if stored:
                self._known[thing, name] = known
        return known

    def _store(self, change: Change) -> None:
        write_json(file_of(self._folder, change.thing, change.name), vars(change.current))
        self._known[change.thing, change.name] = change.current
        for listener in self.on_change:
            listener(change)


def file_of(folder: Path, thing: str, name: str, kind: str = "") -> Path:
    """The file of a shadow, or of a kind of thing that is known of it; names have no dots."""
    return folder / f"{thing}{NAMED + name if name else ''}{kind}.json"


def check_names(thing: str, name: str) -> None:
    """Raises ``InvalidShadowError`` for what can be no thing's or no shadow's name."""
    if not THING.fullmatch(thing):
        raise InvalidShadowError("a thing's name is 1 to 128 of a-z, A-Z, 0-9, :, _ and -")
    if not NAME.fullmatch(name):
        raise InvalidShadowError("a shadow's name is 1 to 64 of a-z, A-Z, 0-9, :, _ and -")


def client_token(payload: bytes) -> str | None:
    """The token of a request that may be wrong in any way."""
    try:
        token = json.loads(payload).get("clientToken")
    except (ValueError, RecursionError, AttributeError):
        return None
    return token if isinstance(token, str) else None


def _request(payload: bytes) -> dict[str, Any]:
    """A request that can be; its ``state`` has only desired and reported."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ShadowTooLargeError(f"the payload is larger than {MAX_PAYLOAD_BYTES} bytes")
    try:
        request = json.loads(payload, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidShadowError(f"the payload is no JSON: {error}") from None
    if not isinstance(request, dict) or not isinstance(request.get("state"), dict):
        raise InvalidShadowError("the payload has no object called state")
    token = request.get("clientToken", "")
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise InvalidShadowError(f"clientToken is no string of at most {MAX_TOKEN} characters")
    request["state"].pop(DROPPED, None)
    for section, content in request["state"].items():
        _check_section(section, content)
    return request


def _check_section(section: str, content: object) -> None:
    if section not in SECTIONS:
        raise InvalidShadowError(f"state has {section!r}, it can have desired and reported only")
    if content is not None and not isinstance(content, dict):
        raise InvalidShadowError(f"state.{section} is no object")
    if depth(content) > MAX_DEPTH:
        raise InvalidShadowError(f"state.{section} is deeper than {MAX_DEPTH} levels")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_version(shadow: Shadow, wanted: object) -> None:
    if wanted is None:
        return
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise InvalidShadowError("version is no integer of 0 or more")
    if wanted != shadow.version and not (shadow.deleted and wanted == 0):
        raise VersionConflictError(f"version conflict: {wanted} was given, it is {shadow.version}")
