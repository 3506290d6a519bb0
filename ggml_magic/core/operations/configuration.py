"""Configuration: read by all, changed by its owner, changes told to who subscribed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ggml_magic.core.config import Leaf, Path
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation, Stream
from ggml_magic.core.operations import requests

ACCESS_CONTROL = "accesscontrol"


class Configuration:
    """GetConfiguration, UpdateConfiguration, SubscribeToConfigurationUpdate."""

    def __init__(self, held: Inventory) -> None:
        self._held = held
        self._subscribers: dict[Stream, tuple[str, Path]] = {}

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {
            "GetConfiguration": self.get_configuration,
            "UpdateConfiguration": self.update_configuration,
            "SubscribeToConfigurationUpdate": self.subscribe_to_configuration,
        }

    async def get_configuration(self, call: Call) -> Mapping[str, Any]:
        """A value of any component's configuration; a leaf comes as ``{its name: value}``."""
        component = requests.text(call, "componentName") or call.component
        path = requests.key_path(call)
        tree = requests.configuration(self._held, component)
        try:
            value = tree.read(path)
            leaf = isinstance(tree.node(path), Leaf)
        except KeyError:
            why = f"{component} has no such key"
            raise requests.no_resource("Key", "/".join(path), why) from None
        return {"componentName": component, "value": {path[-1]: value} if leaf else value}

    async def update_configuration(self, call: Call) -> Mapping[str, Any]:
        """Merge into the caller's own configuration, unless it is newer."""
        path, value = requests.key_path(call), call.request.get("valueToMerge")
        if not isinstance(value, dict):
            raise IpcError("InvalidArgumentsError", "valueToMerge is no object")
        touched = {key.lower() for key in (path[:1] or value)}
        if ACCESS_CONTROL in touched:
            raise IpcError("InvalidArgumentsError", "no component changes its accessControl")
        timestamp = requests.milliseconds(call)
        tree = requests.configuration(self._held, call.component)
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
        component = requests.text(call, "componentName") or call.component
        requests.configuration(self._held, component)
        self._subscribers[call.stream] = (component, requests.key_path(call))
        call.stream.closed.append(partial(self._unsubscribe, call.stream))
        return {}

    def _unsubscribe(self, stream: Stream) -> None:
        self._subscribers.pop(stream, None)

    def configured(self, component: str, changed: Sequence[Path]) -> None:
        """Tell the subscribers which values of a component's configuration changed."""
        for stream, (name, below) in list(self._subscribers.items()):
            for path in changed:
                if name == component and requests.lower(path[: len(below)]) == requests.lower(
                    below
                ):
                    event = {"componentName": component, "keyPath": list(path)}
                    stream.send("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})
