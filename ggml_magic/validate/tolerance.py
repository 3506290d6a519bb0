"""How far the edge may be from the notebook: one rule for the proof and for the profile."""

from __future__ import annotations

from ggml_magic.convert.choice import TOLERANCES, VALUE_TOLERANCE
from ggml_magic.device.contract import Decision


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
