"""One rule of what an output may differ by, for the choice, the proof and the profile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.convert.tolerance import TOLERANCES, VALUE_TOLERANCE, allowed, of_variant
from ggml_magic.convert.variants import FLOAT32, INT8, SPLIT
from ggml_magic.device.contract import Decision

HALF, VALUE = Decision("threshold"), Decision("value")
WITHIN = Decision("value", tolerance=0.5)


@pytest.mark.parametrize(
    ("decision", "variant", "peak", "asked", "wanted"),
    [
        (HALF, INT8, 0.9, None, 0.3),
        (HALF, INT8, 10.0, None, 3.0),
        (HALF, INT8, 10.0, 0.02, 0.02),
        (VALUE, INT8, 40.0, None, 0.4),  # a hundredth, not the 12 of the variant
        (VALUE, FLOAT32, 40.0, None, 4e-3),  # float32 is nearer than that
        (VALUE, INT8, 40.0, 7.0, 7.0),
        (WITHIN, INT8, 40.0, None, 0.5),
        (WITHIN, FLOAT32, 40.0, None, 0.5),
        (WITHIN, FLOAT32, 40.0, 0.1, 0.1),
        (VALUE, FLOAT32, 0.0, None, 1e-4),
    ],
)
def test_what_may_differ(
    decision: Decision, variant: str, peak: float, asked: float | None, wanted: float
) -> None:
    assert allowed(decision, variant, peak, asked) == pytest.approx(wanted)


@given(st.sampled_from(list(TOLERANCES)), st.floats(0, 1e6, width=32))
def test_it_grows_with_the_outputs_and_a_value_is_never_allowed_more(
    variant: str, peak: float
) -> None:
    assert of_variant(variant, peak) >= of_variant(variant, 0.0) == TOLERANCES[variant]
    assert of_variant(variant, 1000 * max(1.0, peak)) > of_variant(variant, peak)
    assert allowed(VALUE, variant, peak) <= of_variant(variant, peak)
    assert allowed(VALUE, variant, peak) <= VALUE_TOLERANCE * max(1.0, peak)
    assert allowed(WITHIN, variant, peak) == WITHIN.tolerance


def test_the_finer_int8_is_not_held_to_less_than_the_coarser() -> None:
    assert TOLERANCES[SPLIT] >= TOLERANCES[INT8]
