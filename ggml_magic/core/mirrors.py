"""All shadows that the device and the cloud keep the same, by the shadow manager's settings."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ggml_magic.core.pulse import Pulse
from ggml_magic.core.rates import Pace
from ggml_magic.core.shadow import Change, Shadows, file_of
from ggml_magic.core.shadowsettings import Place, ShadowSettings, Source
from ggml_magic.core.sync import CloudShadows, Synchroniser
from ggml_magic.errors import CloudError, UnreachableError

KIND = ".sync"


class Mirrors:
    """The synchronisers of one device; ``work`` does what there is to do."""

    def __init__(
        self, thing: str, shadows: Shadows, cloud: CloudShadows, folder: Path, source: Source
    ) -> None:
        self._thing = thing
        self._shadows = shadows
        self._cloud = cloud
        self._folder = folder
        self._source = source
        self._pace = Pace(lambda: source.now.outbound_rate)
        self._followed: dict[Place, Synchroniser] = {}
        self._settings: ShadowSettings | None = None
        self._pulse = Pulse()
        self._last = float("-inf")

    @property
    def others(self) -> frozenset[str]:
        """Things beside the core's own whose shadows are followed."""
        return frozenset(place.thing for place in self._source.now.followed) - {self._thing}

    def local_changed(self, change: Change) -> None:
        """A shadow of the device changed."""
        found = self._followed.get(Place(change.thing, change.name))
        if found is not None:
            found.local_changed()

    def cloud_changed(self, told: Iterable[tuple[Place, int]]) -> None:
        """These shadows of the cloud's have these versions now, 0 for deleted ones."""
        for place, version in told:
            if place in self._followed:
                self._followed[place].cloud_changed(version)

    def cloud_unknown(self) -> None:
        """Any shadow of the cloud's may have changed."""
        for each in self._followed.values():
            each.cloud_changed()

    @property
    def pending(self) -> bool:
        """Whether there may be something to do."""
        return any(each.pending for each in self._followed.values())

    def try_again(self) -> None:
        """Look again at what the cloud refused some time ago."""
        for each in self._followed.values():
            each.try_again()

    def configured(self) -> bool:
        """Look at the settings again; true when there is something to do because of them."""
        settings = self._source.now
        if settings == self._settings:
            return False
        self._settings = settings
        self._followed = {
            place: self._followed.get(place) or self._synchroniser(place)
            for place in settings.followed
        }
        # who follows in another direction has to look at both sides
        self.cloud_unknown()
        self._pulse.beat()
        return True

    def _synchroniser(self, place: Place) -> Synchroniser:
        file = file_of(self._folder, place.thing, place.name, KIND)
        return Synchroniser(place, self._shadows, self._cloud, file, self._pace.turn)

    async def work(self) -> None:
        """Bring all followed shadows together, when it is time; raises ``CloudError``.

        One that is refused does not keep the others from it.
        """
        self.configured()
        await self._due()
        refused: list[CloudError] = []
        for each in list(self._followed.values()):
            if not each.pending:
                continue
            try:
                await each.round(self._source.now.direction)
            except UnreachableError:
                raise
            except CloudError as error:
                refused.append(error)
        self._last = time.monotonic()
        if refused:
            raise refused[0]

    async def _due(self) -> None:
        """Wait for the next round; other settings may bring it nearer."""
        while (left := self._left()) > 0:
            await self._pulse.until(partial(self._other_than, self._settings), left)

    def _other_than(self, settings: ShadowSettings | None) -> bool:
        return self._settings is not settings

    def _left(self) -> float:
        """Seconds until the next round, 0 and less for now."""
        return self._last + self._source.now.period_seconds - time.monotonic()
