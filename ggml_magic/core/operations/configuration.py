"""Configuration: read by all, changed by its owner, changes told to who subscribed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ggml_magic.core.authorize import ACCESS_CONTROL as ACCESS
from ggml_magic.core.config import Leaf, Node, Path, Tree
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation, Stream
from ggml_magic.core.operations import requests

ACCESS_CONTROL = ACCESS.lower()


class Configuration:
    """GetConfiguration, UpdateConfiguration, SubscribeToConfigurationUpdate."""

    def __init__(self, held: Inventory) -> None:
        self._held = held
        self._subscribers: dict[str, dict[Stream, Path]] = {}
        # a change that a full disk did not take: the next update keeps it, also an equal one
        self._unkept = False

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
        if not path:
            return {"componentName": component, "value": tree.read(path)}
        try:
            above = tree.node(path[:-1])
            if isinstance(above, Leaf):
                raise KeyError(path[-1])
            name, node = above.children[path[-1].lower()]
        except KeyError:
            why = f"{component} has no such key"
            raise requests.no_resource("Key", "/".join(path), why) from None
        value = {name: node.value} if isinstance(node, Leaf) else tree.read(path)
        return {"componentName": component, "value": value}

    async def update_configuration(self, call: Call) -> Mapping[str, Any]:
        """Merge into the caller's own configuration, unless it is newer."""
        path, value = requests.key_path(call), call.request.get("valueToMerge")
        if not isinstance(value, dict):
            raise IpcError("InvalidArgumentsError", "valueToMerge is no object")
        # keys are compared as the tree compares them, in whatever spelling they come
        if ACCESS_CONTROL in requests.lower(path[:1] or tuple(value)):
            raise IpcError("InvalidArgumentsError", "no component changes its accessControl")
        timestamp = requests.milliseconds(call)
        tree = requests.configuration(self._held, call.component)
        _check_condition(tree, path, timestamp)
        changed = tree.merge(path, value, timestamp)
        try:
            if changed or self._unkept:
                self._unkept = True
                self._held.save()
                self._unkept = False
        finally:  # what could not be kept is there all the same, until the core ends
            self.configured(call.component, changed)
        return {}

    async def subscribe_to_configuration(self, call: Call) -> Mapping[str, Any]:
        """An event for each changed value at or below a path of a component's configuration."""
        component = requests.text(call, "componentName") or call.component
        requests.configuration(self._held, component)
        below = requests.lower(requests.key_path(call))
        self._subscribers.setdefault(component, {})[call.stream] = below
        call.stream.closed.append(partial(self._unsubscribe, component, call.stream))
        return {}

    def _unsubscribe(self, component: str, stream: Stream) -> None:
        streams = self._subscribers.get(component, {})
        streams.pop(stream, None)
        if not streams:
            self._subscribers.pop(component, None)

    def configured(self, component: str, changed: Sequence[Path]) -> None:
        """Tell the subscribers which values of a component's configuration changed."""
        for stream, below in list(self._subscribers.get(component, {}).items()):
            for path in changed:
                if requests.lower(path[: len(below)]) == below:
                    event = {"componentName": component, "keyPath": list(path)}
                    stream.send("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})


def _check_condition(tree: Tree, path: Path, timestamp: int) -> None:
    """Refuse what is older than the node it changes, and a path to a value."""
    try:
        node = tree.node(path)
    except KeyError:
        if any(isinstance(each, Leaf) for each in _way(tree, path)):
            raise _no_keys(path) from None
        return
    if timestamp < node.modified:
        message = "the configuration was changed after the time that was given"
        raise IpcError("FailedUpdateConditionCheckError", message)
    if isinstance(node, Leaf):
        raise _no_keys(path)


def _way(tree: Tree, path: Path) -> Iterator[Node]:
    """The nodes on the way to a path, as far as there are any."""
    node: Node = tree.root
    for key in path:
        if isinstance(node, Leaf) or key.lower() not in node.children:
            return
        node = node.children[key.lower()][1]
        yield node


def _no_keys(path: Path) -> IpcError:
    return IpcError("InvalidArgumentsError", f"{'/'.join(path)} names a value, not what holds keys")
