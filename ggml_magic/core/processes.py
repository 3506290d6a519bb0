"""Scripts as processes, and ending them with everything that they started.

A script leads a session of its own and carries a mark in its environment; what it starts stays in
that session or, when it leaves it, still carries the mark. Both are looked up in ``/proc`` and
signalled through process file descriptors, so that a process id used again is never hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ggml_magic.core.pulse import Pulse

PROC = Path("/proc")
# A line that never ends is cut here, so that a component cannot fill the core's memory.
LONGEST_LINE = 16 * 1024
# What a pipe holds on Linux, and how often a script's pipe is emptied once it has ended.
PIPE_BYTES = 64 * 1024
LAST_READS = 3
# A component that writes faster than this is slowed down: some milliseconds of work, then a pause
# in seconds.
LINES_AT_ONCE = 1000
FLOOD_PAUSE = 0.01
# The fields of /proc/N/stat after the command, which may hold anything, begin at the third.
STATE_FIELD, SESSION_FIELD = 0, 3
# Processes that start others while they are killed are hunted down this many times.
ROUNDS = 5
SHELL = ("sh", "-c")


class Lines:
    """Hands on each line of a pipe; a flood only as fast as leaves time for others."""

    def __init__(self, descriptor: int, take: Callable[[str], None]) -> None:
        self._descriptor: int | None = descriptor
        self._take = take
        self._rest = b""
        self._waiting: deque[bytes] = deque()
        os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self.read)

    def read(self) -> bool:
        """Take what is in the pipe now; false when nothing is."""
        if self._descriptor is None:
            return False
        try:
            data = os.read(self._descriptor, PIPE_BYTES)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._waiting.extend(lines)
        if self._rest and (not data or len(self._rest) > LONGEST_LINE):
            self._waiting.append(self._rest)
            self._rest = b""
        if not data:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        self._hand_on()
        return True

    def _hand_on(self) -> None:
        for _ in range(min(LINES_AT_ONCE, len(self._waiting))):
            self._take(self._waiting.popleft().decode(errors="replace").rstrip("\r"))
        if self._waiting:
            self._loop.call_later(FLOOD_PAUSE, self._hand_on)
        if self._descriptor is not None:
            if self._waiting:
                self._loop.remove_reader(self._descriptor)
            else:
                self._loop.add_reader(self._descriptor, self.read)


class Process:
    """One running script. ``code`` is its exit code, negative for a signal, ``None`` meanwhile."""

    def __init__(
        self, popen: subprocess.Popen[bytes], ended: Callable[[], None], pipes: tuple[Lines, ...]
    ) -> None:
        self.pid = popen.pid
        self.code: int | None = None
        self._popen = popen
        self._ended = ended
        self._pipes = pipes
        self._descriptor = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        # its last words first; others may hold the pipes and go on writing, so not for ever
        for pipe in self._pipes:
            for _ in range(LAST_READS):
                if not pipe.read():
                    break
        self.code = self._popen.wait()
        self._ended()


def run(
    script: str,
    folder: Path,
    environment: Mapping[str, str],
    ended: Callable[[], None],
    out: Callable[[str], None],
    err: Callable[[str], None],
) -> Process:
    """Start a script in a shell; ``ended`` is called when its process has ended."""
    pipes = (os.pipe(), os.pipe())
    try:
        popen = subprocess.Popen(
            [*SHELL, script],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=pipes[0][1],
            stderr=pipes[1][1],
            start_new_session=True,
        )
    except BaseException:
        for reading, _ in pipes:
            os.close(reading)
        raise
    finally:
        for _, writing in pipes:
            os.close(writing)
    return Process(popen, ended, (Lines(pipes[0][0], out), Lines(pipes[1][0], err)))


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
            await _all_ended(descriptors, grace)


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


async def _all_ended(descriptors: list[int], within: float) -> None:
    """Wait until these processes have ended, at most so many seconds."""
    loop, pulse, alive = asyncio.get_running_loop(), Pulse(), set(descriptors)

    def ended(descriptor: int) -> None:
        loop.remove_reader(descriptor)
        alive.discard(descriptor)
        pulse.beat()

    for descriptor in descriptors:
        loop.add_reader(descriptor, ended, descriptor)
    try:
        await pulse.until(lambda: not alive, within)
    finally:
        for descriptor in alive:
            loop.remove_reader(descriptor)
