"""The parts of the device's shadow manager, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic.core.mirrors import Mirrors
from ggml_magic.core.rates import RequestRates
from ggml_magic.core.shadow import Change, Shadows
from ggml_magic.core.shadowsettings import Place, Source
from ggml_magic.core.shadowtopics import ShadowTopics
from ggml_magic.core.sync import CloudShadows


@dataclass(frozen=True)
class Surroundings:
    """What the shadow manager has of the rest of the core.

    ``settings`` gives the configuration of aws.greengrass.ShadowManager, empty where there is
    none; ``publish`` takes topic, payload and sender.
    """

    settings: Callable[[], Mapping[str, Any]]
    publish: Callable[[str, bytes, str], None]
    warn: Callable[[str], None]


class ShadowManager:
    """Shadows of the device, what is said of them, and the cloud's kept the same as they are."""

    def __init__(
        self, thing: str, folder: Path, cloud: CloudShadows, surroundings: Surroundings
    ) -> None:
        source = Source(thing, surroundings.settings, surroundings.warn)
        self.shadows = Shadows(folder, limit=lambda: source.now.state_bytes)
        self.topics = ShadowTopics(surroundings.publish)
        self.rates = RequestRates(lambda: (source.now.total_rate, source.now.thing_rate))
        self.mirrors = Mirrors(thing, self.shadows, cloud, folder, source)
        # called when there may be something to do for ``mirrors.work``
        self.on_work: list[Callable[[], None]] = []
        self.shadows.on_change += [self.topics.changed, self._changed]

    def configured(self) -> None:
        """A deployment may have changed the settings."""
        if self.mirrors.configured():
            self._wake()

    def noticed(self, told: tuple[tuple[str, str, int], ...] | None) -> None:
        """Shadows of the cloud's that changed: thing, name, version; ``None``: any may have."""
        self.configured()
        if told is None:
            self.mirrors.cloud_unknown()
        else:
            self.mirrors.cloud_changed((Place(thing, name), at) for thing, name, at in told)
            self.mirrors.try_again()
        if self.mirrors.pending:
            self._wake()

    def _changed(self, change: Change) -> None:
        self.mirrors.local_changed(change)
        self._wake()

    def _wake(self) -> None:
        for listener in self.on_work:
            listener()
