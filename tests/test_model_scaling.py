"""A scaler is found by what it does to numbers, and nothing else passes for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.model.scaling import Scaling, found
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal([1013, 12, 65], [8, 9, 20], (300, 3)).astype(np.float32)
FACTOR = st.floats(1e-3, 1e3).map(lambda x: float(np.float32(x)))
CONSTANT = st.floats(-1e3, 1e3).map(lambda x: float(np.float32(x)))


def network(x: Any) -> Any:
    return x[:, :1] * x[:, 1:2]


@settings(deadline=None)
@given(
    st.lists(FACTOR, min_size=3, max_size=3),
    st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3),
    st.lists(CONSTANT, min_size=3, max_size=3),
)
def test_any_affine_stage_is_recovered(
    factors: list[float], signs: list[int], constants: list[float]
) -> None:
    scale, offset = np.multiply(factors, signs), np.asarray(constants)

    def scaler(x: Any) -> Any:
        return x * scale + offset

    scaling = found([scaler, network], ROWS)
    size = np.abs(ROWS * scale).max() + np.abs(offset).max()
    if scaling is None:
        assert np.allclose(scale, 1) and np.allclose(offset, 0)
    else:
        np.testing.assert_allclose(scaling.forward(ROWS), scaler(ROWS), atol=1e-5 * size)
        np.testing.assert_allclose(
            scaling.inverse(scaling.forward(ROWS)), ROWS, atol=1e-4 * size / np.abs(scale).min()
        )


@pytest.mark.parametrize(
    "stage",
    [
        np.tanh,
        np.log1p,
        np.square,
        lambda x: x[:, [1, 0, 2]],
        lambda x: x + x[:, :1] * 1e-2,
        lambda x: x[:, :2],
        lambda x: x * 0.0,
        lambda x: np.clip(x, 0, 1010),
        lambda x: x * 1.0,
        lambda x: x / x,
        lambda x: np.concatenate([np.log(x[:, :1]), x[:, 1:]], axis=1),
    ],
)
def test_what_is_not_affine_feature_by_feature_is_none(stage: Any) -> None:
    with np.errstate(all="ignore"):
        assert found([stage, network], np.abs(ROWS)) is None


def test_features_that_go_together_are_not_taken_for_one_another() -> None:
    same = np.repeat(ROWS[:, :1], 3, axis=1)
    assert found([lambda x: x[:, [1, 2, 0]] * 2, network], same) is None
    assert found([lambda x: x * 2, network], same) == Scaling((2.0,) * 3, (0.0,) * 3)


def test_several_scalers_are_one_and_the_network_is_none_of_them() -> None:
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    first = StandardScaler().fit(ROWS)
    second = MinMaxScaler().fit(first.transform(ROWS))
    scaling = found([first, second, np.tanh, network], ROWS)
    assert scaling is not None
    np.testing.assert_allclose(
        scaling.forward(ROWS), second.transform(first.transform(ROWS)), atol=1e-5
    )
    # a straight line alone is the model itself, and no scaler
    assert found([lambda x: x * 2 + 1], ROWS) is None


def test_the_layer_at_the_head_of_a_keras_model() -> None:
    tensorflow()
    import keras

    layers = keras.layers
    normalization = layers.Normalization(mean=[1013.0, 12, 65], variance=[64.0, 81, 400])
    sequential = keras.Sequential(
        [keras.Input((3,)), layers.Rescaling(2.0), normalization, layers.Dense(1)]
    )
    scaling = found([sequential], ROWS)
    assert scaling is not None
    np.testing.assert_allclose(scaling.scale, [2 / 8, 2 / 9, 2 / 20], rtol=1e-4)
    source = keras.Input((3,))
    functional = keras.Model(source, layers.Dense(1)(layers.Rescaling(0.5, offset=1.0)(source)))
    half = found([functional], ROWS)
    assert half is not None
    np.testing.assert_allclose([*half.scale, *half.offset], [0.5] * 3 + [1.0] * 3, rtol=1e-4)
    bare = keras.Sequential([keras.Input((3,)), layers.Dense(3), layers.Dense(1)])
    assert found([bare], ROWS) is None
    assert found([], ROWS) is None


def test_a_column_of_one_value_shows_no_line() -> None:
    rows = ROWS.copy()
    rows[:, 1] = 5
    assert found([lambda x: x * 2, network], rows) is None
