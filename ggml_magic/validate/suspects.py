"""Why a proof fails: causes that were tried, each named only if undoing it ends the failure.

Two families. The file disagrees with the notebook's model (``disagreement``): another order of
features, another unit, a scaler too few or too many, inputs cut off, outputs turned round. Or
both agree and are wrong (``doubt``): the rows are in another order or unit, or scaled already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Rows
from ggml_magic.errors import GgmlError
from ggml_magic.validate import disagreement, doubt
from ggml_magic.validate.question import Ask, Question, Suspect

if TYPE_CHECKING:
    from ggml_magic.validate.report import Report

__all__ = ["Question", "Suspect", "asked_rows", "find", "is_doubtful"]

MOST_SUSPECTS = 3
# A cause that explains a failure shows in a few rows, and each is run several times over.
SUSPECT_ROWS = 2_000
# Rows are suspected although the proof passes where more than this share of them has a value
# that training never saw: of rows from training's own days 1% or 2% have one.
STRANGE_SHARE = 0.5


def is_doubtful(report: Report) -> bool:
    """Whether a cause is worth looking for: wrong answers, useless ones, or strange rows.

    A file that is merely too large or too slow has none.
    """
    differs = report.flip_count or report.not_finite or report.distinct_outputs == 1
    too_far = report.max_abs_diff > report.tolerance
    wrong = not report.passed and bool(differs or too_far)
    accuracy, majority = report.accuracy, report.majority
    useless = accuracy is not None and majority is not None and accuracy <= majority
    error, baseline = report.mean_abs_error, report.baseline_abs_error
    useless |= error is not None and baseline is not None and not error < baseline
    return wrong or useless or report.out_of_range_share > STRANGE_SHARE


def asked_rows(flipped: npt.NDArray[np.intp], rows: int) -> npt.NDArray[np.intp]:
    """The places of at most ``SUSPECT_ROWS`` rows, flipped ones first and half of them at most.

    Where there are no others, flipped ones fill the rest.
    """
    others = np.linspace(0, rows - 1, min(rows, SUSPECT_ROWS)).round().astype(np.intp)
    others = np.setdiff1d(others, flipped)
    some = max(SUSPECT_ROWS // 2, SUSPECT_ROWS - len(others))
    first = flipped[np.linspace(0, len(flipped) - 1, min(len(flipped), some)).astype(np.intp)]
    room = SUSPECT_ROWS - len(first)
    rest = others[np.linspace(0, len(others) - 1, min(len(others), room)).astype(np.intp)]
    return np.concatenate([first, rest])


def find(question: Question) -> tuple[Suspect, ...]:
    """The causes that explain the failure, at most three, best first; none when nothing does.

    An error of the two callables is not raised: the verdict stands without a cause.
    """
    split = disagreement.split(question)
    doubted = doubt.doubt(question, agreed=split is None)
    to_file = [] if split is None else [h.change(split.rows) for h in split.hypotheses]
    cuts = [] if split is None else split.cuts()
    of_rows = [] if doubted is None else doubted.hypotheses()
    to_model = [] if question.labels is None else [h.change(question.rows) for h in of_rows]
    to_model += [] if split is None else [h.change(split.rows) for h in cuts]
    edges, sources = _asked(question.answers, to_file), _asked(question.sources, to_model)
    by_rows, by_cut = sources[: -len(cuts) or None], sources[len(sources) - len(cuts) :]
    found: list[Suspect] = []
    if doubted is not None:
        found += doubted.named(of_rows, by_rows)
    if split is not None:
        verdicts = [*split.by_file(edges), *split.by_cut(cuts, by_cut), *split.by_output()]
        found += split.named(verdicts) or split.signature(edges)
    return tuple(found[:MOST_SUSPECTS])


def _asked(ask: Ask, inputs: Sequence[Rows]) -> list[Rows]:
    """The answers to each of the inputs, from one call: each starts a process."""
    if not inputs:
        return []
    try:
        outputs = ask(np.concatenate(inputs))
    except GgmlError:  # a limit that the proof's own rows kept; its verdict is what counts
        return []
    return np.split(outputs, np.cumsum([len(rows) for rows in inputs])[:-1])
