from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from ggml_magic.device.contract import Decision, Rows
from ggml_magic.validate import compare as comparing
from ggml_magic.validate import task as tasks
from ggml_magic.validate.task import Task, auc, task

HALF = Decision("threshold", 0.5)
VALUE = Decision("value")
NOYES = Decision("argmax", classes=("no", "yes"))
THREE = Decision("argmax", classes=("a", "b", "c"))


def column(*values: float) -> Rows:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


def of(decision: Decision, edge: Rows, labels: Any) -> Task:
    return task(decision, edge, edge, np.asarray(labels))


def test_accuracy_stands_beside_the_majority() -> None:
    edge = column(0.9, 0.1, 0.9, 0.1)
    figures = task(HALF, column(0.1, 0.1, 0.1, 0.1), edge, np.asarray([1, 0, 0, 0]))
    assert (figures.accuracy, figures.majority, figures.source_accuracy) == (0.75, 0.75, 0.75)
    assert (figures.precision, figures.recall) == (0.5, 1.0)
    assert figures.auc == pytest.approx(5 / 6)


def test_names_of_two_classes_have_precision_and_recall_of_the_second() -> None:
    edge = np.asarray([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]], dtype=np.float32)
    figures = task(NOYES, edge, edge, np.asarray(["yes", "yes", "no"], dtype=object))
    assert figures.accuracy == pytest.approx(1 / 3)
    assert (figures.precision, figures.recall, figures.auc) == (0.5, 0.5, None)


def test_figures_that_would_divide_by_nothing_are_none() -> None:
    never = of(HALF, column(0.1, 0.1), [0, 1])
    assert never.precision is None and never.recall == 0.0
    three = task(THREE, np.eye(3), np.eye(3), np.asarray(list("abc"), dtype=object))
    assert three.accuracy == 1.0 and three.precision is three.recall is None
    assert of(HALF, column(0.1, 0.9), [1, 1]).auc is None


def test_values_have_an_error_beside_the_medians() -> None:
    figures = of(VALUE, column(1.0, 2.0, 12.0), [1.0, 3.0, 10.0])
    assert figures.mean_abs_error == pytest.approx(1.0)
    assert figures.baseline_abs_error == pytest.approx(3.0)  # 2, 0 and 7 from the median 3
    assert figures.accuracy is figures.majority is figures.precision is figures.recall is None


def test_decisions_have_no_mean_error() -> None:
    figures = of(HALF, column(0.9), [1])
    assert figures.accuracy == 1.0
    assert figures.mean_abs_error is figures.baseline_abs_error is None


def test_an_error_without_a_number_is_told_and_does_not_warn() -> None:
    figures = of(VALUE, column(np.nan, 1.0), [1.0, 1.0])
    assert figures.mean_abs_error is not None and math.isnan(figures.mean_abs_error)
    assert of(VALUE, column(np.inf), [np.inf]).baseline_abs_error is not None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(2, 300), st.integers(1, 100))
def test_they_are_those_of_a_known_library(seed: int, rows: int, chunk: int) -> None:
    random = np.random.default_rng(seed)
    # coarse outputs have ties
    edge = (random.integers(0, 20, (rows, 1)) / 20).astype(np.float32)
    labels = random.integers(0, 2, rows)
    labels[:2] = 0, 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "chunks", lambda count: comparing.chunks(count, chunk))
        figures = of(HALF, edge, labels)
    said = HALF.answers(edge)
    assert figures.accuracy == pytest.approx(accuracy_score(labels, said))
    assert figures.majority == pytest.approx(max(labels.mean(), 1 - labels.mean()))
    assert figures.precision is None or figures.precision == precision_score(labels, said)
    assert figures.recall == pytest.approx(recall_score(labels, said))
    assert figures.auc == pytest.approx(roc_auc_score(labels, edge[:, 0]))


def test_ranks_of_very_many_rows_are_those_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 50_000)
    edge = (labels + random.normal(size=50_000)).astype(np.float32).reshape(-1, 1)
    exact = auc(edge, labels)
    monkeypatch.setattr(tasks, "AUC_ROWS", 20_000)
    assert auc(edge, labels) != exact
    assert auc(edge, labels) == pytest.approx(exact, abs=0.01)
    edge[3] = np.nan
    assert auc(edge, labels) is None
