"""How often something may be done, by a clock that never jumps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Things whose requests are counted at a time; those that were quiet for a second are forgotten.
MOST_COUNTED = 1000
# Sums of fractions of a second are not exact.
TOLERANCE = 1e-9


class Bucket:
    """Up to ``rate`` a second; what was not used in the last second may come at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used = 0.0
        self._at = clock()

    def waiting(self, rate: float) -> float:
        """Seconds until one more may be done, 0 when it may now."""
        now = self._clock()
        self._used = max(0.0, self._used - (now - self._at) * rate)
        self._at = now
        return max(0.0, (self._used + 1 - max(rate, 1.0) - TOLERANCE) / rate)

    def take(self) -> None:
        """One was done."""
        self._used += 1

    @property
    def idle(self) -> bool:
        """Whether nothing was done for so long that it need not be remembered."""
        return self._clock() - self._at > 1


class RequestRates:
    """Requests of all and of each thing; ``limits`` gives the rates a second of now."""

    def __init__(
        self,
        limits: Callable[[], tuple[float, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._all = Bucket(clock)
        self._things: dict[str, Bucket] = {}

    def admit(self, thing: str) -> bool:
        """Whether a request for a thing may be done now; it is counted when it may."""
        total, each = self._limits()
        if self._all.waiting(total) or self._bucket(thing).waiting(each):
            return False
        self._all.take()
        self._bucket(thing).take()
        return True

    def _bucket(self, thing: str) -> Bucket:
        if len(self._things) >= MOST_COUNTED:
            busy = {name: bucket for name, bucket in self._things.items() if not bucket.idle}
            self._things = busy
        return self._things.setdefault(thing, Bucket(self._clock))


class Pace:
    """Lets work wait for its turn; ``rate`` gives how many a second there may be now."""

    def __init__(self, rate: Callable[[], float]) -> None:
        self._rate = rate
        self._bucket = Bucket()

    async def turn(self) -> None:
        """Wait until one more may be done."""
        while wait := self._bucket.waiting(self._rate()):
            await asyncio.sleep(wait)
        self._bucket.take()
