"""The file disagrees with the notebook's model: which mistake of the file explains it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_magic.convert.scaler import MOVES
from ggml_magic.device.contract import Rows
from ggml_magic.model.decide import flipped
from ggml_magic.presentation import plural
from ggml_magic.validate.hypotheses import (
    CUT_OFF,
    Change,
    Hypothesis,
    changing,
    of_the_file,
    of_the_outputs,
)
from ggml_magic.validate.question import Question, Suspect

if TYPE_CHECKING:
    from ggml_magic.model.scaling import Scaling

# A file of a large network must not be asked millions of rows to explain a failure: 60
# hypotheses about 2,000 rows of the rain network take 1 ms in batches (RUNTIMES 3).
MOST_ROWS = 120_000
# Fewer prove no cause: of 60 hypotheses one would fit five coin tosses.
FEWEST_FLIPS = 5
# Once the cause is undone this share of the flips may stay: a quantised file has rounding flips
# of its own, 2% of the rows at worst, where a wrong input flips 30% or more (RUNTIMES 3).
FLIPS_LEFT = 0.1
# And the outputs come this much nearer, in the mean: int8 rounds by 0.016 (RUNTIMES 3), and rows
# that flip for a cause are 0.2 apart or more. Without it a swap of two useless features would
# make a rounding flip vanish by chance.
DISTANCE_LEFT = 0.2
# A file with cut-off inputs is an int8 file, whose own rounding flips stay, and a calibration
# that is too narrow narrows the network's inside too: measured on the rain network, 23% to 43%
# of the flips stay.
CUT_OFF_LEFT = 0.5
# What a converter makes of a scaler, which is a factor and a constant for each feature.
FACTORS = frozenset(("MUL", "DIV"))
CONSTANTS = frozenset(("ADD", "SUB"))
# Two causes within this factor, or within float32's rounding, explain the same.
TIE = 2.0
ROUNDING = 1e-5
Mask = npt.NDArray[np.bool_]


def _apart(source: Rows, edge: Rows) -> npt.NDArray[np.float64]:
    """How far each row's outputs are apart, at most, shape (N,); infinite where no number."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart: npt.NDArray[np.float64] = np.abs(edge.astype(np.float64) - source).max(axis=1)
    apart[~np.isfinite(apart)] = np.inf
    return apart


@dataclass(frozen=True)
class _Verdict:
    """A cause that explains: flips that stay, and how far apart the outputs still are."""

    cause: Hypothesis
    after: int
    apart: float


@dataclass(frozen=True)
class Disagreement:
    """The file and the model disagree: the rows that are tried, and which of them are flips.

    ``all_flips`` says that these are all the flips there are; ``noun`` is flip, or difference
    where the decisions are the same and outputs differ beyond the tolerance; ``hypotheses`` are
    those that the file is to be asked.
    """

    question: Question
    rows: Rows
    source: Rows
    edge: Rows
    bad: Mask
    all_flips: bool
    noun: str
    hypotheses: tuple[Hypothesis, ...]

    def cuts(self) -> list[Hypothesis]:
        """That the file's quantised input cuts values off, where it can."""
        return changing(list(_cut_offs(self.question)), self.rows)

    def by_file(self, edges: Sequence[Rows]) -> list[_Verdict]:
        """What the file's answers to each of the hypotheses explain."""
        # nothing came back where the file could not be asked
        pairs = zip(self.hypotheses, edges, strict=False)
        return [v for h, e in pairs for v in self._judged(h, e)]

    def by_cut(self, cuts: Sequence[Hypothesis], sources: Sequence[Rows]) -> list[_Verdict]:
        """What the model's answers to rows that are cut off explain."""
        pairs = zip(cuts, sources, strict=False)
        return [v for h, s in pairs for v in self._judged(h, self.edge, s, left=CUT_OFF_LEFT)]

    def by_output(self) -> list[_Verdict]:
        """What a change of the outputs explains; nobody needs to be asked."""
        q = self.question
        tried = of_the_outputs(q.contract.decision, self.source, self.edge, q.name)
        return [v for h in tried for v in self._judged(h, h.change(self.edge))]

    def named(self, verdicts: Sequence[_Verdict]) -> list[Suspect]:
        """The best and what explains as well, the simplest first, one of each kind."""
        if not verdicts:
            return []
        rounding = ROUNDING * max(1.0, float(np.abs(self.source).max()))
        limit = TIE * min(v.apart for v in verdicts) + rounding
        tied = sorted(
            (v for v in verdicts if v.apart <= limit), key=lambda v: (v.cause.rank, v.apart)
        )
        simplest = {v.cause.kind: v for v in reversed(tied)}
        return [self._suspect(v) for v in tied if simplest[v.cause.kind] is v]

    def signature(self, edges: Sequence[Rows]) -> list[Suspect]:
        """What outputs alone tell when no hypothesis helps: one answer to all, or no number."""
        if not np.isfinite(self.source).all():
            return []
        before = int(self.bad.sum())
        remedy = f"%ggml convert {self.question.name} --quantize none"
        if not np.isfinite(self.edge).any():
            sentence = (
                "The file answers no number to any row, as one does whose variables were lost in "
                "its conversion: convert the described model again."
            )
            return [Suspect("no number", sentence, remedy, before, before)]
        if len(edges) < len(self.hypotheses):  # the file could not be asked
            return []
        every = np.concatenate([self.edge, *edges])
        if (self.source == self.source[0]).all() or not (every == every[0]).all():
            return []
        sentence = (
            f"The file gives one answer to {plural(len(every), 'row')} of every kind, as one does "
            "where an operator's version is older than its format: convert with this "
            f"TensorFlow, or use another runtime (%ggml profile {self.question.name})."
        )
        return [Suspect("constant", sentence, remedy, before, before)]

    def _judged(
        self, cause: Hypothesis, edge: Rows, source: Rows | None = None, left: float = FLIPS_LEFT
    ) -> list[_Verdict]:
        """The verdict, if the cause explains: the flips vanish and the outputs come together."""
        source = self.source if source is None else source
        before = _apart(self.source, self.edge)[self.bad].mean()
        apart = _apart(source, edge)
        after = int(_bad(self.question, source, edge, self.noun).sum())
        explains = (
            after <= left * self.bad.sum()
            and np.isfinite(apart).all()
            and max(apart.mean(), apart[self.bad].mean()) <= max(left, DISTANCE_LEFT) * before
        )
        return [_Verdict(cause, after, float(apart.mean()))] if explains else []

    def _suspect(self, verdict: _Verdict) -> Suspect:
        before, after = int(self.bad.sum()), verdict.after
        counted = plural(before, self.noun) + ("" if self.all_flips else " tried")
        part = f"{before - after:,} of the {counted}" if after else f"all {counted}"
        cause = verdict.cause
        return Suspect(cause.kind, f"{cause.says} {part} vanish.", cause.remedy, before, after)


