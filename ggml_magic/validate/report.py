"""The proof as a value: verdict, figures and every flipped row."""

from __future__ import annotations

import importlib
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from ggml_magic.errors import MissingExtraError
from ggml_magic.presentation import Card, Presented, plural

FORMAT = 1
# The decision's rule under which there are no decisions to flip, only answers near or far.
VALUE = "value"
# A card is read at a glance; the rest is in ``flips``.
FLIPS_SHOWN = 5
MEGABYTE = 1_000_000
# In these a number of JSON may be no number: a broken model's NaN.
MAY_BE_INFINITE = ("max_abs_diff", "mean_abs_diff", "mean_abs_error", "baseline_abs_error")


@dataclass(frozen=True)
class Flip:
    """A row that the edge decides otherwise: its number, both answers, both outputs.

    The outputs are those behind the answers: the probability, the best class's, or the value.
    """

    row: int
    source: str | int | float
    edge: str | int | float
    source_output: float
    edge_output: float


@dataclass(frozen=True)
class Report(Presented):
    """What the edge runtime answered to real rows, beside what the notebook's model did.

    Shares are from 0 to 1; differences and the tolerance in units of the output; latency is of
    one row in microseconds; ``created`` is UTC in ISO 8601. ``accuracy``, ``precision`` and
    ``recall`` are the edge file's; ``majority`` is what the commonest label alone would reach.
    ``rule`` is the decision's; of a value, ``mean_abs_error`` is the edge file's against the labels
    and ``baseline_abs_error`` that of their median alone, in units of the output.
    """

    name: str
    model_sha256: str
    file_sha256: str
    runtime: str
    runtime_version: str
    architecture: str
    rule: str
    rows: int
    flips: tuple[Flip, ...]
    flip_share: float
    max_abs_diff: float
    mean_abs_diff: float
    distinct_outputs: int
    not_finite: int
    out_of_range_share: float
    accuracy: float | None
    majority: float | None
    precision: float | None
    recall: float | None
    mean_abs_error: float | None
    baseline_abs_error: float | None
    max_flips: str
    tolerance: float
    passed: bool
    reasons: tuple[str, ...]
    load_seconds: float
    row_microseconds_p50: float
    peak_bytes: int
    created: str

    @property
    def verdict(self) -> str:
        """The one line: passed or not, flips, rows, runtime."""
        word = "PASSED" if self.passed else "FAILED"
        said = differing(self.rule, len(self.flips), self.rows, self.tolerance)
        return f"{word}: {said} on {self.runtime} {self.runtime_version}"

    def card(self) -> Card:
        """The verdict, why it failed, the figures, and the first flipped rows."""
        flips = self.flips[:FLIPS_SHOWN]
        table = tuple(
            (
                f"{f.row:,}",
                str(f.source),
                str(f.edge),
                f"{f.source_output:.7g}",
                f"{f.edge_output:.7g}",
            )
            for f in flips
        )
        more = len(self.flips) - len(flips)
        noun = "answer" if self.rule == VALUE else "flip"
        notes = (f"and {plural(more, noun)} more, in .flips_frame()",) if more else ()
        return Card(
            f"{self.name} {self.verdict}",
            (*(("because", reason) for reason in self.reasons), *self._figures()),
            ("row", "notebook", "edge", "notebook's output", "edge's output"),
            table,
            notes,
        )

    def _figures(self) -> list[tuple[str, str]]:
        facts = [
            (
                "largest difference",
                f"{amount(self.max_abs_diff, 2)} (allowed {amount(self.tolerance, 2)})",
            ),
            ("different outputs", f"{self.distinct_outputs:,}"),
            ("outside training range", f"{_percent(self.out_of_range_share)} of the rows"),
        ]
        if self.accuracy is not None and self.majority is not None:
            facts.append(
                (
                    "accuracy",
                    f"{_percent(self.accuracy)} (the commonest label alone: "
                    f"{_percent(self.majority)})",
                )
            )
        if self.mean_abs_error is not None and self.baseline_abs_error is not None:
            facts.append(
                (
                    "mean absolute error",
                    f"{amount(self.mean_abs_error, 3)} (the median alone: "
                    f"{amount(self.baseline_abs_error, 3)})",
                )
            )
        if self.precision is not None or self.recall is not None:
            facts.append(
                ("precision, recall", f"{_percent(self.precision)}, {_percent(self.recall)}")
            )
        facts.append(
            (
                f"on this {self.architecture}",
                f"{self.row_microseconds_p50:.3g} µs a row, loads in "
                f"{self.load_seconds * 1000:.3g} ms, {self.peak_bytes / MEGABYTE:.0f} MB at most",
            )
        )
        return facts

    def flips_frame(self) -> Any:
        """The flipped rows as a pandas ``DataFrame``, one line a flip.

        Raises ``MissingExtraError`` where pandas is not installed.
        """
        try:
            pandas: Any = importlib.import_module("pandas")
        except ModuleNotFoundError:
            raise MissingExtraError(
                "pandas is not installed", "a DataFrame needs it", "pip install pandas"
            ) from None
        return pandas.DataFrame(
            [asdict(flip) for flip in self.flips], columns=[f.name for f in fields(Flip)]
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; ``from_dict`` reads them back."""
        values = {"format": FORMAT, **asdict(self)}
        for name in MAY_BE_INFINITE:
            values[name] = _to_json(values[name])
        values["flips"] = [
            {name: _to_json(value) for name, value in flip.items()} for flip in values["flips"]
        ]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        """A report from ``to_dict``'s values."""
        rest = {name: value for name, value in values.items() if name != "format"}
        for name in MAY_BE_INFINITE:
            rest[name] = None if rest[name] is None else float(rest[name])
        rest["flips"] = tuple(
            Flip(
                **{
                    **flip,
                    "source_output": float(flip["source_output"]),
                    "edge_output": float(flip["edge_output"]),
                }
            )
            for flip in rest["flips"]
        )
        rest["reasons"] = tuple(rest["reasons"])
        return cls(**rest)


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


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share * 100:.2f}%"
