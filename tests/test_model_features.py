from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Contract, Decision
from ggml_magic.errors import GrammarError, MissingValuesError
from ggml_magic.model.features import (
    MODEL_NAME,
    Declared,
    check_clash,
    check_model_name,
    measured,
    parse,
)

WORDS = st.text("abcdefghijklmnopqrstuvwxyz_ ()%°/²0123456789", min_size=1, max_size=20)
NAMES = WORDS.map(str.strip).filter(bool)
UNITS = WORDS.map(str.strip)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, UNITS), min_size=1, max_size=8, unique_by=lambda pair: pair[0]))
def test_what_is_written_is_read_in_order(pairs: list[tuple[str, str]]) -> None:
    text = ", ".join(f"{name}:{unit}" if unit else name for name, unit in pairs)
    assert parse(text) == tuple(Declared(name, unit) for name, unit in pairs)


def test_units_may_be_left_out() -> None:
    assert parse("a,b:%") == (Declared("a", ""), Declared("b", "%"))


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_texts_is_the_same_as_their_text(kind: type) -> None:
    features = kind(["area:m2", " age:a", "rooms"])
    assert parse(features) == parse("area:m2,age:a,rooms")


@pytest.mark.parametrize(
    ("features", "kind"),
    [(3, "an int"), (None, "a NoneType"), ({"area": "m2"}, "a dict"), (["area", 3], "an int")],
)
def test_what_is_no_text_is_refused_in_two_lines(features: Any, kind: str) -> None:
    with pytest.raises(GrammarError, match=f"cannot read features from {kind}") as caught:
        parse(features)
    assert len(str(caught.value).splitlines()) == 2


def test_an_empty_list_names_no_feature() -> None:
    with pytest.raises(GrammarError, match="cannot read the feature"):
        parse([])


@pytest.mark.parametrize("text", ["", "a,,b", ":hPa", "a:b:c", "$aws", 'a"b', " , ", "x" * 65])
def test_text_that_is_no_list_of_features(text: str) -> None:
    with pytest.raises(GrammarError, match="cannot read the feature"):
        parse(text)


def test_a_feature_named_twice() -> None:
    with pytest.raises(GrammarError, match="'a' is named twice") as caught:
        parse("a:hPa,b,a")
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["rain", "a", "rain_2", "a" * 64])
def test_names_that_are_safe(name: str) -> None:
    check_model_name(name)


@settings(deadline=None)
@given(st.text(max_size=70).filter(lambda text: not MODEL_NAME.fullmatch(text)))
def test_names_that_are_not_safe(name: str) -> None:
    with pytest.raises(GrammarError, match="cannot be called") as caught:
        check_model_name(name)
    suggested = caught.value.remedy.split()[2]
    check_model_name(suggested)


@pytest.mark.parametrize("name", ["Rain", "../rain", "rain.1", "1rain", "rain\n", "régen", ""])
def test_names_that_would_break_files_or_keys(name: str) -> None:
    with pytest.raises(GrammarError):
        check_model_name(name)


def test_a_feature_may_not_take_the_key_of_the_answer() -> None:
    check_clash("rain", parse("pressure,rain_yesterday"))
    with pytest.raises(GrammarError, match="rain_prediction"):
        check_clash("rain", parse("pressure,rain_prediction"))


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=2, max_size=2),
        min_size=1,
        max_size=50,
    )
)
def test_training_rows_lie_in_their_own_range(values: list[list[float]]) -> None:
    rows = np.asarray(values, dtype=np.float32)
    features = measured(parse("a:hPa,b"), rows)
    for feature in features:
        assert feature.minimum <= feature.p01 <= feature.median <= feature.p99 <= feature.maximum
    assert not Contract(features, Decision("value")).outside(rows).any()
    assert [(f.name, f.unit) for f in features] == [("a", "hPa"), ("b", "")]


def test_what_is_missing_does_not_count() -> None:
    rows = np.asarray([[1, np.nan], [np.nan, 5], [3, 7], [8, np.nan]], dtype=np.float32)
    a, b = measured(parse("a,b"), rows)
    assert (a.minimum, a.median, a.maximum) == (1.0, 3.0, 8.0)
    assert (b.minimum, b.median, b.maximum) == (5.0, 6.0, 7.0)


def test_a_feature_that_no_row_has() -> None:
    with pytest.raises(MissingValuesError, match="no row has a value of 'b'") as caught:
        measured(parse("a,b"), np.asarray([[1, np.nan]], dtype=np.float32))
    assert caught.value.remedy
