"""Notices that something changed for a device, for those who wait on the line.

Stands in for the MQTT topics of IoT Jobs and of shadows: a device asks "what since number n?"
and is answered when there is something.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

JOBS = "jobs"
SHADOW = "shadow"
# Longer than any sensible wait, shorter than what a proxy or a client takes for a dead line.
LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Changes:
    """What changed for a thing up to ``sequence``."""

    sequence: int
    jobs: bool
    shadow: bool


class Notices:
    """Numbered notices; numbers grow over restarts too, because they begin at the clock."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._first = time.time_ns() // 1_000_000
        self._sequence = self._first
        self._last: dict[tuple[str, str], int] = {}
        self._ended = False

    def tell(self, thing: str, kind: str) -> None:
        """Something of ``kind`` changed for the thing."""
        with self._condition:
            self._sequence += 1
            self._last[thing, kind] = self._sequence
            self._condition.notify_all()

    def end(self) -> None:
        """Answer everybody who waits: the sandbox stops."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def after(self, thing: str, sequence: int, wait_seconds: float) -> Changes:
        """What changed after ``sequence``; waits until something did, or the time is up.

        A number from before this process, or from the future, answers at once that all may
        have changed.
        """
        deadline = time.monotonic() + min(wait_seconds, LONGEST_WAIT_SECONDS)
        with self._condition:
            while True:
                changes = self._since(thing, sequence)
                left = deadline - time.monotonic()
                if changes.jobs or changes.shadow or self._ended or left <= 0:
                    return changes
                self._condition.wait(left)

    def _since(self, thing: str, sequence: int) -> Changes:
        if not self._first <= sequence <= self._sequence:
            return Changes(self._sequence, jobs=True, shadow=True)
        jobs = self._last.get((thing, JOBS), 0) > sequence
        shadow = self._last.get((thing, SHADOW), 0) > sequence
        return Changes(self._sequence, jobs=jobs, shadow=shadow)
