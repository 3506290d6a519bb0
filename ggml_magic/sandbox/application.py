"""The sandbox put together: our services, moto behind them, the door in front."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ggml_magic import settings
from ggml_magic.sandbox import faults
from ggml_magic.sandbox.broker import Broker
from ggml_magic.sandbox.changes import Notices
from ggml_magic.sandbox.components import Components
from ggml_magic.sandbox.control import Control
from ggml_magic.sandbox.deployments import Deployments
from ggml_magic.sandbox.devices import Devices
from ggml_magic.sandbox.endpoint import Places
from ggml_magic.sandbox.front import Front
from ggml_magic.sandbox.gateway import MotoGateway
from ggml_magic.sandbox.jobs import Jobs
from ggml_magic.sandbox.lifetime import Clock
from ggml_magic.sandbox.persistence import READING, Persistence
from ggml_magic.sandbox.service import Request, Response, Service
from ggml_magic.sandbox.shadows import Shadows
from ggml_magic.sandbox.shadowtopics import ShadowTopics
from ggml_magic.sandbox.store import Store
from ggml_magic.sandbox.tags import Tags
from ggml_magic.sandbox.upstream import Upstream
from ggml_magic.workspace import Workspace


class Application:
    """All parts of one workspace's sandbox; ``front`` is its WSGI application."""

    def __init__(
        self, places: Places, instance: str, ending: threading.Event, broker: Broker
    ) -> None:
        places.objects.mkdir(mode=0o700, exist_ok=True)
        self._places = places
        self.clock = Clock()
        self.notices = Notices()
        self.store = Store(places.database)
        self._upstream = Upstream()
        self._persistence = Persistence(self.store, self._upstream, places.objects)
        self._persistence.restore()
        self._gateway = gateway = MotoGateway(self._upstream)
        components = Components(self.store, gateway)
        self._deployments = Deployments(self.store, gateway, components, self.notices)
        self._devices = Devices(self.store, gateway)
        greengrass = {
            **components.handlers(),
            **self._deployments.handlers(),
            **self._devices.handlers(),
            **Tags(self.store).handlers(),
        }
        jobs = Jobs(self.store, gateway.account, self.notices)
        shadows = Shadows(self.store, gateway, self._devices, self.notices, broker.publish)
        requests = ShadowTopics(shadows, self._home, broker.publish)
        broker.on_reserved = shadows.on_reserved = requests.take
        services = (
            Service("greengrassv2", greengrass, faults.refused_members),
            Service("iot-jobs-data", jobs.handlers(), faults.data_plane),
            Service("iot-data", shadows.handlers(), faults.data_plane),
        )
        control = Control(instance, self.notices, self.provision, self.enrol, self.groups, ending)
        self.front = Front(
            {service.name: service for service in services}, self, control, self.clock
        )

    def provision(self, region: str, thing: str) -> None:
        """Make a thing and its core device's record."""
        with self._upstream.lock:
            self._devices.provision(region, thing)
            self._persistence.keep("iot", Request("PUT", "/", region=region))
            self._deployments.enlist(region)

    def enrol(self, region: str, group: str, things: Sequence[str]) -> None:
        """Make a group of core devices."""
        with self._upstream.lock:
            for thing in things:
                self._devices.provision(region, thing)
            self._gateway.add_members(region, group, things)
            self._persistence.keep("iot", Request("PUT", "/", region=region))
            self._deployments.enlist(region)

    def groups(self, thing: str) -> list[str] | None:
        """The thing groups of a core device; ``None`` where there is no such thing."""
        return self._gateway.groups(self._home(thing), thing)

    def forward(self, environ: dict[str, Any]) -> Response:
        """Hand a WSGI request to moto."""
        return self._upstream.forward(environ)

    def keep(self, service: str, request: Request) -> None:
        """Write through what a successful request of moto's changed, before it is answered."""
        if request.method in READING:
            return
        with self._upstream.lock:
            self._persistence.keep(service, request)
            if service == "iot":
                self._deployments.enlist(request.region)

    def device_region(self, thing: str | None) -> str | None:
        """The region of a core device, or of all of them when they share one."""
        return self._devices.region_of(thing) if thing else self._devices.only_region()

    def _home(self, thing: str) -> str:
        """The region of a thing that names none: its core's, else the workspace's own."""
        found = self.device_region(thing) or self.device_region(None)
        return found or settings.load(Workspace(self._places.folder.parent)).region

    def close(self) -> None:
        """Give the workspace's files back."""
        self.store.close()
