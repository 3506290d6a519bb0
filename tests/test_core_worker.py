"""Work that is done when asked for, and again while nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ggml_magic.core import worker
from ggml_magic.core.logs import Log, last_lines
from ggml_magic.core.worker import Worker
from ggml_magic.errors import CloudError, UnreachableError


def play(tmp_path: Path, answers: list[Exception | None], wakes: int = 1) -> int:
    """Run a worker until it has worked off the answers; returns how often it worked."""
    done = 0

    async def run() -> None:
        finished = asyncio.Event()

        async def work() -> None:
            nonlocal done
            done += 1
            if done == len(answers):
                finished.set()
            error = answers[done - 1]
            if error:
                raise error

        log = Log(tmp_path / "w.log")
        worked = Worker("w", work, log)
        task = asyncio.create_task(worked.run())
        for _ in range(wakes):
            worked.wake()
        await asyncio.wait_for(finished.wait(), 10)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        log.close()

    asyncio.run(run())
    return done


def test_many_wakes_are_one_piece_of_work(tmp_path: Path) -> None:
    assert play(tmp_path, [None], wakes=5) == 1


def test_silence_is_waited_out_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep: Callable[[float], object] = asyncio.sleep

    async def quick(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        await sleep(0)  # type: ignore[misc]

    monkeypatch.setattr(worker.asyncio, "sleep", quick)
    away = UnreachableError("away")
    assert play(tmp_path, [*[away] * 8, None]) == 9
    assert pauses[0] == worker.FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == worker.LONGEST_PAUSE


@pytest.mark.parametrize("error", [CloudError("refused"), OSError("disk"), KeyError("ours")])
def test_a_failure_is_logged_and_the_worker_lives(tmp_path: Path, error: Exception) -> None:
    async def run() -> int:
        done = 0

        async def work() -> None:
            nonlocal done
            done += 1
            raise error

        log = Log(tmp_path / "w.log")
        worked = Worker("w", work, log)
        task = asyncio.create_task(worked.run())
        for _ in range(2):
            worked.wake()
            await worked.flush()
        task.cancel()
        await asyncio.wait([task])
        log.close()
        return done

    assert asyncio.run(run()) == 2
    assert any(str(error) in line for line in last_lines(tmp_path / "w.log", 50))


def test_flushing_what_was_not_asked_for_does_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        raise AssertionError

    async def run() -> None:
        await Worker("w", work, Log(tmp_path / "w.log")).flush()

    asyncio.run(run())
