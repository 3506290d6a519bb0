"""A blocking client of a core's IPC, for the terminal: one call at a time, no threads, no SDK."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ggml_magic.core import payload, wire
from ggml_magic.core.wire import Frame, FrameError, Message, MessageType

PREFIX = "aws.greengrass#"
VERSION = "0.1.0"
READ_BYTES = 64 * 1024
# The shapes of failures that no core has words for.
LOST, LATE, REFUSED = "ConnectionLost", "Timeout", "AccessDenied"


class CallFailed(Exception):  # noqa: N818  # it says what happened, as the IPC's shapes do
    """A call that had no answer, or an error for one.

    ``shape`` is the error's name in the IPC model (``ResourceNotFoundError``, ...), or
    ``ConnectionLost``, ``Timeout`` or ``AccessDenied``; ``members`` is what came with it.
    """

    def __init__(self, shape: str, message: str, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{shape}: {message}")
        self.shape = shape
        self.message = message
        self.members = dict(members or {})


class Caller:
    """A connection to a core, as the principal whose ``token`` it is.

    ``timeout`` is the seconds that connecting, and each call, may take. Raises ``CallFailed``.
    """

    def __init__(self, path: Path, token: str, timeout: float) -> None:
        self._timeout = timeout
        self._messages = wire.Splitter()
        self._stream = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect(path, token)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of an operation, which is named without a prefix; raises ``CallFailed``.

        After ``ConnectionLost`` and ``Timeout`` the connection is closed.
        """
        deadline = time.monotonic() + self._timeout
        self._stream += 1
        headers = {wire.OPERATION: PREFIX + operation, wire.SHAPE: f"{PREFIX}{operation}Request"}
        content = payload.write(request)
        self._send(MessageType.APPLICATION_MESSAGE, headers, content, deadline)
        while (answer := self._next(deadline)).stream != self._stream:
            pass
        members = self._read(answer)
        if answer.head.kind == MessageType.APPLICATION_ERROR:
            shape = answer.head.shape.removeprefix(PREFIX)
            raise CallFailed(shape, str(members.get("message", "no reason given")), members)
        # there is an answer; a core that went after it is the next call's affair
        with contextlib.suppress(CallFailed):
            self._send(MessageType.APPLICATION_MESSAGE, {}, b"", deadline, wire.TERMINATE_STREAM)
        return members

    def _connect(self, path: Path, token: str) -> None:
        deadline = time.monotonic() + self._timeout
        self._socket.settimeout(self._timeout)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            raise CallFailed(LOST, f"nobody answers at {path}: {error}") from None
        headers: dict[str, wire.Value] = {wire.VERSION: VERSION}
        self._send(MessageType.CONNECT, headers, payload.write({"authToken": token}), deadline)
        answer = self._next(deadline)
        if answer.head.kind != MessageType.CONNECT_ACK:
            raise self._lost("the core answered no handshake")
        if not answer.head.flags & wire.CONNECTION_ACCEPTED:
            raise CallFailed(REFUSED, "the core does not know this token")

    def _send(
        self, kind: MessageType, more: Mapping[str, wire.Value], content: bytes, deadline: float,
        flags: int = 0,
    ) -> None:  # fmt: skip
        headers = {wire.TYPE: int(kind), wire.FLAGS: flags, wire.STREAM: self._stream, **more}
        if content:
            headers[":content-type"] = payload.TYPE
        try:
            self._patience(deadline)
            self._socket.sendall(wire.encode(Frame(headers, content)))
        except TimeoutError:
            raise self._late() from None
        except OSError as error:
            raise self._lost(str(error)) from None

    def _patience(self, deadline: float) -> None:
        """Let the socket wait until then; raises ``TimeoutError`` when that is past."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)

    def _next(self, deadline: float) -> Message:
        """The next message; what says that the connection is over is raised."""
        try:
            while (message := self._messages.next()) is None:
                self._patience(deadline)
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise self._lost("it hung up")
                self._messages.feed(data)
        except TimeoutError:
            raise self._late() from None
        except (OSError, FrameError) as error:
            raise self._lost(str(error)) from None
        if message.head.kind in (MessageType.PROTOCOL_ERROR, MessageType.INTERNAL_ERROR):
            raise self._lost(str(self._read(message).get("message", "it gave no reason")))
        return message

    def _read(self, message: Message) -> dict[str, Any]:
        try:
            return payload.read(message.payload)
        except payload.PayloadError as error:
            raise self._lost(f"its answer is {error}") from None

    def _late(self) -> CallFailed:
        self.close()
        return CallFailed(LATE, f"the core did not answer within {self._timeout:g} s")

    def _lost(self, why: str) -> CallFailed:
        self.close()
        return CallFailed(LOST, f"the connection to the core is lost: {why}")
