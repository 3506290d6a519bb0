"""The child process from outside: started, asked, limited and ended.

The converter can end its process by a signal (RUNTIMES 1: SIGSEGV inside ``convert()``); in the
notebook's own process that would be a dead kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ggml_magic import child
from ggml_magic.model.training import QUIET
from ggml_magic.presentation import size

MODULE = "ggml_magic.convert.child"
START = "start"  # the step before the first one that is told
# The child has no use for a GPU, and the notebook's own session may hold its memory.
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}
# One step: the rain network takes 0.25 s a variant and TensorFlow's import 4 s; MobileNetV2
# takes 3 s (RUNTIMES 1 and 3). The rest is for slow machines and large networks.
STEP_SECONDS = 300.0
# TensorFlow alone holds 0.65 GB after its import, MobileNetV2's conversion far below 2 GB. What
# goes beyond this share of the machine would take the notebook's own process down.
MEMORY_SHARE = 0.8
# How often memory and time are looked at; an answer is heard at once.
LOOK_SECONDS = 0.1
# A session with no conversion gives its 0.7 GB back after this.
IDLE_SECONDS = 600.0
# A process whose pipe is closed is at its end.
GONE_SECONDS = 5.0
CHUNK = 65_536
LONGEST_REASON = 200


@dataclass(frozen=True)
class Limits:
    """Of one step in the child: ``seconds``, and ``memory_bytes`` resident (None: the machine's).

    Address space is no measure of it: TensorFlow reserves far more than it holds.
    """

    seconds: float = STEP_SECONDS
    memory_bytes: int | None = None

    def memory(self) -> int:
        """The most bytes that may be resident."""
        whole = int(psutil.virtual_memory().total * MEMORY_SHARE)
        return whole if self.memory_bytes is None else self.memory_bytes


@dataclass(frozen=True)
class Outcome:
    """What a child told, the last step that it began, and how it ended if it did.

    ``ended`` is a clause ("crashed (SIGSEGV)"), empty where the child answered and lives.
    """

    told: tuple[dict[str, Any], ...]
    step: str
    ended: str = ""

    @property
    def response(self) -> dict[str, Any]:
        """The last thing that it told."""
        return self.told[-1] if self.told else {}


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder for the child's files, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ggml-convert-", dir=folder) as path:
        yield Path(path)


class Child:
    """A child process that stands in a session of its own, in ``/``, and waits for requests."""

    def __init__(self, log: Path, idle_seconds: float = IDLE_SECONDS) -> None:
        requests, self._requests = os.pipe()
        self._responses, responses = os.pipe()
        lifeline, self._lifeline = os.pipe()
        theirs = (requests, responses, lifeline)
        self._heard = b""
        self._ended = False
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    child.command(MODULE, str(idle_seconds), *map(str, theirs)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=child.FOLDER,
                    env={**child.environment(), **QUIET, **NO_GPU},
                    start_new_session=True,
                    pass_fds=theirs,
                )
        except BaseException:
            self._close()
            raise
        finally:
            for pipe in theirs:
                os.close(pipe)

    @property
    def pid(self) -> int:
        """Its process id, which is also its session's."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still waits for requests."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], limits: Limits) -> Outcome:
        """Give it a request and wait for the answer.

        Ends it at a limit, and when the wait is interrupted: what it does then is of no use.
        """
        told: list[dict[str, Any]] = []
        answered = False
        try:
            with contextlib.suppress(BrokenPipeError):  # then it has ended, which is told below
                os.write(self._requests, json.dumps(request).encode() + b"\n")
            ended = self._answered(told, limits)
            answered = not ended
        finally:
            if not answered:
                self.end()
        steps = [part["step"] for part in told if "step" in part]
        return Outcome(tuple(told), steps[-1] if steps else START, ended)

    def _answered(self, told: list[dict[str, Any]], limits: Limits) -> str:
        """Hear until the answer is whole; the clause of its end where it ended instead."""
        deadline, most = time.monotonic() + limits.seconds, limits.memory()
        while True:
            line = self._line()
            if line is not None:
                told.append(json.loads(line))
                deadline = time.monotonic() + limits.seconds
                if told[-1].get("done"):
                    return ""
            elif not self.alive:
                return how_ended(self._process.returncode)
            elif (held := self._resident()) > most:
                return f"held {size(held)} of memory, and {size(most)} are allowed"
            elif time.monotonic() > deadline:
                return f"did not end within {limits.seconds:g} s"

    def _line(self) -> bytes | None:
        """The next line that it told; None where none came until the next look."""
        if b"\n" not in self._heard and select.select([self._responses], [], [], LOOK_SECONDS)[0]:
            some = os.read(self._responses, CHUNK)
            if not some:  # closed: it is at its end
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(GONE_SECONDS)
            self._heard += some
        line, found, rest = self._heard.partition(b"\n")
        if not found:
            return None
        self._heard = rest
        return line

    def _resident(self) -> int:
        """The bytes that it and its own children hold."""
        total = 0
        with contextlib.suppress(psutil.Error):
            whole = psutil.Process(self.pid)
            for process in (whole, *whole.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def end(self) -> None:
        """End it with its whole session; its own children may outlive it otherwise."""
        if self._ended:  # another may have its number by now
            return
        self._ended = True
        self.kill()
        self._process.wait()
        self._close()

    def kill(self) -> None:
        """Kill its whole session, and wait for nothing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def forget(self) -> None:
        """Close the pipes and leave it alone, as a forked copy of its parent must."""
        self._ended = True
        self._process.returncode = 0  # not ours to wait for
        self._close()

    def _close(self) -> None:
        for pipe in (self._requests, self._responses, self._lifeline):
            with contextlib.suppress(OSError):
                os.close(pipe)
        self._requests = self._responses = self._lifeline = -1


def how_ended(code: int) -> str:
    """A clause for an exit code; negative is the signal that ended it."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"crashed ({name})"


def last_line(log: Path) -> str:
    """The last line of a log that says something, not too long."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:LONGEST_REASON]


def plain(text: str) -> str:
    """The first line of a converter's message that says something, not too long."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line), "no reason was given")[:LONGEST_REASON]
