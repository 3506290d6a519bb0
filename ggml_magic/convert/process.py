"""The child process: started in a session of its own, limited in time, its output in a log.

The converter can end its process by a signal (RUNTIMES 1: SIGSEGV inside ``convert()``); in the
notebook's own process that would be a dead kernel.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic import child
from ggml_magic.errors import ConversionError
from ggml_magic.model.training import QUIET, require
from ggml_magic.workspace import read_json, write_json

MODULE = "ggml_magic.convert.child"
# The child has no use for a GPU, and the notebook's own session may hold its memory.
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}
LONGEST_REASON = 200


@dataclass(frozen=True)
class Outcome:
    """How a child ended: the signal that ended it, if one did, and what it told last."""

    response: dict[str, Any]
    crash: str | None

    @property
    def step(self) -> str:
        """The step in which it ended."""
        return str(self.response.get("step", "start"))


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder for the child's files, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ggml-convert-", dir=folder) as path:
        yield Path(path)


def ask(request: dict[str, Any], folder: Path, log: Path, *, timeout_seconds: float) -> Outcome:
    """Give the child a request and wait for its response; a crash is told, not raised.

    ``folder`` holds the request and the response. Raises ``ConversionError`` when the child runs
    out of time or ends without a response, ``MissingExtraError`` without TensorFlow.
    """
    require()
    request_file, response_file = folder / "request.json", folder / "response.json"
    write_json(request_file, request)
    command = child.command(MODULE, str(request_file), str(response_file))
    code = supervise(command, log, timeout_seconds=timeout_seconds)
    response = read_json(response_file) or {}
    if code < 0:
        return Outcome(response, signal_name(code))
    if not response.get("done"):
        raise ConversionError(
            f"the {request['task']} process failed",
            _last_line(log) or f"exit code {code}",
            f"cat {log}",
            log=str(log),
        )
    return Outcome(response, None)


def supervise(command: Sequence[str], log: Path, *, timeout_seconds: float) -> int:
    """Run a command to its end and return its exit code; negative is the signal that ended it.

    Raises ``ConversionError`` at the limit. Nothing of it is left running, whatever happens.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=child.FOLDER,
            env={**child.environment(), **QUIET, **NO_GPU},
            start_new_session=True,
        )
        try:
            return process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ConversionError(
                "the conversion was stopped",
                f"it did not end within {timeout_seconds:g} s",
                f"cat {log}",
                log=str(log),
            ) from None
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child's whole session; its own children may outlive it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def signal_name(code: int) -> str:
    """``SIGSEGV`` for the exit code -11."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:LONGEST_REASON]


def plain(text: str) -> str:
    """The first line of a converter's message that says something, not too long."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line), "no reason was given")[:LONGEST_REASON]
