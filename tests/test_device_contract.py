from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import (
    Contract,
    ContractBreachError,
    Decision,
    Feature,
    Missing,
)

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


def contract_of(names: list[str], decision: Decision | None = None) -> Contract:
    features = tuple(Feature(name, "m", -1.0, -0.9, 0.9, 1.0, 0.0) for name in names)
    return Contract(features, decision or Decision("threshold", 0.5))


@settings(deadline=None)
@given(NAMES, st.data())
def test_a_reading_becomes_a_row_in_the_contracts_order_whatever_its_own(
    names: list[str], data: st.DataObject
) -> None:
    values = data.draw(st.fixed_dictionaries(dict.fromkeys(names, FINITE)))
    shuffled = dict(data.draw(st.permutations(list(values.items()))))
    row = contract_of(names).row({**shuffled, "another key": "ignored"})
    assert row.shape == (1, len(names)) and row.dtype == np.float32
    assert dict(zip(names, row[0].tolist(), strict=True)) == values


@settings(deadline=None)
@given(NAMES, st.sampled_from([math.nan, math.inf, -math.inf, 1e39, 10**400, "1", True, None, [1]]))
def test_what_is_no_finite_float32_is_refused_by_name(names: list[str], bad: object) -> None:
    reading: dict[str, object] = dict.fromkeys(names, 1.0)
    reading[names[-1]] = bad
    with pytest.raises(ContractBreachError) as caught:
        contract_of(names).row(reading)
    assert repr(names[-1]) in str(caught.value)


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(ContractBreachError, match="no 'humidity'"):
        contract_of(["pressure", "humidity"]).row({"pressure": 1})


@settings(deadline=None)
@given(
    NAMES,
    st.one_of(
        st.builds(Decision, st.just("threshold"), FINITE),
        st.builds(
            lambda tolerance: Decision("value", tolerance=tolerance),
            st.one_of(st.none(), st.floats(0, 1e9, exclude_min=True)),
        ),
        st.builds(
            lambda classes: Decision("argmax", classes=tuple(classes)),
            st.lists(st.text(min_size=1), min_size=2, max_size=4, unique=True),
        ),
    ),
    st.sampled_from(["reject", "median"]),
)
def test_a_contract_survives_json(names: list[str], decision: Decision, missing: Missing) -> None:
    contract = replace(contract_of(names, decision), missing=missing)
    assert Contract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


def test_another_format_is_refused() -> None:
    for other in (1, 3, None):
        with pytest.raises(ContractBreachError, match=f"format {other}"):
            Contract.from_dict({**contract_of(["a"]).to_dict(), "format": other})


def test_dtype_shape_and_policy_are_told_and_must_fit() -> None:
    told = contract_of(["a", "b"]).to_dict()
    assert (told["dtype"], told["shape"], told["missing"]) == ("float32", [2], "reject")
    for change in ({"dtype": "float64"}, {"shape": [3]}, {"missing": "mean"}):
        with pytest.raises(ContractBreachError, match="not what 2 features are"):
            Contract.from_dict({**told, **change})


READING = st.one_of(FINITE, st.none(), st.just(math.nan))


@settings(deadline=None)
@given(NAMES, st.data())
def test_under_median_a_missing_reading_is_the_median(
    names: list[str], data: st.DataObject
) -> None:
    contract = medians_of(names)
    reading = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, READING)))
    row = contract.row(reading)
    for i, feature in enumerate(contract.features):
        value = reading.get(feature.name)
        present = value is not None and not math.isnan(value)
        assert row[0, i] == np.float32(value if present else feature.median)


def medians_of(names: list[str]) -> Contract:
    features = tuple(Feature(n, "m", -1.0, -0.9, 0.9, 1.0, 0.25 * i) for i, n in enumerate(names))
    return Contract(features, Decision("value"), "median")


@pytest.mark.parametrize("bad", [math.inf, -math.inf, 1e39, "1", "", True, [1]])
def test_under_median_what_is_there_and_wrong_is_still_refused(bad: object) -> None:
    with pytest.raises(ContractBreachError, match="'b'"):
        medians_of(["a", "b"]).row({"a": 1.0, "b": bad})


TABLE = st.lists(
    st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1, max_size=10
).map(lambda table: np.asarray(table, np.float32))


@settings(deadline=None)
@given(TABLE)
def test_filled_rows_are_the_same_but_for_nan(rows: np.ndarray) -> None:
    before = rows.copy()
    filled = medians_of(["a", "b"]).filled(rows)
    absent = np.isnan(before)
    np.testing.assert_array_equal(filled[~absent], before[~absent])
    assert (filled[:, 0][absent[:, 0]] == 0).all() and (filled[:, 1][absent[:, 1]] == 0.25).all()
    np.testing.assert_array_equal(rows, before)
    assert absent.any() or filled is rows
    assert contract_of(["a", "b"]).filled(rows) is rows


def test_each_rule_gives_its_own_answers() -> None:
    one = np.asarray([[0.31], [0.309]], np.float32)
    three = np.asarray([[0.1, 0.7, 0.2]], np.float32)
    threshold, best = Decision("threshold", 0.31), Decision("argmax", classes=("a", "b", "c"))
    assert threshold.answers(one).tolist() == [1, 0]
    assert threshold.confidence(one).tolist() == one[:, 0].astype(float).tolist()
    assert best.answers(three).tolist() == ["b"] and best.outputs_needed() == 3
    assert best.confidence(three).tolist() == [float(np.float32(0.7))]
    value = Decision("value")
    assert value.answers(one).tolist() == one[:, 0].astype(float).tolist()
    assert value.confidence(one) is None
    assert [str(Decision("value", tolerance=t)) for t in (None, 0.5)] == [
        "the value",
        "the value within 0.5",
    ]


def test_values_outside_the_range_of_training_are_marked() -> None:
    rows = np.asarray([[-1.0, 1.5], [-1.1, 0.0]], np.float32)
    assert contract_of(["a", "b"]).outside(rows).tolist() == [[False, True], [True, False]]
