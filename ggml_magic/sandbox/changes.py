"""Notices that something changed for a device, for those who wait on the line.

Stands in for the MQTT topics of IoT Jobs and of shadows: a device asks "what since number n?"
and is answered when there is something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

JOBS = "jobs"
SHADOW = "shadow"
# Longer than any sensible wait, shorter than what a proxy or a client takes for a dead line.
LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class ChangedShadow:
    """A shadow that changed and the version it has now, 0 when it was deleted."""

    thing: str
    name: str
    version: int


@dataclass(frozen=True)
class Changes:
    """What changed for a thing, and in shadows of others it named, up to ``sequence``.

    ``shadows`` says which ones; ``None`` means any may have.
    """

    sequence: int
    jobs: bool
    shadow: bool
    shadows: tuple[ChangedShadow, ...] | None = ()


class Notices:
    """Numbered notices; numbers grow over restarts too, because they begin at the clock."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._first = time.time_ns() // 1_000_000
        self._sequence = self._first
        self._last: dict[tuple[str, str], int] = {}
        self._shadows: dict[str, dict[str, tuple[int, int]]] = {}
        self._ended = False

    def tell(self, thing: str, kind: str) -> None:
        """Something of ``kind`` changed for the thing."""
        with self._condition:
            self._sequence += 1
            self._last[thing, kind] = self._sequence
            self._condition.notify_all()

    def tell_shadow(self, thing: str, name: str, version: int) -> None:
        """A shadow has this version now, 0 when it was deleted."""
        with self._condition:
            self._sequence += 1
            self._shadows.setdefault(thing, {})[name] = self._sequence, version
            self._condition.notify_all()

    def end(self) -> None:
        """Answer everybody who waits: the sandbox stops."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def after(
        self, thing: str, sequence: int, wait_seconds: float, also: Iterable[str] = ()
    ) -> Changes:
        """What changed after ``sequence``; waits until something did, or the time is up.

        ``also`` are other things whose shadows are asked for. A number from before this process,
        or from the future, answers at once that all may have changed.
        """
        deadline = time.monotonic() + min(wait_seconds, LONGEST_WAIT_SECONDS)
        things = dict.fromkeys((thing, *also))
        with self._condition:
            while True:
                changes = self._since(thing, things, sequence)
                left = deadline - time.monotonic()
                if changes.jobs or changes.shadow or self._ended or left <= 0:
                    return changes
                self._condition.wait(left)

    def _since(self, thing: str, things: Iterable[str], sequence: int) -> Changes:
        if not self._first <= sequence <= self._sequence:
            return Changes(self._sequence, jobs=True, shadow=True, shadows=None)
        jobs = self._last.get((thing, JOBS), 0) > sequence
        if any(self._last.get((each, SHADOW), 0) > sequence for each in things):
            return Changes(self._sequence, jobs=jobs, shadow=True, shadows=None)
        shadows = tuple(
            ChangedShadow(each, name, version)
            for each in things
            for name, (at, version) in self._shadows.get(each, {}).items()
            if at > sequence
        )
        return Changes(self._sequence, jobs=jobs, shadow=bool(shadows), shadows=shadows)
