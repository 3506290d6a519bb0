"""What goes out to one client: gathered over a turn of the loop, written once, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# What one turn writes goes out together, and no later than at this size.
FLUSH_BYTES = 64 * 1024


class Outbox:
    """The messages of one connection; ``grown`` is called when much waits.

    ``full`` says that the client reads more slowly than it is written to.
    """

    def __init__(self, transport: asyncio.Transport, grown: Callable[[], None]) -> None:
        self.full = False
        # within a turn of the connection's own, which ends with a flush
        self.turn = False
        self._transport = transport
        self._grown = grown
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._bytes = self._handed = 0

    def send(self, message: bytes) -> None:
        """Send a message within this turn of the loop."""
        if not (self._waiting or self.turn):
            self._loop.call_soon(self.flush)
        self._waiting.append(message)
        self._bytes += len(message)
        if self._bytes > FLUSH_BYTES:
            self.flush()
            self._grown()

    def flush(self) -> None:
        """Hand to the socket what waits, unless the client reads too slowly."""
        waiting = self._waiting
        if waiting and not self.full and not self._transport.is_closing():
            self._handed = self._bytes
            self._waiting, self._bytes = [], 0
            self._transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def resume(self) -> None:
        """The client has read what was handed to the socket."""
        self.full, self._handed = False, 0
        self.flush()

    def clear(self) -> None:
        """Nobody will read what waits."""
        self._waiting, self._bytes, self._handed = [], 0, 0

    @property
    def held(self) -> int:
        """Bytes that wait to be read by the client."""
        return self._bytes + (self._handed if self.full else 0)
