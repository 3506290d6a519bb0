"""Coroutines that begin at once, and go on in a task of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ggml_magic.core.eager import Eager


def play(scene: Callable[[Eager, Callable[[Any], None]], Awaitable[None]]) -> None:
    """``scene`` gets a way to start work as the loop's callbacks do: outside of any task."""

    async def run() -> None:
        loop, eager = asyncio.get_running_loop(), Eager()
        errors: list[BaseException] = []

        def start(work: Any) -> None:
            def begin() -> None:
                try:
                    eager.start(work)
                except ValueError as error:
                    errors.append(error)

            loop.call_soon(begin)

        await asyncio.wait_for(scene(eager, start), 10)
        await eager.stop(1)
        assert len(asyncio.all_tasks()) == 1
        if errors:
            raise errors[0]

    asyncio.run(run())


def test_work_that_waits_for_nothing_ends_within_the_turn_and_makes_no_task() -> None:
    async def scene(eager: Eager, start: Any) -> None:
        tasks, done = asyncio.all_tasks(), []

        async def work(number: int) -> None:
            done.append(number)

        start(work(1))
        start(work(2))
        await asyncio.sleep(0)
        assert done == [1, 2]
        assert asyncio.all_tasks() == tasks

    play(scene)


def test_work_that_waits_lets_others_go_first_and_is_one_task_throughout() -> None:
    async def scene(eager: Eager, start: Any) -> None:
        gate, told, tasks, end = asyncio.Event(), [], set(), asyncio.Event()

        async def slow() -> None:
            tasks.add(asyncio.current_task())
            await gate.wait()
            tasks.add(asyncio.current_task())
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)
            tasks.add(asyncio.current_task())
            told.append("slow")
            end.set()

        async def quick() -> None:
            tasks.add(asyncio.current_task())
            told.append("quick")

        start(slow())
        start(quick())
        await asyncio.sleep(0)
        assert told == ["quick"]
        gate.set()
        await end.wait()
        assert told == ["quick", "slow"]
        # the quick one ran as the next spare, so the slow one's steps are all of one task
        assert len(tasks) == 2

    play(scene)


def test_many_may_wait_at_once() -> None:
    async def scene(eager: Eager, start: Any) -> None:
        gate, done = asyncio.Event(), []

        async def work(number: int) -> None:
            await gate.wait()
            done.append(number)

        for number in range(500):
            start(work(number))
        await asyncio.sleep(0)
        gate.set()
        while len(done) < 500:
            await asyncio.sleep(0)
        assert done == list(range(500))

    play(scene)


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_a_timeout_in_the_first_step_cancels_that_work_only(seconds: float) -> None:
    async def scene(eager: Eager, start: Any) -> None:
        told: asyncio.Queue[str] = asyncio.Queue()
        gate = asyncio.Event()

        async def late() -> None:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(seconds, task.cancel)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.put_nowait("cancelled")
            await asyncio.sleep(0)
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.001)
            except asyncio.TimeoutError:
                told.put_nowait("late")

        async def other() -> None:
            await gate.wait()
            told.put_nowait("other")

        start(late())
        start(other())
        assert [await told.get() for _ in range(2)] == ["cancelled", "late"]
        gate.set()
        assert await told.get() == "other"

    play(scene)


def test_cancelled_before_its_task_could_take_it() -> None:
    async def scene(eager: Eager, start: Any) -> None:
        told = []
        await asyncio.sleep(0)  # the spare waits

        async def work() -> None:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(told.append, "after")
            try:
                gate = asyncio.get_running_loop().create_future()
                # runs before the task hears that it was given this work
                asyncio.get_running_loop().call_soon(task.cancel)
                await gate
            except asyncio.CancelledError:
                told.append("cancelled")

        start(work())
        while len(told) < 2:
            await asyncio.sleep(0)
        assert told == ["after", "cancelled"]

    play(scene)


def test_an_error_in_the_first_step_comes_out() -> None:
    async def scene(eager: Eager, start: Any) -> None:
        async def work() -> None:
            raise ValueError("first step")

        start(work())
        await asyncio.sleep(0)

    with pytest.raises(ValueError, match="first step"):
        play(scene)


def test_stopping_cancels_what_waits() -> None:
    async def scene(eager: Eager, start: Any) -> None:
        told = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                told.append("ended")

        start(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await eager.stop(1)
        assert told == ["ended"]

    play(scene)
