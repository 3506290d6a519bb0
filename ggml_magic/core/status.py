"""Fleet status: what the cloud knows of this device's components."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ggml_magic.core.cloud import Cloud
from ggml_magic.core.engine import Engine
from ggml_magic.core.environment import GGC_VERSION
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.lifecycle import State, Supervisor

# What the cloud shows as this device's runtime: no real nucleus.
RUNTIME = "ggml_magic core"


class FleetStatus:
    """Collects what changed until it is published."""

    def __init__(
        self, cloud: Cloud, engine: Engine, held: Inventory, platform: Mapping[str, str]
    ) -> None:
        self._cloud = cloud
        self._engine = engine
        self._held = held
        self._platform = platform
        self._changed: dict[str, None] = {}
        self._complete = ""
        self._sequence = time.time_ns() // 1_000_000

    def changed(self, component: str) -> None:
        """A component entered another state."""
        self._changed[component] = None

    def all_changed(self, trigger: str) -> None:
        """The cloud must be told everything: ``NUCLEUS_LAUNCH``, ``RECONNECT``, a deployment."""
        self._complete = trigger

    async def work(self) -> None:
        """Publish what is not published yet."""
        trigger, self._complete = self._complete, ""
        changed, self._changed = self._changed, {}
        try:
            if trigger:
                message = self._message("COMPLETE", trigger, self._engine.supervisors)
                await self._cloud.publish_status(message)
            elif changed:
                known = {
                    name: each for name, each in self._engine.supervisors.items() if name in changed
                }
                message = self._message("PARTIAL", "COMPONENT_STATUS_CHANGE", known)
                await self._cloud.publish_status(message)
        except BaseException:
            self._complete = self._complete or trigger
            self._changed = {**changed, **self._changed}
            raise

    def _message(
        self, kind: str, trigger: str, supervisors: Mapping[str, Supervisor]
    ) -> dict[str, Any]:  # fmt: skip
        self._sequence += 1
        states = [each.state for each in self._engine.supervisors.values()]
        roots = self._held.contents.roots
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
            "components": [
                {
                    "componentName": name,
                    "version": each.service.version,
                    "status": each.state.value,
                    "statusDetails": {
                        "statusCodes": list(each.codes), "statusReason": each.reason
                    },
                    "isRoot": name in roots,
                }
                for name, each in supervisors.items()
            ],
        }  # fmt: skip
