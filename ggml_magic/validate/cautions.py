"""What a proof does not prove: too few rows, one decision only, labels that tell nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ggml_magic.validate.figures import percent
from ggml_magic.validate.report import amount

if TYPE_CHECKING:
    from ggml_magic.validate.report import Report

# Labels that have nothing to do with the outputs have an AUC of a half, give or take two
# standard deviations.
NO_ORDER = 0.5
DEVIATIONS = 2
OTHER_ROWS = "Labels of other rows, or in another order?"


def cautions(report: Report) -> tuple[str, ...]:
    """Sentences on what the figures do not prove, for the card; none where there is nothing.

    The verdict stands: the edge does answer as the notebook's model, or it does not.
    """
    return (*_of_rows(report), *_of_decisions(report), *_of_labels(report))


def _of_rows(report: Report) -> Iterator[str]:
    if report.caution:
        yield report.caution


def _of_decisions(report: Report) -> Iterator[str]:
    if report.rows == 1:
        return
    if report.only_decision is not None:
        blamed = "the rows" if report.boundary is None else "the rows or the threshold"
        yield f"Every row is decided {report.only_decision} by both: {blamed} prove little."
    elif report.distinct_decisions == 1:
        yield (
            "The edge decides every row alike, and the notebook's model "
            f"{'alike and otherwise' if report.source_distinct_decisions == 1 else 'does not'}."
        )


def _of_labels(report: Report) -> Iterator[str]:
    accuracy, majority = report.accuracy, report.majority
    if accuracy is not None and majority is not None:
        yield from _of_accuracy(report, accuracy, majority)
    error, baseline = report.mean_abs_error, report.baseline_abs_error
    if error is None or baseline is None:
        return
    if not baseline:
        yield "All labels are alike: the error tells little of the model."
    elif not error < baseline:  # NaN is not below it either
        yield (
            f"The mean absolute error of {amount(error, 3)} is no better than the labels' median "
            f"alone ({amount(baseline, 3)}). {OTHER_ROWS}"
        )


def _of_accuracy(report: Report, accuracy: float, majority: float) -> Iterator[str]:
    ordered = _is_ordered(report.auc, majority, report.rows)
    if majority == 1:
        yield "All labels are alike: the accuracy tells little of the model."
    elif accuracy <= majority:
        behind = (
            f"The outputs do follow the labels (AUC {report.auc:.2f}): the threshold may be off."
            if ordered
            else OTHER_ROWS
        )
        yield (
            f"The accuracy of {percent(accuracy)} does not beat the commonest label alone "
            f"({percent(majority)}). {behind}"
        )
    elif ordered is False:
        yield f"The outputs do not follow the labels (AUC {report.auc:.2f}). {OTHER_ROWS}"


def _is_ordered(auc: float | None, majority: float, rows: int) -> bool | None:
    """Whether an AUC is above what labels of other rows would reach; None where it has none.

    By the rank sum of two groups that do not differ: its variance is (m + n + 1) / 12mn.
    """
    many = round(majority * rows)
    few = rows - many
    if auc is None or not few:
        return None
    return auc > NO_ORDER + DEVIATIONS * math.sqrt((rows + 1) / (12 * many * few))
