"""scikit-learn's scalers in the graph are their own ``transform``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model import scikit
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real

NAMES = ("pressure", "temperature", "humidity")
ROWS = np.random.default_rng(0).normal([1013, 12, 65], [8, 9, 20], (200, 3)).astype(np.float32)
FRAME = pd.DataFrame(ROWS, columns=list(NAMES))
# Steps of float32 at the largest number that enters the last sum.
ROUNDINGS = 16 * np.finfo(np.float32).eps


def graph(stage: Any, rows: Any) -> Any:
    """The operations' own answer, run in a graph as a device would."""
    tf = tensorflow()
    specification = tf.TensorSpec((None, rows.shape[1]), tf.float32)
    function = tf.function(lambda x: scikit.call(stage, x), input_signature=[specification])
    return function(tf.constant(rows)).numpy()


def same(stage: Any, rows: Any = ROWS) -> None:
    scikit.check(stage)
    expected = scikit.transformed(stage, rows)
    np.testing.assert_allclose(graph(stage, rows), expected, rtol=1e-5, atol=1e-5)
    own = np.asarray(stage.transform(FRAME if scikit.fitted_names(stage) else rows))
    np.testing.assert_allclose(expected, own, rtol=1e-5, atol=1e-5)


FINITE = st.floats(-1e4, 1e4, width=32)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(
        [
            StandardScaler(),
            StandardScaler(with_mean=False),
            StandardScaler(with_std=False),
            MinMaxScaler(),
            MinMaxScaler((-1, 3), clip=True),
            MaxAbsScaler(),
            RobustScaler(),
            RobustScaler(with_centering=False, unit_variance=True),
            RobustScaler(with_scaling=False),
        ]
    ),
    st.integers(1, 4),
    st.data(),
)
def test_any_scaler_of_any_data_is_its_transform(
    scaler: Any, width: int, data: st.DataObject
) -> None:
    table = st.lists(st.lists(FINITE, min_size=width, max_size=width), min_size=2, max_size=9)
    training = np.asarray(data.draw(table), dtype=np.float64)
    rows = np.asarray(data.draw(table), dtype=np.float32)
    scaler.fit(training)
    # what may be lost: float32's step at the size of the number, carried through the division
    size = np.abs(rows).max() + np.abs(training).max()
    step = getattr(scaler, "scale_", None)
    multiplies = isinstance(scaler, MinMaxScaler)
    factor = 1.0 if step is None else np.max(step if multiplies else 1 / step)
    np.testing.assert_allclose(
        graph(scaler, rows),
        scikit.transformed(scaler, rows),
        rtol=1e-5,
        atol=ROUNDINGS * (size * max(1.0, factor) + 1),
    )


COLUMNS: list[Any] = [
    ["humidity", "pressure"],
    [2, 0],
    [-1],
    slice(1, 3),
    slice("temperature", "humidity"),
    [True, False, True],
    np.asarray([False, True, True]),
    make_column_selector("^t"),
]


@pytest.mark.parametrize("columns", COLUMNS, ids=str)
@pytest.mark.parametrize("remainder", ["passthrough", "drop", MinMaxScaler()], ids=str)
def test_columns_are_taken_by_name_index_slice_and_mask(columns: Any, remainder: Any) -> None:
    same(ColumnTransformer([("one", StandardScaler(), columns)], remainder=remainder).fit(FRAME))


def test_columns_are_reordered_as_the_transformer_does() -> None:
    stage = ColumnTransformer(
        [("h", MinMaxScaler(clip=True), ["humidity"]), ("p", "passthrough", ["temperature"])],
        remainder=StandardScaler(),
        transformer_weights={"h": 2.0},
    ).fit(FRAME)
    same(stage)
    answer = graph(stage, ROWS)
    np.testing.assert_array_equal(answer[:, 1], ROWS[:, 1])
    assert answer[:, 0].max() == pytest.approx(2.0)


def test_pipelines_of_pipelines() -> None:
    inner = make_pipeline(RobustScaler(), "passthrough", FunctionTransformer(np.tanh))
    columns = ColumnTransformer([("a", inner, [0, 2])], remainder="passthrough")
    same(Pipeline([("c", columns), ("none", None), ("m", MinMaxScaler())]).fit(FRAME))
    same(make_pipeline(FunctionTransformer(), StandardScaler()).fit(ROWS))
    same(FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 50}))


def test_a_transformer_that_gives_frames() -> None:
    stage = ColumnTransformer([("s", StandardScaler(), ["humidity"])], remainder="passthrough")
    same(stage.set_output(transform="pandas").fit(FRAME))


