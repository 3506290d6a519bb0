"""What a terminal asks of a core: its components, and deployments from this machine's folders.

The terminal may, which shows the core's own token; a component may what its ``accessControl``
grants it for the service ``aws.greengrass.Cli`` (EDGE-CORE 8).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ggml_magic.core import access, local
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.lifecycle import State, StepError, Supervisor
from ggml_magic.core.local import RequestError
from ggml_magic.core.local_queue import QUEUED, Entry, Queue, QueueFullError
from ggml_magic.core.operations import requests

SERVICE = "aws.greengrass.Cli"
# The resource of what concerns no single component or deployment.
ANY = "*"
DEPLOYMENT = "LocalDeployment"
SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
# How the nucleus writes when a deployment was asked for.
CREATED = "%m/%d/%Y %H:%M:%S"
MILLISECONDS = 1000
# By then a component that is told to stop is seen to be stopping; clients wait no longer.
BEGUN_SECONDS = 2.0


class Cli:
    """The operations of ``greengrass-cli``: components, and local deployments."""

    def __init__(self, held: Inventory, engine: Engine, queue: Queue) -> None:
        self._held = held
        self._engine = engine
        self._queue = queue
        # a task that nobody holds may vanish before it is done
        self._tasks: set[asyncio.Task[None]] = set()

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {
            "ListComponents": self.list_components,
            "GetComponentDetails": self.get_component_details,
            "RestartComponent": self.restart_component,
            "StopComponent": self.stop_component,
            "CreateLocalDeployment": self.create_local_deployment,
            "CancelLocalDeployment": self.cancel_local_deployment,
            "GetLocalDeploymentStatus": self.get_local_deployment_status,
            "ListLocalDeployments": self.list_local_deployments,
        }

    async def list_components(self, call: Call) -> Mapping[str, Any]:
        """Every component with version, state and configuration."""
        self._authorise(call, ANY)
        return {"components": [self._details(each) for each in self._engine.supervisors.values()]}

    async def get_component_details(self, call: Call) -> Mapping[str, Any]:
        """One component with version, state and configuration."""
        return {"componentDetails": self._details(self._component(call))}

    async def restart_component(self, call: Call) -> Mapping[str, Any]:
        """Begin to stop and start a component; its state tells when that is done."""
        return await self._begun(call, "restartStatus", self._engine.restart)

    async def stop_component(self, call: Call) -> Mapping[str, Any]:
        """Begin to stop a component, until it is restarted or deployed anew."""
        return await self._begun(call, "stopStatus", self._engine.halt)

    async def create_local_deployment(self, call: Call) -> Mapping[str, Any]:
        """Ask for a deployment, which is done after all that were asked for before it."""
        self._authorise(call, ANY)
        try:
            request = local.parse(call.request)
            local.check_folders(request)
            group = self._held.contents.groups.get(request.group)
            entry = self._queue.add(call.request, group.timestamp if group else 0)
        except RequestError as error:
            raise IpcError(error.shape, str(error)) from None
        except QueueFullError as error:
            raise IpcError("ServiceError", str(error)) from None
        return {"deploymentId": entry.identifier}

    async def cancel_local_deployment(self, call: Call) -> Mapping[str, Any]:
        """Give up a deployment that has not begun."""
        entry = self._deployment(call)
        if entry.status != QUEUED or self._queue.cancel(entry.identifier) is None:
            message = f"deployment {entry.identifier} is {entry.status}, and cannot be cancelled"
            raise IpcError("InvalidArgumentsError", message)
        return {"message": f"deployment {entry.identifier} is cancelled"}

    async def get_local_deployment_status(self, call: Call) -> Mapping[str, Any]:
        """Where one local deployment stands."""
        return {"deployment": _told(self._deployment(call))}

    async def list_local_deployments(self, call: Call) -> Mapping[str, Any]:
        """All local deployments that are remembered, the newest first."""
        self._authorise(call, ANY)
        return {"localDeployments": [_told(entry) for entry in self._queue.newest_first()]}

    def _component(self, call: Call) -> Supervisor:
        """The component that a request names, and that the caller may ask about."""
        name = requests.text(call, "componentName")
        if not name:
            raise IpcError("InvalidArgumentsError", "componentName is missing")
        self._authorise(call, name)
        found = self._engine.supervisors.get(name)
        if found is None:
            raise requests.no_resource("Component", name, f"there is no component {name}")
        return found

    def _deployment(self, call: Call) -> Entry:
        """The local deployment that a request names, and that the caller may ask about."""
        identifier = requests.text(call, "deploymentId")
        self._authorise(call, identifier)
        try:
            uuid.UUID(identifier)
        except ValueError:
            message = f"deploymentId {identifier[:100]!r} is no UUID"
            raise IpcError("InvalidArgumentsError", message) from None
        found = self._queue.find(identifier)
        if found is None:
            message = f"there is no local deployment {identifier}"
            raise requests.no_resource(DEPLOYMENT, identifier, message)
        return found

    def _authorise(self, call: Call, resource: str) -> None:
        if call.component != access.PRINCIPAL:
            requests.authorise(self._held, call, SERVICE, resource)

    async def _begun(
        self, call: Call, member: str, work: Callable[[str], Coroutine[Any, Any, None]]
    ) -> Mapping[str, Any]:
        """Begin, and answer once it is done or well under way.

        A component that asks this for itself gets its answer while it still can.
        """
        supervisor = self._component(call)
        name = supervisor.service.name
        if supervisor.state is State.BROKEN:
            message = f"{name} is BROKEN; only a deployment mends it: {supervisor.reason}"
            return {member: FAILED, "message": message}
        task = asyncio.create_task(_unless_gone(work(name)), name=f"asked of {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if call.component != name:
            await asyncio.wait([task], timeout=BEGUN_SECONDS)
        return {member: SUCCEEDED}

    def _details(self, supervisor: Supervisor) -> dict[str, Any]:
        service = supervisor.service
        component = self._held.contents.components.get(service.name)
        return {
            "componentName": service.name,
            "version": service.version,
            "state": supervisor.state.value,
            "configuration": component.configuration.read(()) if component else {},
        }


async def _unless_gone(work: Coroutine[Any, Any, None]) -> None:
    """A component that broke or went away meanwhile shows it by its state."""
    with contextlib.suppress(KeyError, StepError):
        await work


def _told(entry: Entry) -> dict[str, Any]:
    """A local deployment as the IPC model has it."""
    created = time.strftime(CREATED, time.localtime(entry.created / MILLISECONDS))
    told = {"deploymentId": entry.identifier, "status": entry.status, "createdOn": created}
    if not entry.detail:
        return told
    details = {
        "detailedDeploymentStatus": entry.detail,
        "deploymentErrorStack": list(entry.errors),
        "deploymentErrorTypes": list(entry.types),
        "deploymentFailureCause": entry.cause,
        # beyond the model, which a client of it does not see
        "deploymentWarnings": list(entry.warnings),
    }
    return {**told, "deploymentStatusDetails": details}
