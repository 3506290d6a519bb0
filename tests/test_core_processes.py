"""Scripts, and ending them with all that they started."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ggml_magic.core import guard, processes
from ggml_magic.core.processes import Lines, Mark, Process, Script
from ggml_magic.core.pulse import Pulse

SOON = 20.0
# A round through the loop while two pipes are flooded; some milliseconds on an idle machine.
FLOODED_SECONDS = 0.1


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
        self.run_id = secrets.token_hex(8)
        self.mark = processes.life_mark(self.run_id, 1)
        self.started: list[Process] = []

    def run(self, script: str) -> Process:
        environment = {"PATH": os.environ["PATH"]}

        def out(line: str) -> None:
            self.out.append(line)
            self.pulse.beat()

        process = processes.run(
            Script(script, self.folder, environment, self.mark),
            self.pulse.beat, out, self.err.append,
        )  # fmt: skip
        self.started.append(process)
        return process

    async def until(self, condition: Callable[[], bool]) -> None:
        assert await self.pulse.until(condition, SOON)


def play(tmp_path: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    made = Scene(tmp_path)

    async def run() -> None:
        try:
            await scene(made)
        finally:
            processes.kill({each.pid for each in made.started}, made.mark)
            await made.until(lambda: all(each.code is not None for each in made.started))

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
@pytest.mark.parametrize("way", ["exec", "exec env -i"], ids=["session", "session and environment"])
def test_one_that_left_all_that_it_can_leave_is_found(tmp_path: Path, way: str) -> None:
    async def scene(at: Scene) -> None:
        (tmp_path / "escape.py").write_text(ESCAPED)
        process = at.run(f"{way} {sys.executable} escape.py")
        await at.until(lambda: process.code is not None and bool(at.out))
        escaped = int(at.out[0])
        assert alive(escaped)
        await processes.end({process.pid}, at.mark, SOON)
        assert not alive(escaped)

    play(tmp_path, scene)


@pytest.mark.real
@pytest.mark.parametrize(
    "mark", [Mark("MARK=nobody"), None], ids=["its session", "its environment"]
)
def test_each_sign_is_enough(tmp_path: Path, mark: Mark | None) -> None:
    async def scene(at: Scene) -> None:
        process = at.run("env -i sleep 600 & echo $!; wait" if mark else "echo $$; exec sleep 600")
        await at.until(lambda: bool(at.out))
        sessions = {process.pid} if mark else set()
        await processes.end(sessions, mark or Mark(at.mark.variable), SOON)
        assert not alive(int(at.out[0]))

    play(tmp_path, scene)


@pytest.mark.real
def test_two_lives_of_a_run_are_told_apart_and_both_are_the_runs(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        first = at.run("exec env -i sleep 600")
        at.mark = processes.life_mark(at.run_id, 2)
        second = at.run("exec env -i sleep 600")
        await processes.end(set(), processes.life_mark(at.run_id, 1), SOON)
        await at.until(lambda: first.code is not None)
        assert alive(second.pid)
        await processes.end(set(), processes.run_mark(secrets.token_hex(8)), SOON)
        assert alive(second.pid)
        await processes.end(set(), processes.run_mark(at.run_id), SOON)
        await at.until(lambda: second.code is not None)

    play(tmp_path, scene)


@pytest.mark.real
def test_the_core_itself_carries_no_number(tmp_path: Path) -> None:
    before = resource.getrlimit(guard.NUMBERED)

    async def scene(at: Scene) -> None:
        process = at.run("exec sleep 600")
        assert resource.prlimit(process.pid, guard.NUMBERED)[0] == at.mark.first
        assert resource.getrlimit(guard.NUMBERED) == before
        with pytest.raises(ValueError, match="null byte"):
            at.run("\0")
        assert resource.getrlimit(guard.NUMBERED) == before

    play(tmp_path, scene)


BOMB = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "children = 0\n"
    "while True:\n"
    "    while children < 100:\n"
    "        if os.fork() == 0:\n"
    "            os.setsid()\n"
    "            time.sleep(600)\n"
    "        children += 1\n"
    "        if children == 100: print('all', flush=True)\n"
    "    os.wait()\n"
    "    children -= 1\n"
)


@pytest.mark.real
def test_a_hundred_children_that_are_replaced_when_they_die_all_end(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        (tmp_path / "bomb.py").write_text(BOMB)
        process = at.run(f"exec {sys.executable} bomb.py")
        await at.until(lambda: bool(at.out))
        await processes.end({process.pid}, at.mark, 0.05)
        assert list(belonging(at.mark)) == []

    play(tmp_path, scene)


def belonging(mark: Mark) -> Iterator[int]:
    for path in processes.PROC.iterdir():
        found = processes.look(int(path.name)) if path.name.isdigit() else None
        if found and processes.belongs(found, set(), mark):
            yield found.pid


def descriptors() -> int:
    return sum(1 for _ in (processes.PROC / "self" / "fd").iterdir())


@pytest.mark.real
def test_pipes_that_an_orphan_holds_neither_hide_the_end_nor_stay_open(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        opened = descriptors()
        process = at.run("(trap '' TERM; while :; do echo more; sleep 0.01; done) & echo first")
        await at.until(lambda: process.code == 0 and len(at.out) > 3)
        await processes.end({process.pid}, at.mark, 0.05)
        while descriptors() > opened:
            await asyncio.sleep(0)

    play(tmp_path, scene)


@pytest.mark.real
def test_one_that_closes_its_pipes_goes_on(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run("echo bye; exec >&- 2>&-; exec sleep 600")
        await at.until(lambda: at.out == ["bye"])
        assert process.code is None
        assert alive(process.pid)

    play(tmp_path, scene)


FLOOD = "cat /dev/urandom & cat /dev/zero & yes >&2 & yes '' >&2 & wait"


@pytest.mark.real
def test_under_a_flood_of_rubbish_others_are_still_served(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run(FLOOD)
        await at.until(lambda: len(at.out) > 50 and len(at.err) > 5_000)
        loop, near, far = asyncio.get_running_loop(), *socket.socketpair()
        near.setblocking(False)
        waited = []
        for _ in range(100):
            begun = loop.time()
            far.send(b"x")
            await loop.sock_recv(near, 1)
            waited.append(loop.time() - begun)
        near.close()
        far.close()
        assert sorted(waited)[50] < FLOODED_SECONDS
        assert all(
            len(line) <= 2 * processes.LONGEST_LINE + processes.PIPE_BYTES for line in at.out
        )
        assert process.code is None

    play(tmp_path, scene)


def test_what_waits_of_a_flood_is_bounded() -> None:
    async def scene() -> None:
        taken: list[str] = []
        reading, writing = os.pipe()
        lines = Lines(reading, taken.append)
        os.set_blocking(writing, False)
        count = 0
        while len(taken) < 100 * processes.LINES_AT_ONCE:
            try:
                count += os.write(writing, b"\n" * processes.PIPE_BYTES)
            except BlockingIOError:
                # what was not read yet lies in the pipe, and holds up the one who writes
                assert count - len(taken) <= 3 * processes.PIPE_BYTES
                await asyncio.sleep(0)
        os.close(writing)
        while lines.read():
            pass

    asyncio.run(scene())


@pytest.mark.real
def test_the_last_words_are_known_before_they_are_handed_on(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        process = at.run("seq 2000 >&2; echo 'the cause ' >&2; echo >&2; exit 1")
        await at.until(lambda: process.code is not None)
        assert process.complaint == "the cause"
        quiet = at.run("true")
        await at.until(lambda: quiet.code is not None)
        assert quiet.complaint == ""

    play(tmp_path, scene)


def test_nobody_else_belongs(tmp_path: Path) -> None:
    assert processes.look(os.getpid()) is None
    assert processes.look(2**22 + 1) is None
    first = processes.look(1)
    assert first is not None
    assert not processes.belongs(first, set(), Mark("MARK=nobody"))
    assert not processes.belongs(first, set(), processes.run_mark("no hexadecimal"))
