"""The IPC operations of this core (EDGE-CORE 8, Semantics).

Another operation is a function here and a line in ``Operations.table``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ggml_magic.core import authorize
from ggml_magic.core.config import Leaf, Path, Tree
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation, Stream
from ggml_magic.core.lifecycle import State
from ggml_magic.core.shadow import (
    InvalidShadowError,
    NoShadowError,
    ShadowError,
    Shadows,
    VersionConflictError,
)

ACCESS_CONTROL = "accesscontrol"
SHADOW_ERRORS: dict[type[ShadowError], str] = {
    InvalidShadowError: "InvalidArgumentsError",
    NoShadowError: "ResourceNotFoundError",
    VersionConflictError: "ConflictError",
}
REPORTABLE = ("RUNNING", "ERRORED")


class Operations:
    """What components may ask of the core that holds them."""

    def __init__(self, held: Inventory, engine: Engine, shadows: Shadows) -> None:
        self._held = held
        self._engine = engine
        self._shadows = shadows
        self._subscribers: dict[Stream, tuple[str, Path]] = {}

    def table(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {
            "GetConfiguration": self.get_configuration,
            "UpdateConfiguration": self.update_configuration,
            "SubscribeToConfigurationUpdate": self.subscribe_to_configuration,
            "UpdateState": self.update_state,
            "GetThingShadow": self.get_shadow,
            "UpdateThingShadow": self.update_shadow,
            "DeleteThingShadow": self.delete_shadow,
        }

    async def get_configuration(self, call: Call) -> Mapping[str, Any]:
        """A value of any component's configuration; a leaf comes as ``{its name: value}``."""
        component = _text(call, "componentName") or call.component
        path = _key_path(call)
        tree = self._configuration(component)
        try:
            value = tree.read(path)
            leaf = isinstance(tree.node(path), Leaf)
        except KeyError:
            raise _no_resource("Key", "/".join(path), f"{component} has no such key") from None
        return {"componentName": component, "value": {path[-1]: value} if leaf else value}

    async def update_configuration(self, call: Call) -> Mapping[str, Any]:
        """Merge into the caller's own configuration, unless it is newer."""
        path, value = _key_path(call), call.request.get("valueToMerge")
        if not isinstance(value, dict):
            raise IpcError("InvalidArgumentsError", "valueToMerge is no object")
        touched = {key.lower() for key in (path[:1] or value)}
        if ACCESS_CONTROL in touched:
            raise IpcError("InvalidArgumentsError", "no component changes its accessControl")
        timestamp = _milliseconds(call)
        tree = self._configuration(call.component)
        try:
            node = tree.node(path)
        except KeyError:
            node = None
        if node is not None and timestamp < node.modified:
            message = "the configuration was changed after the time that was given"
            raise IpcError("FailedUpdateConditionCheckError", message)
        if isinstance(node, Leaf):
            raise IpcError("InvalidArgumentsError", f"{'/'.join(path)} holds a value, not keys")
        changed = tree.merge(path, value, timestamp)
        if changed:
            self._held.save()
            self.configured(call.component, changed)
        return {}

    async def subscribe_to_configuration(self, call: Call) -> Mapping[str, Any]:
        """An event for each changed value at or below a path of a component's configuration."""
        component = _text(call, "componentName") or call.component
        self._configuration(component)
        self._subscribers[call.stream] = (component, _key_path(call))
        call.stream.closed.append(partial(self._unsubscribe, call.stream))
        return {}

    def _unsubscribe(self, stream: Stream) -> None:
        self._subscribers.pop(stream, None)

    def configured(self, component: str, changed: Sequence[Path]) -> None:
        """Tell the subscribers which values of a component's configuration changed."""
        for stream, (name, below) in list(self._subscribers.items()):
            for path in changed:
                if name == component and _lower(path[: len(below)]) == _lower(below):
                    event = {"componentName": component, "keyPath": list(path)}
                    stream.send("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

    async def update_state(self, call: Call) -> Mapping[str, Any]:
        """What a component says of itself."""
        state = _text(call, "state")
        if state not in REPORTABLE:
            raise IpcError("InvalidArgumentsError", f"state is one of {', '.join(REPORTABLE)}")
        supervisor = self._engine.supervisors.get(call.component)
        if supervisor is not None:
            self._engine.log(call.component).info(f"it reports {state}")
            supervisor.report(State(state))
        return {}

    async def get_shadow(self, call: Call) -> Mapping[str, Any]:
        """A shadow of this device."""
        thing, name = self._shadow_of(call)
        return _document(lambda: self._shadows.get(thing, name))

    async def update_shadow(self, call: Call) -> Mapping[str, Any]:
        """Change a shadow of this device."""
        thing, name = self._shadow_of(call)
        try:
            payload = base64.b64decode(_text(call, "payload"), validate=True)
        except binascii.Error:
            raise IpcError("InvalidArgumentsError", "payload is no base64") from None
        return _document(lambda: self._shadows.update(thing, name, payload))

    async def delete_shadow(self, call: Call) -> Mapping[str, Any]:
        """Delete a shadow of this device."""
        thing, name = self._shadow_of(call)
        return _document(lambda: self._shadows.delete(thing, name))

    def _shadow_of(self, call: Call) -> tuple[str, str]:
        """The thing and the shadow's name of a request that the caller may make."""
        thing, name = _text(call, "thingName"), _text(call, "shadowName")
        resource = f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")
        operation = call.operation
        tree = self._configuration(call.component)
        if not authorize.allowed(tree, authorize.SHADOWS, operation, resource):
            raise IpcError(
                "UnauthorizedError",
                f"Principal {call.component} is not authorized to perform "
                f"{authorize.SHADOWS}:{authorize.PREFIX}{operation} on resource {resource}",
            )
        return thing, name

    def _configuration(self, component: str) -> Tree:
        found = self._held.contents.components.get(component)
        if found is None:
            raise _no_resource("Component", component, f"there is no component {component}")
        return found.configuration


def _document(act: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """A shadow's answer in base64; a shadow's refusals as the IPC model's."""
    try:
        document = act()
    except NoShadowError as error:
        raise _no_resource("shadow", str(error), str(error)) from None
    except ShadowError as error:
        raise IpcError(SHADOW_ERRORS[type(error)], str(error)) from None
    return {"payload": base64.b64encode(json.dumps(document).encode()).decode()}


def _no_resource(kind: str, name: str, message: str) -> IpcError:
    return IpcError("ResourceNotFoundError", message, resourceType=kind, resourceName=name)


def _text(call: Call, name: str) -> str:
    value = call.request.get(name)
    if value is not None and not isinstance(value, str):
        raise IpcError("InvalidArgumentsError", f"{name} is no string")
    return value or ""


def _key_path(call: Call) -> Path:
    value = call.request.get("keyPath") or []
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise IpcError("InvalidArgumentsError", "keyPath is no list of strings")
    return tuple(value)


def _milliseconds(call: Call) -> int:
    value = call.request.get("timestamp")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise IpcError("InvalidArgumentsError", "timestamp is no time in seconds")
    return int(value * 1000)


def _lower(path: Sequence[str]) -> tuple[str, ...]:
    return tuple(key.lower() for key in path)
