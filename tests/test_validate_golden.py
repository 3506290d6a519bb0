from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.device.selftest import Golden, check
from ggml_magic.validate.golden import (
    GOLDEN_ROWS,
    SPARE_ROWS,
    best_of,
    choose,
    corners,
    extras,
    golden,
    step,
)

HALF = Decision("threshold", 0.5)
DECISIONS = {
    "threshold": HALF,
    "argmax": Decision("argmax", classes=("a", "b", "c")),
    "value": Decision("value"),
}
ROUNDING = 1e-4
CONTRACT = Contract(
    tuple(Feature(name, "", -9.0, -2.0 - i, 2.0 + i, 9.0, 0.5 * i) for i, name in enumerate("abc")),
    HALF,
)


def data(count: int, outputs: int = 1, seed: int = 0) -> tuple[Rows, Rows]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 3)).astype(np.float32)
    return rows, random.uniform(size=(count, outputs)).astype(np.float32)


def made(rows: Rows, outputs: Rows, at_corners: float = 0.9, **changes: Any) -> dict[str, Any]:
    options = {"tolerance": ROUNDING, "rounding": ROUNDING, **changes}
    count = len(corners(CONTRACT))
    # as different from each other as those of a network
    answers = np.linspace(at_corners, at_corners + 0.01, count, dtype=np.float32).reshape(-1, 1)
    found = golden(CONTRACT, rows, outputs, corners(CONTRACT), answers, **options)
    assert found is not None
    return found


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(0, 5), st.sampled_from(list(DECISIONS)))
def test_there_are_enough_rows_each_once(count: int, seed: int, rule: str) -> None:
    decision = DECISIONS[rule]
    rows, outputs = data(count, decision.outputs_needed(), seed)
    places = choose(decision, rows, outputs, ROUNDING)
    assert len(set(places)) == len(places) and (np.diff(places) > 0).all()
    # a few rows may lie on the boundary itself
    assert min(50, count - 2) <= len(places) <= min(count, 2 * GOLDEN_ROWS)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 400), st.integers(0, 5), st.sampled_from(list(DECISIONS)), st.integers(7, 99))
def test_chunks_have_as_good_rows_as_the_whole(
    count: int, seed: int, rule: str, chunk: int
) -> None:
    decision = DECISIONS[rule]
    rows, outputs = data(count, decision.outputs_needed(), seed)
    whole = best_of(decision, rows, outputs, ROUNDING)
    parts = best_of(decision, rows, outputs, ROUNDING, chunk_rows=chunk)
    assert (np.diff(parts) > 0).all() and len(parts) >= min(50, count - 2)
    for places in (whole, parts):
        np.testing.assert_array_equal(rows[places].min(axis=0), rows[whole].min(axis=0))
        np.testing.assert_array_equal(rows[places].max(axis=0), rows[whole].max(axis=0))
        answers = set(decision.answers(outputs[places]).tolist()) if rule != "value" else set()
        assert answers == (set(decision.answers(outputs[whole]).tolist()) if answers else set())


def test_every_decision_the_extremes_and_the_boundary_are_there() -> None:
    rows, outputs = data(5000)
    outputs[outputs >= 0.5] *= 0.49
    outputs[1234] = 0.9  # the only one above the threshold
    outputs[77] = 0.5 - 10 * ROUNDING  # the nearest below
    for chunk in (300, 5000):
        places = set(best_of(HALF, rows, outputs, ROUNDING, chunk_rows=chunk).tolist())
        assert {1234, 77} <= places
        assert set(rows.argmin(axis=0).tolist()) | set(rows.argmax(axis=0).tolist()) <= places


def test_rows_on_the_boundary_are_left_out() -> None:
    rows, outputs = data(1000)
    outputs[:100] = np.float32(0.5) + np.float32(ROUNDING / 2)
    assert choose(HALF, rows, outputs, ROUNDING).min() >= 100
    outputs[:] = 0.5  # unless there are no others
    assert len(choose(HALF, rows, outputs, ROUNDING)) >= 50


def test_corners_are_of_the_contract_and_not_of_the_data() -> None:
    found = {tuple(row) for row in corners(CONTRACT).tolist()}
    assert {(-9.0,) * 3, (9.0,) * 3, (0.0, 0.5, 1.0)} <= found
    assert {(-2.0, 3.0, 4.0), (2.0, -3.0, -4.0)} <= found  # combinations of 1% and 99%
    assert {(-9.0, 0.5, 1.0), (0.0, 0.5, 9.0)} <= found  # one feature at its end
    assert len(found) == len(corners(CONTRACT)) == 5 + 6 + 8 - 2
    wide = Contract(tuple(Feature(str(i), "", 0, 1, 3, 4, 2) for i in range(500)), HALF)
    assert len(corners(wide)) == 5 + 2 * 32


