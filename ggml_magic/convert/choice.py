"""The choice among candidates by evidence: what the target's runtime makes of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ggml_magic.convert.candidates import Candidate, gain
from ggml_magic.convert.variants import DYNAMIC, FLOAT16, FLOAT32, INT8, INT16X8, READY, SPLIT
from ggml_magic.device.contract import Decision, Rows
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.model.decide import flipped
from ggml_magic.model.flips import FlipLimit
from ggml_magic.runtimes import runtime as runtimes

# An output may differ from the notebook's by this much, times the largest output above 1.
# float32: 1.8e-7 on x86-64, 6.9e-6 at worst on armv7 (RUNTIMES 3 and 5), and a decade of room.
# float16: 2.7e-3 measured; dynamic range: 7.4e-3 (RUNTIMES 2 and 3). int8 and int16x8 with the
# scaler inside: 0.284 and 0.282 at the worst row; with the scaler in float: 0.022 (RUNTIMES 3,
# PEERS 0.2). A ready file may be any of them, of another's making.
TOLERANCES: Mapping[str, float] = {
    FLOAT32: 1e-4,
    FLOAT16: 1e-2,
    DYNAMIC: 5e-2,
    INT8: 0.3,
    INT16X8: 0.3,
    SPLIT: 5e-2,
    READY: 5e-2,
}
# A value that is its own answer has no threshold to forgive a difference, and nobody said what
# may differ: a hundredth.
VALUE_TOLERANCE = 1e-2
# Files that differ by less are of one size: their operators' names make such a difference.
SAME_SIZE = 1.05
# Medians of one row swing by this much from run to run (RUNTIMES, its first line).
SAME_SPEED = 2.0


@dataclass(frozen=True)
class Target:
    """What candidates are judged by: rows (N, F), the notebook's outputs (N, K), rule, limit."""

    runtime: runtimes.Runtime
    rows: Rows
    source: Rows
    decision: Decision
    limit: FlipLimit


def tolerance(variant: str, outputs: Rows) -> float:
    """How far an output of this variant may be from the notebook's outputs (N, K), absolute.

    The variant's constant, times the largest output where that is above 1: the rounding of a
    float grows with its value.
    """
    return TOLERANCES[variant] * max(1.0, float(np.abs(outputs).max(initial=0.0)))


def value_tolerance(decision: Decision, outputs: Rows) -> float:
    """How far a value may be from the notebook's (N, K) and still be the same answer, absolute.

    The decision's own tolerance, else a hundredth of the largest output.
    """
    if decision.tolerance is not None:
        return decision.tolerance
    return VALUE_TOLERANCE * max(1.0, float(np.abs(outputs).max(initial=0.0)))


def tried(target: Target, candidate: Candidate) -> Candidate:
    """The candidate with what the runtime made of it; a note where it does not run."""
    try:
        run = runtimes.run(target.runtime, candidate.path, target.rows)
    except EdgeRuntimeError as error:
        if candidate.variant in (FLOAT32, READY):
            raise
        return replace(candidate, note=_joined(f"does not run: {error.why}", candidate.note))
    count = len(target.rows)
    if run.outputs.shape != target.source.shape:
        raise EdgeRuntimeError(
            f"{candidate.path.name} answers with the shape {run.outputs.shape}",
            f"the notebook's model answers with {target.source.shape}",
            "a file of this very model",
        )
    speed = run.row_microseconds_p50
    if not np.isfinite(run.outputs).all():
        return replace(
            candidate,
            flips=count,
            max_abs_diff=float("inf"),
            row_microseconds=speed,
            note=_joined("answers NaN or infinity", candidate.note),
        )
    allowed = value_tolerance(target.decision, target.source)
    flips = int(flipped(target.decision, target.source, run.outputs, allowed).sum())
    told = ""
    if _is_constant(run.outputs) and not _is_constant(target.source):
        told, flips = "one answer to every row", count  # a failure by itself, whatever it decides
    return replace(
        candidate,
        flips=flips,
        max_abs_diff=float(np.abs(run.outputs - target.source).max()),
        row_microseconds=speed,
        note=_joined(told, candidate.note),
    )


def _is_constant(outputs: Rows) -> bool:
    return len(outputs) > 1 and bool((outputs == outputs[0]).all())


def compared(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates with a note on what each gains over float32, which comes first."""
    full = candidates[0].size
    return tuple(
        c if c.variant == FLOAT32 else replace(c, note=_joined(gain(c.size, full), c.note))
        for c in candidates
    )


def _joined(*clauses: str) -> str:
    return "; ".join(clause for clause in clauses if clause)


def chosen(candidates: Sequence[Candidate], limit: FlipLimit, rows: int) -> tuple[Candidate, str]:
    """The best of the candidates that were tried, float32 first, and why.

    It runs and flips no more than ``limit`` of ``rows``, and never all of them; then size
    decides, then speed, then how near the answers are. Differences within the noise of either
    decide nothing, so that the same model gives the same choice.
    """
    full = candidates[0]
    # a constant and NaN count as every row, which no limit makes good
    most = min(limit.rows(rows), rows - 1)
    sound = [c for c in candidates if c.flips is not None and c.flips <= most]
    if not sound:
        return full, f"Every variant flips more decisions than {limit}; float32 is the nearest."
    # what gains nothing is not taken, however it answers
    sound = [c for c in sound if c is full or c.size * SAME_SIZE < full.size] or sound
    smallest = min(c.size for c in sound)
    small = [c for c in sound if c.size <= smallest * SAME_SIZE]
    quickest = min(c.row_microseconds or 0.0 for c in small)
    quick = [c for c in small if (c.row_microseconds or 0.0) <= quickest * SAME_SPEED]
    best = min(quick, key=lambda c: (c.flips or 0, c.max_abs_diff or 0.0, c.size))
    return best, _why(best, full, candidates, limit)


def _why(best: Candidate, full: Candidate, found: Sequence[Candidate], limit: FlipLimit) -> str:
    smaller = any(c.size * SAME_SIZE < best.size for c in found)
    others = "The smaller files flip more, or do not run." if smaller else ""
    if best.variant == FLOAT32 and not smaller:
        return "Quantising gains nothing: no variant is smaller."
    flips = f"No more than {limit} of the decisions flip" if best.flips else "No decision flips"
    if best.variant == FLOAT32:
        return f"{flips}. {others}"
    gained = gain(best.size, full.size)
    return f"{flips}, and it is {gained}. {others}".strip()