def test_a_scaler_that_writes_into_its_rows_leaves_the_callers_alone() -> None:
    before = ROWS.copy()
    scikit.transformed(StandardScaler(copy=False).fit(before.copy()), ROWS)
    np.testing.assert_array_equal(ROWS, before)


LABELS = (ROWS[:, 2] > 65).astype(int)


@pytest.mark.parametrize(
    ("stage", "match"),
    [
        (PCA().fit(ROWS), "a PCA cannot be a stage"),
        (OneHotEncoder().fit(ROWS), "an OneHotEncoder cannot be a stage"),
        (RandomForestClassifier(2).fit(ROWS, LABELS), "a RandomForestClassifier cannot be"),
        (make_pipeline(StandardScaler(), PCA()).fit(ROWS), "a PCA in the Pipeline cannot"),
        (
            ColumnTransformer([("p", PCA(1), [0, 1])], remainder="drop").fit(ROWS),
            "a PCA in the ColumnTransformer cannot",
        ),
    ],
)
def test_other_estimators_are_refused_and_the_accepted_ones_named(stage: Any, match: str) -> None:
    with pytest.raises(UnsupportedStageError, match=match) as caught:
        scikit.check(stage)
    assert "StandardScaler, MinMaxScaler" in caught.value.why and caught.value.remedy


def test_what_predicts_is_replaced_by_a_network_and_not_done_before() -> None:
    forest = RandomForestClassifier(2)
    for stage, first in (
        (forest.fit(ROWS, LABELS), "a Keras network, trained on the same rows"),
        (make_pipeline(StandardScaler(), forest).fit(ROWS, LABELS), "pipeline[:-1] as the first"),
    ):
        with pytest.raises(UnsupportedStageError, match="have no place in the graph") as caught:
            scikit.check(stage)
        assert caught.value.remedy.startswith(first) and "before" not in caught.value.remedy
    with pytest.raises(UnsupportedStageError) as caught:
        scikit.check(PCA().fit(ROWS))
    assert caught.value.remedy.startswith("do that step before the first stage")


def test_a_column_transformer_that_was_never_fitted_names_its_parts() -> None:
    fitted = StandardScaler().fit(ROWS[:, :1])
    columns = ColumnTransformer([("num", fitted, [0]), ("rest", "passthrough", [1])])
    with pytest.raises(UnsupportedStageError, match="a ColumnTransformer has never") as caught:
        scikit.check(columns)
    assert "'num' (StandardScaler), 'rest' (passthrough)" in caught.value.why
    assert caught.value.remedy == "transformer.fit(X_train)"
    with pytest.raises(UnsupportedStageError, match="ColumnTransformer in the Pipeline") as caught:
        scikit.check(make_pipeline(columns))
    assert caught.value.remedy == "pipeline.fit(X_train)"


def test_the_parts_of_pipelines_in_pipelines() -> None:
    inner, last = make_pipeline(RobustScaler(), "passthrough"), MinMaxScaler()
    parts = scikit.parts(make_pipeline(inner, last))
    assert [type(part) for part in parts] == [RobustScaler, MinMaxScaler]
    assert scikit.parts(last) == [last] and scikit.parts(np.tanh) == [np.tanh]


@pytest.mark.parametrize(
    "stage",
    [
        StandardScaler(),
        MinMaxScaler(),
        RobustScaler(),
        make_pipeline(StandardScaler()),
        ColumnTransformer([("s", StandardScaler(), [0])]),
        make_pipeline(ColumnTransformer([("s", StandardScaler(), [0])])),
    ],
    ids=str,
)
def test_what_was_never_fitted(stage: Any) -> None:
    with pytest.raises(UnsupportedStageError, match="has never been fitted") as caught:
        scikit.check(stage)
    assert ".fit(X_train)" in caught.value.remedy


def test_the_order_of_the_columns_is_that_of_the_fit() -> None:
    scaler = StandardScaler().fit(FRAME)
    scikit.check(scaler, NAMES)
    scikit.check(scaler, ("p", "t", "h"))  # renamed, in their places
    for other in (NAMES[::-1], ("temperature", "t", "h")):
        with pytest.raises(FeatureMismatchError, match="was fitted on pressure, temp") as caught:
            scikit.check(scaler, other)
        assert "pressure,temperature,humidity" in caught.value.remedy
    scikit.check(StandardScaler().fit(ROWS), NAMES[::-1])  # it knows no names
