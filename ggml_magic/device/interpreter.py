"""The edge runtime behind one call: rows in, outputs out."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .contract import Rows

# one API under the runtime's two names; an environment's lock brings one of them
MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
# 4096 rows at a time reach the runtime's full speed (RUNTIMES 3)
BATCH = 4096
# wide rows go through in smaller batches, so that these do not fill a device's memory
BATCH_BYTES = 16 << 20
STDERR = 2
NOTICE = b"INFO: "


class ModelError(ValueError):
    """A model file that the runtime cannot load, or that is not one table of rows in and out."""


class Interpreter:
    """A loaded ``.tflite`` model with one input (N, F) and one output (N, K), both float32.

    Where the model's signature fixes N, rows go through in steps of that size. ``features`` is
    F, ``width`` is K, ``step`` the number of rows that are fastest at a time.
    """

    def __init__(self, path: Path, module: str | None = None) -> None:
        """Load with that runtime's module, or with the one that the environment has.

        Raises ``ModelError``.
        """
        # by name: it is installed in the runtime's environment, never where types are checked
        runtime = import_module(module or installed())
        if not path.is_file():
            raise ModelError(f"there is no model at {path}")
        try:
            # one thread: two are slower on the small models that devices run (RUNTIMES 3)
            with _without_notices():
                self._runtime: Any = runtime.Interpreter(model_path=str(path), num_threads=1)
                self._runtime.allocate_tensors()
        except SystemError as error:
            # built for numpy 1, it imports under numpy 2 and fails here (RUNTIMES 2)
            raise ModelError(
                f"{runtime.__name__.split('.')[0]} does not run with numpy {np.__version__}: "
                "build its environment again from its own lock, which has numpy<2"
            ) from error
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ModelError(f"the runtime cannot load {path.name}: {_line(error)}") from error
        inputs, outputs = self._runtime.get_input_details(), self._runtime.get_output_details()
        taken = _only(inputs, "input")
        _check_table(taken)
        self._input = taken["index"]
        self._output = _only(outputs, "output")["index"]
        self._rows, self.features = map(int, taken["shape"])
        signature = taken.get("shape_signature")
        self._resizable = signature is not None and int(signature[0]) == -1
        most = max(1, BATCH_BYTES // (4 * self.features or 1))
        self.step = min(BATCH, most) if self._resizable else self._rows
        self.width = int(np.prod(outputs[0]["shape"])) // self._rows

    def outputs(self, rows: Rows) -> Rows:
        """Outputs of shape (N, K), float32, for rows of shape (N, F).

        Raises ``ModelError`` where F is not the model's, or the runtime fails.
        """
        if rows.ndim != 2 or rows.shape[1] != self.features:
            given = f"of {rows.shape[1]}" if rows.ndim == 2 else f"the shape {rows.shape}"
            raise ModelError(f"the model takes rows of {self.features} features, not {given}")
        try:
            if 0 < len(rows) <= self.step:
                return self._some(rows)
            steps = range(0, len(rows), self.step)
            parts = [self._some(rows[at : at + self.step]) for at in steps]
        except ModelError:
            raise
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"the runtime cannot run the model: {_line(error)}") from error
        return np.concatenate(parts) if parts else np.empty((0, self.width), dtype=np.float32)

    def _some(self, rows: Rows) -> Rows:
        count = len(rows)
        if count != self._rows:
            if self._resizable:
                self._resize(count)
            else:
                # the signature fixes N: the last row is repeated, and its answers dropped
                rows = np.concatenate([rows, np.repeat(rows[-1:], self._rows - count, axis=0)])
        # it takes contiguous float32 alone, which rows of a file or of the contract are
        self._runtime.set_tensor(self._input, np.ascontiguousarray(rows, dtype=np.float32))
        self._runtime.invoke()
        answers: Rows = self._runtime.get_tensor(self._output)
        if len(rows) * self.width != answers.size:
            raise ModelError(
                f"the model gives an output of shape {answers.shape} for {len(rows)} rows: "
                "each row needs an answer of its own"
            )
        return answers.reshape(len(rows), self.width)[:count]

    def _resize(self, count: int) -> None:
        self._runtime.resize_tensor_input(self._input, [count, self.features])
        self._runtime.allocate_tensors()
        self._rows = count


load = Interpreter


def installed() -> str:
    """The module of the runtime that this environment has; raises ``ModelError`` without."""
    for module in MODULES:
        if find_spec(module.split(".")[0]) is not None:
            return module
    raise ModelError("this environment has neither " + " nor ".join(MODULES))


def _only(details: list[dict[str, Any]], what: str) -> dict[str, Any]:
    if len(details) != 1:
        raise ModelError(f"the model has {len(details)} {what}s; one is needed")
    (detail,) = details
    if detail["dtype"] is not np.float32:
        raise ModelError(f"the model's {what} is {detail['dtype'].__name__}; float32 is needed")
    return detail


def _check_table(detail: dict[str, Any]) -> None:
    """Refuse the shape (F,), which takes no (1, F), and what is not a table at all."""
    shape = tuple(int(length) for length in detail["shape"])
    if len(shape) == 2 and min(shape) > 0:
        return
    if len(shape) == 1:
        raise ModelError(
            f"the model's input has the shape {shape}: one bare row, where a table of rows "
            f"(N, {shape[0]}) is needed"
        )
    raise ModelError(f"the model's input has the shape {shape}; a table of rows (N, F) is needed")


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
