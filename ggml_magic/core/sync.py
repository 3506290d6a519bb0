"""One shadow of the device and the cloud's, kept the same.

``agreement`` says what both sides should hold. Since only differences are sent, and nothing is
different after a round, there is no echo. While the cloud is away both sides go on; the first
round after its return compares what each has become. An update of the cloud's shadow names the
version it was made for, so that a change of someone else between our reading and our writing is
refused, read and counted. The first update of a new shadow cannot name one, and what came of it
is read; a deletion cannot either, and a change in that moment goes with it.

When another instance of the sandbox answers, one that has never seen the shadow or knows an older
version of it, its history was lost, and the device's state is sent again.

In one direction only (``deviceToCloud``, ``cloudToDevice``) what changed at the source since the
last round is changed at the target, which keeps all else that it has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ggml_magic.core.agreement import Side, imposed, resolved, trimmed
from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.document import difference
from ggml_magic.core.shadow import InvalidShadowError, NoShadowError, Shadows
from ggml_magic.core.shadowsettings import Direction, Place
from ggml_magic.errors import CloudError, UnreachableError

# Someone else may write between our reading and our writing; more often than this in a row, the
# next notice will bring us back.
TRIES = 5
CONFLICT = "ConflictException"
# Seconds until what was refused may be tried again though no side changed: a thing that is not
# known may become known.
REFUSED_SECONDS = 10.0
# A version that differs from any that a shadow can have, and the one of no shadow.
ANY_VERSION, NO_VERSION = -1, 0


class CloudShadows(Protocol):
    """The cloud's side; ``instance`` changes when another sandbox answers."""

    @property
    def instance(self) -> str:
        """Which sandbox answers."""

    async def shadow(self, thing: str, name: str) -> dict[str, Any] | None:
        """The cloud's document, ``None`` when there is none."""

    async def update_shadow(self, thing: str, name: str, payload: bytes) -> dict[str, Any]:
        """Send an update request; returns what was accepted."""

    async def delete_shadow(self, thing: str, name: str) -> None:
        """Delete the cloud's shadow; one that is not there is fine."""


@dataclass(frozen=True)
class Agreed:
    """What both sides held when they last agreed, ``None`` for no shadow.

    ``version`` is the cloud's, 0 for no shadow.
    """

    state: Side = None
    version: int = NO_VERSION
    instance: str = ""


class Synchroniser:
    """One shadow; ``turn`` is waited for before each change of the cloud's."""

    def __init__(
        self, place: Place, shadows: Shadows, cloud: CloudShadows, file: Path,
        turn: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._place = place
        self._shadows = shadows
        self._cloud = cloud
        self._file = file
        self._turn = turn
        self._agreed = Agreed(**(read_json(file) or {}))
        self._told: int | None = ANY_VERSION
        self._changed = True
        self._refused = float("-inf")

    @property
    def pending(self) -> bool:
        """Whether a round may have something to do."""
        return self._changed or self._stale

    @property
    def _stale(self) -> bool:
        """Whether the cloud has another version than the one that was agreed on."""
        known = self._agreed.version
        if self._told is None:
            return False
        if self._told in (ANY_VERSION, NO_VERSION):
            return self._told != known
        return self._told > known

    def local_changed(self) -> None:
        """The device's shadow must be compared in the next round."""
        self._changed = True

    def cloud_changed(self, version: int = ANY_VERSION) -> None:
        """The cloud's shadow has this version now, 0 when it was deleted."""
        self._told = version

    def try_again(self) -> None:
        """Look again at what was refused, if that was some time ago."""
        if 0 < self._refused < time.monotonic() - REFUSED_SECONDS:
            self.cloud_changed()

    async def round(self, direction: Direction = "betweenDeviceAndCloud") -> None:
        """Make both sides the same; raises ``CloudError`` when the cloud refuses.

        What was refused is not tried again until a side changes or ``try_again``.
        """
        self._refused = float("-inf")
        for last in (*(False,) * (TRIES - 1), True):
            try:
                if await self._once(direction):
                    return
            except (UnreachableError, OSError):
                self._told = ANY_VERSION
                raise
            except CloudError as error:
                if error.code != CONFLICT or last:
                    self._changed, self._told = False, None
                    self._refused = time.monotonic()
                    raise
                self._told = ANY_VERSION

    async def _once(self, direction: Direction) -> bool:
        """One comparison; true when nothing is left to do.

        Changes that are heard of meanwhile, our own of the device's shadow too, ask for another.
        """
        self._changed = False
        cloud, version = await self._theirs()
        base, local = self._base(version), self._ours()
        if direction == "deviceToCloud":
            here, there, agreed = local, imposed(cloud, base, local), local
        elif direction == "cloudToDevice":
            here, there, agreed = imposed(local, base, cloud), cloud, cloud
        else:
            here = there = agreed = resolved(base, local, cloud)
        self._apply(local, here)
        version = await self._send(cloud, there, version)
        self._keep(Agreed(agreed, version, self._cloud.instance))
        return not self.pending

    async def _theirs(self) -> tuple[Side, int]:
        """The cloud's state and version; read only where it may be another one."""
        if not self._stale and self._cloud.instance == self._agreed.instance:
            return self._agreed.state, self._agreed.version
        told, self._told = self._told, None
        try:
            document = await self._cloud.shadow(self._place.thing, self._place.name)
        except CloudError:
            self._told = told
            raise
        if document is None:
            return None, NO_VERSION
        return trimmed(document.get("state", {})), int(document.get("version", 0))

    def _base(self, version: int) -> Side:
        """What was agreed on; nothing, when the cloud has lost its history."""
        another = self._cloud.instance != self._agreed.instance
        return None if another and version < self._agreed.version else self._agreed.state

    def _ours(self) -> Side:
        try:
            return trimmed(self._shadows.get(self._place.thing, self._place.name)["state"])
        except NoShadowError:
            return None

    def _apply(self, local: Side, wanted: Side) -> None:
        """Change the device's shadow."""
        if _same(local, wanted):
            return
        if wanted is None:
            self._shadows.delete(self._place.thing, self._place.name)
            return
        payload = json.dumps({"state": difference(local or {}, wanted)}).encode()
        try:
            self._shadows.update(self._place.thing, self._place.name, payload)
        except InvalidShadowError as error:
            raise CloudError("the cloud's shadow cannot be kept here", str(error)) from None

    async def _send(self, cloud: Side, wanted: Side, version: int) -> int:
        """Change the cloud's shadow; returns its version."""
        if _same(cloud, wanted):
            return version
        await self._turn()
        if wanted is None:
            await self._cloud.delete_shadow(self._place.thing, self._place.name)
            return NO_VERSION
        request: dict[str, Any] = {"state": difference(cloud or {}, wanted)}
        if version:
            request["version"] = version
        else:  # no version can be asked for: see who else made this shadow just now
            self._told = ANY_VERSION
        payload = json.dumps(request).encode()
        answer = await self._cloud.update_shadow(self._place.thing, self._place.name, payload)
        return int(answer.get("version", version + 1))

    def _keep(self, agreed: Agreed) -> None:
        if agreed != self._agreed:
            write_json(self._file, vars(agreed))
            self._agreed = agreed


def _same(left: Side, right: Side) -> bool:
    if left is None or right is None:
        return left is right
    return not difference(left, right)
