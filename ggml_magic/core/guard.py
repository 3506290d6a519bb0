"""Ends what a core leaves behind when it dies in any way.

Runs as a process of its own, started by the core as ``python -I -S guard.py``: imports nothing
that costs memory. Its stdin ends when the core does. Then every process whose environment holds
the text given as argument is killed, until there is none.
"""

import os
import sys

SIGKILL = 9
# A process that forks faster than it is killed is hunted down this many times.
ROUNDS = 100


def carrying(mark: bytes) -> list[int]:
    """Process ids whose environment holds the text ``NAME=value``."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208  # pathlib costs memory
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123  # as above
                if mark in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue
    return found


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
