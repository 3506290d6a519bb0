from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Decision
from ggml_magic.errors import ContractError, GgmlError, MissingValuesError
from ggml_magic.model.decide import parse
from ggml_magic.model.labels import labels

THRESHOLD = parse(">= 0.5")
CLASSES = parse("argmax dry,drizzle,rain")


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_names_indices_and_one_hot_rows_are_the_same_labels(places: list[int]) -> None:
    names = [CLASSES.classes[place] for place in places]
    for given_as in (
        names,
        np.asarray(names),
        pd.Series(names),
        places,
        np.asarray(places, dtype=np.float32),
        np.eye(3)[places],
        np.asarray(places).reshape(-1, 1),
    ):
        assert labels(given_as, CLASSES, len(places)).tolist() == names


@pytest.mark.parametrize(
    "given_as",
    [[0, 1, 1], [False, True, True], np.asarray([[0.0], [1.0], [1.0]]), pd.Series([0, 1, 1])],
)
def test_a_threshold_answers_0_or_1(given_as: object) -> None:
    assert labels(given_as, THRESHOLD, 3).tolist() == [0, 1, 1]


def test_classes_that_are_numbers_are_taken_by_name_first() -> None:
    assert labels([1, 3], parse("argmax 1,2,3"), 2).tolist() == ["1", "3"]
    assert labels([1.0, 3.0], parse("argmax 1,2,3"), 2).tolist() == ["1", "3"]


def test_a_value_is_a_number() -> None:
    assert labels([1, 2.5], Decision("value"), 2).tolist() == [1.0, 2.5]


def test_files_are_labels_too(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", [0, 1])
    (tmp_path / "y.csv").write_text("rain\n0\n1\n")
    (tmp_path / "names.csv").write_text("sky\ndry\nrain\n")
    assert labels(tmp_path / "y.npy", THRESHOLD, 2).tolist() == [0, 1]
    assert labels(str(tmp_path / "y.csv"), THRESHOLD, 2).tolist() == [0, 1]
    assert labels(str(tmp_path / "names.csv"), CLASSES, 2).tolist() == ["dry", "rain"]
    (tmp_path / "two.csv").write_text("a,b\n0,1\n")
    fails(str(tmp_path / "two.csv"), THRESHOLD, 1, ContractError, "two.csv has 2 columns")


def fails(
    values: object, decision: Decision, count: int, error: type[GgmlError], match: str
) -> None:
    with pytest.raises(error, match=match) as caught:
        labels(values, decision, count, "y_test")
    assert type(caught.value) is error and caught.value.remedy


def test_labels_that_do_not_fit() -> None:
    fails([0, 1], THRESHOLD, 3, ContractError, "y_test has 2 labels: the inputs have 3 rows")
    fails([0, 2], THRESHOLD, 2, ContractError, "the label 2: a threshold answers 0 or 1")
    fails(["no", "yes"], THRESHOLD, 2, ContractError, "the label no")
    fails(["dry", "snow"], CLASSES, 2, ContractError, "the class 'snow'.*dry, drizzle, rain")
    fails([0, 3], CLASSES, 2, ContractError, "the class '0'|the class '3'")
    fails(np.ones((2, 2)), THRESHOLD, 2, ContractError, r"shape \(2, 2\)")
    fails(["warm"], Decision("value"), 1, ContractError, "not numeric")


def test_missing_labels() -> None:
    fails([0, np.nan], THRESHOLD, 2, MissingValuesError, "1 missing value")
    fails(["dry", None], CLASSES, 2, MissingValuesError, "1 missing value")
    fails(pd.Series(["dry", pd.NA]), CLASSES, 2, MissingValuesError, "1 missing value")
