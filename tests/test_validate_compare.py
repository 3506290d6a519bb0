from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.model.decide import flipped
from ggml_magic.validate import compare as comparing
from ggml_magic.validate.compare import Distinct, compare, margins, outside, peak

HALF = Decision("threshold", 0.5)
VALUE = Decision("value")
NOYES = Decision("argmax", classes=("no", "yes"))
THREE = Decision("argmax", classes=("a", "b", "c"))
COUNTS = st.shared(st.integers(1, 40), key="rows")
FINITE = st.floats(-10, 10, width=32)
ANY = st.floats(width=32) | st.sampled_from([0.0, -0.0, 0.25, 0.5])
OUTPUTS = arrays(np.float32, st.tuples(COUNTS, st.just(3)), elements=FINITE)
WILD = arrays(np.float32, st.tuples(COUNTS, st.just(3)), elements=ANY)


def column(*values: float) -> Rows:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


@settings(deadline=None)
@given(OUTPUTS)
def test_the_same_outputs_differ_in_nothing(outputs: Rows) -> None:
    for decision, given_to in ((HALF, outputs[:, :1]), (VALUE, outputs[:, :1]), (THREE, outputs)):
        same = compare(decision, given_to, given_to.copy(), 0.0)
        assert same.flip_count == len(same.flips) == 0 and same.flip_margin == 0
        assert same.max_abs_diff == same.mean_abs_diff == same.p99_abs_diff == 0
        assert same.not_finite == 0
        assert same.distinct_outputs == len(np.unique(given_to + np.float32(0), axis=0))
        assert same.constant == same.source_constant == (same.distinct_outputs == 1)


@settings(deadline=None)
@given(WILD, WILD, st.integers(1, 12))
def test_chunks_tell_what_the_whole_tells(one: Rows, other: Rows, chunk: int) -> None:
    for decision in (HALF, VALUE, THREE):
        width = decision.outputs_needed()
        sides = one[:, :width], other[:, :width]
        whole = compare(decision, *sides, 0.125)
        parts = compare(decision, *sides, 0.125, chunk_rows=chunk)
        np.testing.assert_array_equal(whole.flips, parts.flips)
        for name in comparing.Comparison.__dataclass_fields__:
            if name not in ("flips", "mean_abs_diff"):
                np.testing.assert_equal(getattr(whole, name), getattr(parts, name))
        assert parts.mean_abs_diff == pytest.approx(whole.mean_abs_diff, rel=1e-12)


@settings(deadline=None)
@given(WILD, WILD)
def test_flips_are_those_of_the_decision(one: Rows, other: Rows) -> None:
    for decision in (HALF, VALUE, THREE):
        width = decision.outputs_needed()
        sides = one[:, :width], other[:, :width]
        wanted = np.flatnonzero(flipped(decision, *sides, 0.1))
        np.testing.assert_array_equal(compare(decision, *sides, 0.1).flips, wanted)
        np.testing.assert_array_equal(compare(decision, *reversed(sides), 0.1).flips, wanted)


@settings(deadline=None)
@given(OUTPUTS, OUTPUTS)
def test_figures_are_those_of_numpy(one: Rows, other: Rows) -> None:
    compared = compare(THREE, one, other, 0.0)
    difference = np.abs(one - other)
    assert compared.max_abs_diff == difference.max()
    assert compared.mean_abs_diff == pytest.approx(difference.mean(dtype=np.float64))
    exact = float(np.quantile(difference, 0.99, method="inverted_cdf"))
    assert exact * (1 - 1 / 512) - 1e-40 <= compared.p99_abs_diff <= exact
    assert compared.source_peak == np.abs(one).max() == peak(one)


