from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.device.selftest import Golden, check
from ggml_magic.validate.golden import GOLDEN_ROWS, choose, golden

HALF = Decision("threshold", 0.5)
ROUNDING = 1e-4


def data(count: int, outputs: int = 1, seed: int = 0) -> tuple[Rows, Rows]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 3)).astype(np.float32)
    return rows, random.uniform(size=(count, outputs)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(0, 5), st.sampled_from(["threshold", "argmax", "value"]))
def test_there_are_enough_rows_each_once(count: int, seed: int, rule: str) -> None:
    decision = {
        "threshold": HALF,
        "argmax": Decision("argmax", classes=("a", "b", "c")),
        "value": Decision("value"),
    }[rule]
    rows, outputs = data(count, decision.outputs_needed(), seed)
    places = choose(decision, rows, outputs, ROUNDING)
    assert len(set(places)) == len(places) and (np.diff(places) > 0).all()
    # a few rows may lie on the boundary itself
    assert min(50, count - 2) <= len(places) <= min(count, 2 * GOLDEN_ROWS)


def test_every_decision_the_extremes_and_the_boundary_are_there() -> None:
    rows, outputs = data(5000)
    outputs[outputs >= 0.5] *= 0.49
    outputs[1234] = 0.9  # the only one above the threshold
    outputs[77] = 0.5 - 10 * ROUNDING  # the nearest below
    places = set(choose(HALF, rows, outputs, ROUNDING).tolist())
    assert {1234, 77} <= places
    assert set(rows.argmin(axis=0).tolist()) | set(rows.argmax(axis=0).tolist()) <= places


def test_rows_on_the_boundary_are_left_out() -> None:
    rows, outputs = data(1000)
    outputs[:100] = np.float32(0.5) + np.float32(ROUNDING / 2)
    assert choose(HALF, rows, outputs, ROUNDING).min() >= 100
    outputs[:] = 0.5  # unless there are no others
    assert len(choose(HALF, rows, outputs, ROUNDING)) >= 50


def test_the_device_reads_them_and_other_processors_pass() -> None:
    rows, outputs = data(500)
    vectors = json.loads(json.dumps(golden(HALF, rows, outputs, 1e-9), allow_nan=False))
    assert vectors["tolerance"] == pytest.approx(1e-4)  # never below float32's own
    read = Golden(
        np.asarray(vectors["rows"], dtype=np.float32),
        np.asarray(vectors["outputs"], dtype=np.float32),
        vectors["tolerance"],
    )
    contract = Contract(tuple(Feature(n, "", 0, 0, 1, 1) for n in "abc"), HALF)
    check(contract, read, read.outputs + np.float32(5e-5))
    check(contract, read, read.outputs - np.float32(5e-5))
    place = int(np.flatnonzero((rows == read.rows[0]).all(axis=1))[0])
    np.testing.assert_array_equal(outputs[place], read.outputs[0])
    assert golden(HALF, rows, outputs, 0.01)["tolerance"] == 0.01
