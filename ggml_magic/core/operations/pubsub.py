"""Messages between the components of a device."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ggml_magic.core import authorize, topics
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.operations import requests
from ggml_magic.core.topics import TopicError, Topics

EVENT = "SubscriptionResponseMessage"
FROM_ALL, FROM_OTHERS = "RECEIVE_ALL_MESSAGES", "RECEIVE_MESSAGES_FROM_OTHERS"


class PubSub:
    """PublishToTopic, SubscribeToTopic."""

    def __init__(self, held: Inventory, local: Topics) -> None:
        self._held = held
        self._topics = local

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {
            "PublishToTopic": self.publish_to_topic,
            "SubscribeToTopic": self.subscribe_to_topic,
        }

    async def publish_to_topic(self, call: Call) -> Mapping[str, Any]:
        """Hand a message to everyone who subscribed; that may be nobody."""
        topic = _authorised(self._held, call, topics.check_topic)
        self._topics.publish(topic, _message(call), call.component)
        return {}

    async def subscribe_to_topic(self, call: Call) -> Mapping[str, Any]:
        """An event for each message of a filter's topics, until the stream ends."""
        topic_filter = _authorised(self._held, call, topics.check_filter)
        mode = requests.text(call, "receiveMode") or FROM_ALL
        if mode not in (FROM_ALL, FROM_OTHERS):
            raise IpcError("InvalidArgumentsError", f"receiveMode is {FROM_ALL} or {FROM_OTHERS}")
        # by component, not by connection (EDGE-CORE 8)
        silent_to = call.component if mode == FROM_OTHERS else ""
        receiver = partial(call.stream.send, EVENT)
        call.stream.closed.append(self._topics.subscribe(topic_filter, receiver, silent_to))
        return {}


def _authorised(held: Inventory, call: Call, check: Callable[[str], None]) -> str:
    """The topic of a request that is allowed, and legal."""
    topic = requests.text(call, "topic")
    if topic:
        requests.authorise(held, call, authorize.PUBSUB, topic)
    try:
        check(topic)
    except TopicError as error:
        raise IpcError("InvalidArgumentsError", str(error)) from None
    return topic


def _message(call: Call) -> Mapping[str, Any]:
    """The one member of the request's message, as it came."""
    union = call.request.get("publishMessage")
    given = {} if not isinstance(union, dict) else {k: v for k, v in union.items() if v is not None}
    if len(given) != 1 or not given.keys() <= CONTENTS.keys():
        what = "publishMessage holds either a jsonMessage or a binaryMessage"
        raise IpcError("InvalidArgumentsError", what)
    ((kind, member),) = given.items()
    content = member.get("message") if isinstance(member, dict) else None
    if not CONTENTS[kind](content):
        what = "an object" if kind == "jsonMessage" else "base64"
        raise IpcError("InvalidArgumentsError", f"the message of a {kind} is {what}")
    return {kind: {"message": content}}


def _is_object(content: Any) -> bool:
    return isinstance(content, dict)


def _is_blob(content: Any) -> bool:
    try:
        return isinstance(content, str) and base64.b64decode(content, validate=True) is not None
    except (binascii.Error, ValueError):
        return False


CONTENTS: Mapping[str, Callable[[Any], bool]] = {
    "jsonMessage": _is_object,
    "binaryMessage": _is_blob,
}
