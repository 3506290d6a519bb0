"""The MQTT broker of a sandbox: IoT Core's for its devices, and for a notebook.

It listens on 127.0.0.1 only, and not for WebSockets: a page in a browser could reach those. Nobody
shows a password, as nobody's signature is checked. amqtt does the protocol; a door before it
bounds what comes and what waits, and is all that there is until the first client connects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ggml_magic.core import packets
from ggml_magic.core.mqtt import DEVICE_USER
from ggml_magic.core.packets import LARGEST_PAYLOAD, Kind, Message, Packet, PacketError
from ggml_magic.sandbox.endpoint import HOST
from ggml_magic.sandbox.lifetime import Clock

if TYPE_CHECKING:
    from ggml_magic.sandbox.routing import Router

LOG = logging.getLogger(__name__)
GREETING_SECONDS = 10.0
END_SECONDS = 3.0
READ_BYTES = 64 * 1024
# A client that does not read what it subscribed to is hung up on.
MOST_UNREAD_BYTES = 4 * 1024 * 1024
MOST_CLIENTS = 500
# Topics that begin so are the cloud's own; what is published to them goes to no subscriber.
RESERVED = "$"
# What a client may say once it is in; all else is QoS 2's, or nobody's.
SPOKEN = (
    Kind.PUBLISH,
    Kind.PUBACK,
    Kind.SUBSCRIBE,
    Kind.UNSUBSCRIBE,
    Kind.PINGREQ,
    Kind.DISCONNECT,
)
# Loggers that would tell of every packet.
TALKERS = ("amqtt", "transitions")
Own = Callable[[str, bytes], None]


class Broker:
    """The broker in a thread of its own; ``listener`` listens already and is closed at the end."""

    def __init__(self, listener: socket.socket) -> None:
        self.clock = Clock()
        self.on_reserved: Own = lambda topic, payload: None
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._router: Router | None = None
        self._routing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._clients: dict[str, asyncio.StreamWriter] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"mqtt://{HOST}:{self.port}"

    def start(self, clock: Clock) -> None:
        """Serve those who connect; they may already.

        A person who is connected keeps the ``clock`` from running out, unlike a device.
        """
        self.clock = clock
        self._thread.start()

    def publish(self, topic: str, payload: bytes, qos: int = packets.AT_MOST_ONCE) -> None:
        """Give a message to all who subscribed to its topic, from any thread."""
        loop, router = self._loop, self._router
        if loop is None or router is None:  # nobody ever connected
            return
        with contextlib.suppress(RuntimeError):  # it is ending
            asyncio.run_coroutine_threadsafe(
                router.internal_message_broadcast(topic, payload, qos), loop
            )

    async def take(self, message: Message) -> None:
        """A client's message: the cloud's own topics are requests, all others are given on.

        None is retained: what the last run of a notebook left would surprise the next.
        """
        if message.topic.startswith(RESERVED):
            self.on_reserved(message.topic, message.payload)
        else:
            await (await self._routed()).give(message)

    def close(self) -> None:
        """Hang up on all clients and end."""
        if self._thread.is_alive() and self._listening.wait(END_SECONDS) and self._loop:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(END_SECONDS)
        self._listener.close()

    def _run(self) -> None:
        for name in TALKERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            asyncio.run(self._serve())
        except Exception:
            LOG.exception("the MQTT broker ended")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_tell)
        server = await asyncio.start_server(self._connected, sock=self._listener)
        self._listening.set()
        await self._ending.wait()
        server.close()
        for writer in self._clients.values():
            writer.transport.abort()
        if self._router is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._router.shutdown(), END_SECONDS / 2)
        for task in self._connections:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # streams call this in a task of its own
        self._connections.add(task)
        door = Door(reader, writer, self)
        try:
            if len(self._connections) <= MOST_CLIENTS:
                await self._admit(door)
        except (OSError, asyncio.TimeoutError, PacketError) as error:
            LOG.warning("mqtt: a client is refused: %s", error)
        except Exception:
            LOG.exception("mqtt: a client's connection failed")
        finally:
            self._connections.discard(task)
            if self._clients.get(door.client) is writer:
                del self._clients[door.client]
            writer.transport.abort()

    async def _admit(self, door: Door) -> None:
        """Serve one client; an older one of the same name is hung up on, as IoT Core does."""
        await asyncio.wait_for(door.greeted(), GREETING_SECONDS)
        router = await self._routed()
        if door.client:
            if older := self._clients.get(door.client):
                older.transport.abort()
            self._clients[door.client] = door.writer
        from ggml_magic.sandbox.routing import DOOR

        with self.clock.answering(device=door.device):
            await router.external_connected(door, door, DOOR)

    async def _routed(self) -> Router:
        """amqtt, which most sandboxes never need."""
        async with self._routing:
            if self._router is None:
                from ggml_magic.sandbox.routing import Router

                router = Router()
                await router.start()
                self._router = router
            return self._router


class Door:
    """A connection as amqtt sees it: both of its adapters, which hand on whole packets only."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, broker: Broker
    ) -> None:
        self.writer = writer
        self.client = ""
        self._reader = reader
        self._broker = broker
        self.device = False
        self._come = bytearray()
        self._taken = bytearray()

    async def greeted(self) -> None:
        """Take the CONNECT, which says who it is."""
        while (packet := packets.take(self._come)) is None:
            if not await self._more():
                raise PacketError("it went without a word")
        self.client, user = packets.greeting(packet)
        self.device = user == DEVICE_USER
        self._taken += packets.encode(packet)

    async def read(self, n: int = -1) -> bytes:
        """The next ``n`` bytes, all that is there for -1; fewer at the end."""
        # a wait that is given up loses nothing: what came is in one buffer or in the other
        while len(self._taken) < max(n, 1):
            packet = packets.take(self._come)
            if packet is not None:
                await self._pass(packet)
            elif not await self._more():
                break
        size = len(self._taken) if n < 0 else n
        found = bytes(self._taken[:size])
        del self._taken[:size]
        return found

    def feed_eof(self) -> None:
        """Nothing: the end is the connection's."""

    def write(self, data: bytes) -> None:
        """Send to a client, who is hung up on when he does not read."""
        if self.writer.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            LOG.warning("mqtt: %s does not read what it subscribed to", self.client)
            self.writer.transport.abort()
        if not self.writer.is_closing():
            self.writer.write(data)

    async def drain(self) -> None:
        """Nothing: what waits is bounded in bytes, and nobody waits for a client who does not."""

    def get_peer_info(self) -> tuple[str, int] | None:
        """Where the client is."""
        found = self.writer.get_extra_info("peername")
        return (found[0], found[1]) if found else None

    def get_ssl_info(self) -> Any:
        """Nothing: it is the same machine."""
        return None

    async def close(self) -> None:
        """Hang up, after what was written."""
        if not self.writer.is_closing():
            self.writer.close()

    async def _more(self) -> bool:
        try:
            content = await self._reader.read(READ_BYTES)
        except OSError:
            return False
        self._come += content
        return bool(content)

    async def _pass(self, packet: Packet) -> None:
        """Hand on what IoT Core takes; on anything else it hangs up, and so does this.

        Messages go past amqtt's session, which forgets those of a client that leaves at once.
        """
        if packet.kind not in SPOKEN:
            raise PacketError(f"a packet of type {packet.kind}")
        if packet.kind != Kind.PUBLISH:
            self._taken += packets.encode(packet)
            return
        message, number = packets.published(packet)
        if why := _refused(message):
            LOG.warning("mqtt: %s is hung up on: %s", self.client, why)
            raise ConnectionResetError(why)
        await self._broker.take(message)
        if number:
            self.write(packets.puback(number))


def _refused(message: Message) -> str:
    """Why IoT Core would not take a message; empty when it does."""
    if message.qos > packets.AT_LEAST_ONCE:
        return "there is no QoS 2"
    if len(message.payload) > LARGEST_PAYLOAD:
        return f"a payload has at most {LARGEST_PAYLOAD} bytes"
    return packets.refusal(message.topic)


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One line for what asyncio would write many of."""
    LOG.warning("mqtt: %s %s", context.get("message"), context.get("exception") or "")
