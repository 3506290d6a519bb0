from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import FeatureMismatchError, GgmlError, UnsupportedStageError
from ggml_magic.model import stages as stages_module
from ggml_magic.model.graph import Fused, fuse
from ggml_magic.model.sources import opened
from ggml_magic.model.stages import BATCH_ROWS, Step, answers, check
from ggml_magic.model.training import tensorflow


def refuses(stages: list[Any], match: str, error: type[GgmlError] = UnsupportedStageError) -> None:
    with pytest.raises(error, match=match) as caught:
        check(stages)
    assert caught.value.remedy


class Estimator:
    """Of nobody's package, and no callable."""


def test_objects_that_are_no_stages() -> None:
    refuses([], "no stage was given")
    refuses(["saved_model"], "a str cannot be a stage: accepted are models and layers of Keras 3")
    refuses([object()], "an object cannot be a stage")
    refuses([Estimator], "the class Estimator cannot be a stage")
    refuses([Estimator()], "an Estimator cannot be a stage")


def test_a_step_says_what_it_is() -> None:
    assert str(Step("Dense", "d", 3, 1, 4)) == "Dense 'd' (3 → 1, 4 parameters)"
    assert str(Step("function", "", 3, 3, None)) == "function (3 → 3)"


@pytest.fixture(scope="module")
def kit() -> SimpleNamespace:
    """TensorFlow, Keras and a trained-looking network of 3 inputs."""
    tf = tensorflow()
    import keras

    keras.utils.set_random_seed(7)
    network = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]
    )
    return SimpleNamespace(tf=tf, keras=keras, network=network)


def traces(stages: list[Any], features: int) -> Fused:
    check(stages)
    return fuse(stages, features)


@pytest.mark.real
def test_every_kind_of_stage_is_taken(kit: SimpleNamespace) -> None:
    keras, tf = kit.keras, kit.tf

    class Subclassed(keras.Model):  # type: ignore[misc]  # keras is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    class Module(tf.Module):  # type: ignore[misc]  # tensorflow is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.scale = tf.Variable([1.0, 2.0, 3.0])

        def __call__(self, x: Any) -> Any:
            return x * self.scale

    subclassed = Subclassed()
    subclassed(np.zeros((1, 3), dtype=np.float32))
    source = keras.Input((3,))
    functional = keras.Model(source, [keras.layers.Dense(2)(source)])
    adapted = keras.layers.Normalization()
    adapted.adapt(np.random.default_rng(0).normal(size=(50, 3)))
    by_hand = keras.layers.Normalization(mean=[1.0, 2, 3], variance=[1.0, 1, 4])
    for stage, width in (
        (kit.network, 1),
        (functional, 2),
        (subclassed, 2),
        (adapted, 3),
        (by_hand, 3),
        (keras.layers.Rescaling(0.5), 3),
        (Module(), 3),
        (tf.function(lambda x: tf.tanh(x)), 3),
        (tf.nn.softmax, 3),
    ):
        assert traces([stage], 3).outputs == width
    steps = traces([adapted, Module(), kit.network], 3).steps
    assert [(step.kind, step.inputs, step.outputs) for step in steps] == [
        ("Normalization", 3, 3),
        ("Module", 3, 3),
        ("Sequential", 3, 1),
    ]
    assert steps[2].parameters == 3 * 4 + 4 + 4 + 1


@pytest.mark.real
def test_what_was_never_trained_is_refused_and_stays_so(kit: SimpleNamespace) -> None:
    layers = kit.keras.layers
    normalization, sequential = layers.Normalization(), kit.keras.Sequential([layers.Dense(1)])
    for _ in range(2):
        refuses([normalization], "'normalization.*' has never been adapted")
        refuses([sequential], "has never been trained")
        refuses([layers.Dense(1)], "has never been trained")
    assert not normalization.built and not sequential.built


@pytest.mark.real
def test_a_network_of_another_width(kit: SimpleNamespace) -> None:
    adapted = kit.keras.layers.Normalization()
    adapted.adapt(np.random.default_rng(0).normal(size=(50, 3)))
    dense = kit.keras.layers.Dense(1)
    dense(np.zeros((1, 3), dtype=np.float32))
    for stage in (kit.network, adapted, dense):
        # 1 is the trap: a Normalization of 3 broadcasts over it without a word
        for features in (1, 2, 5):
            with pytest.raises(FeatureMismatchError, match="takes 3 features: the contract gives"):
                traces([stage], features)
    with pytest.raises(FeatureMismatchError, match="takes 3 values: the stage before it gives 2"):
        traces([lambda x: x[:, :2], kit.network], 3)


