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
        """Wait until the condition holds; false when it did not within that many seconds."""
        try:
            await asyncio.wait_for(self._until(condition), within)
        except asyncio.TimeoutError:  # another class than TimeoutError before Python 3.11
            return condition()
        return True

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._event.wait()
