"""Ends what a core leaves behind when it dies in any way; and how its processes are known.

Runs as a process of its own, started by the core as ``python -I -S guard.py``: imports nothing
that costs memory. Its stdin ends when the core does. Then every process that belongs to the run
given as argument, ``NAME=value``, is killed, until there is none.

Two marks are inherited by all that a component starts: a variable of its environment, and a
number as soft limit of the time that a real-time process may take without a pause. That limit is
decades, so it limits nothing; no program of ordinary life clears it, where ``env -i`` clears the
variable. Its upper bits are the run's, its lower ones say which life of which component. Who sets
out to escape can: a core is no sandbox for hostile code.
"""

import os
import resource
import sys

SIGKILL = 9
# A process that forks faster than it is killed is hunted down this many times.
ROUNDS = 100
NUMBERED = resource.RLIMIT_RTTIME
NUMBERED_IN_WORDS = b"Max realtime timeout"
# 2**62 microseconds; 40 bits for the run, 22 for a life.
BASE = 1 << 62
RUN_DIGITS = 10
LIFE_BITS = 22


def number_of(run: str, life: int = 0) -> int:
    """What a process of this run and life has as its limit; 0 when the run is no hexadecimal."""
    try:
        return BASE | int(run[:RUN_DIGITS], 16) << LIFE_BITS | life % (1 << LIFE_BITS)
    except ValueError:
        return 0


def numbered(pid: int, first: int, last: int) -> bool:
    """Whether a process's number lies between these two."""
    try:
        return first > 0 and first <= _number(pid) <= last
    except (OSError, ValueError):
        return False


def _number(pid: int) -> int:
    try:
        return resource.prlimit(pid, NUMBERED)[0]
    except PermissionError:  # of another user; anyone may read it in words
        _, _, rest = _read(str(pid), "limits").partition(NUMBERED_IN_WORDS)
        return int(rest.split()[0])


def carrying(mark: bytes) -> list[int]:
    """Process ids whose environment holds the text ``NAME=value``, or that have its number."""
    first = number_of(mark.decode().partition("=")[2])
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208  # pathlib costs memory
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            if numbered(int(name), first, first | (1 << LIFE_BITS) - 1):
                # one that has ended keeps its number until it is reaped
                if _read(name, "stat").rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                    found.append(int(name))
            elif mark in _read(name, "environ").split(b"\0"):
                found.append(int(name))
        except OSError:
            continue
    return found


def _read(pid: str, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123  # pathlib costs memory
        return file.read()


def main(mark: bytes) -> None:
    """Wait for the core's end, then kill."""
    while os.read(0, 1):
        pass
    for _ in range(ROUNDS):
        pids = carrying(mark)
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, SIGKILL)
            except OSError:
                continue


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]))
