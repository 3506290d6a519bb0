from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ggml_magic.device.contract import Decision, Rows
from ggml_magic.validate.compare import compare, margins, task

HALF = Decision("threshold", 0.5)
VALUE = Decision("value")
NOYES = Decision("argmax", classes=("no", "yes"))
THREE = Decision("argmax", classes=("a", "b", "c"))
OUTPUTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.just(3)),
    elements=st.floats(-10, 10, width=32),
)


def column(*values: float) -> Rows:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


@settings(deadline=None)
@given(OUTPUTS)
def test_the_same_outputs_differ_in_nothing(outputs: Rows) -> None:
    for decision, given_to in ((HALF, outputs[:, :1]), (VALUE, outputs[:, :1]), (THREE, outputs)):
        same = compare(decision, given_to, given_to.copy(), 0.0)
        assert len(same.flips) == 0 and same.max_abs_diff == same.mean_abs_diff == 0
        assert same.not_finite == 0 and not same.constant
        assert same.distinct_outputs == len(np.unique(given_to, axis=0))


@settings(deadline=None)
@given(OUTPUTS, OUTPUTS)
def test_flips_are_symmetric_and_differences_too(one: Rows, other: Rows) -> None:
    count = min(len(one), len(other))
    one, other = one[:count], other[:count]
    there, back = compare(THREE, one, other, 0.0), compare(THREE, other, one, 0.0)
    np.testing.assert_array_equal(there.flips, back.flips)
    assert there.max_abs_diff == back.max_abs_diff
    assert (there.flips == np.flatnonzero(one.argmax(axis=1) != other.argmax(axis=1))).all()


def test_a_flip_is_found_where_it_is() -> None:
    compared = compare(HALF, column(0.1, 0.6, 0.5), column(0.2, 0.4, 0.5), 1.0)
    assert compared.flips.tolist() == [1]
    assert compared.max_abs_diff == pytest.approx(0.2)
    assert compared.mean_abs_diff == pytest.approx(0.1)


def test_a_constant_answer_is_seen_even_without_a_flip() -> None:
    assert compare(HALF, column(0.1, 0.2, 0.3), column(0.2, 0.2, 0.2), 1.0).constant
    assert not compare(HALF, column(0.2, 0.2), column(0.2, 0.2), 1.0).constant
    two = np.asarray([[0.3, 0.7], [0.4, 0.6]], dtype=np.float32)
    assert compare(NOYES, two, two[[0, 0]], 1.0).constant


def test_nan_counts_as_infinitely_far() -> None:
    compared = compare(HALF, column(0.1, 0.2, 0.3), column(0.1, np.nan, np.inf), 1.0)
    assert compared.not_finite == 2 and math.isinf(compared.max_abs_diff)
    assert math.isinf(compared.mean_abs_diff)
    broken = compare(HALF, column(0.1, 0.2), column(np.nan, np.nan), 1.0)
    assert broken.constant and broken.distinct_outputs == 1
    assert compare(HALF, column(np.nan), column(np.nan), 1.0).not_finite == 1


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        compare(HALF, column(0.1, 0.2), column(0.1), 1.0)


def test_accuracy_stands_beside_the_majority() -> None:
    figures = task(HALF, column(0.9, 0.1, 0.9, 0.1), np.asarray([1, 0, 0, 0]))
    assert (figures.accuracy, figures.majority) == (0.75, 0.75)
    assert (figures.precision, figures.recall) == (0.5, 1.0)


def test_names_of_two_classes_have_precision_and_recall_of_the_second() -> None:
    edge = np.asarray([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]], dtype=np.float32)
    labels = np.asarray(["yes", "yes", "no"], dtype=object)
    figures = task(NOYES, edge, labels)
    assert figures.accuracy == pytest.approx(1 / 3)
    assert (figures.precision, figures.recall) == (0.5, 0.5)


def test_figures_that_would_divide_by_nothing_are_none() -> None:
    never = task(HALF, column(0.1, 0.1), np.asarray([0, 1]))
    assert never.precision is None and never.recall == 0.0
    three = task(THREE, np.eye(3, dtype=np.float32), np.asarray(list("abc"), dtype=object))
    assert three.accuracy == 1.0 and three.precision is three.recall is None


def test_values_have_an_error_beside_the_medians() -> None:
    figures = task(VALUE, column(1.0, 2.0, 12.0), np.asarray([1.0, 3.0, 10.0]))
    assert figures.mean_abs_error == pytest.approx(1.0)
    assert figures.baseline_abs_error == pytest.approx(3.0)  # 2, 0 and 7 from the median 3
    assert figures.accuracy is figures.majority is figures.precision is figures.recall is None


def test_decisions_have_no_mean_error() -> None:
    figures = task(HALF, column(0.9), np.asarray([1]))
    assert figures.accuracy == 1.0
    assert figures.mean_abs_error is figures.baseline_abs_error is None


def test_an_error_without_a_number_is_told_and_does_not_warn() -> None:
    figures = task(VALUE, column(np.nan, 1.0), np.asarray([1.0, 1.0]))
    assert figures.mean_abs_error is not None and math.isnan(figures.mean_abs_error)
    assert task(VALUE, column(np.inf), np.asarray([np.inf])).baseline_abs_error is not None


def test_margins_are_the_way_to_the_other_decision() -> None:
    assert margins(HALF, column(0.5, 0.25, 1.0)).tolist() == [0.0, 0.25, 0.5]
    best = margins(THREE, np.asarray([[0.1, 0.75, 0.25]], dtype=np.float32))
    assert best.tolist() == pytest.approx([0.5])
    assert np.isinf(margins(VALUE, column(1.0, 2.0))).all()
