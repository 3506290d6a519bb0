"""Components have a say in deployments: when they are updated, and with what configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from ggml_magic.core.causes import InvalidConfigurationError
from ggml_magic.core.ipc import Call, IpcError, Operation, Stream
from ggml_magic.core.operations import requests

EVENTS, VALIDATIONS = "ComponentUpdatePolicyEvents", "ValidateConfigurationUpdateEvents"
ACCEPTED, REJECTED = "ACCEPTED", "REJECTED"
MILLISECONDS = 1000
Report = tuple[str, str]


class Updates:
    """Asks components before a deployment changes the device, and takes their answers.

    SubscribeToComponentUpdates, DeferComponentUpdate, SubscribeToValidateConfigurationUpdates and
    SendConfigurationValidityReport.
    """

    def __init__(self) -> None:
        self._watchers: dict[Stream, str] = {}
        self._validators: dict[Stream, str] = {}
        self._deployment = ""
        self._deferrals: dict[str, asyncio.Future[int]] = {}
        self._reports: dict[str, asyncio.Future[Report]] = {}

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {
            "SubscribeToComponentUpdates": self.subscribe_to_updates,
            "DeferComponentUpdate": self.defer,
            "SubscribeToValidateConfigurationUpdates": self.subscribe_to_validation,
            "SendConfigurationValidityReport": self.report,
        }

    async def subscribe_to_updates(self, call: Call) -> Mapping[str, Any]:
        """An event before the device is changed, one after it."""
        self._watchers[call.stream] = call.component
        call.stream.closed.append(partial(self._leave, call.stream))
        return {}

    async def subscribe_to_validation(self, call: Call) -> Mapping[str, Any]:
        """An event with each configuration that the caller is about to get."""
        self._validators[call.stream] = call.component
        call.stream.closed.append(partial(self._leave, call.stream))
        return {}

    async def defer(self, call: Call) -> Mapping[str, Any]:
        """Answer that the update shall wait ``recheckAfterMs`` milliseconds; 0: it need not."""
        deployment, wait = requests.text(call, "deploymentId"), call.request.get("recheckAfterMs")
        if wait is None:
            wait = 0
        if not isinstance(wait, int) or isinstance(wait, bool) or wait < 0:
            raise IpcError("InvalidArgumentsError", "recheckAfterMs is no number of milliseconds")
        if call.component not in self._watchers.values():
            message = f"{call.component} has not subscribed to component updates"
            raise IpcError("InvalidArgumentsError", message)
        asked = self._deferrals.pop(call.component, None)
        if asked is None or asked.done():
            raise IpcError("ServiceError", "no update waits for an answer, or not any more")
        # an answer to an older question does not hold up this one, as in the nucleus
        asked.set_result(wait if deployment == self._deployment else 0)
        return {}

    async def report(self, call: Call) -> Mapping[str, Any]:
        """Answer whether a configuration is valid."""
        found = call.request.get("configurationValidityReport")
        if not isinstance(found, dict) or found.get("status") not in (ACCEPTED, REJECTED):
            message = f"the report's status is neither {ACCEPTED} nor {REJECTED}"
            raise IpcError("InvalidArgumentsError", message)
        asked = self._reports.get(call.component)
        if asked is None or asked.done() or found.get("deploymentId") != self._deployment:
            message = "no configuration of that deployment waits for a report, or not any more"
            raise IpcError("InvalidArgumentsError", message)
        asked.set_result((found["status"], str(found.get("message") or "")))
        return {}

    def _leave(self, stream: Stream) -> None:
        """Nobody waits for the answer of a component that went."""
        self._watchers.pop(stream, None)
        self._validators.pop(stream, None)
        for name, deferral in self._deferrals.items():
            if name not in self._watchers.values() and not deferral.done():
                deferral.set_result(0)
        for name, report in self._reports.items():
            if name not in self._validators.values() and not report.done():
                report.set_result((ACCEPTED, ""))

    async def agreed(
        self, deployment: str, components: Collection[str], within: float, *, restarts: bool = False
    ) -> None:
        """Return when no subscriber wants to defer a deployment that changes these components.

        Who does not answer ``within`` seconds agrees; who defers is asked again after its time.
        ``restarts`` is told to the subscribers: the core itself may start again.
        """
        event = {"preUpdateEvent": {"deploymentId": deployment, "isGgcRestarting": restarts}}
        while components and (wait := await self._asked(deployment, event, within)):
            await asyncio.sleep(wait)

    async def _asked(self, deployment: str, event: Mapping[str, Any], within: float) -> float:
        """Ask all subscribers once; the longest time that one wants, in seconds."""
        create = asyncio.get_running_loop().create_future
        answers = {name: create() for name in self._watchers.values()}
        if not answers:
            return 0.0
        self._deployment, self._deferrals = deployment, dict(answers)
        try:
            for stream in list(self._watchers):
                stream.send(EVENTS, event)
            answered, _ = await asyncio.wait(answers.values(), timeout=within)
        finally:
            self._deferrals = {}
        return max((answer.result() for answer in answered), default=0) / MILLISECONDS

    def updated(self, deployment: str) -> None:
        """Tell the subscribers that a deployment has changed what it was going to change."""
        for stream in list(self._watchers):
            stream.send(EVENTS, {"postUpdateEvent": {"deploymentId": deployment}})

    async def validated(
        self, deployment: str, configurations: Mapping[str, Any], within: float
    ) -> None:
        """Return when each component that subscribed to it accepts its new configuration.

        Raises ``InvalidConfigurationError`` when one rejects it or says nothing ``within``
        seconds.
        """
        create = asyncio.get_running_loop().create_future
        asked = {name: create() for name in self._validators.values() if name in configurations}
        if not asked:
            return
        self._deployment, self._reports = deployment, asked
        try:
            for stream, name in list(self._validators.items()):
                if name in asked:
                    proposal = {"configuration": configurations[name], "deploymentId": deployment}
                    stream.send(VALIDATIONS, {"validateConfigurationUpdateEvent": proposal})
            await asyncio.wait(asked.values(), timeout=within)
        finally:
            self._reports = {}
        faults = [fault for name, each in asked.items() if (fault := _fault(name, each, within))]
        if faults:
            raise InvalidConfigurationError("; ".join(faults))


def _fault(component: str, answer: asyncio.Future[Report], within: float) -> str:
    """What is wrong with a component's answer; empty when it accepts."""
    if not answer.done():
        return f"{component} did not say within {within:g} s whether its configuration is valid"
    status, message = answer.result()
    if status == ACCEPTED:
        return ""
    return f"{component} rejects its new configuration: {message or 'it does not say why'}"
