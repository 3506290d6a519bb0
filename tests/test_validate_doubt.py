"""When rows are doubted at all; whole causes are in the suspects' test."""

from __future__ import annotations

from typing import Any

import numpy as np

from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.validate import doubt
from ggml_magic.validate.question import Question

FEATURES = tuple(Feature(name, "", -3.0, -2.0, 2.0, 3.0, 0.0) for name in "ab")
RANDOM = np.random.default_rng(2)
ROWS = RANDOM.uniform(-2, 2, (200, 2)).astype(np.float32)


def answer(rows: Rows) -> Rows:
    return (1 / (1 + np.exp(-(rows @ np.asarray([[2.0], [-1.0]]))))).astype(np.float32)


def question(rows: Rows = ROWS, labels: Any = None, rule: Any = "threshold") -> Question:
    source = answer(rows)
    contract = Contract(FEATURES, Decision(rule))
    return Question(
        contract, None, rows, source, source, answer, answer, labels, None, 1e-4, "rain"
    )


def test_usual_rows_are_not_doubted() -> None:
    right = (answer(ROWS)[:, 0] >= 0.5).astype(int)
    assert doubt.doubt(question(), agreed=True) is None
    assert doubt.doubt(question(labels=right), agreed=True) is None


def test_half_of_the_rows_outside_is_doubtful() -> None:
    rows = ROWS.copy()
    rows[:99, 0] = 9
    assert doubt.doubt(question(rows), agreed=True) is None
    rows[:100, 0] = 9
    found = doubt.doubt(question(rows), agreed=False)
    assert found is not None and found.outside == 100 and found.wrong is None


def test_answers_no_better_than_the_commonest_label_are_doubtful() -> None:
    labels = (answer(ROWS)[:, 0] < 0.5).astype(int)
    found = doubt.doubt(question(labels=labels), agreed=True)
    assert found is not None and found.useless and found.wrong == 200
    assert doubt.doubt(question(labels=labels), agreed=False) is None
    (turned,) = found.named([], [])
    assert turned.kind == "labels turned round" and turned.after == 0


def test_values_are_wrong_when_the_median_is_nearer() -> None:
    near = answer(ROWS)[:, 0].astype(np.float64)
    assert doubt.doubt(question(labels=near, rule="value"), agreed=True) is None
    far = doubt.doubt(question(labels=RANDOM.permutation(near) + 5, rule="value"), agreed=True)
    assert far is not None and far.wrong is not None and far.wrong > 100
    assert far.named([], []) == []


def test_few_rows_are_not_doubted() -> None:
    rows = np.full((19, 2), 9, dtype=np.float32)
    assert doubt.doubt(question(rows), agreed=True) is None
    assert doubt.doubt(question(np.full((20, 2), 9, dtype=np.float32)), agreed=True) is not None


def test_a_cause_takes_half_of_the_wrong_answers_away_and_beats_the_commonest_label() -> None:
    doubted = doubt.Doubt(question(), 0, 100, 90)
    assert doubted._answers_better(50) and not doubted._answers_better(51)
    rare = doubt.Doubt(question(), 0, 100, 30)
    assert rare._answers_better(29) and not rare._answers_better(30)
    assert not doubt.Doubt(question(), 0, 80, 90)._answers_better(0)
    assert not doubted._answers_better(None)
