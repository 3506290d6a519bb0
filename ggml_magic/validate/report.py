"""The proof as a value: verdict, figures and the flipped rows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ggml_magic.presentation import Card, Presented, plural
from ggml_magic.validate import flips as flips_of
from ggml_magic.validate.flips import Flips, Sample
from ggml_magic.validate.question import Suspect

if TYPE_CHECKING:
    from ggml_magic.validate.figures import Figure

FORMAT = 2
# Fewer rows prove little: where none of so many flips, 3 / 50 = 6% of all others still may (the
# rule of three, at 95%).
FEW_ROWS = 50
RULE_OF_THREE = 3
# The decision's rule under which there are no decisions to flip, only answers near or far.
VALUE = "value"
# A card is read at a glance; the rest is in ``flips``.
FLIPS_SHOWN = 5
# A float32 tells no more.
FLOAT32_DIGITS = 7
MEGABYTE = 1_000_000
NO_FLIPS = flips_of.none(())
NO_POINTS = Sample(np.empty(0), np.empty(0), np.empty(0, dtype=np.bool_))


@dataclass(frozen=True)
class Latency:
    """How long the model takes on this machine, in microseconds: one row alone, and a batch.

    A batch has ``batch_rows`` rows; the figures are those of the whole batch.
    """

    row_p50: float
    row_p95: float
    row_p99: float
    batch_rows: int
    batch_p50: float
    batch_p95: float
    batch_p99: float


@dataclass(frozen=True)
class Report(Presented):
    """What the edge runtime answered to real rows, beside what the notebook's model did.

    Shares are from 0 to 1; differences and the tolerance in units of the output; ``created`` is
    UTC in ISO 8601. ``accuracy``, ``precision``, ``recall`` and ``auc`` are the edge file's,
    ``source_accuracy`` the notebook's model's; ``majority`` is what the commonest label alone
    would reach. Of a value, ``mean_abs_error`` is the edge file's against the labels,
    ``source_abs_error`` the notebook's model's and ``baseline_abs_error`` that of their median
    alone. ``arch`` is what was asked for (native,
    aarch64, armv7l), ``architecture`` the processor's own name; where it is emulated, latency,
    load time and memory are None, since they would be the emulator's. ``boundary`` is the
    threshold of the decision, if it has one. ``distinct_outputs`` is counted up to 10,000;
    ``out_of_range`` is the share of rows outside the training range by feature. ``input_shape`` is
    what the file states for its input, -1 any number; None where it is not known.
    ``distinct_decisions`` counts what the edge decides and ``source_distinct_decisions`` what the
    notebook's model does (None of a value), ``only_decision`` is the one that both give to every
    row; ``feature_names`` are in the contract's order.
    """

    name: str
    model_sha256: str
    file_sha256: str
    variant: str
    runtime: str
    runtime_version: str
    arch: str
    architecture: str
    emulated: bool
    rule: str
    boundary: float | None
    rows: int
    features: int
    outputs: int
    flip_count: int
    flip_share: float
    max_abs_diff: float
    mean_abs_diff: float
    p99_abs_diff: float
    distinct_outputs: int
    not_finite: int
    out_of_range_share: float
    out_of_range: dict[str, float]
    accuracy: float | None
    source_accuracy: float | None
    majority: float | None
    precision: float | None
    recall: float | None
    auc: float | None
    mean_abs_error: float | None
    baseline_abs_error: float | None
    max_flips: str
    tolerance: float
    max_latency_p95_microseconds: float | None
    max_memory_bytes: int | None
    max_size_bytes: int | None
    passed: bool
    reasons: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    size: int
    load_seconds: float | None
    latency: Latency | None
    peak_bytes: int | None
    created: str
    input_shape: tuple[int, ...] | None = None
    source_abs_error: float | None = None
    distinct_decisions: int | None = None
    source_distinct_decisions: int | None = None
    only_decision: str | None = None
    feature_names: tuple[str, ...] = ()
    flipped: Flips = field(default=NO_FLIPS, compare=False, repr=False)
    points: Sample = field(default=NO_POINTS, compare=False, repr=False)

    @property
    def verdict(self) -> str:
        """The one line: passed or not, flips, rows, runtime."""
        word = "PASSED" if self.passed else "FAILED"
        said = differing(self.rule, self.flip_count, self.rows, self.tolerance)
        where = f" for {self.arch}, emulated" if self.emulated else ""
        return f"{word}: {said} on {self.runtime} {self.runtime_version}{where}"

    @property
    def caution(self) -> str:
        """That a proof rests on few rows, as a sentence; empty where it does not."""
        if not self.passed or self.rows >= FEW_ROWS:
            return ""
        noun, verb = ("answers", "differ") if self.rule == VALUE else ("decisions", "flip")
        if self.flip_count:  # within its limit; the rule of three is of none
            others = f"that tells little of all other {noun}"
        else:
            share = min(1.0, RULE_OF_THREE / self.rows)
            others = f"up to {share:.0%} of all other {noun} may still {verb}"
        return (
            f"Proven on {plural(self.rows, 'row')} only: {others}, and {FEW_ROWS} rows or more "
            "would tell more."
        )

    @cached_property
    def flips(self) -> Any:
        """The flipped rows as a pandas ``DataFrame``; of very many the 10,000 worst.

        Columns: row, each feature, source, edge, source_output, edge_output, margin (how far the
        source's output was from turning) and out_of_range (names of features). Raises
        ``MissingExtraError`` where pandas is not installed.
        """
        return self.flipped.frame()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Each figure with its value and one sentence of what it means."""
        from ggml_magic.validate.figures import figures

        return figures(self)

    def sentences(self) -> str:
        """Every figure and what it means, as text."""
        return "\n".join(
            f"{figure.name}: {figure.said}. {figure.meaning}" for figure in self.figures
        )

    def to_df(self) -> Any:
        """One line a figure (figure, value, shown, meaning), as a pandas ``DataFrame``.

        ``value`` is the number itself, ``shown`` the same as text with its unit: pandas rounds
        the numbers that it displays, and shows 1.8e-07 as 0.0.
        Raises ``MissingExtraError`` where pandas is not installed.
        """
        lines = [(f.name, f.value, f.said, f.meaning) for f in self.figures]
        return flips_of.pandas().DataFrame(lines, columns=["figure", "value", "shown", "meaning"])

    def card(self) -> Card:
        """The verdict, why it failed, the main figures, and the first flipped rows."""
        reasons = [("because", reason) for reason in self.reasons]
        suspects = [("suspect", suspect.sentence) for suspect in self.suspects]
        from ggml_magic.validate.figures import facts

        shown = range(min(FLIPS_SHOWN, len(self.flipped)))
        behind = () if self.rule == VALUE else ("notebook's output", "edge's output")
        return Card(
            f"{self.name} {self.verdict}",
            (*reasons, *suspects, *facts(self)),
            ("row", "notebook", "edge", *behind, "out of range"),
            tuple(self._line(place) for place in shown),
            self._notes(len(shown)),
        )

    def _line(self, place: int) -> tuple[str, ...]:
        kept = self.flipped
        outputs = tuple(
            f"{side[place]:.{FLOAT32_DIGITS}g}" for side in (kept.source_outputs, kept.edge_outputs)
        )
        # a value is its own answer
        answers = () if self.rule == VALUE else (str(kept.source[place]), str(kept.edge[place]))
        strange = ", ".join(kept.out_of_range(place)) or "-"
        return (f"{kept.rows[place]:,}", *answers, *outputs, strange)

    def _notes(self, shown: int) -> tuple[str, ...]:
        noun = "answer" if self.rule == VALUE else "flip"
        from ggml_magic.validate.cautions import cautions

        notes = [*cautions(self)]
        more, left_out = self.flip_count - shown, self.flip_count - len(self.flipped)
        if more:
            notes.append(f"and {plural(more, noun)} more, in .flips")
        if left_out:
            notes.append(f".flips has the worst {len(self.flipped):,} of {self.flip_count:,}")
        return tuple(notes)

    def _repr_html_(self) -> str:
        from ggml_magic.validate import drawing

        points = self.points
        if not len(points.source):
            return self.card().html()
        title = f"{self.name}: each row's output in the notebook and on the edge"
        words = drawing.VALUE_WORDS if self.rule == VALUE else drawing.DECISION_WORDS
        picture = drawing.scatter(
            points.source,
            points.edge,
            points.flipped,
            boundary=self.boundary,
            title=title,
            total=drawing.Total(self.rows, self.flip_count, *words),
        )
        return self.card().html() + picture

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; ``from_dict`` reads them back. The flipped rows are not among them."""
        values = asdict(replace(self, flipped=NO_FLIPS, points=NO_POINTS))
        del values["flipped"], values["points"]
        return {"format": FORMAT, **{name: _to_json(value) for name, value in values.items()}}

    @classmethod
    def from_dict(
        cls,
        values: dict[str, Any],
        flipped: Flips = NO_FLIPS,
        points: Sample = NO_POINTS,
    ) -> Report:
        """A report from ``to_dict``'s values, with the rows that were kept beside it."""
        rest = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        for name, value in rest.items():
            if isinstance(value, str) and name in MAY_BE_INFINITE:
                rest[name] = float(value)
        rest["reasons"] = tuple(rest["reasons"])
        rest["feature_names"] = tuple(rest.get("feature_names", ()))
        order = rest["feature_names"] or flipped.names
        rest["out_of_range"] = _in_order(rest["out_of_range"], order)
        rest["suspects"] = tuple(Suspect(**suspect) for suspect in rest["suspects"])
        rest["latency"] = None if rest["latency"] is None else Latency(**rest["latency"])
        if rest.get("input_shape") is not None:
            rest["input_shape"] = tuple(rest["input_shape"])
        return cls(**rest, flipped=flipped, points=points)


# In these a number of JSON may be no number: a broken model's NaN.
MAY_BE_INFINITE = (
    "max_abs_diff",
    "mean_abs_diff",
    "p99_abs_diff",
    "mean_abs_error",
    "baseline_abs_error",
    "source_abs_error",
)


def _in_order(shares: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """By the contract's order, which a file of sorted keys has lost: it decides between equals."""
    return {name: shares[name] for name in dict.fromkeys((*names, *shares)) if name in shares}


def differing(rule: str, count: int, rows: int, tolerance: float) -> str:
    """How many rows differ, as a clause: decisions that flip, or values beyond the tolerance."""
    one = count == 1
    if rule == VALUE:
        verb = "differs" if one else "differ"
        beyond = amount(tolerance, 2)
        return f"{count:,} of {plural(rows, 'answer')} {verb} by more than {beyond}"
    return f"{count:,} of {plural(rows, 'decision')} {'flips' if one else 'flip'}"


def amount(value: float, digits: int) -> str:
    """A number to so many digits, and a large one whole: ``0.41``, ``25,300``, never 2.5e+04."""
    whole = math.isfinite(value) and abs(value) >= 10**digits - 0.5
    return f"{value:,.0f}" if whole else f"{value:.{digits}g}"


def _to_json(value: Any) -> Any:
    """JSON has no NaN and no infinity; they become text that ``float`` reads."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
