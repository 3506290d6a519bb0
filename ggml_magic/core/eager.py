"""Coroutines that begin at once: a task is made only for those that wait.

Most operations answer without waiting, and a task for each would cost as much as its answer.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from typing import Any

Work = Coroutine[Any, Any, None]


class Eager:
    """Begins coroutines within the caller's turn of the loop.

    From its first step on, a coroutine sees the task that will carry it if it waits, so that
    timeouts and cancellation work in it as in any other.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spare()

    def _spare(self) -> None:
        """A task that waits for a coroutine to carry."""
        self._given: asyncio.Future[_Begun] = self._loop.create_future()
        self._task = self._loop.create_task(_carry(self._given))

    def start(self, work: Work) -> None:
        """Run a coroutine to its end or its first wait; not from within a task.

        What it raises before its first wait is raised here.
        """
        _enter_task(self._loop, self._task)
        try:
            waited = work.send(None)
        except StopIteration:
            return
        finally:
            _leave_task(self._loop, self._task)
        self._given.set_result(_Begun(work, waited))
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)
        self._spare()

    async def stop(self, within: float) -> None:
        """Cancel what still waits, and give it some seconds to end."""
        tasks = {*self._tasks, self._task}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=within)


class _Begun(Generator[Any, Any, None]):
    """A coroutine that waits already: first hands out what it waits for."""

    def __init__(self, work: Work, waited: Any) -> None:
        self._work = work
        self._first = [waited]
        self.cancelled: asyncio.CancelledError | None = None

    def send(self, value: Any) -> Any:
        if self.cancelled is not None:
            error, self.cancelled = self.cancelled, None
            return self.throw(error)
        return self._first.pop() if self._first else self._work.send(value)

    def throw(self, *error: Any) -> Any:
        self._first.clear()
        return self._work.throw(*error)

    def __await__(self) -> Generator[Any, Any, None]:
        return self


async def _carry(given: asyncio.Future[_Begun]) -> None:
    try:
        begun = await given
    except asyncio.CancelledError as error:
        if given.cancelled():
            raise
        # the coroutine was cancelled before this task could take it
        begun = given.result()
        begun.cancelled = error
    await begun
