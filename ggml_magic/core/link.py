"""One MQTT connection as a client, from its CONNECT until it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable

from ggml_magic.core import packets
from ggml_magic.core.packets import Kind, Message, PacketError

CONNECT_SECONDS = 10.0
# An answer is awaited no longer: the connection is then held to be broken.
ANSWER_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 60
PING_SECONDS = KEEP_ALIVE_SECONDS / 2
READ_BYTES = 64 * 1024
MOST_NUMBERS = 65_535
Receiver = Callable[[Message], None]


class Link:
    """A connection; every method raises ``ConnectionError`` once it is broken."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: Receiver
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._received = received
        self._buffer = bytearray()
        self._numbers = itertools.cycle(range(1, MOST_NUMBERS + 1))
        self._awaited: dict[int, asyncio.Future[bool]] = {}
        self._heard = asyncio.Event()

    @classmethod
    async def open(cls, host: str, port: int, client: str, user: str, received: Receiver) -> Link:
        """Connect; ``received`` is called with each message.

        Raises ``OSError`` when nobody answers, ``ConnectionError`` when refused.
        """
        try:
            return await asyncio.wait_for(
                cls._open(host, port, client, user, received), CONNECT_SECONDS
            )
        except asyncio.TimeoutError:
            raise ConnectionError(f"no answer within {CONNECT_SECONDS:g} s") from None

    @classmethod
    async def _open(cls, host: str, port: int, client: str, user: str, received: Receiver) -> Link:
        reader, writer = await asyncio.open_connection(host, port)
        link = cls(reader, writer, received)
        try:
            writer.write(packets.connect(client, user, KEEP_ALIVE_SECONDS))
            code = packets.connack(await link._next())
            if code != packets.ACCEPTED:
                raise ConnectionError(f"the broker refuses with code {code}")
        except PacketError as error:
            await link.close()
            raise ConnectionError(str(error)) from None
        except BaseException:
            await link.close()
            raise
        return link

    async def run(self) -> None:
        """Take what comes until the connection breaks, which is told as ``ConnectionError``."""
        pinging = asyncio.create_task(self._ping())
        try:
            while True:
                packet = await self._next()
                self._heard.set()
                if packet.kind == Kind.PUBLISH:
                    self._take(packet)
                elif packet.kind in (Kind.PUBACK, Kind.SUBACK, Kind.UNSUBACK):
                    number, agreed = packets.acknowledged(packet)
                    waiting = self._awaited.pop(number, None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(agreed)
        except PacketError as error:
            raise ConnectionError(str(error)) from None
        finally:
            pinging.cancel()
            await self.close()

    async def publish(self, message: Message) -> None:
        """Send a message; with QoS 1 until it is acknowledged."""
        if message.qos == packets.AT_MOST_ONCE:
            await self._send(packets.publish(message))
            return
        number = next(self._numbers)
        await self._answered(number, packets.publish(message, number))

    async def subscribe(self, topic_filter: str, qos: int) -> bool:
        """Subscribe; ``False`` when the broker does not take such a filter."""
        number = next(self._numbers)
        return await self._answered(number, packets.subscribe(number, topic_filter, qos))

    async def unsubscribe(self, topic_filter: str) -> None:
        """Subscribe no more."""
        number = next(self._numbers)
        await self._answered(number, packets.unsubscribe(number, topic_filter))

    async def close(self) -> None:
        """Say good-bye; what waits for an answer is told that there will be none."""
        for waiting in self._awaited.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection is closed"))
        self._awaited.clear()
        if not self._writer.is_closing():
            self._writer.write(packets.disconnect())
            self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _take(self, packet: packets.Packet) -> None:
        message, number = packets.published(packet)
        self._received(message)
        if message.qos:
            self._writer.write(packets.puback(number))

    async def _next(self) -> packets.Packet:
        while (packet := packets.take(self._buffer)) is None:
            content = await self._reader.read(READ_BYTES)
            if not content:
                raise ConnectionError("the broker has gone")
            self._buffer += content
        return packet

    async def _answered(self, number: int, content: bytes) -> bool:
        waiting = self._awaited[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send(content)
            return await asyncio.wait_for(waiting, ANSWER_SECONDS)
        except asyncio.TimeoutError:
            self._writer.transport.abort()
            raise ConnectionError(f"no answer within {ANSWER_SECONDS:g} s") from None
        finally:
            self._awaited.pop(number, None)

    async def _send(self, content: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionError("the connection is closed")
        self._writer.write(content)
        await self._writer.drain()

    async def _ping(self) -> None:
        """Keep it alive, and see that the other side still is."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            self._heard.clear()
            self._writer.write(packets.ping())
            try:
                await asyncio.wait_for(self._heard.wait(), ANSWER_SECONDS)
            except asyncio.TimeoutError:
                self._writer.transport.abort()
                return
