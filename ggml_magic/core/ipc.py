"""The IPC server: event-stream RPC on a Unix socket (EDGE-CORE 8).

One connection may do wrong without harm to another: what it sends is bounded, so is what is held
for it, and a frame that is none closes it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from pathlib import Path

from ggml_magic.core import payload, wire
from ggml_magic.core.calls import Call, IpcError, Operation, Serving, Stream
from ggml_magic.core.eager import Eager
from ggml_magic.core.outbox import Outbox
from ggml_magic.core.wire import Envelope, FrameError, Message, MessageType

__all__ = ["Call", "Connection", "IpcError", "Operation", "Server", "Serving", "Stream"]

PREFIX = "aws.greengrass#"
PROTOCOL = "0.1"
SOCKET_MODE_MASK = 0o177
# Before it has shown a token a client may send no more than a token needs, and not for long.
GREETING_BYTES = 64 * 1024
GREETING_SECONDS = 10.0
# A refused client hangs up itself, and then sees why; one that does not is hung up on.
REFUSED_SECONDS = 5.0
# More open streams than any client of ours needs; each costs memory.
TOLD = ("UnauthorizedError", "ServiceError")
# Refusals of one connection that are worth a line in a log.
MOST_TOLD = 100
MOST_STREAMS = 10_000
# No component, and nobody without a token, keeps the others out.
MOST_CONNECTIONS = 768
MOST_OF_ONE = 256
MOST_STRANGERS = 256
BACKLOG = 512
# Of many messages that came at once so many are taken before the other clients' turn.
MESSAGES_OF_A_TURN = 32
CLOSE_SECONDS = 1.0
# A client that does not read what it subscribed to is hung up on: three longest frames and more.
MOST_HELD_OF_ONE = 80 * 1024 * 1024
# All that is held for all clients; past it the one with most is hung up on.
MOST_HELD_BYTES = 256 * 1024 * 1024
HELD_STEP_BYTES = 1024 * 1024
# What a longest frame has room for beside its headers.
MOST_PAYLOAD_BYTES = wire.MAX_FRAME - 4 * 1024

ACCEPTED = Envelope(MessageType.CONNECT_ACK, wire.CONNECTION_ACCEPTED)
REFUSED = Envelope(MessageType.CONNECT_ACK)
PONG = Envelope(MessageType.PING_RESPONSE)
WRONG = Envelope(MessageType.PROTOCOL_ERROR)
ENDED = Envelope(MessageType.APPLICATION_MESSAGE, wire.TERMINATE_STREAM)


@functools.lru_cache
def said(shape: str) -> Envelope:
    """What an answer or an event of a shape is sent in."""
    return Envelope(MessageType.APPLICATION_MESSAGE, 0, PREFIX + shape, payload.TYPE)


@functools.lru_cache
def failed(shape: str) -> Envelope:
    """What an error is sent in, which ends its stream."""
    flags = wire.TERMINATE_STREAM
    return Envelope(MessageType.APPLICATION_ERROR, flags, PREFIX + shape, payload.TYPE)


class Connection(asyncio.Protocol):
    """One client."""

    _transport: asyncio.Transport
    _outbox: Outbox
    _timer: asyncio.TimerHandle

    def __init__(self, server: Server) -> None:
        self.component = ""
        self._server = server
        self._serving = server.serving
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._frames = wire.Splitter(GREETING_BYTES)
        self._take = self._greet
        self._streams: dict[int, Stream] = {}
        # in the order of their answers; the oldest are forgotten
        self._answered: dict[int, None] = {}
        self._told: set[str] = set()
        self._last_stream = self._early_bytes = self._weighed = 0
        self._leaving = False

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a socket's
        self._transport = transport
        self._outbox = Outbox(transport, self._weigh)
        self._timer = self._loop.call_later(GREETING_SECONDS, transport.abort)
        if not self._server.admits(self):
            self._complain("too many connections are open")

    def data_received(self, data: bytes) -> None:
        """Bytes, cut anywhere."""
        if self._leaving:
            self.hang_up()
            return
        self._frames.feed(data)
        self._work()

    def pause_writing(self) -> None:
        """The client reads too slowly: its requests wait until it has read."""
        self._outbox.full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has read."""
        self._outbox.resume()
        self._resume()

    def eof_received(self) -> None:
        """The client sends no more, and is hung up on once it has its answers."""
        if self._leaving:
            return
        if len(self._frames):
            self._wrong("the connection ended within a frame")
        self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody is there any more."""
        self._timer.cancel()
        self._server.connections.pop(self, None)
        for number in list(self._streams):
            self._close(number)
        self.lost.set_result(None)

    # what comes in

    def _work(self) -> None:
        """Take what came whole, for as long as the client reads the answers."""
        outbox, frames = self._outbox, self._frames
        outbox.turn = True
        try:
            for _ in range(MESSAGES_OF_A_TURN):
                if outbox.full or self._leaving or (message := frames.next()) is None:
                    break
                self._take(message)
            else:
                self._yield()
        except FrameError as error:
            self._wrong(str(error))
        finally:
            outbox.turn = False
        outbox.flush()
        if self._weighed or outbox.full or len(frames) > HELD_STEP_BYTES:
            self._weigh()

    def _yield(self) -> None:
        """Let the others have their turn, and go on in the next."""
        if len(self._frames):
            self._transport.pause_reading()
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        """Hear the client again, unless it has to read first."""
        if not (self._outbox.full or self._transport.is_closing()):
            self._transport.resume_reading()
            self._work()

    def _greet(self, message: Message) -> None:
        """The handshake: version, and the token of a component."""
        if message.head.kind != MessageType.CONNECT:
            raise FrameError("the first message is no CONNECT")
        try:
            token = payload.read(message.payload).get("authToken")
        except payload.PayloadError:
            token = None
        component = self._serving.component_of(token) if isinstance(token, str) else None
        if component is None or not message.head.version.startswith(PROTOCOL):
            self._outbox.send(REFUSED.sealed(0))
            self._leave(REFUSED_SECONDS)
        elif self._server.count(component) >= MOST_OF_ONE:
            self._complain(f"more than {MOST_OF_ONE} connections of {component} are open")
        else:
            self._timer.cancel()
            self.component, self._take = component, self._serve
            self._frames.limit = self._serving.longest(component)
            self._outbox.send(ACCEPTED.sealed(0))

    def _serve(self, message: Message) -> None:
        """Any message after the handshake."""
        head, number, content = message
        if head.kind == MessageType.APPLICATION_MESSAGE and number > 0:
            if not head.operation:
                self._go_on(number, head.flags & wire.TERMINATE_STREAM)
            elif number <= self._last_stream:
                raise FrameError(f"stream {number} was used already")
            else:
                self._open(number, head.operation.removeprefix(PREFIX), content)
        elif head.kind == MessageType.PING:
            self._outbox.send(PONG.sealed(0, content))
        elif head.kind != MessageType.PING_RESPONSE:
            raise FrameError(f"a message of type {head.kind} on stream {number}")

    def _go_on(self, number: int, ends: int) -> None:
        """A message that is not the first of its stream; only the one that ends it matters."""
        if not ends and number > self._last_stream:
            raise FrameError("a stream begins without an operation")
        if ends and number in self._streams:
            self._close(number)
            self._outbox.send(ENDED.sealed(number))
        elif ends and number in self._answered:
            del self._answered[number]
            self._outbox.send(ENDED.sealed(number))

    def _close(self, number: int) -> None:
        self._streams.pop(number).end()

    def _open(self, number: int, operation: str, content: bytes) -> None:
        """The first message of a stream: a request."""
        self._last_stream = number
        stream = self._streams[number] = Stream(number, self)
        served = self._serving.operations.get(operation)
        try:
            if served is None:
                message = f"{operation} is not served by this core"
                raise IpcError("ServiceError", message, context={"operation": operation})
            if len(self._streams) > MOST_STREAMS:
                raise IpcError("ServiceError", f"more than {MOST_STREAMS} streams are open")
            try:
                request = payload.read(content)
            except payload.PayloadError as error:
                raise IpcError("InvalidArgumentsError", f"the request is {error}") from None
        except IpcError as error:
            self._refuse(stream, error)
            return
        call = Call(self.component, operation, request, stream)
        self._server.eager.start(self._answer(served, call))

    async def _answer(self, served: Operation, call: Call) -> None:
        """Carry out a request; one that waits for nothing is answered within the turn."""
        stream, operation = call.stream, call.operation
        try:
            answer = payload.write(await served(call))
            if len(answer) > MOST_PAYLOAD_BYTES:
                raise IpcError("ServiceError", f"the answer of {operation} is too large to send")
        except IpcError as error:
            self._refuse(stream, error)
        except OSError as error:  # a full disk, most likely
            message = f"{operation} could not be kept: {error}"
            self._refuse(stream, IpcError("ServiceError", message))
        except Exception as error:  # noqa: BLE001  # one request's trouble is not the core's
            self._serving.log.warn(f"ipc: {operation} of {self.component}: {error!r}")
            self._refuse(stream, IpcError("ServiceError", f"{operation} failed within the core"))
        else:
            if stream.number in self._streams:
                self._outbox.send(said(f"{operation}Response").sealed(stream.number, answer))
                stream.opened()
                if not stream.closed:
                    self._forget(stream)
            else:  # it was ended meanwhile
                stream.end()

    def _forget(self, stream: Stream) -> None:
        """Nobody waits for the end of an answered stream: the SDK's V2 client never tells it."""
        del self._streams[stream.number]
        self._answered[stream.number] = None
        if len(self._answered) > MOST_STREAMS:
            del self._answered[next(iter(self._answered))]

    def _refuse(self, stream: Stream, error: IpcError) -> None:
        why = str(error)
        if error.shape in TOLD and why not in self._told and len(self._told) < MOST_TOLD:
            # not every component says what it was refused, and a person looks into its log
            self._told.add(why)
            self._serving.refused(self.component, f"{error.shape}: {why}")
        if self._streams.pop(stream.number, None) is not None:
            content = payload.write(error.members)
            self._outbox.send(failed(error.shape).sealed(stream.number, content))
        stream.end()

    # what goes out

    def event(self, number: int, shape: str, content: bytes) -> None:
        """Send a stream's event, if the stream is open still."""
        if number in self._streams and len(content) <= MOST_PAYLOAD_BYTES:
            self._outbox.send(said(shape).sealed(number, content))

    def keep_early(self, size: int) -> None:
        """Count what waits for a response, so many bytes more."""
        self._early_bytes += size
        self._weigh()

    @property
    def held(self) -> int:
        """Bytes that are held for this client."""
        return len(self._frames) + self._outbox.held + self._early_bytes

    def _weigh(self) -> None:
        """Have it looked at when what is held here has grown much."""
        held = self.held
        if held > MOST_HELD_OF_ONE:
            self.drop("it does not read what is sent to it")
        elif held > self._weighed + HELD_STEP_BYTES:
            self._weighed = held
            self._server.weigh()
        elif held < self._weighed:
            self._weighed = held

    # how it ends

    def _wrong(self, message: str) -> None:
        """What the client sent is no frame, or none that may be sent."""
        self._serving.log.warn(f"ipc: a client of {self.component or 'nobody'}: {message}")
        self._complain(message)

    def _complain(self, message: str) -> None:
        self._outbox.send(WRONG.sealed(0, payload.write({"message": message})))
        self.hang_up()

    def _leave(self, seconds: float) -> None:
        """Hear no more, and hang up by and by."""
        self._leaving = True
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._transport.abort)

    def hang_up(self) -> None:
        """Close once what waits is sent, and soon in any case."""
        self._leave(CLOSE_SECONDS)
        self._outbox.flush()
        self._transport.close()

    def drop(self, why: str) -> None:
        """Hang up at once and let go what is held."""
        self._serving.log.warn(f"ipc: a client of {self.component or 'nobody'}: {why}")
        self._leaving = True
        self._outbox.clear()
        self._frames = wire.Splitter()
        self._transport.abort()


