"""The rows on which a quantiser measures ranges, and whether they are fit for that.

Ten rows of the rain data made 7% of the decisions flip, with an accuracy that went up (PEERS
0.2): nothing but a look at the rows themselves shows it before the harm is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ggml_magic.device.contract import Contract, Feature, Rows
from ggml_magic.errors import ContractError
from ggml_magic.model.rows import rows as as_rows
from ggml_magic.presentation import plural

# With 100 rows drawn at random, all but 2 in 101 of those to come lie inside their range. Ten
# leave 18 in 100 outside, and flipped 7% of the decisions; 600 flipped 0.2% (PEERS 0.2).
FEWEST_ROWS = 100
# What lies beyond the range is clipped to its edge. 100 random rows of a normal distribution
# cover 95% of the middle 98%; ten cover 66%.
LEAST_COVERED = 0.8
# A twentieth of one feature's values may be clipped, as 100 random rows leave it at worst.
MOST_SATURATED = 0.05
SHOWN_FEATURES = 4


@dataclass(frozen=True)
class FeatureCoverage:
    """How well one feature is covered, as two shares from 0 to 1.

    ``covered``: of the training's 1% to 99% range, inside the rows' range; ``saturated``: of the
    training sample's values, outside of it.
    """

    name: str
    covered: float
    saturated: float


@dataclass(frozen=True)
class Coverage:
    """How well ``rows`` rows represent the training's; ``whose`` says where they come from."""

    whose: str
    rows: int
    features: tuple[FeatureCoverage, ...]

    def __str__(self) -> str:
        low = min(self.features, key=lambda f: f.covered)
        high = max(self.features, key=lambda f: f.saturated)
        reach = "all" if low.covered >= 1 else f"{low.covered:.0%} ({low.name}) or more"
        cut = "nothing saturates"
        if high.saturated:
            cut = f"{high.saturated:.1%} or less saturates ({high.name})"
        return f"{plural(self.rows, 'row')} {self.whose}: {reach} of each feature's range, {cut}"

    def faults(self) -> tuple[str, ...]:
        """What is wrong with the rows, each as a clause with its figure; none if they are fit."""
        found = []
        if self.rows < FEWEST_ROWS:
            found.append(f"{plural(self.rows, 'row')}, and {FEWEST_ROWS} are needed")
        bad = [f for f in self.features if _is_bad(f)]
        found += [
            f"{f.name} covers {f.covered:.0%} of its training range and {f.saturated:.0%} of its "
            "values saturate"
            for f in bad[:SHOWN_FEATURES]
        ]
        if len(bad) > SHOWN_FEATURES:
            found.append(f"{len(bad) - SHOWN_FEATURES} more features likewise")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Coverage:
        """A coverage from ``to_dict``'s values."""
        return cls(
            values["whose"],
            values["rows"],
            tuple(FeatureCoverage(**feature) for feature in values["features"]),
        )


def _is_bad(feature: FeatureCoverage) -> bool:
    return feature.covered < LEAST_COVERED or feature.saturated > MOST_SATURATED


@dataclass(frozen=True)
class Representative:
    """Rows (N, F) for a quantiser, and how well they cover the training's."""

    rows: Rows
    coverage: Coverage

    @property
    def sha256(self) -> str:
        """The hash of the rows, by which a file that was made with them is known again."""
        return hashlib.sha256(np.ascontiguousarray(self.rows).data.cast("B")).hexdigest()


def representative(contract: Contract, sample: Rows, given: object) -> Representative:
    """The rows for a quantiser: ``given`` ones, or the model's own ``sample`` (N, F) where None.

    Raises ``ContractError`` and its kinds for given rows that are not the contract's.
    """
    if given is None:
        rows, whose = sample, "of the training data"
    else:
        rows, whose = as_rows(given, contract, "representative"), "given as representative"
    return Representative(rows, coverage(contract.features, rows, sample, whose))


def coverage(features: Sequence[Feature], rows: Rows, sample: Rows, whose: str) -> Coverage:
    """How well ``rows`` (N, F) cover the training: ``sample`` is rows of it, in the same order."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    outside = ((sample < low) | (sample > high)).mean(axis=0)
    found = (
        FeatureCoverage(feature.name, _covered(feature, float(low[i]), float(high[i])), out)
        for i, (feature, out) in enumerate(zip(features, outside.tolist(), strict=True))
    )
    return Coverage(whose, len(rows), tuple(found))


def _covered(feature: Feature, low: float, high: float) -> float:
    # the contract's figures are of float64, the rows' of float32
    p01, p99 = float(np.float32(feature.p01)), float(np.float32(feature.p99))
    if p99 <= p01:  # a feature that hardly ever changes
        return 1.0 if low <= p01 <= high else 0.0
    return max(0.0, min(high, p99) - max(low, p01)) / (p99 - p01)


def check(name: str, variant: str, chosen: Representative, *, quantize: str) -> None:
    """Raise ``ContractError`` with the figures where the rows are not fit for a quantiser.

    ``quantize`` is what the user asked for, and asks for again without rows of their own.
    """
    faults = chosen.coverage.faults()
    if faults:
        whose = chosen.coverage.whose
        given = whose != "of the training data"
        raise ContractError(
            f"the rows {whose} cannot calibrate {variant}",
            "; ".join(faults),
            f"%ggml convert {name} --quantize {quantize}   (without --representative it takes "
            "training rows)"
            if given
            else f"%ggml convert {name} --quantize dynamic",
        )