@settings(deadline=None)
@given(WILD)
def test_different_outputs_are_counted_as_a_set_would(outputs: Rows) -> None:
    for width in (1, 3):
        seen = {
            tuple("nan" if math.isnan(v) else v for v in row) for row in outputs[:, :width].tolist()
        }
        counted = Distinct(10_000)
        counted.add(outputs[: len(outputs) // 2, :width])
        counted.add(outputs[len(outputs) // 2 :, :width])
        assert counted.count == len(seen)


def test_counting_stops_at_the_cap() -> None:
    counted = Distinct(100)
    for start in range(0, 10_000, 90):
        counted.add(np.arange(start, start + 90, dtype=np.float32).reshape(-1, 1))
    assert counted.count == 100


def test_a_flip_is_found_where_it_is() -> None:
    compared = compare(HALF, column(0.1, 0.6, 0.5), column(0.2, 0.4, 0.5), 1.0)
    assert compared.flips.tolist() == [1] and compared.flip_count == 1
    assert compared.max_abs_diff == pytest.approx(0.2)
    assert compared.mean_abs_diff == pytest.approx(0.1)
    assert compared.flip_margin == pytest.approx(0.1)


def test_the_worst_flips_are_kept_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "FLIPS_KEPT", 10)
    source = column(*np.zeros(1000))
    edge = column(*(0.5 + np.random.default_rng(3).permutation(1000) / 4000))
    for chunk in (7, 64, 1000):
        compared = compare(HALF, source, edge, 1.0, chunk_rows=chunk)
        assert compared.flip_count == 1000
        assert compared.flips.tolist() == sorted(edge[:, 0].argsort()[-10:].tolist())
    edge[500] = np.nan  # decided as the zeros are, so no flip
    edge[501] = np.inf
    assert 501 in compare(HALF, source, edge, 1.0).flips


def test_a_constant_answer_is_seen_even_without_a_flip() -> None:
    assert compare(HALF, column(0.1, 0.2, 0.3), column(0.2, 0.2, 0.2), 1.0).constant
    both = compare(HALF, column(0.2, 0.2), column(0.2, 0.2), 1.0)
    assert both.constant and both.source_constant
    two = np.asarray([[0.3, 0.7], [0.4, 0.6]], dtype=np.float32)
    assert compare(NOYES, two, two[[0, 0]], 1.0).constant
    assert not compare(NOYES, two, two[[0, 0]], 1.0).source_constant


def test_decisions_are_counted_on_both_sides() -> None:
    alike = compare(HALF, column(0.1, 0.2, 0.3), column(0.1, 0.2, 0.4), 1.0, chunk_rows=2)
    assert (alike.distinct_decisions, alike.source_distinct_decisions) == (1, 1)
    assert alike.only_decision == "0" and alike.distinct_outputs == 3
    assert compare(HALF, column(0.7, 0.8), column(0.9, 0.6), 1.0).only_decision == "1"
    edge = compare(HALF, column(0.1, 0.6), column(0.1, 0.2), 1.0, chunk_rows=1)
    assert (edge.distinct_decisions, edge.source_distinct_decisions) == (1, 2)
    assert edge.only_decision is None
    apart = compare(HALF, column(0.1), column(0.6), 1.0)  # one each, and not the same
    assert apart.distinct_decisions == apart.source_distinct_decisions == 1
    assert apart.only_decision is None
    rows = np.asarray([[0.1, 0.2, 0.7], [0.0, 0.3, 0.4]], dtype=np.float32)
    assert compare(THREE, rows, rows, 1.0).only_decision == "c"
    value = compare(VALUE, column(1.0), column(1.0), 1.0)
    assert value.distinct_decisions is value.source_distinct_decisions is None
    assert value.only_decision is None


def test_nan_counts_as_infinitely_far() -> None:
    compared = compare(HALF, column(0.1, 0.2, 0.3), column(0.1, np.nan, np.inf), 1.0)
    assert compared.not_finite == 2 and math.isinf(compared.max_abs_diff)
    assert math.isinf(compared.mean_abs_diff) and math.isinf(compared.p99_abs_diff)
    broken = compare(HALF, column(0.1, 0.2), column(np.nan, np.nan), 1.0)
    assert broken.constant and broken.distinct_outputs == 1
    lost = np.asarray([[0, 1, 0], [0, np.nan, 0]], dtype=np.float32)
    for chunk in (1, 2):
        assert math.isinf(
            compare(THREE, lost, np.zeros_like(lost), 1.0, chunk_rows=chunk).flip_margin
        )
    both = compare(HALF, column(np.nan), column(np.nan), 1.0)
    assert both.not_finite == both.source_not_finite == 1
    assert peak(column(np.nan, -3.0, np.inf)) == 3.0 and peak(column(np.nan)) == 0.0


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        compare(HALF, column(0.1, 0.2), column(0.1), 1.0)


def test_margins_are_the_way_to_the_other_decision() -> None:
    assert margins(HALF, column(0.5, 0.25, 1.0)).tolist() == [0.0, 0.25, 0.5]
    best = margins(THREE, np.asarray([[0.1, 0.75, 0.25]], dtype=np.float32))
    assert best.tolist() == pytest.approx([0.5])
    assert np.isinf(margins(VALUE, column(1.0, 2.0))).all()


def test_the_share_outside_is_that_of_all_chunks() -> None:
    features = tuple(Feature(name, "", 0, 1, 8, 9, 5) for name in "ab")
    rows = np.full((70_000, 2), 5, dtype=np.float32)
    rows[:7_000, 0] = -1
    rows[3_500:10_500, 1] = 10
    assert outside(Contract(features, HALF), rows) == (0.15, {"a": 0.1, "b": 0.1})
