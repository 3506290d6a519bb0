"""The edge runtime behind one call: rows in, outputs out."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .contract import Rows

# 4096 rows at a time reach the runtime's full speed (RUNTIMES 3)
BATCH = 4096
STDERR = 2
NOTICE = b"INFO: "


class ModelError(ValueError):
    """A model file that the runtime cannot load, or that is not one table of rows in and out."""


class Interpreter:
    """A loaded ``.tflite`` model with one input (N, F) and one output (N, K), both float32.

    Where the model's signature fixes N, rows go through in steps of that size.
    """

    def __init__(self, path: Path) -> None:
        # by name: it is installed in the runtime's environment, never where types are checked
        litert = import_module("ai_edge_litert.interpreter")
        if not path.is_file():
            raise ModelError(f"there is no model at {path}")
        try:
            # one thread: two are slower on the small models that devices run (RUNTIMES 3)
            with _without_notices():
                self._litert: Any = litert.Interpreter(model_path=str(path), num_threads=1)
                self._litert.allocate_tensors()
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ModelError(f"the runtime cannot load {path.name}: {_line(error)}") from error
        self._input = _only(self._litert.get_input_details(), "input")
        self._output = _only(self._litert.get_output_details(), "output")
        self.features = int(self._input["shape"][-1])
        self._resizable = int(self._input["shape_signature"][0]) == -1
        self._rows = int(self._input["shape"][0])

    def outputs(self, rows: Rows) -> Rows:
        """Outputs of shape (N, K), float32, for rows of shape (N, F).

        Raises ``ModelError`` where F is not the model's, or the runtime fails.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ModelError(
                f"the model takes rows of {self.features} features, not shape {rows.shape}"
            )
        step = BATCH if self._resizable else self._rows
        try:
            parts = [self._some(rows[at : at + step]) for at in range(0, len(rows), step)]
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"the runtime cannot run the model: {_line(error)}") from error
        return np.concatenate(parts) if parts else self._none()

    def _some(self, rows: Rows) -> Rows:
        count = len(rows)
        if count != self._rows:
            if self._resizable:
                self._resize(count)
            else:
                # the signature fixes N: the last row is repeated, and its answers dropped
                rows = np.concatenate([rows, np.repeat(rows[-1:], self._rows - count, axis=0)])
        self._litert.set_tensor(self._input["index"], rows)
        self._litert.invoke()
        answers: Rows = self._litert.get_tensor(self._output["index"])
        return answers.reshape(len(rows), -1)[:count]

    def _resize(self, count: int) -> None:
        self._litert.resize_tensor_input(self._input["index"], [count, self.features])
        self._litert.allocate_tensors()
        self._rows = count

    def _none(self) -> Rows:
        return np.empty((0, int(self._output["shape"][-1])), dtype=np.float32)


def _only(details: list[dict[str, Any]], what: str) -> dict[str, Any]:
    if len(details) != 1:
        raise ModelError(f"the model has {len(details)} {what}s; one is needed")
    (detail,) = details
    if detail["dtype"] is not np.float32:
        raise ModelError(f"the model's {what} is {detail['dtype'].__name__}; float32 is needed")
    if what == "input" and len(detail["shape"]) != 2:
        raise ModelError(f"the model's input has {len(detail['shape'])} dimensions; 2 are needed")
    return detail


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Keep the runtime's INFO lines, which it writes itself, out of stderr; all else goes on."""
    sys.stderr.flush()
    stderr = os.dup(STDERR)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)
            caught.seek(0)
            for line in caught:
                if not line.startswith(NOTICE):
                    os.write(STDERR, line)
