from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from ggml_magic.errors import GrammarError
from ggml_magic.runtimes.limits import MEBIBYTE, Limits

AVAILABLE = len(os.sched_getaffinity(0))
# what a process sees of its limits
LOOK = """
import os, resource
print(len(os.sched_getaffinity(0)), *resource.getrlimit(resource.RLIMIT_AS))
"""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"cpus": 0}, "cannot have 0 cpus.*above 0"),
        ({"cpus": -1}, "cannot have -1 cpus"),
        ({"cpus": 1.5}, "cannot have 1.5 cpus"),
        ({"cpus": True}, "cannot have True cpus"),
        ({"cpus": "2"}, "cannot have 2 cpus"),
        ({"cpus": AVAILABLE + 1}, f"this machine gives {AVAILABLE}\nNext: --cpus {AVAILABLE}"),
        ({"memory_bytes": 0}, "cannot have 0 bytes of memory"),
        ({"memory_bytes": -5}, "cannot have -5 bytes of memory.*\nNext: --memory 512MB"),
        ({"memory_bytes": 1e9}, "whole number"),
        ({"seconds": 0}, "cannot have 0 seconds"),
        ({"seconds": math.nan}, "cannot have nan seconds"),
        ({"seconds": math.inf}, "cannot have inf seconds"),
    ],
)
def test_what_no_process_can_have_is_refused(given: dict[str, float], why: str) -> None:
    with pytest.raises(GrammarError, match=why):
        Limits(**given)  # type: ignore[arg-type]


def test_without_limits_the_command_is_itself() -> None:
    assert Limits().command(["/bin/true"]) == ["/bin/true"]


def seen(limits: Limits) -> list[str]:
    command = limits.command([sys.executable, "-I", "-c", LOOK])
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_command_and_it_alone_is_limited() -> None:
    before = seen(Limits())
    cpus, soft, hard = seen(Limits(cpus=1, memory_bytes=512 * MEBIBYTE))
    assert (cpus, soft, hard) == ("1", str(512 * MEBIBYTE), before[2])
    assert seen(Limits(cpus=1))[1:] == before[1:]
    assert seen(Limits(memory_bytes=512 * MEBIBYTE))[0] == before[0]
    assert seen(Limits()) == before


def test_a_command_that_is_not_there_is_one_line() -> None:
    command = Limits(cpus=1).command(["/nowhere/python"])
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "/nowhere/python: No such file or directory\n"