def split(question: Question) -> Disagreement | None:
    """The disagreement, where it is large enough to have a cause."""
    for noun in ("flip", "difference"):
        bad = _bad(question, question.source, question.edge, noun)
        if bad.sum() >= FEWEST_FLIPS:
            break
    else:
        return None
    q = question
    tried = of_the_file(q.contract, q.scaling, q.name)
    places = _places(bad, MOST_ROWS // max(len(tried), 1))
    rows = q.rows[places]
    complete = noun == "flip" and int(bad[places].sum()) == q.flips
    return Disagreement(
        q,
        rows,
        q.source[places],
        q.edge[places],
        bad[places],
        complete,
        noun,
        tuple(changing(tried, rows)),
    )


def _bad(question: Question, source: Rows, edge: Rows, noun: str) -> Mask:
    """Which rows disagree: decided otherwise, or with outputs beyond the tolerance."""
    if noun == "flip":
        return flipped(question.contract.decision, source, edge, question.tolerance)
    return _apart(source, edge) > question.tolerance


def _places(bad: Mask, most: int) -> npt.NDArray[np.intp]:
    """At most so many rows, in order: half of them flips, where there are that many."""
    places = np.arange(len(bad))
    if len(bad) <= most:
        return places
    flips, others = places[bad], places[~bad]
    taken = min(len(flips), max(most // 2, most - len(others)))
    rest = others[
        np.linspace(0, max(len(others) - 1, 0), min(most - taken, len(others))).astype(int)
    ]
    return np.sort(np.concatenate([flips[:taken], rest]))


def _cut_offs(question: Question) -> Iterator[Hypothesis]:
    """The quantised range as one of raw rows, or behind the scaler where that stands before it.

    Behind anything else nobody knows what the range means for the rows.
    """
    if question.input_range is None:
        return
    low, high = question.input_range
    if not question.range_behind:
        yield _cut_off(question, question.rows, "", lambda rows: rows.clip(low, high))
        return
    whole = question.scaling
    before = None if whole is None else _before(question.range_behind, whole)
    if before is not None:
        yield _cut_off(
            question,
            before.forward(question.rows),
            " behind the scaler" if before == whole else " inside the scaler",
            lambda rows: before.inverse(before.forward(rows).clip(low, high)),
        )


def _before(operators: Sequence[str], scaling: Scaling) -> Scaling | None:
    """What these operators do, where they are this scaler or its first half, and nothing else.

    A converter folds the other half into the weights behind it: (x - mean) alone is left of a
    scaler before a dense layer.
    """
    arithmetic = set(operators) - MOVES
    if not arithmetic <= FACTORS | CONSTANTS or not all(scaling.scale):
        return None  # a factor of 0 has no way back
    ones, zeros = (1.0,) * len(scaling.scale), (0.0,) * len(scaling.scale)
    factors, constants = bool(arithmetic & FACTORS), bool(arithmetic & CONSTANTS)
    if factors and constants:
        return scaling
    if constants and scaling.offset != zeros:
        first = zip(scaling.offset, scaling.scale, strict=True)
        return replace(scaling, scale=ones, offset=tuple(o / s for o, s in first))
    if factors and scaling.scale != ones:
        return replace(scaling, offset=zeros)
    return None


def _cut_off(question: Question, seen: Rows, where: str, change: Change) -> Hypothesis:
    """``seen`` are the rows as the quantised tensor sees them."""
    low, high = question.input_range or (-np.inf, np.inf)
    beyond = ((seen < low) | (seen > high)).sum(axis=0)
    worst = int(beyond.argmax())
    return Hypothesis(
        "inputs cut off",
        CUT_OFF,
        change,
        f"The file's quantised input{where} holds {low:.4g} to {high:.4g} and cuts off "
        f"{question.contract.names[worst]} in {plural(int(beyond[worst]), 'row')}: with the "
        "notebook's rows cut off too,",
        f"%ggml convert {question.name} --quantize int8 --representative X_train",
    )
