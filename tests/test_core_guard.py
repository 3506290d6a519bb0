"""The process that ends what a dead core leaves behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from ggml_magic.core import guard

SOON = 20.0
MOST_KILOBYTES = 16_000

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
