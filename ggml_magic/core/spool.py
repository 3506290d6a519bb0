"""Messages that wait for the cloud, in memory, as the nucleus's default spooler has them."""

from __future__ import annotations

import asyncio
from collections import deque

from ggml_magic.core.quotas import AT_MOST_ONCE, Message

# The nucleus's default for ``mqtt.spooler.maxSizeInBytes``.
MOST_BYTES = 2_621_440


class SpoolError(Exception):
    """There is no room for a message."""


class Spool:
    """A queue bounded in bytes of topics and payloads; the oldest is sent first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._waiting: deque[Message] = deque()
        self._some = asyncio.Event()
        self.emptied = asyncio.Event()
        self.emptied.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message) -> None:
        """Keep a message; when full, the oldest of QoS 0 give way, never those of QoS 1.

        Raises ``SpoolError`` when there is no room all the same.
        """
        size = _size(message)
        if size > self._most_bytes:
            raise SpoolError("the message is larger than the spool")
        if self.held_bytes + size > self._most_bytes:
            self._make_room(size)
        self._waiting.append(message)
        self.held_bytes += size
        self._some.set()
        self.emptied.clear()

    def _make_room(self, size: int) -> None:
        for old in [each for each in self._waiting if each.qos == AT_MOST_ONCE]:
            self.sent(old)
            if self.held_bytes + size <= self._most_bytes:
                return
        raise SpoolError("the spool is full")

    def offline(self) -> None:
        """Forget what is of QoS 0: as the nucleus's default has it, that is not kept offline."""
        for old in [each for each in self._waiting if each.qos == AT_MOST_ONCE]:
            self.sent(old)

    async def oldest(self) -> Message:
        """The message to send now; it stays until it is ``sent``."""
        await self._some.wait()
        return self._waiting[0]

    def sent(self, message: Message) -> None:
        """Forget a message; one that gave way meanwhile is forgotten already."""
        for place, held in enumerate(self._waiting):
            if held is message:
                del self._waiting[place]
                self.held_bytes -= _size(message)
                break
        if not self._waiting:
            self._some.clear()
            self.emptied.set()


def _size(message: Message) -> int:
    return len(message.topic.encode()) + len(message.payload)
