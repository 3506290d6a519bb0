"""How far the edge may be from the notebook: one rule for the choice, the proof and the profile."""

from __future__ import annotations

from collections.abc import Mapping

from ggml_magic.convert.variants import DYNAMIC, FLOAT16, FLOAT32, INT8, INT16X8, READY, SPLIT
from ggml_magic.device.contract import Decision

# A step of int8 in a steep network: 0.284 at the worst row with the scaler inside, 0.282 in
# int16x8 (RUNTIMES 3, PEERS 0.2).
COARSE = 0.3
# An output may differ from the notebook's by this much, times the largest output above 1.
# float32: 1.8e-7 on x86-64, 6.9e-6 at worst on armv7 (RUNTIMES 3 and 5), and a decade of room.
# float16: 2.7e-3 measured; dynamic range: 7.4e-3 (RUNTIMES 2 and 3). int8-split: 0.022 on the rain
# network and 0.25 on a wide one, since a scaler in float makes the network's own steps no finer;
# the better file must not fail where the coarser int8 passes. A ready file may be any of them, of
# another's making.
TOLERANCES: Mapping[str, float] = {
    FLOAT32: 1e-4,
    FLOAT16: 1e-2,
    DYNAMIC: 5e-2,
    INT8: COARSE,
    INT16X8: COARSE,
    SPLIT: COARSE,
    READY: 5e-2,
}
# A value that is its own answer has no threshold to forgive a difference, and nobody said what
# may differ: a hundredth.
VALUE_TOLERANCE = 1e-2


def allowed(decision: Decision, variant: str, peak: float, asked: float | None = None) -> float:
    """The largest difference of an output that passes, absolute.

    ``asked`` is what the user wrote, which decides; then what the decision itself states. A value
    without either is allowed a hundredth, whatever its variant may lose (0.3 in int8).
    ``peak`` is the largest absolute output of the notebook's model.
    """
    if asked is not None:
        return asked
    if decision.rule != "value":
        return of_variant(variant, peak)
    if decision.tolerance is not None:
        return decision.tolerance
    return min(_scaled(VALUE_TOLERANCE, peak), of_variant(variant, peak))


def of_variant(variant: str, peak: float) -> float:
    """How far an output of a variant may be off by its rounding, absolute."""
    return _scaled(TOLERANCES[variant], peak)


def _scaled(share: float, peak: float) -> float:
    # the rounding of a float grows with its value
    return share * max(1.0, peak)