def test_the_device_reads_them_and_other_processors_pass() -> None:
    rows, outputs = data(500)
    vectors = json.loads(json.dumps(made(rows, outputs, tolerance=1e-9), allow_nan=False))
    assert vectors["tolerance"] == pytest.approx(1e-4)  # never below float32's own
    read = Golden(
        np.asarray(vectors["rows"], dtype=np.float32),
        np.asarray(vectors["outputs"], dtype=np.float32),
        vectors["tolerance"],
    )
    check(CONTRACT, read, read.outputs + np.float32(5e-5))
    check(CONTRACT, read, read.outputs - np.float32(5e-5))
    place = int(np.flatnonzero((rows == read.rows[0]).all(axis=1))[0])
    np.testing.assert_array_equal(outputs[place], read.outputs[0])
    assert made(rows, outputs, tolerance=0.01)["tolerance"] == 0.01
    assert [-9.0, -9.0, -9.0] in vectors["rows"]
    # a corner on the boundary is left out as a row is
    assert [-9.0, -9.0, -9.0] not in made(rows, outputs, at_corners=0.5)["rows"]


def test_quantised_outputs_may_be_two_steps_off() -> None:
    rows, outputs = data(3000)
    coarse = (np.floor(outputs * 256) / 256).astype(np.float32)
    contract = replace(CONTRACT, decision=HALF)
    at_corners = np.full((len(corners(contract)), 1), 0.75, dtype=np.float32)
    bounds = {"tolerance": 5e-2, "rounding": 1e-4}
    vectors = golden(contract, rows, coarse, corners(contract), at_corners, **bounds)
    assert vectors is not None and len(vectors["rows"]) >= 50
    margin = np.abs(np.asarray(vectors["outputs"]) - 0.5)
    assert margin.min() > 2 / 256 and vectors["tolerance"] == 5e-2
    assert step(coarse) == 1 / 256 and step(outputs) == step(outputs[:1]) == 0.0


def test_a_file_that_answers_no_number_has_none() -> None:
    rows, outputs = data(200)
    nothing = np.full((len(corners(CONTRACT)), 1), np.nan, dtype=np.float32)
    bounds = {"tolerance": 1e-4, "rounding": 1e-4}
    extra = corners(CONTRACT)
    assert golden(CONTRACT, rows, outputs * np.float32(np.nan), extra, nothing, **bounds) is None
    outputs[::2] = np.inf
    vectors = golden(CONTRACT, rows, outputs, extra, nothing, **bounds)
    assert vectors is not None and np.isfinite(vectors["outputs"]).all()


def answered(rows: Rows) -> Rows:
    """A network's outputs, of which some lie near the boundary."""
    return (1 / (1 + np.exp(-rows[:, :1]))).astype(np.float32)


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(0, 2000))
def test_rows_of_the_sample_fill_up_few_rows(count: int, sampled: int) -> None:
    given_rows, sample = data(count)[0], data(sampled, seed=1)[0]
    extra = extras(CONTRACT, sample)
    bounds = {"tolerance": ROUNDING, "rounding": ROUNDING}
    vectors = golden(CONTRACT, given_rows, answered(given_rows), extra, answered(extra), **bounds)
    assert vectors is not None
    found = np.asarray(vectors["rows"], dtype=np.float32)
    assert len(np.unique(found, axis=0)) == len(found) >= min(50, count + sampled)
    np.testing.assert_array_equal(np.asarray(vectors["outputs"], np.float32), answered(found))
    if count >= GOLDEN_ROWS + 2:  # a few may lie on the boundary itself
        assert not (found[:, None] == sample[None]).all(axis=2).any()
    own = (found[:, None] == given_rows[None]).all(axis=2).any(axis=1)
    assert own.sum() >= min(count, GOLDEN_ROWS) - 2


def test_the_same_row_again_and_again_is_one_vector() -> None:
    rows = np.repeat(data(1)[0], 200, axis=0)
    extra = extras(CONTRACT, rows)
    assert len(extra) == len(corners(CONTRACT)) + SPARE_ROWS
    bounds = {"tolerance": ROUNDING, "rounding": ROUNDING}
    vectors = golden(CONTRACT, rows, answered(rows), extra, answered(extra), **bounds)
    assert vectors is not None
    assert len({tuple(row) for row in vectors["rows"]}) == len(vectors["rows"])


def test_the_step_of_one_row_is_that_of_the_file() -> None:
    """One answer shows no step: the spare rows' answers do, and rows two steps off are out."""
    rows, sample = data(1)[0], data(2000, seed=1)[0]
    extra = extras(CONTRACT, sample)
    coarse = lambda of: (np.floor(answered(of) * 64) / 64).astype(np.float32)  # noqa: E731  # a file
    bounds = {"tolerance": 0.3, "rounding": ROUNDING}
    vectors = golden(CONTRACT, rows, coarse(rows), extra, coarse(extra), **bounds)
    assert vectors is not None and len(vectors["rows"]) >= 50
    assert np.abs(np.asarray(vectors["outputs"]) - 0.5).min() > 2 / 64
