"""A job that is done whenever someone asks, and again while the cloud does not answer."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable

from ggml_magic.core.logs import Log
from ggml_magic.errors import CloudError, UnreachableError

# Seconds between tries while nobody answers: quick for a restart, never longer than this.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


class Worker:
    """Runs ``work`` once for any number of wakes that come meanwhile."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]], log: Log) -> None:
        self._name = name
        self._work = work
        self._log = log
        self._wanted = asyncio.Event()
        self._busy = asyncio.Lock()

    def wake(self) -> None:
        """Do the work soon."""
        self._wanted.set()

    @property
    def wanted(self) -> bool:
        """Whether there is work, or it is being done."""
        return self._wanted.is_set() or self._busy.locked()

    async def run(self) -> None:
        """Work for ever; a refusal by the cloud is logged and ends that one piece of work."""
        while True:
            await self._wanted.wait()
            pause = FIRST_PAUSE
            while not await self._tried():
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    async def flush(self) -> None:
        """Do now what was asked for; when nobody answers, it stays asked for."""
        if self.wanted:
            await self._tried()

    async def _tried(self) -> bool:
        async with self._busy:
            if not self._wanted.is_set():
                return True
            self._wanted.clear()
            try:
                await self._work()
            except UnreachableError:
                self._wanted.set()
                return False
            except (CloudError, OSError) as error:
                self._log.warn(f"{self._name}: {error}")
            except Exception:  # noqa: BLE001  # a fault of ours must not end the components
                for line in traceback.format_exc().splitlines():
                    self._log.write("ERROR", f"{self._name}: {line}")
            return True
