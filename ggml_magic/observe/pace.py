"""How a long replay is going, in a few lines: how long it will take, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

# answers from which a pace is told: the first may have waited for a device that was busy
FEW = 3
# what takes less is over before a line about it was read; also the time between two lines
QUIET_SECONDS = 10.0
# from here on, the next larger unit says enough
SECONDS_SHOWN = 120
MINUTES_SHOWN = 120


class Pace:
    """Tells of a replay that will take more than ``QUIET_SECONDS``, and nothing of a short one.

    ``clock`` gives seconds; the replay begins now.
    """

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._begun = clock()
        self._told: float | None = None

    def answered(self, done: int, total: int) -> None:
        """``done`` readings of ``total`` are answered."""
        now = self._clock()
        spent = now - self._begun
        if self._told is None:
            whole = spent / done * total
            if (done >= FEW or spent >= QUIET_SECONDS) and whole > QUIET_SECONDS and done < total:
                self._tell(
                    now,
                    f"{total:,} readings, one a cycle of the device: about {duration(whole)}; "
                    "interrupt to stop, what was answered is kept",
                )
        elif now - self._told >= QUIET_SECONDS and done < total:
            self._tell(now, f"{done:,} of {total:,} answered")

    def _tell(self, now: float, line: str) -> None:
        self._told = now
        self._write(f"{line}\n")


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``45 s``, ``78 min``, ``3.5 h``."""
    if seconds < SECONDS_SHOWN:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < MINUTES_SHOWN else f"{minutes / 60:.1f} h"
