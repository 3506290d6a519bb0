"""The choice among candidates by evidence: what the target's runtime makes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ggml_magic.convert.candidates import Candidate, gain, joined
from ggml_magic.convert.tolerance import allowed
from ggml_magic.convert.variants import FLOAT32, READY
from ggml_magic.device.contract import Decision, Rows
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.model.decide import flipped
from ggml_magic.model.flips import FlipLimit
from ggml_magic.presentation import plural
from ggml_magic.runtimes import runtime as runtimes

# Files that differ by less are of one size: their operators' names make such a difference.
SAME_SIZE = 1.05
# Medians of one row swing by this much from run to run (RUNTIMES, its first line).
SAME_SPEED = 2.0
ANOTHER_MODEL = "a file of this very model"


@dataclass(frozen=True)
class Target:
    """What candidates are judged by: rows (N, F), the notebook's outputs (N, K), rule, limit."""

    runtime: runtimes.Runtime
    rows: Rows
    source: Rows
    decision: Decision
    limit: FlipLimit


def tried(target: Target, candidate: Candidate) -> Candidate:
    """The candidate with what the runtime made of it; a note where it does not run."""
    try:
        run = runtimes.run(target.runtime, candidate.path, target.rows)
    except EdgeRuntimeError as error:
        if candidate.variant in (FLOAT32, READY):
            raise
        return replace(candidate, note=joined(f"does not run: {error.why}", candidate.note))
    if run.outputs.shape != target.source.shape:
        given, wanted = run.outputs.shape[1], target.source.shape[1]
        why = f"it gives {plural(given, 'output')} to each row, and the notebook's model {wanted}"
        raise EdgeRuntimeError(f"{candidate.path.name} is of another model", why, ANOTHER_MODEL)
    return judged(
        target, replace(candidate, row_microseconds=run.row_microseconds_p50), run.outputs
    )


def judged(target: Target, candidate: Candidate, edge: Rows) -> Candidate:
    """The candidate that answered ``edge`` (N, K), with its flips and its fault.

    By the rule that the proof has, so that it lets through what is chosen here.
    """
    decision, source = target.decision, target.source
    peak = float(np.abs(source).max(initial=0.0, where=np.isfinite(source)))
    most = allowed(decision, candidate.variant, peak)
    finite = bool(np.isfinite(edge).all())
    worst = float(np.abs(edge - source).max()) if finite else float("inf")
    if not finite:
        fault = "answers NaN or infinity"
    elif _is_constant(edge) and not _is_constant(source):
        fault = "gives one answer to every row"
    elif decision.rule != "value" and not worst <= most:
        fault = f"differs by {worst:.3g}, and {most:.3g} is allowed"
    else:  # where the value is the answer, the tolerance already made the flips
        fault = ""
    flips = int(flipped(decision, source, edge, most).sum())
    return replace(candidate, flips=flips, max_abs_diff=worst, fault=fault)


def _is_constant(outputs: Rows) -> bool:
    return len(outputs) > 1 and bool((outputs == outputs[0]).all())


def compared(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates with a note on what each gains over float32, which comes first."""
    full = candidates[0].size
    return tuple(
        c if c.variant == FLOAT32 else replace(c, note=joined(gain(c.size, full), c.note))
        for c in candidates
    )


def chosen(candidates: Sequence[Candidate], limit: FlipLimit, rows: int) -> tuple[Candidate, str]:
    """The best of the candidates that were tried, float32 first, and why.

    It runs, has no fault and flips no more than ``limit`` of ``rows``, as the proof will ask; then
    size decides, then speed, then how near the answers are. Differences within the noise of either
    decide nothing, so that the same model gives the same choice.
    """
    full = candidates[0]
    most = limit.rows(rows)
    sound = [c for c in candidates if c.flips is not None and c.flips <= most and not c.fault]
    if not sound:
        why = f"Every variant flips more decisions than {limit}, or has a fault"
        return full, f"{why}; float32 is the nearest."
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
    others = "The smaller files flip more, differ too much, or do not run." if smaller else ""
    if best.variant == FLOAT32 and not smaller:
        return "Quantising gains nothing: no variant is smaller."
    flips = f"No more than {limit} of the decisions flip" if best.flips else "No decision flips"
    if best.variant == FLOAT32:
        return f"{flips}. {others}"
    gained = gain(best.size, full.size)
    return f"{flips}, and it is {gained}. {others}".strip()
