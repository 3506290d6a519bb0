"""One rule of what an output may differ by, for the proof and for the profile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.convert.choice import TOLERANCES, tolerance, value_tolerance
from ggml_magic.convert.variants import FLOAT32, INT8
from ggml_magic.device.contract import Decision
from ggml_magic.validate.tolerance import allowed, of_variant

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
def test_it_is_the_rule_by_which_convert_chooses(variant: str, peak: float) -> None:
    outputs = np.asarray([[-peak], [peak / 2]], dtype=np.float32)
    assert of_variant(variant, peak) == pytest.approx(tolerance(variant, outputs))
    assert allowed(VALUE, variant, peak) <= value_tolerance(VALUE, outputs) * (1 + 1e-9)
    assert allowed(WITHIN, variant, peak) == value_tolerance(WITHIN, outputs)
