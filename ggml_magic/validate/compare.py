"""Two sets of outputs beside each other: flips, differences, and how many answers there are.

Outputs may be memory maps of millions of rows: they are read once, in chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Contract, Decision, Rows
from ggml_magic.model.decide import codes, flipped

Places = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

# A chunk of a few columns stays in the processor's cache, and its temporaries are some MB.
CHUNK_ROWS = 65_536
# The flips that are kept row by row, the worst first; all are counted.
FLIPS_KEPT = 10_000
# Counting stops here: whether a file answers 10,000 or 5 million things says nothing more.
DISTINCT_CAP = 10_000
QUANTILE = 0.99
# A float's bits are ordered as its value is, so their upper part is a histogram's bin: nine
# bits of the mantissa are left, which is a difference of 0.2%.
BIN_SHIFT = 14
BINS = 1 << (31 - BIN_SHIFT)
# Odd and without pattern (the golden ratio in 64 bits): a row of outputs becomes one number.
MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Comparison:
    """How far the edge's outputs (N, K) are from the source's.

    ``flips`` are the places of the worst ``FLIPS_KEPT`` of ``flip_count`` flipped rows, in order;
    ``flip_margin`` is the widest margin of the source at any of them (0 without flips).
    ``not_finite`` counts rows with NaN or infinity, whose differences count as infinite.
    ``distinct_outputs`` stops at ``DISTINCT_CAP``; ``constant`` says that the edge always gives
    one output, ``source_constant`` that the source does. ``distinct_decisions`` counts what the
    edge decides, ``source_distinct_decisions`` what the source does, None where the value is the
    answer; ``only_decision`` is the one that both give to every row, None where there are more.
    """

    rows: int
    flip_count: int
    flips: Places
    flip_margin: float
    max_abs_diff: float
    mean_abs_diff: float
    p99_abs_diff: float
    distinct_outputs: int
    not_finite: int
    source_not_finite: int
    constant: bool
    source_constant: bool
    source_peak: float
    distinct_decisions: int | None
    source_distinct_decisions: int | None
    only_decision: str | None


def chunks(count: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """The slices that cover so many rows, in order."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def compare(
    decision: Decision, source: Rows, edge: Rows, tolerance: float, *, chunk_rows: int = CHUNK_ROWS
) -> Comparison:
    """Compare outputs row by row; ``tolerance`` decides flips only where the value is the answer.

    Raises ``ValueError`` for outputs of different shapes.
    """
    if source.shape != edge.shape:
        raise ValueError(f"outputs of shapes {source.shape} and {edge.shape}")
    seen = _Seen(decision, tolerance)
    for part in chunks(len(source), chunk_rows):
        seen.add(np.asarray(source[part]), np.asarray(edge[part]), part.start)
    decides = decision.rule != "value"
    return Comparison(
        rows=len(source),
        flip_count=seen.worst.count,
        flips=np.sort(seen.worst.places),
        flip_margin=seen.flip_margin,
        max_abs_diff=seen.largest,
        mean_abs_diff=seen.total / edge.size if edge.size else 0.0,
        p99_abs_diff=seen.histogram.quantile(QUANTILE),
        distinct_outputs=seen.edge_outputs.count,
        not_finite=seen.not_finite,
        source_not_finite=seen.source_not_finite,
        constant=seen.edge_outputs.count == 1,
        source_constant=seen.source_outputs.count == 1,
        source_peak=seen.source_peak,
        distinct_decisions=len(seen.edge_decisions) if decides else None,
        source_distinct_decisions=len(seen.source_decisions) if decides else None,
        only_decision=_only(decision, seen.edge_decisions | seen.source_decisions),
    )


def _only(decision: Decision, kinds: set[int]) -> str | None:
    if len(kinds) != 1:
        return None
    (code,) = kinds
    return decision.classes[code] if decision.rule == "argmax" else str(code)


