"""Both sides' answers to every row: the notebook's model here, the edge file in its runtime.

The rows are written once. The edge's process reads them while the notebook's model answers, and
all outputs stay in files that are mapped, so that millions of rows cost this process nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.convert import worker
from ggml_magic.convert.convert import Conversion
from ggml_magic.convert.variants import FLOAT32
from ggml_magic.device.contract import Rows
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.model.model import SAVED_MODEL, EdgeModel
from ggml_magic.model.stages import answers
from ggml_magic.model.unchanged import check_unchanged
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.validate.golden import extras
from ggml_magic.workspace import telling_of_a_full_disk

FLOAT32_LITTLE = {"descr": "<f4", "fortran_order": False}


@dataclass(frozen=True)
class Subject:
    """What is proven: a model, its file, and where the file runs."""

    model: EdgeModel
    conversion: Conversion
    runtime: runtimes.Runtime
    arch: str
    limits: runtimes.Limits

    @property
    def file(self) -> Path:
        """What the runtime takes: the converted file, or the SavedModel's folder."""
        return self.model.saved_model if self.is_source else self.conversion.file

    @property
    def is_source(self) -> bool:
        """Whether the runtime runs the SavedModel itself."""
        return self.runtime.takes == "saved_model"

    @property
    def sha256(self) -> str:
        """The hash of what runs; of a SavedModel, the model's own."""
        return self.model.sha256 if self.is_source else self.conversion.candidate.sha256

    @property
    def variant(self) -> str:
        """The variant of the file; of a SavedModel, its name."""
        return SAVED_MODEL if self.is_source else self.conversion.chosen

    @property
    def rounds_as(self) -> str:
        """The variant whose rounding it has; a SavedModel is float32 throughout."""
        return FLOAT32 if self.is_source else self.variant

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape that the file states for its input, -1 any number; None if it is not known."""
        static = self.conversion.candidate.static
        if self.is_source or static is None or not static.inputs:
            return None
        return static.inputs[0].shape

    @property
    def size(self) -> int:
        """The bytes of what runs."""
        if not self.is_source:
            return self.conversion.candidate.size
        return sum(path.stat().st_size for path in self.file.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Evidence:
    """Rows (N, F) with the source's and the edge's outputs (N, K), memory-mapped.

    ``extra_outputs`` are the edge's to ``extra``, the rows of ``golden.extras``; ``run`` holds its
    figures.
    """

    rows: Rows
    source: Rows
    edge: Rows
    extra: Rows
    extra_outputs: Rows
    run: runtimes.Run


@contextmanager
def gathered(subject: Subject, rows: Rows) -> Iterator[Evidence]:
    """Run both sides over all rows; the outputs are there until the block ends.

    Raises ``EdgeRuntimeError`` where the file does not run or answers in another shape,
    ``NotYetError`` where the notebook's model has changed since it was described.
    """
    model, count = subject.model, len(rows)
    extra = extras(model.contract, model.sample()[0])
    with tempfile.TemporaryDirectory(prefix="ggml-validate-", dir=model.folder) as name:
        folder = Path(name)
        rows_file = folder / "rows.npy"
        _write(rows_file, rows, extra)
        with runtimes.start(
            subject.runtime,
            subject.file,
            rows_file,
            folder,
            arch=subject.arch,
            limits=subject.limits,
        ) as running:
            source = _source(model, rows, rows_file, folder / "source.npy")
            run = running.wait()
        wanted = (count + len(extra), model.contract.decision.outputs_needed())
        if run.outputs.shape != wanted:
            raise EdgeRuntimeError(
                f"{subject.file.name} answers {count:,} rows with the shape "
                f"{(len(run.outputs) - len(extra), *run.outputs.shape[1:])}",
                f"the notebook's model answers with {(count, wanted[1])}",
                f"%ggml convert {model.name} --quantize none",
            )
        edge, extra_outputs = run.outputs[:count], run.outputs[count:]
        yield Evidence(rows, source, edge, extra, extra_outputs, run)


def source_answers(model: EdgeModel, rows: Rows) -> Rows:
    """What the notebook's model answers to a few rows (N, F): outputs (N, K)."""
    if _is_live(model):
        return answers(model.stages, rows)
    with tempfile.TemporaryDirectory(prefix="ggml-validate-", dir=model.folder) as name:
        rows_file = Path(name) / "rows.npy"
        np.save(rows_file, rows)
        return np.array(_source(model, rows, rows_file, Path(name) / "source.npy"))


def _is_live(model: EdgeModel) -> bool:
    return bool(model.stages) and model.ready is None


def _write(path: Path, rows: Rows, extra: Rows) -> None:
    """Both after each other in one ``.npy`` file, without a copy in memory."""
    header: dict[str, Any] = {**FLOAT32_LITTLE, "shape": (len(rows) + len(extra), rows.shape[1])}
    with telling_of_a_full_disk(path), path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in (rows, extra):
            np.ascontiguousarray(part, dtype="<f4").tofile(file)


def _source(model: EdgeModel, rows: Rows, rows_file: Path, outputs_file: Path) -> Rows:
    """The notebook's own answers: its live stages, else the SavedModel in the child process."""
    if not _is_live(model):
        worker.source_outputs(model, rows_file, outputs_file)
        stored: Rows = np.load(outputs_file, mmap_mode="r")
        return stored[: len(rows)]
    check_unchanged(model)
    shape = (len(rows), model.contract.decision.outputs_needed())
    outputs: Rows = np.lib.format.open_memmap(
        outputs_file, mode="w+", dtype=np.float32, shape=shape
    )
    return answers(model.stages, rows, out=outputs)
