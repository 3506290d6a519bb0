"""SavedModels as stages: signatures, inputs, and rows that were saved one by one."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model.graph import export, fuse, prove
from ggml_magic.model.saved import open_saved

pytestmark = pytest.mark.real
RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(40, 3)).astype(np.float32)


def save(folder: Path, /, **signatures: Any) -> Path:
    """A SavedModel of functions, each given as (body, input names and shapes)."""
    import tensorflow as tf

    module, traced = tf.Module(), {}
    module.weights = tf.Variable([[1.0, -1.0], [2.0, 0.5], [0.0, 3.0]])
    for name, (body, inputs) in signatures.items():
        specifications = []
        for key, shape in inputs.items():
            dtype = shape[0] if shape and isinstance(shape[0], str) else "float32"
            sizes = tuple(size for size in shape if size != dtype)
            specifications.append(tf.TensorSpec(sizes, dtype, name=key))

        def call(*tensors: Any, body: Any = body) -> Any:
            return body(module, *tensors)

        traced[name] = tf.function(call, autograph=False).get_concrete_function(*specifications)
    tf.saved_model.save(module, str(folder), signatures=traced)
    return folder


def linear(module: Any, x: Any) -> Any:
    import tensorflow as tf

    return {"y": tf.matmul(x, module.weights)}


def keras_export(folder: Path) -> tuple[Path, np.ndarray]:
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="tanh")])
    weights = [RANDOM.normal(size=(3, 2)), RANDOM.normal(size=2)]
    model.layers[0].set_weights(weights)
    model.export(folder, verbose=False)
    return folder, np.tanh(ROWS @ weights[0] + weights[1])


def test_an_exported_keras_model_goes_the_whole_way(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras' own code, about numpy
        folder, expected = keras_export(tmp_path / "rain")
    stage = open_saved(folder, "")
    gc.collect()  # a signature alone would lose its variables here
    assert (stage.name, stage.width, stage.notes, len(stage.variables)) == ("rain", 3, (), 2)
    assert np.abs(stage(ROWS) - expected).max() < 1e-6
    fused = fuse([stage], 3)
    assert fused.steps[0].parameters == 8
    assert fused.sha256 == fuse([open_saved(folder, "")], 3).sha256
    export(fused, tmp_path / "out")
    assert prove([stage], tmp_path / "out", ROWS)[1].max_abs_diff < 1e-6
    with pytest.raises(FeatureMismatchError, match="takes 3 values: it is given 2"):
        stage(ROWS[:, :2])


def test_of_several_signatures_one_is_chosen(tmp_path: Path) -> None:
    import tensorflow as tf

    def negative(module: Any, x: Any) -> Any:
        return {"y": -tf.matmul(x, module.weights)}

    plain = {"x": (None, 3)}
    both = save(tmp_path / "both", serving_default=(linear, plain), minus=(negative, plain))
    assert np.array_equal(open_saved(both, "")(ROWS), -open_saved(both, "minus")(ROWS))
    with pytest.raises(UnsupportedStageError, match="it has: minus, serving_default"):
        open_saved(both, "other")
    neither = save(tmp_path / "neither", plus=(linear, plain), minus=(negative, plain))
    with pytest.raises(UnsupportedStageError, match="it has: minus, plus") as caught:
        open_saved(neither, "")
    assert caught.value.remedy == "neither#minus"
    only = save(tmp_path / "only", plus=(linear, plain))
    assert open_saved(only, "")(ROWS).shape == (40, 2)
    with pytest.raises(UnsupportedStageError, match="cannot be called"):
        open_saved(save(tmp_path / "none"), "")


def test_several_outputs_are_listed(tmp_path: Path) -> None:
    def two(module: Any, x: Any) -> Any:
        return {"logits": linear(module, x)["y"], "doubled": x * 2.0}

    folder = save(tmp_path / "m", serving_default=(two, {"x": (None, 3)}))
    with pytest.raises(UnsupportedStageError, match=r"doubled \(N, 3\); logits \(N, 2\)"):
        open_saved(folder, "")


@pytest.mark.parametrize(
    ("shape", "why"),
    [((None, 4, 3), "rows of shape"), ((2, 3), "rows of shape"), ((), "rows of shape"),
     (("string", None), "text"), (("int32", None, 3), "float32")],
)  # fmt: skip
def test_other_inputs_are_refused(shape: Any, why: str, tmp_path: Path) -> None:
    import tensorflow as tf

    def any_body(_module: Any, x: Any) -> Any:
        return {"y": tf.zeros((2, 1)) + tf.cast(tf.size(x), tf.float32)}

    folder = save(tmp_path / "m", serving_default=(any_body, {"x": shape}))
    with pytest.raises(UnsupportedStageError) as caught:
        open_saved(folder, "")
    assert why in caught.value.why


def test_no_input_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", serving_default=(lambda m: {"y": m.weights + 0.0}, {}))
    with pytest.raises(UnsupportedStageError, match="takes no input"):
        open_saved(folder, "")


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_a_scaler_saved_for_one_row_takes_many(shape: tuple[int, ...], tmp_path: Path) -> None:
    mean, std = np.float32([1013, 12, 65]), np.float32([8, 9, 20])

    def standardise(_module: Any, x: Any) -> Any:
        return {"y": (x - mean) / std}

    folder = save(tmp_path / "m", serving_default=(standardise, {"x": shape}))
    stage = open_saved(folder, "")
    assert np.abs(stage(ROWS) - (ROWS - mean) / std).max() < 1e-5
    assert "one row" in stage.notes[0] and "(N, 3)" in stage.notes[0]
    fused = fuse([stage], 3)
    export(fused, tmp_path / "out")
    assert prove([stage], tmp_path / "out", ROWS)[1].max_abs_diff < 1e-5


def test_a_network_saved_for_one_row_takes_many(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", serving_default=(linear, {"x": (1, 3)}))
    assert open_saved(folder, "")(ROWS).shape == (40, 2)


def test_a_row_that_is_looked_at_as_a_whole_cannot_be_one_of_many(tmp_path: Path) -> None:
    import tensorflow as tf

    bodies = {
        "centred": lambda _module, x: {"y": x - tf.reduce_mean(x)},
        "total": lambda _module, x: {"y": tf.reduce_sum(x)},
        "ordered": lambda _module, x: {"y": tf.reshape(tf.gather(x, [2, 1, 0]), (3,))},
        "kept": lambda _module, x: {"y": tf.reshape(x, (3,)) * 2.0},
    }
    for name, body in bodies.items():
        folder = save(tmp_path / name, serving_default=(body, {"x": (3,)}))
        with pytest.raises(UnsupportedStageError, match="not answered as each is alone"):
            open_saved(folder, "")


def test_one_value_a_row_becomes_a_column(tmp_path: Path) -> None:
    import tensorflow as tf

    def flat(_module: Any, x: Any) -> Any:
        return {"y": tf.reduce_sum(x, axis=1)}

    folder = save(tmp_path / "m", serving_default=(flat, {"x": (None, 3)}))
    assert np.abs(open_saved(folder, "")(ROWS) - ROWS.sum(axis=1, keepdims=True)).max() < 1e-5
    folder = save(tmp_path / "n", serving_default=(lambda _m, x: {"y": x * 2.0}, {"x": (None,)}))
    assert np.array_equal(open_saved(folder, "")(ROWS[:, :1]), ROWS[:, :1] * 2)


def test_float64_is_given_float64(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "m", serving_default=(lambda _m, x: {"y": x / 3.0}, {"x": ("float64", None, 3)})
    )
    assert np.abs(open_saved(folder, "")(ROWS) - ROWS / 3).max() < 1e-6


def test_an_input_for_each_feature_is_matched_by_name(tmp_path: Path) -> None:
    def three(_module: Any, *columns: Any) -> Any:
        humidity, pressure, wind = columns
        return {"y": humidity + 10.0 * pressure + 100.0 * wind[:, None]}

    inputs = {"humidity": (None, 1), "pressure": (None, 1), "wind": (None,)}
    folder = save(tmp_path / "m", serving_default=(three, inputs))
    stage = open_saved(folder, "", ("wind", "pressure", "humidity"))
    assert np.abs(stage(ROWS) - ROWS @ np.float32([[100], [10], [1]])).max() < 1e-3
    fused = fuse([stage], 3)
    export(fused, tmp_path / "out")
    assert prove([stage], tmp_path / "out", ROWS)[1].max_abs_diff < 1e-3
    with pytest.raises(
        FeatureMismatchError, match="humidity, pressure, wind; the columns are a, b"
    ):
        open_saved(folder, "", ("a", "b"))
    with pytest.raises(FeatureMismatchError, match="the columns are unnamed"):
        open_saved(folder, "")
    wide = save(tmp_path / "w", serving_default=(
        lambda _m, x, z: {"y": x + z}, {"x": (None, 2), "z": (None, 2)}))  # fmt: skip
    with pytest.raises(UnsupportedStageError, match=r"it has x \(N, 2\)"):
        open_saved(wide, "", ("x", "z"))
