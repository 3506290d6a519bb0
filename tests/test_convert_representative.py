"""Whether rows are fit to calibrate on, by figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.convert.representative import (
    FEWEST_ROWS,
    LEAST_COVERED,
    Coverage,
    Representative,
    check,
    coverage,
    representative,
)
from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.errors import ContractError, FeatureMismatchError
from ggml_magic.model.features import measured, parse

SAMPLE: Rows = (
    np.random.default_rng(0).normal([1013, 12, 65], [8, 9, 20], (2000, 3)).astype(np.float32)
)
CONTRACT = Contract(
    measured(parse("pressure:hPa,temperature:degC,humidity:%"), SAMPLE), Decision("threshold")
)


def refused(rows: object) -> ContractError:
    with pytest.raises(ContractError) as caught:
        check("rain", "int8", representative(CONTRACT, SAMPLE, rows), quantize="int8")
    return caught.value


def test_the_first_ten_rows_are_refused_with_the_figures() -> None:
    error = refused(SAMPLE[:10])
    assert f"10 rows, and {FEWEST_ROWS} are needed" in error.why
    assert "% of its training range" in error.why and "% of its values saturate" in error.why
    assert error.remedy.startswith("%ggml convert rain --quantize int8 ")
    with pytest.raises(ContractError) as caught:
        check("rain", "int8", representative(CONTRACT, SAMPLE, SAMPLE[:10]), quantize="auto")
    assert caught.value.remedy.startswith("%ggml convert rain --quantize auto ")


def test_many_rows_of_one_corner_are_refused_by_that_feature_alone() -> None:
    cold = SAMPLE[SAMPLE[:, 1] < 5]
    assert len(cold) > FEWEST_ROWS
    error = refused(cold)
    assert "temperature covers" in error.why
    assert "rows, and" not in error.why and "pressure" not in error.why


def test_rows_that_cover_the_range_and_clip_too_much_are_refused() -> None:
    """Rain is skewed: what lies beyond four fifths of its range may be one value in sixteen."""
    sample = (np.linspace(0, 1, 2000, dtype=np.float32) ** 4)[:, np.newaxis]
    contract = Contract(measured(parse("rain:mm"), sample), Decision("threshold"))
    dry = representative(contract, sample, sample[:1880])
    (rain,) = dry.coverage.features
    assert rain.covered > LEAST_COVERED and rain.saturated == pytest.approx(0.06)
    with pytest.raises(ContractError, match=r"rain covers 81% .* and 6% of its values saturate"):
        check("rain", "int8", dry, quantize="int8")


def test_rows_in_another_unit_cover_nothing() -> None:
    assert "pressure covers 0% of its training range and 100%" in refused(SAMPLE * [100, 1, 1]).why


def test_rows_that_are_not_the_contracts() -> None:
    with pytest.raises(FeatureMismatchError):
        representative(CONTRACT, SAMPLE, SAMPLE[:, :2])


def test_training_rows_and_random_rows_are_fit() -> None:
    own = representative(CONTRACT, SAMPLE, None)
    check("rain", "int8", own, quantize="int8")
    assert str(own.coverage) == (
        "2,000 rows of the training data: all of each feature's range, nothing saturates"
    )
    some = representative(CONTRACT, SAMPLE, SAMPLE[::8])
    check("rain", "int8", some, quantize="int8")
    assert "given as representative" in str(some.coverage) and "saturates (" in str(some.coverage)
    assert Coverage.from_dict(some.coverage.to_dict()) == some.coverage
    assert own.sha256 != some.sha256 == Representative(SAMPLE[::8].copy(), some.coverage).sha256


def test_too_few_training_rows_have_another_way_out() -> None:
    with pytest.raises(ContractError, match="50 rows, and") as caught:
        check("rain", "int8", representative(CONTRACT, SAMPLE[:50], None), quantize="int8")
    assert caught.value.remedy == "%ggml convert rain --quantize dynamic"


def test_a_feature_that_never_changes_is_covered_by_its_value() -> None:
    same = Feature("flag", "", 1, 1, 1, 1, 1)
    rows = np.ones((200, 1), dtype=np.float32)
    assert coverage([same], rows, rows, "x").features[0].covered == 1
    assert coverage([same], rows + 1, rows, "x").features[0].covered == 0


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(0, 9))
def test_more_rows_never_cover_less(count: int, seed: int) -> None:
    rows = np.random.default_rng(seed).permutation(SAMPLE)
    few = coverage(CONTRACT.features, rows[:count], SAMPLE, "x")
    more = coverage(CONTRACT.features, rows[: count + 1], SAMPLE, "x")
    for one, two in zip(few.features, more.features, strict=True):
        assert 0 <= one.covered <= two.covered <= 1
        assert 1 >= one.saturated >= two.saturated >= 0
