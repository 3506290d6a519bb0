from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Contract, ContractBreachError, Decision, Feature

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


def contract_of(names: list[str], decision: Decision | None = None) -> Contract:
    features = tuple(Feature(name, "m", -1.0, -0.9, 0.9, 1.0) for name in names)
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
        st.builds(Decision, st.just("value")),
        st.builds(
            lambda classes: Decision("argmax", classes=tuple(classes)),
            st.lists(st.text(min_size=1), min_size=2, max_size=4, unique=True),
        ),
    ),
)
def test_a_contract_survives_json(names: list[str], decision: Decision) -> None:
    contract = contract_of(names, decision)
    assert Contract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


def test_another_format_is_refused() -> None:
    with pytest.raises(ContractBreachError, match="format 2"):
        Contract.from_dict({**contract_of(["a"]).to_dict(), "format": 2})


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


def test_values_outside_the_range_of_training_are_marked() -> None:
    rows = np.asarray([[-1.0, 1.5], [-1.1, 0.0]], np.float32)
    assert contract_of(["a", "b"]).outside(rows).tolist() == [[False, True], [True, False]]