def differences(source: Rows, edge: Rows) -> Rows:
    """Absolute differences (N, K), float32; infinite where one is no number."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference: Rows = np.abs(edge - source)
    difference[np.isnan(difference)] = np.inf
    return difference


def margins(decision: Decision, outputs: Rows) -> npt.NDArray[np.float64]:
    """How far each row's decision is from turning, shape (N,), in units of the output.

    The distance to the threshold, or between the best and the second class; infinite for a
    value, which has no boundary.
    """
    if decision.rule == "threshold":
        return np.abs(outputs[:, 0].astype(np.float64) - float(np.float32(decision.at)))
    if decision.rule == "argmax":
        best = np.sort(outputs.astype(np.float64), axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(best[:, -1] - best[:, -2])
    return np.full(len(outputs), np.inf)


def peak(outputs: Rows) -> float:
    """The largest absolute finite output, 0 where there is none."""
    largest = 0.0
    for part in chunks(len(outputs)):
        values = np.asarray(outputs[part])
        largest = max(largest, _peak(values, np.isfinite(values)))
    return largest


def outside(contract: Contract, rows: Rows) -> tuple[float, dict[str, float]]:
    """The share of rows with a value outside the training range, and that of each feature."""
    strange, by_feature = 0, np.zeros(len(contract.features), dtype=np.int64)
    for part in chunks(len(rows)):
        # a feature after the other: numpy is slow along an axis of a few
        beyond = np.ascontiguousarray(contract.outside(rows[part]).T)
        by_feature += np.count_nonzero(beyond, axis=1)
        strange += int(np.count_nonzero(beyond.any(axis=0)))
    shares = (by_feature / len(rows)).tolist()
    return strange / len(rows), dict(zip(contract.names, shares, strict=True))


def _peak(values: Rows, finite: Mask) -> float:
    low = values.min(initial=0.0, where=finite)
    return float(max(-low, values.max(initial=0.0, where=finite)))


class _Seen:
    """What the chunks so far have shown."""

    def __init__(self, decision: Decision, tolerance: float) -> None:
        self.decision = decision
        self.tolerance = tolerance
        self.edge_decisions: set[int] = set()
        self.source_decisions: set[int] = set()
        self.worst = _Worst()
        self.histogram = _Histogram()
        self.edge_outputs = Distinct(DISTINCT_CAP)
        self.source_outputs = Distinct(2)
        self.flip_margin = 0.0
        self.largest = 0.0
        self.total = 0.0
        self.not_finite = 0
        self.source_not_finite = 0
        self.source_peak = 0.0

    def add(self, source: Rows, edge: Rows, start: int) -> None:
        difference = differences(source, edge)
        self.histogram.add(difference)
        self.largest = max(self.largest, float(difference.max(initial=0.0)))
        self.total += float(difference.sum(dtype=np.float64))
        finite = np.isfinite(source)
        self.source_peak = max(self.source_peak, _peak(source, finite))
        self.source_not_finite += int((~finite.all(axis=1)).sum())
        self.not_finite += int((~np.isfinite(edge).all(axis=1)).sum())
        self.edge_outputs.add(edge)
        self.source_outputs.add(source)
        places = np.flatnonzero(self._flipped(source, edge))
        if len(places):
            self.worst.add(places + start, difference[places].max(axis=1))
            wide = margins(self.decision, source[places])
            wide[np.isnan(wide)] = np.inf  # what is no number is on no boundary
            self.flip_margin = max(self.flip_margin, float(wide.max()))

    def _flipped(self, source: Rows, edge: Rows) -> Mask:
        if self.decision.rule == "value":
            return flipped(self.decision, source, edge, self.tolerance)
        # as ``flipped`` does, with the codes of both sides looked at on the way
        before, after = codes(self.decision, source), codes(self.decision, edge)
        self.source_decisions.update(np.flatnonzero(np.bincount(before)).tolist())
        self.edge_decisions.update(np.flatnonzero(np.bincount(after)).tolist())
        different: Mask = before != after
        return different


class _Worst:
    """The places with the largest differences, ``FLIPS_KEPT`` at most, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self.places: Places = np.empty(0, dtype=np.intp)
        self._sizes: npt.NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def add(self, places: Places, sizes: npt.NDArray[np.float32]) -> None:
        self.count += len(places)
        self.places = np.concatenate([self.places, places])
        self._sizes = np.concatenate([self._sizes, sizes])
        if len(self.places) > FLIPS_KEPT:
            # stable, so that the same rows are kept however they were cut into chunks
            kept = np.argsort(-self._sizes, kind="stable")[:FLIPS_KEPT]
            kept.sort()
            self.places, self._sizes = self.places[kept], self._sizes[kept]


class _Histogram:
    """Non-negative float32 numbers, counted by the upper bits of each."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, dtype=np.int64)

    def add(self, values: Rows) -> None:
        bins = np.ascontiguousarray(values).view(np.uint32).ravel() >> np.uint32(BIN_SHIFT)
        counts = np.bincount(bins)
        self._counts[: len(counts)] += counts

    def quantile(self, share: float) -> float:
        """The number that so many are at most, at most 0.2% too small; 0 of none."""
        total = int(self._counts.sum())
        if not total:
            return 0.0
        place = np.searchsorted(self._counts.cumsum(), np.ceil(share * total))
        bits = np.asarray([place << BIN_SHIFT], dtype=np.uint32)
        return float(bits.view(np.float32)[0])


class Distinct:
    """How many different rows of outputs came by, counted up to ``cap``.

    NaN is equal to NaN here, and 0 to -0.
    """

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self._seen: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)

    @property
    def count(self) -> int:
        """The count so far; ``cap`` stands for that many or more."""
        return min(len(self._seen), self.cap)

    def add(self, outputs: Rows) -> None:
        """Look at more rows (N, K)."""
        if len(self._seen) < self.cap:
            self._seen = np.unique(np.concatenate([self._seen, np.unique(_keys(outputs))]))


def _keys(outputs: Rows) -> npt.NDArray[np.uint64]:
    """One number a row, the same for the same outputs."""
    values: Any = outputs + np.float32(0)  # -0 becomes 0
    values[np.isnan(values)] = np.nan
    bits = values.view(np.uint32).astype(np.uint64)
    keys: npt.NDArray[np.uint64] = bits[:, 0]
    for column in bits.T[1:]:
        keys = keys * MIX + column
    return keys
