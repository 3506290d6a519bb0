"""The device's classic shadow and the cloud's, kept the same (both ways).

The rule. Both sides are compared with what they were when they last agreed, key by key. A key
that one side changed is changed on the other. A key of ``reported`` that both changed is the
device's to say; a key of ``desired`` that both changed is the cloud's. Since only differences
are sent, and nothing is different after a round, there is no echo. While the cloud is away both
sides go on; the first round after its return compares what each has become. A shadow that was
deleted in the cloud is deleted here; but when another instance of the sandbox answers, one that
has never seen the shadow or knows an older version of it, its history was lost and the device's
state is sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ggml_magic.core.config import same
from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.shadow import SECTIONS, InvalidShadowError, NoShadowError, Shadows
from ggml_magic.errors import CloudError

# Someone else may write between our reading and our writing; more often than this in a row, the
# next notice will bring us back.
TRIES = 5
ABSENT = object()


class CloudShadows(Protocol):
    """The cloud's side; ``instance`` changes when another sandbox answers."""

    @property
    def instance(self) -> str:
        """Which sandbox answers."""

    async def shadow(self) -> dict[str, Any] | None:
        """The cloud's document, ``None`` when there is none."""

    async def update_shadow(self, payload: bytes) -> dict[str, Any]:
        """Send an update request; returns what was accepted."""


@dataclass
class Agreed:
    """What both sides held when they last agreed; ``version`` is the cloud's."""

    state: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    instance: str = ""


class Synchroniser:
    """One thing's classic shadow."""

    def __init__(self, thing: str, shadows: Shadows, cloud: CloudShadows, file: Path) -> None:
        self._thing = thing
        self._shadows = shadows
        self._cloud = cloud
        self._file = file
        self._agreed = Agreed(**(read_json(file) or {}))
        self._stale = True

    def cloud_changed(self) -> None:
        """The cloud's document must be read again in the next round."""
        self._stale = True

    async def round(self) -> None:
        """Make both sides the same; raises ``CloudError`` when the cloud refuses."""
        for last in (*(False,) * (TRIES - 1), True):
            try:
                if await self._once():
                    return
            except CloudError as error:
                self._stale = True
                if error.code != "ConflictException" or last:
                    raise

    async def _once(self) -> bool:
        """One comparison; true when nothing is left to send."""
        reread, self._stale = self._stale, False
        if reread or self._cloud.instance != self._agreed.instance:
            try:
                document = await self._cloud.shadow()
            except CloudError:
                self._stale = True
                raise
        else:
            document = {"state": self._agreed.state, "version": self._agreed.version}
        base, cloud, version = self._seen(document)
        local = self._local()
        wanted = agree(base, local, cloud)
        self._apply(difference(local, wanted), wanted)
        patch = difference(cloud, wanted)
        if patch:
            request: dict[str, Any] = {"state": patch}
            if version:
                request["version"] = version
            answer = await self._cloud.update_shadow(json.dumps(request).encode())
            version = int(answer.get("version", version + 1))
        self._keep(Agreed(wanted, version, self._cloud.instance))
        return not difference(wanted, self._local()) and not self._stale

    def _seen(self, document: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any], int]:
        """Base of the comparison, the cloud's state and its version."""
        version = int(document.get("version", 0)) if document else 0
        state = trimmed(document.get("state", {})) if document else {}
        another = self._cloud.instance != self._agreed.instance
        if another and version < self._agreed.version:
            return {}, state, version
        return self._agreed.state, state, version

    def _local(self) -> dict[str, Any]:
        try:
            return trimmed(self._shadows.get(self._thing)["state"])
        except NoShadowError:
            return {}

    def _apply(self, patch: dict[str, Any], wanted: dict[str, Any]) -> None:
        if not patch:
            return
        if not wanted:
            self._shadows.delete(self._thing)
            return
        try:
            self._shadows.update(self._thing, "", json.dumps({"state": patch}).encode())
        except InvalidShadowError as error:
            raise CloudError("the cloud's shadow cannot be kept here", str(error)) from None

    def _keep(self, agreed: Agreed) -> None:
        if agreed != self._agreed:
            write_json(self._file, vars(agreed))
            self._agreed = agreed


def agree(base: dict[str, Any], local: dict[str, Any], cloud: dict[str, Any]) -> dict[str, Any]:
    """The state both sides should have: the device wins in reported, the cloud in desired."""
    winners = {"reported": local, "desired": cloud}
    wanted: dict[str, Any] = {}
    for section in SECTIONS:
        sides = (side.get(section, ABSENT) for side in (base, local, cloud))
        value = _three_ways(*sides, local_wins=winners[section] is local)
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
    merged = {
        key: _three_ways(*(side.get(key, ABSENT) for side in sides), local_wins=local_wins)
        for key in keys
    }
    return {key: value for key, value in merged.items() if value is not ABSENT}


def _equal(left: Any, right: Any) -> bool:
    if left is ABSENT or right is ABSENT:
        return left is right
    return same(left, right)


def difference(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that turns a present state into a wanted one; ``null`` deletes."""
    patch: dict[str, Any] = {key: None for key in present if key not in wanted}
    for key, value in wanted.items():
        old = present.get(key, ABSENT)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = difference(old, value)
            if inner:
                patch[key] = inner
        elif not _equal(old, value):
            patch[key] = value
    return patch


def trimmed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Desired and reported without empty objects, which the two sides keep differently."""
    sections = ((section, _without_empty(state.get(section))) for section in SECTIONS)
    return {section: value for section, value in sections if value}


def _without_empty(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    inner = ((key, _without_empty(item)) for key, item in value.items())
    return {key: item for key, item in inner if item is not None and item != {}}
