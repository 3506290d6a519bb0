"""The one warm child of this process: the second request does not pay for TensorFlow's import."""

from __future__ import annotations

import atexit
import os
import shlex
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.convert.process import (
    IDLE_SECONDS,
    Child,
    Limits,
    Outcome,
    last_line,
    plain,
    scratch,
)
from ggml_magic.errors import ConversionError
from ggml_magic.model.model import EdgeModel
from ggml_magic.model.training import require
from ggml_magic.runtimes import runtime as runtimes

ANSWER_LOG = "answer.log"


class Worker:
    """Keeps one child for all threads of a process, and starts another when it is gone."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the child that waits, if one does."""
        child = self._child
        return child.pid if child is not None and child.alive else None

    def ask(self, request: Mapping[str, Any], log: Path, limits: Limits) -> Outcome:
        """Give the child a request, one at a time; its output goes to ``log``.

        A crash or a limit is told in the outcome, and ends the child; the next request gets
        another. Raises ``MissingExtraError`` without TensorFlow.
        """
        require()
        with self._lock:
            warm = self._child is not None
            outcome = self._asked(request, log, limits)
            # it may have reached its idle limit in the very moment of the request
            if warm and outcome.ended and not outcome.told:
                outcome = self._asked(request, log, limits)
        return outcome

    def _asked(self, request: Mapping[str, Any], log: Path, limits: Limits) -> Outcome:
        child = self._waiting(log)
        outcome = child.ask({**request, "log": str(log)}, limits)
        if outcome.ended:
            self._child = None
        return outcome

    def _waiting(self, log: Path) -> Child:
        if self._child is not None and not self._child.alive:
            self._child.end()
            self._child = None
        if self._child is None:
            self._child = Child(log, self._idle_seconds)
        return self._child

    def end(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            if self._child is not None:
                self._child.end()
            self._child = None

    def kill(self) -> None:
        """End the child as this process ends: a request under way is not waited for."""
        child = self._child
        if child is not None and child.alive:
            child.kill()

    def forget(self) -> None:
        """In a forked copy: leave the child to the process whose it is."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.forget()
        self._child = None


_worker = Worker()
atexit.register(_worker.kill)
os.register_at_fork(after_in_child=_worker.forget)


def ask(request: Mapping[str, Any], log: Path, limits: Limits | None = None) -> Outcome:
    """Give this process's warm child a request; see ``Worker.ask``."""
    return _worker.ask(request, log, limits or Limits())


def pid() -> int | None:
    """The process id of this process's warm child, if one waits."""
    return _worker.pid


def end() -> None:
    """End this process's warm child; the next request starts another."""
    _worker.end()


def source_outputs(
    model: EdgeModel, rows_file: Path, outputs_file: Path, *, limits: Limits | None = None
) -> None:
    """Write what a model's own graph answers to rows (N, F) as outputs (N, K), both ``.npy``.

    For models whose live stages are gone; a ready file answers in its runtime. Raises
    ``ConversionError``, ``EdgeRuntimeError`` and ``MissingExtraError``.
    """
    if model.ready is not None:
        with (
            scratch(outputs_file.parent) as folder,
            runtimes.start(runtimes.get(), model.ready, rows_file, folder) as running,
        ):
            np.save(outputs_file, running.wait().outputs)
        return
    log = model.folder / ANSWER_LOG
    request = {
        "task": "answer",
        "saved_model": str(model.saved_model),
        "rows": str(rows_file),
        "outputs": str(outputs_file),
    }
    outcome = ask(request, log, limits)
    failed = outcome.response.get("failed", "")
    if outcome.ended or failed:
        why = f"its process {outcome.ended}" if outcome.ended else plain(failed)
        said = last_line(log) if outcome.ended else ""
        why += f"; its last words: {said}" if said else ""
        raise ConversionError(
            f"the SavedModel of {model.name} could not be run",
            why,
            f"cat {shlex.quote(str(log))}",
            log=str(log),
        )
