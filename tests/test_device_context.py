from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_device_contract import contract_of

from ggml_magic.device.context import LONGEST_TEXT, Context, NoShadowError, Result, echo


class NoShadow:
    def shadow(self, thing: str) -> dict[str, object]:
        raise NoShadowError(thing)

    def report(self, thing: str, reported: dict[str, object]) -> None:
        raise NotImplementedError


def test_a_result_names_its_keys_after_the_model() -> None:
    assert Result("rain", "1.0.0", {"a": 1}, 1, 0.75, (0.75,)).report() == {
        "rain_prediction": 1,
        "rain_probability": 0.75,
        "rain_reading": {"a": 1},
        "rain_version": "1.0.0",
        "rain_error": None,
    }


def test_a_value_has_no_probability() -> None:
    assert "rain_probability" not in Result("rain", "1", {}, 2.5, has_probability=False).report()


def test_a_missing_feature_is_taken_out_of_the_shadow() -> None:
    assert echo(contract_of(["a", "b"]), {"a": 1, "c": 2}) == {"a": 1, "b": None}


@given(
    st.one_of(
        st.floats(), st.integers(), st.text(), st.booleans(), st.lists(st.integers()), st.binary()
    )
)
def test_an_echo_is_always_json_and_numbers_stay_as_they_are(value: object) -> None:
    held = echo(contract_of(["a"]), {"a": value})["a"]
    json.dumps(held, allow_nan=False)
    if isinstance(value, float) and math.isfinite(value):
        assert held == value
    if isinstance(held, str):
        assert len(held) <= LONGEST_TEXT


def test_an_integer_that_no_shadow_holds_is_echoed_as_words() -> None:
    assert "64 bits" in echo(contract_of(["a"]), {"a": 10**5000})["a"]


def test_no_shadow_yet_is_an_empty_one() -> None:
    assert Context("pi", "rain", "1", {}, contract_of(["a"]), NoShadow()).shadow() == {}


def test_what_is_not_reported_is_not_swallowed() -> None:
    with pytest.raises(NotImplementedError):
        Context("pi", "rain", "1", {}, contract_of(["a"]), NoShadow()).report({})
