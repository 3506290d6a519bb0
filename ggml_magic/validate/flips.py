"""The flipped rows, kept one by one beside the report, and the points of its drawing."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Contract, Decision, Rows
from ggml_magic.errors import MissingExtraError
from ggml_magic.model.decide import flipped
from ggml_magic.validate.compare import Mask, Places, margins

# What a drawing can show; it marks every flip among them.
DRAWN_ROWS = 600
DRAWN_FLIPS = 200
RESERVED = ("row", "source", "edge", "source_output", "edge_output", "margin", "out_of_range")


@dataclass(frozen=True, eq=False)
class Flips:
    """M rows that the edge decides otherwise, in the order of their numbers.

    ``rows`` are row numbers, ``values`` (M, F) the features; the outputs are those behind each
    answer: the probability, the best class's, or the value. ``margins`` is how far the source's
    output was from turning (infinite for a value), ``outside`` (M, F) which values training never
    saw. Texts of ``source`` and ``edge`` are class names.
    """

    names: tuple[str, ...]
    rows: Places
    values: Rows
    source: npt.NDArray[Any]
    edge: npt.NDArray[Any]
    source_outputs: npt.NDArray[np.float64]
    edge_outputs: npt.NDArray[np.float64]
    margins: npt.NDArray[np.float64]
    outside: Mask

    def __len__(self) -> int:
        return len(self.rows)

    def out_of_range(self, place: int) -> tuple[str, ...]:
        """The features of one flipped row that lie outside the training range."""
        return tuple(np.asarray(self.names)[self.outside[place]].tolist())

    def frame(self) -> Any:
        """One line a flip, as a pandas ``DataFrame``.

        Raises ``MissingExtraError`` where pandas is not installed.
        """
        columns: dict[str, Any] = {"row": self.rows}
        for place, name in enumerate(self.names):
            columns[f"{name} (feature)" if name in RESERVED else name] = self.values[:, place]
        columns |= {
            "source": self.source,
            "edge": self.edge,
            "source_output": self.source_outputs,
            "edge_output": self.edge_outputs,
            "margin": self.margins,
            "out_of_range": [self.out_of_range(place) for place in range(len(self))],
        }
        return pandas().DataFrame(columns)


def pandas() -> Any:
    """The pandas module; raises ``MissingExtraError`` where it is not installed."""
    try:
        return importlib.import_module("pandas")
    except ModuleNotFoundError:
        raise MissingExtraError(
            "pandas is not installed", "a DataFrame needs it", "pip install pandas"
        ) from None


def flips(contract: Contract, places: Places, rows: Rows, source: Rows, edge: Rows) -> Flips:
    """The rows of these places, from all rows (N, F) and both sides' outputs (N, K)."""
    values, before, after = (np.asarray(table[places]) for table in (rows, source, edge))
    decision = contract.decision
    return Flips(
        contract.names,
        places,
        values,
        _answers(decision, before),
        _answers(decision, after),
        _behind(decision, before),
        _behind(decision, after),
        margins(decision, before),
        contract.outside(values),
    )


def _answers(decision: Decision, outputs: Rows) -> npt.NDArray[Any]:
    answers = decision.answers(outputs)
    return answers.astype(str) if decision.rule == "argmax" else answers


def _behind(decision: Decision, outputs: Rows) -> npt.NDArray[np.float64]:
    behind = decision.confidence(outputs)
    return outputs[:, 0].astype(np.float64) if behind is None else behind


@dataclass(frozen=True, eq=False)
class Sample:
    """Points of the drawing: the source's and the edge's output of S rows, and which flipped.

    Of classes it is the output of the class that the source chose.
    """

    source: npt.NDArray[np.float64]
    edge: npt.NDArray[np.float64]
    flipped: Mask


def sample(decision: Decision, worst: Places, source: Rows, edge: Rows, tolerance: float) -> Sample:
    """Evenly spaced rows, and evenly spaced ones of the worst flips."""
    spaced = np.linspace(0, len(source) - 1, min(len(source), DRAWN_ROWS)).round().astype(np.intp)
    some = worst[np.linspace(0, len(worst) - 1, min(len(worst), DRAWN_FLIPS)).astype(np.intp)]
    places = np.union1d(spaced, some)
    before, after = np.asarray(source[places]), np.asarray(edge[places])
    column = before.argmax(axis=1) if decision.rule == "argmax" else np.zeros_like(places)
    line = np.arange(len(places))
    return Sample(
        before[line, column].astype(np.float64),
        after[line, column].astype(np.float64),
        flipped(decision, before, after, tolerance),
    )


def packed(kept: Flips, points: Sample) -> bytes:
    """Both as the content of one ``.npz`` file, without pickles."""
    flat: dict[str, Any] = {f"flips_{name}": value for name, value in _fields(kept).items()}
    flat |= {f"sample_{name}": value for name, value in _fields(points).items()}
    file = io.BytesIO()
    np.savez_compressed(file, **flat)
    return file.getvalue()


def read(path: Path) -> tuple[Flips, Sample]:
    """What ``packed`` made."""
    with np.load(path, allow_pickle=False) as stored:
        parts: dict[str, dict[str, Any]] = {"flips": {}, "sample": {}}
        for name in stored.files:
            kind, _, field = name.partition("_")
            parts[kind][field] = stored[name]
    parts["flips"]["names"] = tuple(parts["flips"]["names"].tolist())
    return Flips(**parts["flips"]), Sample(**parts["sample"])


def none(names: Sequence[str]) -> Flips:
    """No flipped row, of features with these names."""
    empty = np.empty(0)
    wide = np.empty((0, len(names)))
    return Flips(
        tuple(names),
        empty.astype(np.intp),
        wide.astype(np.float32),
        empty.astype(np.int64),
        empty.astype(np.int64),
        empty,
        empty,
        empty,
        wide.astype(np.bool_),
    )


def _fields(value: Flips | Sample) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