@pytest.mark.real
def test_stages_that_cannot_be_traced(kit: SimpleNamespace) -> None:
    keras, tf = kit.keras, kit.tf
    images = keras.Sequential([keras.Input((8, 3)), keras.layers.Flatten()])

    def many(x: Any) -> Any:
        return x, x

    for stage, match in (
        (np.median, "np.median has no operation of TensorFlow"),
        (lambda x: tf.constant(x.numpy()), "no attribute 'numpy'"),
        (lambda x: tf.zeros((tf.shape(x)[0], 1)), "does not look at its input"),
        (np.ones_like, "does not look at its input"),
        (lambda x: tf.ensure_shape(tf.py_function(abs, [x], x.dtype), (None, 3)), "runs Python"),
        (lambda x: tf.numpy_function(abs, [x], x.dtype), "runs Python inside the graph"),
        (
            tf.function(lambda x: tf.reshape(tf.py_function(abs, [x], x.dtype), (-1, 3)) + x),
            "a stage runs Python inside the graph",
        ),
        (lambda x: x @ tf.zeros((5, 1)), "cannot be taken into a graph: ValueError"),
        (lambda x: x[:, 0], r"gives the shape \(N\)"),
        (lambda x: tf.reduce_mean(x, axis=0, keepdims=True), r"gives the shape \(1, 3\)"),
        (lambda x: np.zeros((4, 3)), "gives the shape"),
        (many, "gives no tensor"),
        (lambda x: x * tf.Variable(2.0), "cannot be t"),
        (images, r"takes the shape \(None, 8, 3\)"),
    ):
        with pytest.raises(UnsupportedStageError, match=match) as caught:
            traces([stage], 3)
        assert "\n" not in caught.value.why and "\x1b" not in str(caught.value)


@pytest.mark.real
def test_functions_of_numpy_and_scalers_are_stages(kit: SimpleNamespace) -> None:
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(0).normal(5, 2, size=(40, 3)).astype(np.float32)
    scaler = StandardScaler().fit(rows)

    def squeezed(x: Any) -> Any:
        y = x.copy()
        y[:, 0] = np.log1p(np.abs(y[:, 0]))
        return y

    fused = traces([np.log1p, squeezed, scaler, kit.network], 3)
    assert [(s.kind, s.name, s.parameters) for s in fused.steps[:3]] == [
        ("ufunc", "log1p", None),
        ("function", "squeezed", None),
        ("StandardScaler", "", None),
    ]
    expected = kit.network(scaler.transform(squeezed(np.log1p(np.abs(rows))))).numpy()
    graph = fused.function(kit.tf.constant(np.abs(rows)))["outputs"].numpy()
    np.testing.assert_allclose(graph, expected, rtol=1e-5, atol=1e-5)
    live = answers([np.log1p, squeezed, scaler, kit.network], np.abs(rows))
    np.testing.assert_allclose(live, expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(FeatureMismatchError, match="StandardScaler takes 3 features"):
        traces([scaler], 4)


@pytest.mark.real
def test_a_function_that_writes_into_its_argument_spares_the_callers_rows() -> None:
    rows = np.ones((5, 2), dtype=np.float32)

    def emptied(x: Any) -> Any:
        x[:, 0] = 7
        return x

    assert answers([emptied], rows).tolist() == [[7, 1]] * 5
    assert (rows == 1).all()


@pytest.mark.real
def test_a_sequence_behind_a_reshape_is_a_stage(kit: SimpleNamespace) -> None:
    keras = kit.keras
    network = keras.Sequential(
        [keras.Input((30,)), keras.layers.Reshape((10, 3)), keras.layers.LSTM(4),
         keras.layers.Dense(2)]
    )  # fmt: skip
    assert traces([network], 30).outputs == 2
    bare = keras.Sequential([keras.Input((10, 3)), keras.layers.LSTM(4)])
    with pytest.raises(UnsupportedStageError, match="takes the shape") as caught:
        traces([bare], 30)
    assert "Input((30,))" in caught.value.remedy and "Reshape((10, 3))" in caught.value.remedy


@pytest.mark.real
def test_a_shape_that_no_stage_takes_is_hidden_in_one_network(kit: SimpleNamespace) -> None:
    keras = kit.keras
    lstm = keras.Sequential([keras.Input((4, 1)), keras.layers.LSTM(2)])
    with pytest.raises(UnsupportedStageError, match=r"shape \(N, 4, 1\): stages hand on") as caught:
        traces([keras.layers.Reshape((4, 1)), lstm], 4)
    line = "keras.Sequential([keras.Input((4,)), keras.layers.Reshape((4, 1)), network])"
    assert line in caught.value.remedy
    names = {"keras": keras, "network": lstm}
    one = eval(line, names)  # noqa: S307  the line above, which a reader would run
    assert traces([one], 4).outputs == 2
    wide = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6), keras.layers.Reshape((3, 2))]
    )
    with pytest.raises(UnsupportedStageError, match="stages hand on") as caught:
        traces([wide], 4)
    names["network"] = wide
    assert traces([eval(caught.value.remedy, names)], 4).outputs == 6  # noqa: S307  as above


