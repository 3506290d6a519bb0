"""The task's own figures, beside what no model at all would reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Decision, Rows
from ggml_magic.model.decide import codes
from ggml_magic.validate.compare import chunks

Answers = npt.NDArray[Any]
TWO_CLASSES = 2
# Above it every n-th row is taken: the ranks of a million rows are off by 0.0005, and sorting
# five million would cost more than the models do.
AUC_ROWS = 1_000_000


@dataclass(frozen=True)
class Task:
    """The edge's answers against the labels; None is what the decision has no such figure for.

    Shares are from 0 to 1: ``majority`` is what answering the commonest label always would
    reach, ``source_accuracy`` is the notebook's model's; precision and recall are of the second
    of two classes, None where they would divide by nothing. ``auc`` is the chance that a row
    labelled 1 has a larger output than one labelled 0. Errors are of values, in units of the
    output: ``source_abs_error`` is the notebook's model's, ``baseline_abs_error`` that of answering
    the labels' median always.
    """

    accuracy: float | None = None
    source_accuracy: float | None = None
    majority: float | None = None
    precision: float | None = None
    recall: float | None = None
    auc: float | None = None
    mean_abs_error: float | None = None
    baseline_abs_error: float | None = None
    source_abs_error: float | None = None


def task(decision: Decision, source: Rows, edge: Rows, labels: Answers) -> Task:
    """The task's figures for outputs (N, K) and N labels that are the decision's answers."""
    if decision.rule == "value":
        return Task(
            mean_abs_error=_mean_distance(edge, labels),
            baseline_abs_error=_mean_distance(None, labels),
            source_abs_error=_mean_distance(source, labels),
        )
    counted, agreed = _confusion(decision, source, edge, labels)
    rows = len(labels)
    of_labels = counted.sum(axis=1)
    precision, recall = _precision_and_recall(decision, counted)
    return Task(
        accuracy=float(counted.trace()) / rows,
        source_accuracy=agreed / rows,
        majority=float(of_labels.max()) / rows,
        precision=precision,
        recall=recall,
        auc=auc(edge, labels) if decision.rule == "threshold" else None,
    )


def _confusion(
    decision: Decision, source: Rows, edge: Rows, labels: Answers
) -> tuple[npt.NDArray[np.int64], int]:
    """How often each label (row) got each answer (column), and how often the source was right."""
    kinds = max(TWO_CLASSES, len(decision.classes))
    counted, right = np.zeros(kinds * kinds, dtype=np.int64), 0
    for part in chunks(len(labels)):
        truth = _label_codes(decision, labels[part])
        said = codes(decision, np.asarray(edge[part]))
        counted += np.bincount(truth * kinds + said, minlength=kinds * kinds)
        right += int((codes(decision, np.asarray(source[part])) == truth).sum())
    return counted.reshape(kinds, kinds), right


def _label_codes(decision: Decision, labels: Answers) -> npt.NDArray[np.intp]:
    if decision.rule == "threshold":
        return labels.astype(np.intp)
    found = np.zeros(len(labels), dtype=np.intp)
    for place, name in enumerate(decision.classes):
        found[labels == name] = place
    return found


def _precision_and_recall(
    decision: Decision, counted: npt.NDArray[np.int64]
) -> tuple[float | None, float | None]:
    if decision.rule == "argmax" and len(decision.classes) != TWO_CLASSES:
        return None, None
    hits = float(counted[1, 1])
    return _share(hits, float(counted[:, 1].sum())), _share(hits, float(counted[1].sum()))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean_distance(edge: Rows | None, labels: Answers) -> float:
    """The mean distance of the labels from a side's values, or from their own median."""
    middle, total = (np.median(labels) if edge is None else 0.0), 0.0
    for part in chunks(len(labels)):
        said = middle if edge is None else edge[part, 0].astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, and said as such
            total += float(np.abs(said - labels[part]).sum())
    return total / len(labels)


def auc(outputs: Rows, labels: Answers) -> float | None:
    """The area under the ROC curve of outputs (N, 1) for labels 0 and 1, by ranks.

    Of every n-th row above ``AUC_ROWS``. None where a label is missing or an output is no number.
    """
    step = -(-len(labels) // AUC_ROWS)
    scores, truth = np.array(outputs[::step, 0]), labels[::step] == 1
    positive, negative = scores[truth], scores[~truth]
    if not (len(positive) and len(negative) and np.isfinite(scores).all()):
        return None
    negative.sort()
    positive.sort()  # a sorted needle is found faster
    below = int(np.searchsorted(negative, positive, "left").sum())
    upto = int(np.searchsorted(negative, positive, "right").sum())
    return (below + upto) / 2 / (len(positive) * len(negative))
