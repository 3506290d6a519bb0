"""IoT Core's topics, for those whose policy allows it (EDGE-CORE 8)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from ggml_magic.core import authorize, quotas
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation, Stream
from ggml_magic.core.mqtt import Mqtt, MqttError, Subscription
from ggml_magic.core.operations import requests
from ggml_magic.core.quotas import Message

QUALITIES = {"0": quotas.AT_MOST_ONCE, "1": quotas.AT_LEAST_ONCE}
# The nucleus takes this where a request names none.
DEFAULT_QOS = "1"


class IoTCore:
    """PublishToIoTCore, SubscribeToIoTCore."""

    def __init__(self, held: Inventory, mqtt: Mqtt) -> None:
        self._held = held
        self._mqtt = mqtt

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {"PublishToIoTCore": self.publish, "SubscribeToIoTCore": self.subscribe}

    async def publish(self, call: Call) -> Mapping[str, Any]:
        """Take a message for the broker; it is sent when somebody answers."""
        topic, qos = self._asked(call)
        try:
            payload = base64.b64decode(requests.text(call, "payload"), validate=True)
        except (binascii.Error, ValueError):
            raise IpcError("InvalidArgumentsError", "payload is no base64") from None
        try:
            await self._mqtt.publish(Message(topic, payload, qos))
        except MqttError as error:
            raise IpcError("ServiceError", f"{topic} is not published to: {error}") from None
        return {}

    async def subscribe(self, call: Call) -> Mapping[str, Any]:
        """Give a component the messages of a filter from now on."""
        topic_filter, qos = self._asked(call)
        stream = call.stream
        wanted = Subscription(topic_filter, qos, lambda message: _give(stream, message))
        stream.closed.append(lambda: self._mqtt.unsubscribe(wanted))
        try:
            await self._mqtt.subscribe(wanted)
        except MqttError as error:
            why = f"{topic_filter} is not subscribed to: {error}"
            raise IpcError("ServiceError", why) from None
        return {}

    def _asked(self, call: Call) -> tuple[str, int]:
        """The topic and the quality of service of a request that the caller may make."""
        topic = requests.text(call, "topicName")
        if not topic:
            raise IpcError("InvalidArgumentsError", "topicName is missing")
        requests.authorise(self._held, call, authorize.MQTT_PROXY, topic)
        qos = QUALITIES.get(str(call.request.get("qos", DEFAULT_QOS)))
        if qos is None:
            raise IpcError("InvalidArgumentsError", "qos is 0 or 1")
        return topic, qos


def _give(stream: Stream, message: Message) -> None:
    payload = base64.b64encode(message.payload).decode()
    stream.send("IoTCoreMessage", {"message": {"topicName": message.topic, "payload": payload}})
