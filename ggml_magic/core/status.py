"""Fleet status: what the cloud knows of this device's components."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from ggml_magic.core.cloud import Cloud
from ggml_magic.core.engine import Engine
from ggml_magic.core.environment import GGC_VERSION
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.lifecycle import State, Supervisor
from ggml_magic.errors import UnreachableError

# What the cloud shows as this device's runtime: no real nucleus.
RUNTIME = "ggml_magic core"
# Errors that were not told yet; the oldest of more are forgotten.
LONGEST_QUEUE = 16


class FleetStatus:
    """Collects what changed until it is published: the latest state, and each error before it."""

    def __init__(
        self, cloud: Cloud, engine: Engine, held: Inventory, platform: Mapping[str, str]
    ) -> None:
        self._cloud = cloud
        self._engine = engine
        self._held = held
        self._platform = platform
        self._changed: dict[str, None] = {}
        # a component that fails and is started again at once must not seem to run all along
        self._errors: deque[dict[str, Any]] = deque(maxlen=LONGEST_QUEUE)
        self._complete = ""
        self._sequence = time.time_ns() // 1_000_000

    def changed(self, component: str) -> None:
        """A component entered another state."""
        self._changed[component] = None
        supervisor = self._engine.supervisors.get(component)
        if supervisor is not None and supervisor.state is State.ERRORED:
            self._errors.append(self._entry(component, supervisor))

    def all_changed(self, trigger: str) -> None:
        """The cloud must be told everything: ``NUCLEUS_LAUNCH``, ``RECONNECT``, a deployment."""
        self._complete = trigger

    async def work(self) -> None:
        """Publish what is not published yet."""
        while self._errors:
            error = self._errors.popleft()
            message = self._message("PARTIAL", "COMPONENT_STATUS_CHANGE", [error])
            try:
                await self._cloud.publish_status(message)
            except UnreachableError:
                # said later; one that the cloud refuses must not hold up all the others
                self._errors.appendleft(error)
                raise
        trigger, self._complete = self._complete, ""
        changed, self._changed = self._changed, {}
        try:
            if trigger:
                message = self._message("COMPLETE", trigger, self._entries())
                await self._cloud.publish_status(message)
            elif changed:
                known = [each for each in self._entries() if each["componentName"] in changed]
                message = self._message("PARTIAL", "COMPONENT_STATUS_CHANGE", known)
                await self._cloud.publish_status(message)
        except BaseException:
            self._complete = self._complete or trigger
            self._changed = {**changed, **self._changed}
            raise

    def _entries(self) -> list[dict[str, Any]]:
        return [self._entry(name, each) for name, each in self._engine.supervisors.items()]

    def _entry(self, name: str, supervisor: Supervisor) -> dict[str, Any]:
        """A component as it stands now."""
        return {
            "componentName": name,
            "version": supervisor.service.version,
            "status": supervisor.state.value,
            "statusDetails": {
                "statusCodes": list(supervisor.codes),
                "statusReason": supervisor.reason,
            },
            "isRoot": name in self._held.contents.roots,
        }

    def _message(self, kind: str, trigger: str, components: list[dict[str, Any]]) -> dict[str, Any]:
        self._sequence += 1
        states = [each.state for each in self._engine.supervisors.values()]
        return {
            "ggcVersion": GGC_VERSION,
            "platform": self._platform["os"],
            "architecture": self._platform["architecture"],
            "runtime": RUNTIME,
            "thing": self._cloud.thing,
            "sequenceNumber": self._sequence,
            "timestamp": int(time.time() * 1000),
            "messageType": kind,
            "trigger": trigger,
            "overallDeviceStatus": "UNHEALTHY" if State.BROKEN in states else "HEALTHY",
            "components": components,
        }
