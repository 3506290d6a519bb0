"""What the tests of conformance share: a device for each test, and a listener on a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from deploying import Scene

from ggml_magic.core.calls import Call, Operation, Stream
from ggml_magic.core.pulse import Pulse

# What would happen wrongly would happen within this.
BLINK = 0.2
SOON = 20.0


def on(
    make: Callable[[Path], Any], end: Callable[[Any], Awaitable[None]]
) -> Callable[[Callable[[Any], Awaitable[None]]], Callable[[Path], None]]:
    """Marks a test that is given what ``make`` makes in a folder of the test's own."""

    def wrap(test: Callable[[Any], Awaitable[None]]) -> Callable[[Path], None]:
        def run(tmp_path: Path) -> None:
            async def scene() -> None:
                made = make(tmp_path / "root")
                try:
                    await test(made)
                finally:
                    await end(made)

            asyncio.run(scene())

        run.__name__, run.__module__ = test.__name__, test.__module__
        return run

    return wrap


async def _end(at: Scene) -> None:
    await at.engine.stop(2)
    at.log.close()


# A test that is given a device which deploys, with a cloud that is made up.
on_cloud = on(Scene, _end)


def alive(pid: str) -> bool:
    """Whether a process still does something (one that nobody has reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


class Ear:
    """A component's end of a stream: hears its events, and may answer each by a call."""

    def __init__(self, answer: Callable[[Any], Awaitable[Any]] | None = None) -> None:
        self.heard: list[Any] = []
        self._answer = answer
        self._pulse = Pulse()
        self._tasks: list[asyncio.Future[Any]] = []

    def event(self, number: int, shape: str, content: bytes) -> None:
        self.heard.append(json.loads(content))
        self._pulse.beat()
        if self._answer is not None:
            self._tasks.append(asyncio.ensure_future(self._answer(self.heard[-1])))

    def keep_early(self, size: int) -> None:
        """Nothing is early here."""

    async def subscribe(self, operation: Operation, component: str) -> None:
        """Call a streaming operation."""
        stream = Stream(1, self)
        await operation(Call(component, "", {}, stream))
        stream.opened()

    async def until(self, count: int) -> list[Any]:
        """The events, once there are so many."""
        assert await self._pulse.until(lambda: len(self.heard) >= count, SOON), self.heard
        return self.heard


async def call(operation: Operation, component: str, **request: Any) -> Any:
    """Call an operation whose answer is all."""
    return await operation(Call(component, "", request, Stream(1, Ear())))
