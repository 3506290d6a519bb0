"""Scripts, and ending them with all that they started."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ggml_magic.core import processes
from ggml_magic.core.processes import Lines, Process
from ggml_magic.core.pulse import Pulse

SOON = 20.0


def test_lines_are_handed_on_whole_and_bounded() -> None:
    async def play() -> list[str]:
        taken: list[str] = []
        reading, writing = os.pipe()
        lines = Lines(reading, taken.append)
        for piece in (
            b"one\ntw",
            b"o\r\n\n",
            b"\xff",
            b"x" * (processes.LONGEST_LINE + 1),
            b"last",
        ):
            os.write(writing, piece)
            assert lines.read()
        assert not lines.read()
        os.close(writing)
        assert lines.read()
        assert not lines.read()
        return taken

    taken = asyncio.run(play())
    assert taken[:3] == ["one", "two", ""]
    assert taken[3].startswith("\ufffdx")
    assert taken[4:] == ["last"]


@pytest.mark.real
def test_a_flood_is_heard_whole_and_leaves_time_for_others(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        count, turns = 20_000, 0
        process = at.run(f"seq {count}")
        while len(at.out) < count:
            await asyncio.sleep(0.005)
            turns += 1
        await at.until(lambda: process.code is not None)
        assert at.out == [str(number) for number in range(1, count + 1)]
        assert turns >= count / processes.LINES_AT_ONCE / 2

    play(tmp_path, scene)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pulse = Pulse()
        self.out: list[str] = []
        self.err: list[str] = []
        self.mark = f"MARK={os.getpid()}-{time.monotonic_ns()}"

    def run(self, script: str) -> Process:
        name, _, value = self.mark.partition("=")
        environment = {"PATH": os.environ["PATH"], name: value}

        def out(line: str) -> None:
            self.out.append(line)
            self.pulse.beat()

        return processes.run(
            script, self.folder, environment, self.pulse.beat, out, self.err.append
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        assert await self.pulse.until(condition, SOON)


def play(tmp_path: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    made = Scene(tmp_path)

    async def run() -> None:
        try:
            await scene(made)
        finally:
            processes.kill(set(), made.mark)

    asyncio.run(run())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


@pytest.mark.real
def test_a_script_runs_in_its_folder_and_its_last_words_are_heard(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run("pwd; echo to err >&2; printf unfinished >&2; exit 3")
        await at.until(lambda: process.code is not None)
        assert process.code == 3
        assert (at.out, at.err) == ([str(tmp_path)], ["to err", "unfinished"])

    play(tmp_path, scene)


@pytest.mark.real
def test_a_killed_script_tells_its_signal(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run("kill -9 $$")
        await at.until(lambda: process.code is not None)
        assert process.code == -9

    play(tmp_path, scene)


@pytest.mark.real
def test_children_in_the_background_do_not_hide_the_scripts_end(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run("sleep 600 & echo $!")
        await at.until(lambda: process.code is not None and bool(at.out))
        child = int(at.out[0])
        assert alive(child)
        await processes.end({process.pid}, at.mark, SOON)
        assert not alive(child)

    play(tmp_path, scene)


STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"
ESCAPED = (
    "import os, time\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "print(os.getpid(), flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.mark.real
def test_one_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run(f'exec {sys.executable} -c "{STUBBORN}; time.sleep(600)"')
        await at.until(lambda: bool(at.out))
        await processes.end({process.pid}, at.mark, 0.1)
        await at.until(lambda: process.code is not None)
        assert process.code == -9

    play(tmp_path, scene)


@pytest.mark.real
def test_one_that_left_its_session_is_found_by_its_mark(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        (tmp_path / "escape.py").write_text(ESCAPED)
        process = at.run(f"exec {sys.executable} escape.py")
        await at.until(lambda: process.code is not None and bool(at.out))
        escaped = int(at.out[0])
        assert alive(escaped)
        await processes.end({process.pid}, at.mark, SOON)
        assert not alive(escaped)

    play(tmp_path, scene)


@pytest.mark.real
def test_one_without_a_mark_is_found_by_its_session(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run("env -i sleep 600 & echo $!; wait")
        await at.until(lambda: bool(at.out))
        await processes.end({process.pid}, "MARK=nobody", SOON)
        assert not alive(int(at.out[0]))

    play(tmp_path, scene)


def test_nobody_else_belongs(tmp_path: Path) -> None:
    assert not processes.belongs(os.getpid(), {os.getsid(0)}, "PATH=x")
    assert not processes.belongs(1, set(), "MARK=nobody")
    assert not processes.belongs(2**22 + 1, set(), "MARK=nobody")
