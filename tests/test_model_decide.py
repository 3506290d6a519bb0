from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ggml_magic.device.contract import Decision
from ggml_magic.errors import ContractError, GrammarError
from ggml_magic.model.decide import check_outputs, codes, flipped, parse


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_threshold_is_read_exactly(at: float) -> None:
    assert parse(f">= {at!r}") == parse(f"  >={at!r} ") == Decision("threshold", at)


@settings(deadline=None)
@given(
    st.lists(
        st.text("abcdefgh 123", min_size=1).map(str.strip).filter(bool),
        min_size=2,
        max_size=6,
        unique=True,
    )
)
def test_any_classes_are_read_in_order(classes: list[str]) -> None:
    assert parse("argmax " + " , ".join(classes)).classes == tuple(classes)


def test_the_value_itself() -> None:
    assert parse(" value ") == Decision("value")


@settings(deadline=None)
@given(st.floats(0, 1e30, exclude_min=True))
def test_the_value_within_a_tolerance(tolerance: float) -> None:
    read = parse(f"value within {tolerance!r}")
    assert (
        read == parse(f" value  within   {tolerance!r} ") == Decision("value", tolerance=tolerance)
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.5",
        "> 0.5",
        ">= x",
        ">= nan",
        ">= inf",
        "argmax",
        "argmax a",
        "argmax a,a",
        "argmax a,,b",
        "maximum a,b",
        "values",
        ">= 0.5 0.6",
        "value within",
        "value within x",
        "value within 0",
        "value within -1",
        "value within nan",
        "value within inf",
        "value 0.5",
        "value within 0.5 degC",
    ],
)
def test_text_that_is_no_decision(text: str) -> None:
    with pytest.raises(GrammarError, match="cannot read the decision") as caught:
        parse(text)
    assert "--decide" in caught.value.remedy


def test_the_outputs_must_fit_the_decision() -> None:
    check_outputs(parse(">= 0.5"), 1)
    check_outputs(parse("argmax a,b,c"), 3)
    with pytest.raises(ContractError, match=r"3 outputs.*2 classes: a, b") as caught:
        check_outputs(parse("argmax a,b"), 3)
    assert caught.value.remedy == '--decide "argmax class0,class1,class2"'
    with pytest.raises(ContractError, match=r"2 outputs.*takes one output"):
        check_outputs(parse(">= 0.5"), 2)
    with pytest.raises(ContractError, match="1 output:"):
        check_outputs(parse("argmax a,b"), 1)


COLUMN = st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=30)


@settings(deadline=None)
@given(COLUMN, st.floats(-1, 1), st.floats(0, 3))
def test_equal_outputs_never_flip(values: list[float], at: float, tolerance: float) -> None:
    outputs = np.asarray(values, dtype=np.float32).reshape(-1, 1)
    for decision in (Decision("threshold", at), Decision("value")):
        assert not flipped(decision, outputs, outputs, tolerance).any()


def test_a_flip_is_another_decision_not_another_output() -> None:
    source = np.asarray([[0.1], [0.49], [0.9]], dtype=np.float32)
    edge = np.asarray([[0.4], [0.5], [0.5]], dtype=np.float32)
    assert flipped(Decision("threshold", 0.5), source, edge, 1e-6).tolist() == [False, True, False]


def test_a_value_flips_beyond_the_tolerance_or_as_nan() -> None:
    source = np.asarray([[1.0], [1.0], [1.0]], dtype=np.float32)
    edge = np.asarray([[1.05], [1.2], [np.nan]], dtype=np.float32)
    assert flipped(Decision("value"), source, edge, 0.1).tolist() == [False, True, True]


def test_classes_flip_when_another_is_the_best() -> None:
    source = np.asarray([[0.1, 0.9], [0.6, 0.4]], dtype=np.float32)
    edge = np.asarray([[0.4, 0.6], [0.4, 0.6]], dtype=np.float32)
    assert flipped(parse("argmax no,yes"), source, edge, 0).tolist() == [False, True]


OUTPUTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.just(3)),
    elements=st.sampled_from([0.0, -0.0, 0.25, 0.5, 0.5 - 2**-25, np.inf, -np.inf, np.nan]),
)


@settings(deadline=None)
@given(OUTPUTS, OUTPUTS)
def test_flips_and_codes_are_those_of_the_answers(one: Any, other: Any) -> None:
    half, three = Decision("threshold", 0.5), parse("argmax low,mid,high")
    np.testing.assert_array_equal(codes(half, one), half.answers(one))
    names = np.asarray(three.classes, dtype=object)
    np.testing.assert_array_equal(names[codes(three, one)], three.answers(one))
    for decision in (half, three):
        count = min(len(one), len(other))
        sides = one[:count], other[:count]
        wanted = decision.answers(sides[0]) != decision.answers(sides[1])
        np.testing.assert_array_equal(flipped(decision, *sides, 0), wanted)
