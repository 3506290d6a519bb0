"""What the IPC server and the operations say to each other."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ggml_magic.core import payload, wire
from ggml_magic.core.logs import Log


class IpcError(Exception):
    """An error answer: a shape of the IPC model without its prefix, a message, more members."""

    def __init__(self, shape: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.shape = shape
        self.members = {"message": message, "_message": message, **members}


class Channel(Protocol):
    """The connection that a stream is one of."""

    def event(self, number: int, shape: str, content: bytes) -> None:
        """Send an event of a stream, if it is open still."""

    def keep_early(self, size: int) -> None:
        """Count so many bytes more that wait for a response."""


class Stream:
    """One operation's stream; ``closed`` is called once when it ends."""

    def __init__(self, number: int, channel: Channel) -> None:
        self.closed: list[Callable[[], None]] = []
        self.number = number
        self._channel = channel
        self._early: list[tuple[str, bytes]] | None = []

    def send(self, shape: str, value: Mapping[str, Any]) -> None:
        """Send an event of a streaming operation; the response goes before all of them."""
        content = payload.write(value)
        if self._early is None:
            self._channel.event(self.number, shape, content)
        else:
            self._early.append((shape, content))
            self._channel.keep_early(len(content))

    def opened(self) -> None:
        """The response was sent: let the events go."""
        early, self._early = self._early or [], None
        for shape, content in early:
            self._channel.keep_early(-len(content))
            self._channel.event(self.number, shape, content)

    def end(self) -> None:
        """Tell whoever wants to know; also what came after an end is told."""
        while self.closed:
            self.closed.pop(0)()


@dataclass(frozen=True)
class Call:
    """A request: who asks, what, and the stream that events can be sent on."""

    component: str
    operation: str
    request: Mapping[str, Any]
    stream: Stream


def _any_frame(component: str) -> int:
    return wire.MAX_FRAME


def _silent(component: str, why: str) -> None:
    return


Operation = Callable[[Call], Coroutine[Any, Any, Mapping[str, Any]]]


@dataclass(frozen=True)
class Serving:
    """What a connection serves: operations by name, and whose a token is.

    ``longest`` gives the bytes that a message of a component may have; ``refused`` hears of what
    a component may not do, once of the same.
    """

    operations: Mapping[str, Operation]
    component_of: Callable[[str], str | None]
    log: Log
    longest: Callable[[str], int] = _any_frame
    refused: Callable[[str, str], None] = _silent
