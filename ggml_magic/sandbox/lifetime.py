"""How long the sandbox may live: until nobody has used it for a while, or its folder is gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator


class Clock:
    """When a person last used the sandbox, and how many requests it is answering."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._last = time.monotonic()
        self._busy = 0
        self._used = 0

    @contextlib.contextmanager
    def answering(self, *, device: bool) -> Iterator[None]:
        """Around each request; a device's own traffic is no use by a person."""
        with self._condition:
            self._busy += 1
            self._used += not device
        try:
            yield
        finally:
            with self._condition:
                self._busy -= 1
                self._used -= not device
                if not device:
                    self._last = time.monotonic()
                self._condition.notify_all()

    def idle_seconds(self) -> float:
        """Seconds since a person's last request ended; none while one is being answered."""
        with self._condition:
            return 0.0 if self._used else time.monotonic() - self._last

    def settle(self, seconds: float) -> bool:
        """Wait until no request is being answered; ``False`` when that took too long."""
        with self._condition:
            return self._condition.wait_for(lambda: self._busy == 0, timeout=seconds)