class Server:
    """The listening socket and the connections, in the order in which they came."""

    eager: Eager

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.connections: dict[Connection, None] = {}
        self._server: asyncio.AbstractServer | None = None

    async def start(self, path: Path) -> None:
        """Listen at a path that nobody but the owner can open."""
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(SOCKET_MODE_MASK)
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        loop = asyncio.get_running_loop()
        self.eager = Eager()
        self._server = await loop.create_unix_server(
            lambda: Connection(self), sock=listening, backlog=BACKLOG
        )

    def admits(self, connection: Connection) -> bool:
        """Note a new connection, unless there are too many; the oldest stranger makes room."""
        if self._server is None or len(self.connections) >= MOST_CONNECTIONS:
            return False
        strangers = [each for each in self.connections if not each.component]
        if len(strangers) >= MOST_STRANGERS:
            strangers[0].drop("it has shown no token, and others wait")
        self.connections[connection] = None
        return True

    def count(self, component: str) -> int:
        """How many connections a component has."""
        return sum(each.component == component for each in self.connections)

    def weigh(self) -> None:
        """Hang up on who holds most when all together hold too much."""
        held = {each: each.held for each in self.connections}
        if sum(held.values()) > MOST_HELD_BYTES:
            max(held, key=held.__getitem__).drop("more is held for it than for any other")

    async def stop(self) -> None:
        """Close everything; what is being done may end, for a moment."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        lost = [connection.lost for connection in self.connections]
        for connection in list(self.connections):
            connection.hang_up()
        await self.eager.stop(CLOSE_SECONDS)
        if lost:
            await asyncio.wait(lost, timeout=2 * CLOSE_SECONDS)
