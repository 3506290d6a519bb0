"""The IPC server: event-stream RPC on a Unix socket (EDGE-CORE 8).

One connection may do wrong without harm to another: what it sends is bounded, and a frame that
is none closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_magic.core import wire
from ggml_magic.core.logs import Log
from ggml_magic.core.wire import Frame, FrameError, MessageType

PREFIX = "aws.greengrass#"
JSON = "application/json"
PROTOCOL = "0.1"
SOCKET_MODE_MASK = 0o177
# Before it has shown a token a client may send no more than a token needs, and not for long.
GREETING_BYTES = 64 * 1024
GREETING_SECONDS = 10.0
# A refused client hangs up itself, and then sees why; one that does not is hung up on.
REFUSED_SECONDS = 5.0
# More open streams than any client of ours needs; each costs memory.
MOST_STREAMS = 10_000
BACKLOG = 128
CLOSE_SECONDS = 1.0
# A client that does not read what it subscribed to is hung up on.
MOST_UNREAD_BYTES = 32 * 1024 * 1024


class IpcError(Exception):
    """An error answer: a shape of the IPC model without its prefix, a message, more members."""

    def __init__(self, shape: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.shape = shape
        self.members = {"message": message, "_message": message, **members}


class Stream:
    """One operation's stream; ``closed`` is called once when it ends."""

    def __init__(self, number: int, connection: Connection) -> None:
        self.closed: list[Callable[[], None]] = []
        self._number = number
        self._connection = connection

    def send(self, shape: str, value: Mapping[str, Any]) -> None:
        """Send an event of a streaming operation."""
        kind = MessageType.APPLICATION_MESSAGE
        self._connection.send(kind, self._number, 0, PREFIX + shape, value)


@dataclass(frozen=True)
class Call:
    """A request: who asks, what, and the stream that events can be sent on."""

    component: str
    operation: str
    request: Mapping[str, Any]
    stream: Stream


Operation = Callable[[Call], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Serving:
    """What a connection serves: operations by name, and whose a token is."""

    operations: Mapping[str, Operation]
    component_of: Callable[[str], str | None]
    log: Log


class Connection:
    """One client."""

    def __init__(
        self, serving: Serving, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._serving = serving
        self._reader = reader
        self._writer = writer
        self._component = ""
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0

    async def serve(self) -> None:
        """Answer until the client goes or does wrong."""
        try:
            if await self._greeted():
                while (frame := await wire.read(self._reader)) is not None:
                    await self._take(frame)
                    await self._writer.drain()
        except FrameError as error:
            self._serving.log.warn(f"ipc: a client of {self._component or 'nobody'}: {error}")
            self.send(MessageType.PROTOCOL_ERROR, 0, 0, "", {"message": str(error)})
        except (ConnectionError, asyncio.TimeoutError):
            return
        finally:
            for number in list(self._streams):
                self._close(number)
            with contextlib.suppress(OSError):
                self._writer.close()
                await self._writer.wait_closed()

    async def _greeted(self) -> bool:
        """The handshake: version, and the token of a component."""
        frame = await asyncio.wait_for(wire.read(self._reader, GREETING_BYTES), GREETING_SECONDS)
        if frame is None:
            return False
        if frame.number(":message-type") != MessageType.CONNECT:
            raise FrameError("the first message is no CONNECT")
        with contextlib.suppress(ValueError, AttributeError):
            token = json.loads(frame.payload).get("authToken")
            self._component = self._serving.component_of(str(token)) or ""
        known = frame.text(":version").startswith(PROTOCOL) and bool(self._component)
        flags = wire.CONNECTION_ACCEPTED if known else 0
        self.send(MessageType.CONNECT_ACK, 0, flags, "", None)
        if not known:
            await asyncio.wait_for(self._reader.read(1), REFUSED_SECONDS)
        return known

    async def _take(self, frame: Frame) -> None:
        kind, number = frame.number(":message-type"), frame.number(":stream-id")
        if kind == MessageType.PING:
            self._writer.write(
                wire.encode(Frame(_headers(MessageType.PING_RESPONSE, 0, 0), frame.payload))
            )
            return
        if kind != MessageType.APPLICATION_MESSAGE or number <= 0:
            if kind == MessageType.PING_RESPONSE:
                return
            raise FrameError(f"a message of type {kind} on stream {number}")
        if number > self._last_stream:
            await self._open(number, frame)
        elif frame.number(":message-flags") & wire.TERMINATE_STREAM and number in self._streams:
            self._close(number)
            flags = wire.TERMINATE_STREAM
            self.send(MessageType.APPLICATION_MESSAGE, number, flags, "", None)

    async def _open(self, number: int, frame: Frame) -> None:
        """The first message of a stream: a request."""
        operation = frame.text("operation").removeprefix(PREFIX)
        if not operation:
            raise FrameError("a stream begins without an operation")
        self._last_stream = number
        stream = self._streams[number] = Stream(number, self)
        try:
            answer = await self._answer(operation, frame, stream)
        except IpcError as error:
            self._close(number)
            flags, shape = wire.TERMINATE_STREAM, PREFIX + error.shape
            self.send(MessageType.APPLICATION_ERROR, number, flags, shape, error.members)
            return
        shape = f"{PREFIX}{operation}Response"
        self.send(MessageType.APPLICATION_MESSAGE, number, 0, shape, answer)

    async def _answer(self, operation: str, frame: Frame, stream: Stream) -> Mapping[str, Any]:
        served = self._serving.operations.get(operation)
        if served is None:
            message = f"{operation} is not served by this core"
            raise IpcError("ServiceError", message, context={"operation": operation})
        if len(self._streams) > MOST_STREAMS:
            raise IpcError("ServiceError", f"more than {MOST_STREAMS} streams are open")
        try:
            request = json.loads(frame.payload or b"{}")
        except (ValueError, RecursionError) as error:
            raise IpcError("InvalidArgumentsError", f"the request is no JSON: {error}") from None
        if not isinstance(request, dict):
            raise IpcError("InvalidArgumentsError", "the request is no JSON object")
        try:
            return await served(Call(self._component, operation, request, stream))
        except OSError as error:  # a full disk, most likely
            raise IpcError("ServiceError", f"{operation} could not be kept: {error}") from None

    def _close(self, number: int) -> None:
        stream = self._streams.pop(number)
        for callback in stream.closed:
            callback()

    def send(
        self, kind: MessageType, number: int, flags: int, shape: str,
        value: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        """Write one message; ``shape`` empty for those that carry none."""
        headers = _headers(kind, number, flags)
        if value is not None:
            headers[":content-type"] = JSON
        if shape:
            headers["service-model-type"] = shape
        payload = b"" if value is None else json.dumps(value).encode()
        if self._writer.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self._writer.transport.abort()
        if not self._writer.is_closing():
            self._writer.write(wire.encode(Frame(headers, payload)))


def _headers(kind: MessageType, number: int, flags: int) -> dict[str, wire.Value]:
    return {":message-type": int(kind), ":message-flags": flags, ":stream-id": number}


@dataclass
class Server:
    """The listening socket and the connections."""

    serving: Serving
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.AbstractServer | None = None

    async def start(self, path: Path) -> None:
        """Listen at a path that nobody but the owner can open."""
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(SOCKET_MODE_MASK)
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listening, backlog=BACKLOG
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # streams call this in a task of its own
        self.connections.add(task)
        try:
            await Connection(self.serving, reader, writer).serve()
        finally:
            self.connections.discard(task)

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        tasks = list(self.connections)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
