"""Scripts as processes, and ending them with everything that they started.

A script leads a session of its own and carries two marks that its children inherit: a variable
of its environment and a number among its resource limits (``guard``). What left the session, or
emptied its environment, or did both, is still known by the other. All are looked up in ``/proc``
and signalled through process file descriptors, so that a process id used again is never hit.

What is left: a program that sets out to escape, by clearing all three or by forking and ending so
fast that no look into ``/proc`` meets it; one that another daemon starts when a component asks for
it (cron, docker); and one that by setuid is another user's than a core's which is not root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.core import guard
from ggml_magic.core.environment import LIFE, RUN
from ggml_magic.core.pulse import Pulse
from ggml_magic.core.users import Account

PROC = Path("/proc")
# A line that never ends is cut here, so that a component cannot fill the core's memory.
LONGEST_LINE = 16 * 1024
# What a pipe holds on Linux, and how often a script's pipe is emptied once it has ended.
PIPE_BYTES = 64 * 1024
LAST_READS = 3
# A component that writes faster than this is slowed down: a few milliseconds of work, then a
# pause in seconds, in which the core answers others.
LINES_AT_ONCE = 200
FLOOD_PAUSE = 0.01
# The fields of /proc/N/stat after the command, which may hold anything, begin at the third.
STATE_FIELD, SESSION_FIELD = 0, 3
# Processes that start others while they are killed are hunted down this many times.
ROUNDS = 20
# A killed process is gone at once, but for one that waits for a broken disk; seconds.
KILLED_WITHIN = 1.0
SHELL = ("sh", "-c")


@dataclass(frozen=True)
class Mark:
    """How processes that belong together are known: ``NAME=value``, and a range of numbers."""

    variable: str
    first: int = 0
    last: int = 0


def run_mark(run: str) -> Mark:
    """All that one run of a core started; ``run`` is hexadecimal."""
    first = guard.number_of(run)
    return Mark(f"{RUN}={run}", first, first | (1 << guard.LIFE_BITS) - 1)


def life_mark(run: str, life: int) -> Mark:
    """What one life of one component started; lives are counted over a core's run."""
    number = guard.number_of(run, life)
    return Mark(f"{LIFE}={number:x}", number, number)


@dataclass(frozen=True)
class Script:
    """What is to run in a shell: where, with which variables, marked how.

    ``account`` is whom it runs as, the core's own user for ``None``.
    """

    text: str
    folder: Path
    environment: Mapping[str, str]
    mark: Mark
    account: Account | None = None


class Lines:
    """Hands on each line of a pipe; a flood only as fast as leaves time for others."""

    def __init__(self, descriptor: int, take: Callable[[str], None]) -> None:
        self._descriptor: int | None = descriptor
        self._take = take
        self._rest = b""
        self._waiting: deque[bytes] = deque()
        self._last = b""
        self._resting = False
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
        if not self._resting:
            self._hand_on()
        return True

    @property
    def last(self) -> str:
        """The last line that is not empty, handed on already or not yet."""
        for line in (self._rest, *reversed(self._waiting), self._last):
            if line.strip():
                return line[-LONGEST_LINE:].decode(errors="replace").strip()
        return ""

    def _hand_on(self) -> None:
        self._resting = False
        for _ in range(min(LINES_AT_ONCE, len(self._waiting))):
            line = self._waiting.popleft()
            self._last = line if line.strip() else self._last
            self._take(line.decode(errors="replace").rstrip("\r"))
        if self._waiting:
            self._resting = True
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

    @property
    def complaint(self) -> str:
        """The last line that it wrote to stderr, empty for none."""
        return self._pipes[-1].last

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
    script: Script,
    ended: Callable[[], None],
    out: Callable[[str], None],
    err: Callable[[str], None],
) -> Process:
    """Start a script; ``ended`` is called when its process has ended.

    Raises ``OSError`` or ``ValueError`` when it cannot even be started.
    """
    pipes = (os.pipe(), os.pipe())
    name, _, value = script.mark.variable.partition("=")
    account = script.account
    try:
        with _numbered(script.mark):
            popen = subprocess.Popen(
                [*SHELL, script.text],
                cwd=script.folder,
                env={**script.environment, name: value},
                stdin=subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=account.groups if account else None,
            )
    except BaseException:
        for reading, _ in pipes:
            os.close(reading)
        raise
    finally:
        for _, writing in pipes:
            os.close(writing)
    return Process(popen, ended, (Lines(pipes[0][0], out), Lines(pipes[1][0], err)))


@contextlib.contextmanager
def _numbered(mark: Mark) -> Iterator[None]:
    """What is started meanwhile inherits the mark's number; the core itself has none."""
    soft, hard = resource.getrlimit(guard.NUMBERED)
    if not mark.first or hard != resource.RLIM_INFINITY:
        yield
        return
    resource.setrlimit(guard.NUMBERED, (mark.first, hard))
    try:
        yield
    finally:
        resource.setrlimit(guard.NUMBERED, (soft, hard))


async def end(sessions: set[int], mark: Mark, grace: float) -> None:
    """End every process of these sessions or with this mark: SIGTERM, and later SIGKILL.

    ``grace`` is how many seconds they have to end by themselves.
    """
    for kind in (signal.SIGTERM, *(signal.SIGKILL,) * ROUNDS):
        with contextlib.ExitStack() as opened:
            descriptors = [
                opened.enter_context(_closing(descriptor))
                for descriptor in _signalled(sessions, mark, kind)
            ]
            if not descriptors:
                return
            within = grace if kind is signal.SIGTERM else KILLED_WITHIN
            await _all_ended(descriptors, within)


def kill(sessions: set[int], mark: Mark) -> None:
    """SIGKILL every process of these sessions or with this mark, waiting for none."""
    for descriptor in _signalled(sessions, mark, signal.SIGKILL):
        os.close(descriptor)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _signalled(sessions: set[int], mark: Mark, kind: signal.Signals) -> list[int]:
    """Signal all that belong together; returns their open process descriptors."""
    descriptors = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            # looked at after it was opened: the descriptor and the answer mean one process
            found = look(pid)
            if found is None or not belongs(found, sessions, mark):
                os.close(descriptor)
                continue
            try:
                signal.pidfd_send_signal(descriptor, kind)
            except ProcessLookupError:
                pass
            except PermissionError:  # another user's by setuid: waiting for it is of no use
                os.close(descriptor)
                continue
            descriptors.append(descriptor)
    return descriptors


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208


@dataclass(frozen=True)
class Found:
    """A process that is alive, and where it belongs."""

    pid: int
    session: int


def look(pid: int) -> Found | None:
    """A process; ``None`` when it has ended, or is this one."""
    if pid == os.getpid():
        return None
    try:
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        if fields[STATE_FIELD] in (b"Z", b"X"):
            return None
        return Found(pid, int(fields[SESSION_FIELD]))
    except (OSError, IndexError, ValueError):
        return None


def belongs(found: Found, sessions: set[int], mark: Mark) -> bool:
    """Whether a process is of one of the sessions, or carries the mark."""
    if found.session in sessions or guard.numbered(found.pid, mark.first, mark.last):
        return True
    try:
        variables = (PROC / str(found.pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(mark.variable) in variables


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
