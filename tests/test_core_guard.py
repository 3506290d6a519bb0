"""The process that ends what a dead core leaves behind."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ggml_magic.core import client, guard, processes
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Component, Contents, Inventory

SOON = 20.0
MOST_KILOBYTES = 16_000
NAME = "com.example.Escapes"

pytestmark = pytest.mark.real


def test_when_the_core_is_gone_all_that_carry_its_mark_are_killed() -> None:
    mark = f"GGML_CORE_RUN=test-{os.getpid()}"
    name, _, value = mark.partition("=")
    command = [sys.executable, "-I", "-S", guard.__file__, mark]
    children = [
        subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
        for environment in ({name: value}, {name: value, "MORE": "1"}, {name: f"{value}0"})
    ]
    try:
        watchman = subprocess.Popen(command, stdin=subprocess.PIPE, env={})
        assert watchman.stdin is not None
        assert guard.carrying(mark.encode()) == [child.pid for child in children[:2]]
        assert not select.select([os.pidfd_open(children[0].pid)], [], [], 0.1)[0]
        watchman.stdin.close()
        assert watchman.wait(SOON) == 0
        assert [child.wait(SOON) for child in children[:2]] == [-9, -9]
        assert children[2].poll() is None
    finally:
        for child in children:
            child.kill()
            child.wait()


@pytest.mark.parametrize("user", [None, "nobody"], ids=["own user", "another user"])
def test_what_dropped_session_and_environment_is_killed_by_its_number(user: str | None) -> None:
    if user and os.geteuid() != 0:
        pytest.skip("needs root")
    run = secrets.token_hex(8)
    soft, hard = resource.getrlimit(guard.NUMBERED)
    started = []
    for number in (guard.number_of(run, 1), guard.number_of(run, 2), guard.BASE | 1):
        resource.setrlimit(guard.NUMBERED, (number, hard))
        try:
            command = ["setsid", "env", "-i", "sleep", "600"]
            started.append(subprocess.Popen(command, user=user, cwd="/"))
        finally:
            resource.setrlimit(guard.NUMBERED, (soft, hard))
    try:
        command = [sys.executable, "-I", "-S", guard.__file__, f"GGML_CORE_RUN={run}"]
        watchman = subprocess.Popen(command, stdin=subprocess.PIPE, env={})
        watchman.communicate(timeout=SOON)
        assert watchman.returncode == 0
        assert [child.wait(SOON) for child in started[:2]] == [-9, -9]
        assert started[2].poll() is None
    finally:
        for child in started:
            child.kill()
            child.wait()


def test_a_run_that_is_no_hexadecimal_has_no_number() -> None:
    assert guard.number_of("tests") == 0
    assert not guard.numbered(os.getpid(), 0, 1 << 63)
    low = guard.number_of("f" * 16)
    assert guard.number_of("f" * 10, 1) == low + 1 == low | 1
    # what setrlimit takes, and far from what a program would ever set
    assert guard.BASE <= low < 1 << 63


def test_a_guard_costs_little_memory() -> None:
    command = [sys.executable, "-I", "-S", guard.__file__, "A=b"]
    watchman = subprocess.Popen(command, stdin=subprocess.PIPE, env={})
    assert watchman.stdin is not None
    try:
        # what is written is read only once it has imported all it needs
        watchman.stdin.write(b"x" * 4 * select.PIPE_BUF)
        watchman.stdin.flush()
        status = Path(f"/proc/{watchman.pid}/status").read_text()
    finally:
        watchman.stdin.close()
        watchman.wait(SOON)
    assert int(status.split("VmRSS:")[1].split()[0]) < MOST_KILOBYTES


ESCAPES = """
import os, time
if os.fork():
    time.sleep(600)
os.setsid()
if os.fork():
    os._exit(0)
command = "echo $$ > escaped; trap '' TERM; while :; do sleep 1; done"
os.execve("/bin/sh", ["sh", "-c", command], {})
"""


@pytest.fixture(name="root")
def root_whose_component_escapes(tmp_path: Path) -> Iterator[Path]:
    """A core's root that holds a component without a cloud that would have deployed it."""
    root = tmp_path / "cores" / "pi"
    layout = Layout(root)
    layout.make()
    layout.work(NAME).mkdir(mode=0o700)
    (layout.work(NAME) / "escapes.py").write_text(ESCAPES)
    run = f"echo $$ > main; exec {sys.executable} escapes.py"
    component = Component("1.0.0", {"Run": run}, (), Tree())
    Inventory(layout.state_file).replace(Contents({}, {NAME: component}))
    yield root
    client.stop(root)


def started(root: Path) -> tuple[int, list[int]]:
    """A core's process and those of its component, the one that escaped too."""
    device = client.start(root, "pi", root.parent.parent / "sandbox" / "endpoint.json", 5)
    files = [Layout(root).work(NAME) / name for name in ("main", "escaped")]
    until(lambda: all(file.exists() and file.read_text() for file in files))
    return device.pid, [int(file.read_text()) for file in files]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    found = processes.look(pid)
    return found is not None


def guards_of(core: int) -> list[int]:
    folder, found = Path(f"/proc/{core}/task/{core}/children"), []
    for pid in folder.read_text().split():
        with contextlib.suppress(FileNotFoundError):  # it is reaped meanwhile
            if guard.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def test_nothing_outlives_a_core_that_is_killed(root: Path) -> None:
    core, pids = started(root)
    assert all(map(alive, pids))
    os.kill(core, signal.SIGKILL)
    until(lambda: not any(map(alive, pids)))


def test_a_killed_guard_is_replaced_so_that_nothing_outlives_its_core(root: Path) -> None:
    core, pids = started(root)
    first = guards_of(core)
    assert len(first) == 1
    os.kill(first[0], signal.SIGKILL)
    until(lambda: guards_of(core) not in ([], first))
    (second,) = guards_of(core)
    until(lambda: f"process {second} guards now" in (root / "core.log").read_text())
    assert all(map(alive, pids))
    os.kill(core, signal.SIGKILL)
    until(lambda: not any(map(alive, pids)))
    until(lambda: not alive(second))


def test_what_a_core_left_that_was_killed_with_its_guard_ends_at_the_next_start(root: Path) -> None:
    core, pids = started(root)
    (watchman,) = guards_of(core)
    for pid in (watchman, core):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(core))
    assert all(map(alive, pids))
    for name in ("main", "escaped"):
        (Layout(root).work(NAME) / name).unlink()
    _, new = started(root)
    assert not any(map(alive, pids))
    assert all(map(alive, new))
    client.stop(root)
    assert not any(map(alive, new))


def test_what_escaped_ends_with_an_orderly_end(root: Path) -> None:
    _, pids = started(root)
    client.stop(root)
    assert not any(map(alive, pids))
