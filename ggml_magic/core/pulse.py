"""Waiting for a condition without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pulse:
    """Wakes everyone who waits for a condition whenever something may have changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Something changed: conditions are looked at again."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], bool], within: float | None = None) -> bool:
        """Wait until the condition holds; false when it did not within that many seconds.

        Not by ``asyncio.wait_for``, which before Python 3.12 can swallow a cancellation.
        """
        late = False

        def expire() -> None:
            nonlocal late
            late = True
            self.beat()

        timer = None
        if within is not None:
            timer = asyncio.get_running_loop().call_later(within, expire)
        try:
            while not condition():
                if late:
                    return False
                await self._event.wait()
            return True
        finally:
            if timer is not None:
                timer.cancel()