@pytest.mark.real
def test_a_scalers_method_is_not_the_scaler(kit: SimpleNamespace) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(0).normal(size=(50, 3))
    sc = StandardScaler().fit(rows)
    forest = RandomForestClassifier(2).fit(rows, rows[:, 0] > 0)
    refuses([sc.transform], "transform of a StandardScaler cannot be a stage")
    refuses([StandardScaler().transform], "a StandardScaler has never been fitted")
    refuses([forest.predict_proba], "a RandomForestClassifier cannot be a stage: trees")
    with pytest.raises(UnsupportedStageError, match="the object itself is known") as caught:
        traces([lambda x: sc.transform(x)], 3)
    assert caught.value.remedy == "give the scaler itself: sc"
    with pytest.raises(UnsupportedStageError, match="trees and other estimators"):
        traces([lambda x: forest.predict(x)], 3)
    with pytest.raises(UnsupportedStageError, match="cannot be traced"):
        traces([lambda x: np.asarray(x) + sc.mean_], 3)  # it calls no method of it


@pytest.mark.real
def test_stages_of_files_are_called_by_the_files(kit: SimpleNamespace, tmp_path: Path) -> None:
    import shutil

    module = kit.tf.Module()
    module.f = kit.tf.function(
        lambda x: x * 2.0, input_signature=[kit.tf.TensorSpec((None, 3), kit.tf.float32)]
    )
    kit.tf.saved_model.save(module, str(tmp_path / "rain" / "1"), signatures=module.f)
    packed = shutil.make_archive(str(tmp_path / "wind.v2"), "gztar", tmp_path / "rain" / "1")
    network = kit.keras.Sequential([kit.keras.Input((3,)), kit.keras.layers.Dense(1)])
    converter = kit.tf.lite.TFLiteConverter.from_keras_model(network)
    (tmp_path / "dense.tflite").write_bytes(converter.convert())
    given = (tmp_path / "rain", packed, tmp_path / "dense.tflite")
    steps = traces(list(opened(given, tmp_path / "new", None)), 3).steps
    named = [str(step).partition(" (")[0] for step in steps]
    assert named == ["SavedModel 'rain'", "SavedModel 'wind.v2'", "TFLite file 'dense'"]


@pytest.mark.real
def test_answers_may_be_written_into_a_memory_map(tmp_path: Path, kit: SimpleNamespace) -> None:
    rows = np.random.default_rng(0).normal(size=(2 * BATCH_ROWS + 1, 3)).astype(np.float32)
    mapped = np.lib.format.open_memmap(
        tmp_path / "y.npy", mode="w+", dtype=np.float32, shape=(len(rows), 1)
    )
    assert answers([kit.network], rows, out=mapped) is mapped
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), answers([kit.network], rows))


@pytest.mark.real
def test_no_more_than_one_batch_is_held(
    kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages_module, "BATCH_ROWS", 1000)
    rows = np.ones((100_000, 3), dtype=np.float32)

    def widened(x: Any) -> Any:
        return np.repeat(x, 100, axis=1)[:, :1]

    tracemalloc.start()
    answers([widened], rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * rows.nbytes  # all at once would be a hundred times as much


@pytest.mark.real
def test_answers_are_the_notebooks_own_over_all_batches(kit: SimpleNamespace) -> None:
    rows = np.random.default_rng(0).normal(size=(BATCH_ROWS + 3, 3)).astype(np.float32)
    dropout = kit.keras.layers.Dropout(0.9)  # would drop nine of ten in training
    result = answers([dropout, kit.network], rows)
    assert result.shape == (len(rows), 1) and result.dtype == np.float32
    np.testing.assert_allclose(
        result[-5:], kit.network.predict(rows[-5:], verbose=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.real
def test_a_stage_that_leaves_rows_out_is_refused(kit: SimpleNamespace) -> None:
    rows = np.asarray([[1, 0, 0], [-1, 0, 0], [2, 0, 0]], dtype=np.float32)
    with pytest.raises(UnsupportedStageError, match=r"the shape \(2, 3\) for 3 rows") as caught:
        answers([lambda x: kit.tf.boolean_mask(x, x[:, 0] > 0)], rows)
    assert "tf.where" in caught.value.remedy
