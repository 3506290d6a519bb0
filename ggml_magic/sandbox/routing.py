"""What the sandbox adds to amqtt's broker; imported when the first client connects.

amqtt sends a client one copy for each of its filters that match. IoT Core sends one, at the lower
of both qualities of service, and so does this.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from amqtt.broker import Broker  # type: ignore[import-untyped]  # it ships no types
from amqtt.contexts import (  # type: ignore[import-untyped]
    Action,
    BrokerConfig,
    ListenerConfig,
    ListenerType,
)
from amqtt.plugins.base import (  # type: ignore[import-untyped]
    BaseAuthPlugin,
    BaseTopicPlugin,
)
from amqtt.session import (  # type: ignore[import-untyped]
    OutgoingApplicationMessage,
    Session,
)

from ggml_magic.core import packets, topics

# The listener's name: its connections come through a door of ours.
DOOR = "default"
# Messages on their way; a client that is faster than this is read more slowly.
MOST_WAITING = 100


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
        return not packets.refusal(topic or "", wildcards=action == Action.SUBSCRIBE)


class Router(Broker):  # type: ignore[misc]
    """amqtt's broker behind a door, with IoT Core's rule for overlapping filters."""

    def __init__(self) -> None:
        plugins: dict[str, Any] = {
            f"{__name__}.{Anyone.__name__}": {},
            f"{__name__}.{Quotas.__name__}": {},
        }
        door = ListenerConfig(type=ListenerType.EXTERNAL)
        super().__init__(BrokerConfig(listeners={DOOR: door}, plugins=plugins))

    async def give(self, message: packets.Message) -> None:
        """Send a message to all who want it; waits while very many others wait."""
        await self.internal_message_broadcast(message.topic, message.payload, message.qos)
        while self._broadcast_queue.qsize() > MOST_WAITING:
            await asyncio.sleep(0)

    async def _run_broadcast(
        self, running_tasks: deque[asyncio.Task[OutgoingApplicationMessage]]
    ) -> None:
        """Send the next message once to each client that wants it."""
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
