"""One MQTT connection as a client: amqtt's, which this keeps from waiting for ever when it breaks.

Importing it costs 5 MB, so that only a core that uses MQTT does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from amqtt.client import MQTTClient  # type: ignore[import-untyped]  # it ships no types

from ggml_magic.core.quotas import Message

CONNECT_SECONDS = 10.0
# An answer is awaited no longer: the connection is then held to be broken.
ANSWER_SECONDS = 10.0
CLOSE_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 60
PING_SECONDS = KEEP_ALIVE_SECONDS / 2
REFUSED_FILTER = 0x80
# An end is the caller's to tell of, and he connects anew himself.
CONFIG: dict[str, Any] = {
    "auto_reconnect": False,
    "keep_alive": KEEP_ALIVE_SECONDS,
    "plugins": {},
}


class Link:
    """A connection; every method raises ``ConnectionError`` once it is broken."""

    def __init__(self, client: str) -> None:
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        self._client = MQTTClient(client, CONFIG.copy())
        self._writer: asyncio.StreamWriter | None = None
        self._asked: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, host: str, port: int, client: str, user: str) -> Link:
        """Connect; raises ``ConnectionError`` when nobody answers or lets it in."""
        link = cls(client)
        # a task of its own: amqtt takes a cancellation for a broker that does not answer
        connecting = asyncio.create_task(link._connect(f"mqtt://{user}@{host}:{port}"))
        try:
            await asyncio.wait([connecting], timeout=CONNECT_SECONDS)
            if not connecting.done():
                raise ConnectionError(f"no answer within {CONNECT_SECONDS:g} s")
            if error := connecting.exception():
                raise ConnectionError(str(error) or "it hangs up")
        except BaseException:
            connecting.cancel()
            await asyncio.wait([connecting])
            await link.close()
            raise
        return link

    async def run(self, received: Callable[[Message], None]) -> None:
        """Give on what comes until the connection breaks, which is told as ``ConnectionError``."""
        pinging = asyncio.create_task(self._ping())
        try:
            while (found := await self._next()) is not None:
                received(Message(found.topic, bytes(found.data), found.qos))
        finally:
            for task in (pinging, *self._asked):
                task.cancel()
        raise ConnectionError("the broker has gone")

    async def publish(self, message: Message) -> None:
        """Send a message; with QoS 1 until it is acknowledged."""
        sent = self._client.publish(message.topic, message.payload, message.qos)
        await self._answered(sent)

    async def subscribe(self, topic_filter: str, qos: int) -> bool:
        """Subscribe; ``False`` when the broker does not take such a filter."""
        found = await self._answered(self._client.subscribe([(topic_filter, qos)]))
        return REFUSED_FILTER not in found

    async def unsubscribe(self, topic_filter: str) -> None:
        """Subscribe no more."""
        await self._answered(self._client.unsubscribe([topic_filter]))

    async def close(self) -> None:
        """Say good-bye, where somebody listens."""
        with contextlib.suppress(Exception):  # amqtt's own errors are of no use at the end
            await asyncio.wait_for(self._client.disconnect(), CLOSE_SECONDS)
        self._abort()

    async def _connect(self, address: str) -> None:
        try:
            await self._client.connect(address)
        finally:  # amqtt forgets a socket that breaks, without having closed it
            handler = self._client._handler
            if handler is not None and handler.writer is not None:
                self._writer = handler.writer._writer

    async def _next(self) -> Any:
        """What comes next, ``None`` at the end; amqtt may cancel who waits for it there."""
        task = asyncio.create_task(self._client.deliver_message())
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        return None if task.cancelled() or task.exception() else task.result()

    async def _answered(self, question: Coroutine[Any, Any, Any]) -> Any:
        """What the broker says to a question; amqtt waits for it even when there is no broker."""
        task = asyncio.create_task(question)
        self._asked.add(task)
        try:
            if self._writer is None or self._writer.is_closing():
                raise ConnectionError("the connection is closed")
            await asyncio.wait([task], timeout=ANSWER_SECONDS)
            if not task.done():
                self._abort()
                raise ConnectionError(f"no answer within {ANSWER_SECONDS:g} s")
            if task.cancelled() or task.exception():
                self._abort()
                raise ConnectionError("the connection broke")
            return task.result()
        finally:
            self._asked.discard(task)
            task.cancel()

    async def _ping(self) -> None:
        """Keep it alive, and see that the other side still is."""
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await self._answered(self._client.ping())

    def _abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
