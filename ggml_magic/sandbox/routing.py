"""What IoT Core demands of amqtt's broker beyond MQTT; imported when the first client connects.

amqtt sends a client one copy for each of its filters that match, takes no message for a topic of
the cloud's own, and forgets those of a client that leaves at once. IoT Core does none of that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from amqtt.adapters import (  # type: ignore[import-untyped]  # it ships no types
    StreamReaderAdapter,
    StreamWriterAdapter,
)
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.contexts import (  # type: ignore[import-untyped]
    Action,
    BrokerConfig,
    ListenerConfig,
    ListenerType,
)
from amqtt.mqtt.publish import PublishPacket  # type: ignore[import-untyped]
from amqtt.plugins.base import (  # type: ignore[import-untyped]
    BaseAuthPlugin,
    BasePlugin,
    BaseTopicPlugin,
)
from amqtt.session import (  # type: ignore[import-untyped]
    OutgoingApplicationMessage,
    Session,
)

from ggml_magic.core import quotas, topics
from ggml_magic.core.mqtt import DEVICE_USER
from ggml_magic.core.quotas import Message
from ggml_magic.sandbox.broker import RESERVED, Own
from ggml_magic.sandbox.lifetime import Clock

LOG = logging.getLogger(__name__)
# The listener's name: the sandbox's own socket, as it keeps its port.
DOOR = "default"
GREETING_SECONDS = 10.0
# A client that does not read what it subscribed to is hung up on.
MOST_UNREAD_BYTES = 4 * 1024 * 1024


class TooLargeError(Exception):
    """A client sends more at once than a message may hold."""


class Anyone(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no types
    """Who reaches 127.0.0.1 may come in, as the sandbox checks no signature either."""

    async def authenticate(self, *, session: Session) -> bool:
        """Yes; a session ends with its connection."""
        session.is_anonymous = True
        return True


class Quotas(BaseTopicPlugin):  # type: ignore[misc]
    """IoT Core's limits for a filter."""

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        """Whether a client may subscribe to a filter."""
        return not quotas.refusal(topic or "", wildcards=action == Action.SUBSCRIBE)


class Taken(BasePlugin[Any]):  # type: ignore[misc]
    """Messages as they come, also those of a client that leaves at once."""

    async def on_mqtt_packet_received(self, *, packet: Any, session: Any = None) -> None:
        """Give a message to the router."""
        if isinstance(packet, PublishPacket) and session is not None:
            message = Message(packet.topic_name, bytes(packet.data), packet.qos)
            await self.context._broker_instance.take(message, session.client_id)


class Reader(StreamReaderAdapter):  # type: ignore[misc]
    """What a client says, in pieces of a bounded size."""

    async def read(self, n: int = -1) -> bytes:
        """The next ``n`` bytes."""
        if n > quotas.LARGEST_PAYLOAD:
            raise TooLargeError(f"{n} bytes, {quotas.LARGEST_PAYLOAD} are the most")
        return bytes(await super().read(n))


class Writer(StreamWriterAdapter):  # type: ignore[misc]
    """What a client is told; nobody waits for one who does not read it."""

    def write(self, data: bytes) -> None:
        """Send, or hang up."""
        if self._writer.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            LOG.warning("mqtt: a client does not read what it subscribed to")
            self.hang_up()
        if not self._writer.is_closing():
            super().write(data)

    async def drain(self) -> None:
        """Nothing: what waits is bounded in bytes."""

    def hang_up(self) -> None:
        """End the connection now."""
        self._writer.transport.abort()


class Router(Broker):  # type: ignore[misc]
    """amqtt's broker with IoT Core's rules."""

    def __init__(self, clock: Clock, on_reserved: Own) -> None:
        self._clock = clock
        self._on_reserved = on_reserved
        self._writers: dict[str, Writer] = {}
        plugins: dict[str, Any] = {
            f"{__name__}.{each.__name__}": {} for each in (Anyone, Quotas, Taken)
        }
        door = ListenerConfig(type=ListenerType.EXTERNAL)
        super().__init__(BrokerConfig(listeners={DOOR: door}, plugins=plugins))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes; raises ``TimeoutError`` when it says nothing."""
        await self.external_connected(Reader(reader), Writer(writer), DOOR)

    async def take(self, message: Message, client: str) -> None:
        """A client's message: the cloud's own topics are requests, all others are given on.

        None is retained: what the last run of a notebook left would surprise the next. On what
        IoT Core does not take it hangs up, and so does this.
        """
        if why := quotas.refused(message):
            LOG.warning("mqtt: %s is hung up on: %s", client, why)
            self._writers[client].hang_up()
        elif message.topic.startswith(RESERVED):
            self._on_reserved(message.topic, message.payload)
        else:
            await self.internal_message_broadcast(message.topic, message.payload, message.qos)

    async def _initialize_client_session(self, *connection: Any) -> Any:
        return await asyncio.wait_for(
            super()._initialize_client_session(*connection), GREETING_SECONDS
        )

    async def _handle_client_session(
        self, reader: Reader, writer: Writer, client_session: Session, *rest: Any
    ) -> None:
        """Serve one client; an older one of the same name is hung up on, as IoT Core does."""
        name = client_session.client_id
        if older := self._writers.get(name):
            older.hang_up()
        self._writers[name] = writer
        try:
            with self._clock.answering(device=client_session.username == DEVICE_USER):
                await super()._handle_client_session(reader, writer, client_session, *rest)
        finally:
            if self._writers.get(name) is writer:
                del self._writers[name]

    async def _handle_message_delivery(self, *_: Any) -> bool:
        """Nothing more: each message was taken as it came."""
        return True

    async def _run_broadcast(
        self, running_tasks: deque[asyncio.Task[OutgoingApplicationMessage]]
    ) -> None:
        """Send the next message once to each client that wants it, at the lower of both QoS."""
        message = await self._broadcast_queue.get()
        wanted: dict[str, tuple[Session, int]] = {}
        for topic_filter, subscriptions in self._subscriptions.items():
            if topics.matches(topic_filter, message["topic"]):
                for session, qos in subscriptions:
                    _, held = wanted.get(session.client_id, (session, 0))
                    wanted[session.client_id] = (session, max(qos, held))
        for session, qos in wanted.values():
            handler = self._get_handler(session)
            if handler is not None and session.transitions.is_connected():
                sent = handler.mqtt_publish(
                    message["topic"], message["data"], min(qos, message.get("qos", qos)), False
                )
                running_tasks.append(asyncio.ensure_future(sent))
