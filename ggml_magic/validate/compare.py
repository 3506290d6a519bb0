"""Two sets of outputs beside each other: flips, differences, and the task's own figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Decision, Rows
from ggml_magic.model.decide import flipped

Answers = npt.NDArray[Any]
TWO_CLASSES = 2


@dataclass(frozen=True)
class Comparison:
    """How far the edge's outputs (N, K) are from the source's.

    ``flips`` are row numbers; ``not_finite`` counts rows with NaN or infinity, whose differences
    count as infinite; ``constant`` says that the edge always gives one output where the source
    does not.
    """

    flips: npt.NDArray[np.intp]
    max_abs_diff: float
    mean_abs_diff: float
    distinct_outputs: int
    not_finite: int
    constant: bool


@dataclass(frozen=True)
class Task:
    """The edge's answers against the labels; None is what the decision has no such figure for.

    Shares are from 0 to 1: ``majority`` is what answering the commonest label always would
    reach; precision and recall are of the second of two classes, None where they would divide
    by nothing. Errors are of values, in units of the output: ``baseline_abs_error`` is that of
    answering the labels' median always.
    """

    accuracy: float | None = None
    majority: float | None = None
    precision: float | None = None
    recall: float | None = None
    mean_abs_error: float | None = None
    baseline_abs_error: float | None = None


def compare(decision: Decision, source: Rows, edge: Rows, tolerance: float) -> Comparison:
    """Compare outputs row by row; ``tolerance`` decides flips only where the value is the answer.

    Raises ``ValueError`` for outputs of different shapes.
    """
    if source.shape != edge.shape:
        raise ValueError(f"outputs of shapes {source.shape} and {edge.shape}")
    finite = np.isfinite(edge).all(axis=1)
    with np.errstate(invalid="ignore"):
        difference = np.abs(edge - source)
    difference[~np.isfinite(difference)] = np.inf
    distinct = _distinct(edge)
    return Comparison(
        np.flatnonzero(flipped(decision, source, edge, tolerance)),
        float(difference.max(initial=0.0)),
        float(difference.mean(dtype=np.float64)) if difference.size else 0.0,
        distinct,
        int((~finite).sum()),
        distinct == 1 and _distinct(source) > 1,
    )


def _distinct(outputs: Rows) -> int:
    """How many different rows of outputs there are; NaN is equal to NaN here."""
    if outputs.shape[1] == 1:
        return len(np.unique(outputs[:, 0]))
    return len(np.unique(outputs, axis=0))


def task(decision: Decision, edge: Rows, labels: Answers) -> Task:
    """The task's figures for outputs (N, K) and N labels that are the decision's answers."""
    answers = decision.answers(edge)
    if decision.rule == "value":
        return Task(
            mean_abs_error=_mean_distance(answers, labels),
            baseline_abs_error=_mean_distance(np.median(labels), labels),
        )
    _, counts = np.unique(labels.astype(str), return_counts=True)
    precision, recall = _precision_and_recall(decision, answers, labels)
    return Task(
        float((answers == labels).mean()), float(counts.max() / len(labels)), precision, recall
    )


def _mean_distance(answers: Any, labels: Answers) -> float:
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, and said as such
        return float(np.abs(answers - labels).mean())


def _precision_and_recall(
    decision: Decision, answers: Answers, labels: Answers
) -> tuple[float | None, float | None]:
    if decision.rule == "argmax" and len(decision.classes) != TWO_CLASSES:
        return None, None
    positive = 1 if decision.rule == "threshold" else decision.classes[1]
    said, is_true = answers == positive, labels == positive
    hits = float((said & is_true).sum())
    return _share(hits, float(said.sum())), _share(hits, float(is_true.sum()))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def margins(decision: Decision, outputs: Rows) -> npt.NDArray[np.float64]:
    """How far each row's decision is from turning, shape (N,), in units of the output.

    The distance to the threshold, or between the best and the second class; infinite for a
    value, which has no boundary.
    """
    if decision.rule == "threshold":
        return np.abs(outputs[:, 0].astype(np.float64) - float(np.float32(decision.at)))
    if decision.rule == "argmax":
        best = np.sort(outputs.astype(np.float64), axis=1)
        return np.asarray(best[:, -1] - best[:, -2])
    return np.full(len(outputs), np.inf)
