"""The file and the model agree and are wrong: which mistake of the rows explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Contract, Rows
from ggml_magic.presentation import plural
from ggml_magic.validate.hypotheses import Hypothesis, changing, of_the_rows
from ggml_magic.validate.question import Question, Suspect

# Fewer prove nothing of where they come from.
FEWEST_ROWS = 20
# Rows are suspected when half of them lie outside the training range, and explained when 5% do:
# of rows from training's own days 1% or 2% do.
SUSPECT_SHARE = 0.5
USUAL_SHARE = 0.05
# Wrong answers that a cause must take away: half, and the model must beat the commonest label.
WRONG_LEFT = 0.5
# Rows that a change brings into the training range must also be spread like training's: a warm
# week taken for degrees Fahrenheit lies in a winter's range, but is a third as wide.
SPREAD = 0.5
# Two causes explain the same when so small a share of the rows or values tells them apart.
TIE = 0.02


@dataclass(frozen=True)
class _Fit:
    """A cause that explains: wrong answers left (0 without labels), and how usual the rows are."""

    suspect: Suspect
    rank: int
    wrong: int
    usual: float


@dataclass(frozen=True)
class Doubt:
    """The rows themselves are suspected: outside the training range, or wrongly answered."""

    question: Question
    outside: int
    wrong: int | None
    commonest: int

    @property
    def useless(self) -> bool:
        """Whether the model is no better than the commonest label alone."""
        return self.wrong is not None and self.wrong >= self.commonest

    def hypotheses(self) -> list[Hypothesis]:
        """What the rows may be; all of it can be tried on them."""
        q = self.question
        return changing(of_the_rows(q.contract, q.scaling, q.name), q.rows)

    def named(self, tried: Sequence[Hypothesis], sources: Sequence[Rows]) -> list[Suspect]:
        """What explains as well as the best, the simplest first, one of each kind."""
        outputs: Sequence[Rows | None] = sources or [None] * len(tried)
        pairs = zip(tried, outputs, strict=False)
        found = [fit for cause, source in pairs for fit in self._judged(cause, source)]
        if not found:
            return self._labels_turned()
        wrong = min(fit.wrong for fit in found) + TIE * len(self.question.rows)
        tied = [fit for fit in found if fit.wrong <= wrong]
        usual = max(fit.usual for fit in tied) - TIE
        tied = sorted((f for f in tied if f.usual >= usual), key=lambda f: (f.rank, -f.usual))
        simplest = {fit.suspect.kind: fit for fit in reversed(tied)}
        return [fit.suspect for fit in tied if simplest[fit.suspect.kind] is fit]

    def _judged(self, cause: Hypothesis, source: Rows | None) -> list[_Fit]:
        """The fit, if the cause explains: right answers again, or rows as training's were."""
        q, count = self.question, len(self.question.rows)
        rows = cause.change(q.rows)
        outside = _outside(q.contract, rows)
        wrong = None if source is None or self.wrong is None else _wrong(q, source)
        if self._answers_better(wrong) and outside <= max(USUAL_SHARE * count, self.outside):
            before, after = self.wrong or 0, wrong or 0
            said = f"the wrong answers fall from {before:,} to {after:,} of {count:,}"
        elif self._lies_better(rows, outside) and (wrong or 0) <= (self.wrong or count):
            before, after = self.outside, outside
            said = (
                f"{after:,} of {plural(count, 'row')} lie outside the training range, "
                f"and {before:,} did"
            )
        else:
            return []
        suspect = Suspect(cause.kind, f"{cause.says} {said}.", cause.remedy, before, after)
        return [_Fit(suspect, cause.rank, wrong or 0, _usual(q.contract, rows))]

    def _answers_better(self, wrong: int | None) -> bool:
        if not self.useless or self.wrong is None or wrong is None:
            return False
        return wrong <= min(WRONG_LEFT * self.wrong, self.commonest - 1)

    def _lies_better(self, rows: Rows, outside: int) -> bool:
        count = len(rows)
        if self.outside < SUSPECT_SHARE * count or outside > USUAL_SHARE * count:
            return False
        changed = (rows != self.question.rows).any(axis=0)
        low, high = np.percentile(rows.astype(np.float64), [1, 99], axis=0)
        features = self.question.contract.features
        trained = np.asarray([feature.p99 - feature.p01 for feature in features])
        return bool((high - low >= SPREAD * trained)[changed].all())

    def _labels_turned(self) -> list[Suspect]:
        """Two answers, and nearly every one the other: the labels mean the opposite."""
        q, count = self.question, len(self.question.rows)
        two = q.contract.decision.rule == "threshold" or len(q.contract.decision.classes) == 2
        if not (two and self.useless and self.wrong is not None):
            return []
        turned = count - self.wrong
        if turned > min(WRONG_LEFT * self.wrong, self.commonest - 1):
            return []
        sentence = (
            f"The labels mean the opposite: turned round, the wrong answers fall from "
            f"{self.wrong:,} to {turned:,} of {count:,}."
        )
        remedy = (
            f"%ggml validate {q.name} --inputs X_test --labels y_test, with y_test turned round"
        )
        return [Suspect("labels turned round", sentence, remedy, self.wrong, turned)]


def doubt(question: Question, *, agreed: bool) -> Doubt | None:
    """The suspicion against the rows, if there is one.

    Where the file and the model have not ``agreed``, the rows at hand are those near the
    boundary, so that their labels tell nothing of the rest.
    """
    count = len(question.rows)
    if count < FEWEST_ROWS:
        return None
    wrong = None if question.labels is None or not agreed else _wrong(question, question.source)
    outside = _outside(question.contract, question.rows)
    found = Doubt(question, outside, wrong, _commonest(question))
    return found if found.useless or outside >= SUSPECT_SHARE * count else None


def _wrong(question: Question, source: Rows) -> int:
    """Wrong answers; of values, those further from their label than the labels' median is."""
    labels: npt.NDArray[Any] = np.asarray(question.labels)
    answers = question.contract.decision.answers(source)
    if question.contract.decision.rule != "value":
        return int((answers != labels).sum())
    with np.errstate(invalid="ignore"):
        nearer = np.abs(answers - labels) < np.abs(np.median(labels) - labels)
    return int((~nearer).sum())


def _commonest(question: Question) -> int:
    """Wrong answers of the commonest label alone; of values, half of them."""
    labels = question.labels
    if labels is None:
        return 0
    if question.contract.decision.rule == "value":
        return len(labels) // 2
    _, counts = np.unique(labels.astype(str), return_counts=True)
    return len(labels) - int(counts.max())


def _outside(contract: Contract, rows: Rows) -> int:
    """Rows with a value outside the training range."""
    return int(contract.outside(rows).any(axis=1).sum())


def _usual(contract: Contract, rows: Rows) -> float:
    """The share of values between the 1st and the 99th percentile of training."""
    low = np.asarray([feature.p01 for feature in contract.features])
    high = np.asarray([feature.p99 for feature in contract.features])
    return float(((rows >= low) & (rows <= high)).mean())
