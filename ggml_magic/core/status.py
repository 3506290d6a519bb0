"""Fleet status: what the cloud knows of this device's components."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ggml_magic.core.causes import SUCCEEDED, Result
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.engine import Engine
from ggml_magic.core.environment import GGC_VERSION
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.lifecycle import State, Supervisor
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS, Document
from ggml_magic.core.platforms import dialect_of
from ggml_magic.errors import UnreachableError

# What the cloud shows as this device's runtime: no real nucleus.
RUNTIMES = {"classic": "ggml_magic core", "lite": "ggml_magic core, lite"}
# How many messages are numbered before the file is written again.
BLOCK = 1000
# Errors that were not told yet; the oldest of more are forgotten.
LONGEST_QUEUE = 16


class Numbers:
    """Numbers that grow over restarts and whatever the clock does, reserved in blocks in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._next = self._reserved = 0

    def next(self) -> int:
        """The next number; a disk that is full lets them begin again after the next start."""
        if self._next >= self._reserved:
            with contextlib.suppress(OSError, ValueError, TypeError):
                self._next = max(self._next, int(read_json(self._file) or 0))
            self._reserved = self._next + BLOCK
            with contextlib.suppress(OSError):
                write_json(self._file, self._reserved)
        self._next += 1
        return self._next


class FleetStatus:
    """Collects what changed until it is published: the latest state, and each error before it.

    ``numbers`` is the file in which the messages' numbers are kept.
    """

    def __init__(
        self, cloud: Cloud, engine: Engine, held: Inventory, platform: Mapping[str, str],
        numbers: Path,
    ) -> None:  # fmt: skip
        self._cloud = cloud
        self._engine = engine
        self._held = held
        self._platform = platform
        self._changed: dict[str, None] = {}
        # a component that fails and is started again at once must not seem to run all along
        self._errors: deque[dict[str, Any]] = deque(maxlen=LONGEST_QUEUE)
        self._complete = ""
        self._deployment: dict[str, Any] = {}
        self._numbers = Numbers(numbers)

    def changed(self, component: str) -> None:
        """A component entered another state."""
        self._changed[component] = None
        supervisor = self._engine.supervisors.get(component)
        if supervisor is not None and supervisor.state is State.ERRORED:
            self._errors.append(self._entry(component, supervisor))

    def all_changed(self, trigger: str) -> None:
        """The cloud must be told everything: ``NUCLEUS_LAUNCH``, ``RECONNECT``, a deployment."""
        self._complete = trigger

    def deployed(self, document: Document, result: Result) -> None:
        """A deployment ended: the cloud must be told everything, and how it ended."""
        self._deployment = _information(document, result)
        self._complete = _trigger(document)

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
        deployment, self._deployment = self._deployment, {}
        changed, self._changed = self._changed, {}
        try:
            if trigger:
                message = {**self._message("COMPLETE", trigger, self._entries()), **deployment}
                await self._cloud.publish_status(message)
            elif changed:
                known = [each for each in self._entries() if each["componentName"] in changed]
                message = self._message("PARTIAL", "COMPONENT_STATUS_CHANGE", known)
                await self._cloud.publish_status(message)
        except BaseException:
            self._complete = self._complete or trigger
            self._deployment = self._deployment or deployment
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
            "fleetConfigArns": [
                group.arn for group in self._held.contents.groups.values()
                if group.arn and name in group.roots
            ],
        }  # fmt: skip

    def _message(self, kind: str, trigger: str, components: list[dict[str, Any]]) -> dict[str, Any]:
        states = [each.state for each in self._engine.supervisors.values()]
        return {
            "ggcVersion": GGC_VERSION,
            "platform": self._platform["os"],
            "architecture": self._platform["architecture"],
            "runtime": RUNTIMES[dialect_of(self._platform)],
            "thing": self._cloud.thing,
            "sequenceNumber": self._numbers.next(),
            "timestamp": int(time.time() * 1000),
            "messageType": kind,
            "trigger": trigger,
            "overallDeviceStatus": "UNHEALTHY" if State.BROKEN in states else "HEALTHY",
            "components": components,
        }


def _trigger(document: Document) -> str:
    if document.group == LOCAL_DEPLOYMENTS:
        return "LOCAL_DEPLOYMENT"
    return "THING_DEPLOYMENT" if document.group.startswith("thing/") else "THING_GROUP_DEPLOYMENT"


def _information(document: Document, result: Result) -> dict[str, Any]:
    """How a deployment ended, as the nucleus's fleet status has it."""
    details: dict[str, Any] = {"detailedStatus": result.detail}
    if result.status != SUCCEEDED:
        details["failureCause"] = result.cause
        details["errorStack"] = list(result.errors)
        details["errorTypes"] = list(result.types)
    return {
        "deploymentInformation": {
            "deploymentId": document.identifier,
            "fleetConfigurationArnForStatus": document.arn,
            "status": result.status,
            "statusDetails": details,
        }
    }
