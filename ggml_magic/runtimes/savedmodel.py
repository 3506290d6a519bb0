"""TensorFlow's side of the measurement: a SavedModel as a model that takes rows.

Runs in the environment of the runtime ``tensorflow``, found there as ``runtimes.savedmodel``;
it imports nothing else of this package, and TensorFlow only when a model is loaded.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNATURE = "serving_default"
BATCH = 4096  # as for the other runtimes, so that their batches compare (RUNTIMES 3)

Rows = npt.NDArray[np.float32]


class SavedModel:
    """The signature ``serving_default`` with one input (N, F) and one output (N, K), float32."""

    def __init__(self, path: Path, module: str) -> None:
        """Load a SavedModel's folder; raises ``ValueError``, one line, for what is none."""
        if not (path / "saved_model.pb").is_file():
            raise ValueError(f"there is no SavedModel at {path}")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        self._tensorflow: Any = import_module(module)
        # kept: its signature alone does not keep the variables alive (RUNTIMES 1)
        self._held = self._tensorflow.saved_model.load(str(path))
        signatures = self._held.signatures
        if SIGNATURE not in signatures:
            raise ValueError(f"the SavedModel has no signature {SIGNATURE!r}")
        self._serve = signatures[SIGNATURE]
        self._input, taken = _only(self._serve.structured_input_signature[1], "input")
        self._output, given = _only(self._serve.structured_outputs, "output")
        if len(taken.shape) != 2 or taken.shape[1] is None:
            raise ValueError(f"the SavedModel takes {taken.shape}; a table (N, F) is needed")
        rows, self.features = taken.shape
        self.step = BATCH if rows is None else int(rows)
        self._fixed = rows is not None
        self.width = 1 if len(given.shape) < 2 else int(given.shape[1])

    def outputs(self, rows: Rows) -> Rows:
        """Outputs of shape (N, K), float32, for rows of shape (N, F), at most ``step`` of them."""
        if rows.ndim != 2 or rows.shape[1] != self.features:
            given = f"of {rows.shape[1]}" if rows.ndim == 2 else f"the shape {rows.shape}"
            raise ValueError(f"the model takes rows of {self.features} features, not {given}")
        count = len(rows)
        if self._fixed and count < self.step:
            rows = np.resize(rows, (self.step, self.features))
        answers = self._serve(**{self._input: self._tensorflow.constant(rows)})[self._output]
        outputs: Rows = answers.numpy().reshape(len(rows), self.width)[:count]
        return outputs


load = SavedModel


def _only(specifications: dict[str, Any], what: str) -> tuple[str, Any]:
    if len(specifications) != 1:
        raise ValueError(f"the SavedModel has {len(specifications)} {what}s; one is needed")
    ((name, specification),) = specifications.items()
    if specification.dtype.name != "float32":
        raise ValueError(
            f"the SavedModel's {what} is {specification.dtype.name}; float32 is needed"
        )
    return name, specification
