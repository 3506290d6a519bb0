"""Device shadows kept on the device (EDGE-CORE 8, Shadow).

A document is ``{state{desired, reported}, metadata, version, timestamp}``. A deleted shadow's
version lives on, so that it never goes back.
"""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.document import delta, merge

SECTIONS = ("desired", "reported")
MAX_DEPTH = 6
# Shadow manager's default for desired and reported together, and its hard limit for a request.
MAX_STATE_BYTES = 8 * 1024
MAX_PAYLOAD_BYTES = 30 * 1024
THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
NAME = re.compile(r"[a-zA-Z0-9:_-]{0,64}")


class ShadowError(Exception):
    """A request on a shadow that is refused."""


class InvalidShadowError(ShadowError):
    """Names or a payload that cannot be."""


class NoShadowError(ShadowError):
    """No such shadow."""


class VersionConflictError(ShadowError):
    """The version that the request is meant for is not the present one."""


@dataclass
class Shadow:
    """One shadow; ``metadata`` mirrors ``state`` with ``{"timestamp": seconds}`` for a leaf."""

    state: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    timestamp: int = 0
    deleted: bool = True


class Shadows:
    """The shadows of one device, each in a file of ``folder``.

    ``on_change`` hears the thing and the shadow's name after each change.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._known: dict[tuple[str, str], Shadow] = {}
        self.on_change: list[Callable[[str, str], None]] = []

    def get(self, thing: str, name: str = "") -> dict[str, Any]:
        """The document with its delta; raises ``NoShadowError``."""
        shadow = self._existing(thing, name)
        state: dict[str, Any] = copy.deepcopy(shadow.state)
        difference = delta(state.get("desired", {}), state.get("reported", {}))
        if difference:
            state["delta"] = difference
        return {
            "state": state,
            "metadata": copy.deepcopy(shadow.metadata),
            "version": shadow.version,
            "timestamp": shadow.timestamp,
        }

    def update(self, thing: str, name: str, payload: bytes) -> dict[str, Any]:
        """Merge a request ``{state, version?, clientToken?}``; returns what was accepted.

        Raises ``InvalidShadowError`` and ``VersionConflictError``.
        """
        request = _request(payload)
        shadow = self._shadow(thing, name)
        _check_version(shadow, request.get("version"))
        sections = {key: value for key, value in request["state"].items() if key in SECTIONS}
        now = int(self._clock())
        state = copy.deepcopy(shadow.state)
        merge(state, sections)
        if len(json.dumps(state, separators=(",", ":")).encode()) > MAX_STATE_BYTES:
            raise InvalidShadowError(f"the state is larger than {MAX_STATE_BYTES} bytes")
        metadata = _metadata(state, sections, shadow.metadata, now)
        self._store(thing, name, Shadow(state, metadata, shadow.version + 1, now, deleted=False))
        answer = {
            "state": sections,
            "metadata": _metadata(sections, sections, {}, now),
            "version": shadow.version + 1,
            "timestamp": now,
        }
        if "clientToken" in request:
            answer["clientToken"] = request["clientToken"]
        return answer

    def delete(self, thing: str, name: str = "") -> dict[str, Any]:
        """Delete a shadow; its version goes on from here. Raises ``NoShadowError``."""
        shadow = self._existing(thing, name)
        now = int(self._clock())
        self._store(thing, name, Shadow(version=shadow.version + 1, timestamp=now))
        return {"version": shadow.version, "timestamp": now}

    def _existing(self, thing: str, name: str) -> Shadow:
        shadow = self._shadow(thing, name)
        if shadow.deleted:
            raise NoShadowError(f"No shadow found for {thing}" + (f" named {name}" if name else ""))
        return shadow

    def _shadow(self, thing: str, name: str) -> Shadow:
        if not THING.fullmatch(thing) or not NAME.fullmatch(name):
            raise InvalidShadowError(f"{thing!r} {name!r} cannot be a thing and a shadow's name")
        if (thing, name) not in self._known:
            stored = read_json(self._file(thing, name))
            self._known[thing, name] = Shadow(**stored) if stored else Shadow()
        return self._known[thing, name]

    def _store(self, thing: str, name: str, shadow: Shadow) -> None:
        write_json(self._file(thing, name), vars(shadow))
        self._known[thing, name] = shadow
        for listener in self.on_change:
            listener(thing, name)

    def _file(self, thing: str, name: str) -> Path:
        return self._folder / (f"{thing}.named.{name}.json" if name else f"{thing}.json")


def _request(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidShadowError(f"the payload is larger than {MAX_PAYLOAD_BYTES} bytes")
    try:
        request = json.loads(payload, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidShadowError(f"the payload is no JSON: {error}") from None
    if not isinstance(request, dict) or not isinstance(request.get("state"), dict):
        raise InvalidShadowError("the payload has no object called state")
    for section in SECTIONS:
        content = request["state"].get(section)
        if content is not None and not isinstance(content, dict):
            raise InvalidShadowError(f"state.{section} is no object")
        if depth(content) > MAX_DEPTH:
            raise InvalidShadowError(f"state.{section} is deeper than {MAX_DEPTH} levels")
    return request


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_version(shadow: Shadow, wanted: object) -> None:
    if wanted is None:
        return
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise InvalidShadowError("version is no integer")
    if wanted != shadow.version and not (shadow.deleted and wanted == 0):
        raise VersionConflictError(f"version conflict: {wanted} was given, it is {shadow.version}")


def depth(value: object) -> int:
    """Levels of objects in a JSON value; 0 for a leaf."""
    if not isinstance(value, Mapping):
        return 0
    return 1 + max((depth(item) for item in value.values()), default=0)


def _metadata(state: Any, patch: Any, old: Any, seconds: int) -> dict[str, Any]:
    """Metadata of a state: what the patch names is of now, all else as old as it was."""
    patch, old = (value if isinstance(value, Mapping) else {} for value in (patch, old))
    return {
        key: _metadata(value, patch.get(key), old.get(key), seconds)
        if isinstance(value, Mapping)
        else ({"timestamp": seconds} if key in patch else old.get(key, {"timestamp": seconds}))
        for key, value in state.items()
    }
