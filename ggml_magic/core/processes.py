"""Scripts as processes, and ending them with everything that they started.

A script leads a session of its own and carries a mark in its environment; what it starts stays in
that session or, when it leaves it, still carries the mark. Both are looked up in ``/proc`` and
signalled through process file descriptors, so that a process id used again is never hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

PROC = Path("/proc")
# A line that never ends is cut here, so that a component cannot fill the core's memory.
LONGEST_LINE = 16 * 1024
# The fields of /proc/N/stat after the command, which may hold anything, begin at the third.
STATE_FIELD, SESSION_FIELD = 0, 3
# Processes that start others while they are killed are hunted down this many times.
ROUNDS = 5
SHELL = ("sh", "-c")


class Lines(asyncio.Protocol):
    """Hands on each line that a pipe brings."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Hand on the lines that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hand(line)
        if len(self._rest) > LONGEST_LINE:
            self._hand(self._rest)
            self._rest = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on a last line without an end."""
        if self._rest:
            self._hand(self._rest)
            self._rest = b""

    def _hand(self, line: bytes) -> None:
        self._take(line.decode(errors="replace").rstrip("\r"))


class Process:
    """One running script. ``code`` is its exit code, negative for a signal, ``None`` meanwhile."""

    def __init__(self, popen: subprocess.Popen[bytes], ended: Callable[[], None]) -> None:
        self.pid = popen.pid
        self.code: int | None = None
        self._popen = popen
        self._ended = ended
        self._descriptor = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    async def listen(self, out: Callable[[str], None], err: Callable[[str], None]) -> None:
        """Hand on the lines of stdout and stderr."""
        loop = asyncio.get_running_loop()
        for pipe, take in ((self._popen.stdout, out), (self._popen.stderr, err)):
            assert pipe is not None  # noqa: S101  # both are pipes, see run()
            await loop.connect_read_pipe(partial(Lines, take), pipe)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.code = self._popen.wait()
        # what it wrote last is in the pipes: read it before its end is told
        asyncio.get_running_loop().call_soon(self._ended)


async def run(
    script: str, folder: Path, environment: Mapping[str, str], ended: Callable[[], None],
    out: Callable[[str], None], err: Callable[[str], None],
) -> Process:  # fmt: skip
    """Start a script in a shell; ``ended`` is called when its process has ended."""
    popen = subprocess.Popen(
        [*SHELL, script], cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    process = Process(popen, ended)
    await process.listen(out, err)
    return process


async def end(sessions: set[int], mark: str, grace: float) -> None:
    """End every process of these sessions or with this mark: SIGTERM, and later SIGKILL.

    ``grace`` is how many seconds they have to end by themselves.
    """
    kinds = (signal.SIGTERM, *(signal.SIGKILL,) * ROUNDS)
    for kind in kinds:
        with contextlib.ExitStack() as opened:
            descriptors = [
                opened.enter_context(_closing(descriptor))
                for descriptor in _signalled(sessions, mark, kind)
            ]
            if not descriptors:
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_all_ended(descriptors), grace)


def kill(sessions: set[int], mark: str) -> None:
    """SIGKILL every process of these sessions or with this mark, waiting for none."""
    for descriptor in _signalled(sessions, mark, signal.SIGKILL):
        os.close(descriptor)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _signalled(sessions: set[int], mark: str, kind: signal.Signals) -> list[int]:
    """Signal all that belong together; returns their open process descriptors."""
    descriptors = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            # looked at after it was opened: the descriptor and the answer mean one process
            if belongs(pid, sessions, mark):
                descriptors.append(descriptor)
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, kind)
            else:
                os.close(descriptor)
    return descriptors


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208


def belongs(pid: int, sessions: set[int], mark: str) -> bool:
    """Whether a process is of one of the sessions, or carries the mark in its environment."""
    if pid == os.getpid():
        return False
    try:
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        if fields[STATE_FIELD] in (b"Z", b"X"):
            return False
        if int(fields[SESSION_FIELD]) in sessions:
            return True
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (OSError, IndexError, ValueError):
        return False
    return mark.encode() in variables


async def _all_ended(descriptors: list[int]) -> None:
    loop = asyncio.get_running_loop()
    for descriptor in descriptors:
        if select.select([descriptor], [], [], 0)[0]:
            continue
        gone = asyncio.Event()
        loop.add_reader(descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(descriptor)
