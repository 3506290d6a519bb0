"""A .tflite beside other stages: each operator of the table, against the edge runtime itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_model_ready import converted, dense

from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model import operators
from ggml_magic.model.graph import export, fuse, prove
from ggml_magic.model.operators import TABLE, translated
from ggml_magic.model.ready import open_ready

pytestmark = pytest.mark.real
WEIGHTS = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)


def chains() -> dict[str, tuple[Callable[[Any], Any], set[str]]]:
    """Functions (N, 3) to (N, K), and operators that the converter makes of each."""
    import tensorflow as tf

    def network(x: Any) -> Any:
        hidden = tf.nn.relu6(tf.matmul(x, WEIGHTS) + np.float32([1, 2, 3, 4, 5]))
        return tf.nn.softmax(tf.matmul(tf.nn.tanh(hidden), WEIGHTS.T))

    def arithmetic(x: Any) -> Any:
        y = (x - np.float32([1, 2, 3])) / np.float32([4, 5, 6]) * x + x
        return tf.maximum(tf.minimum(y, 10.0), -10.0) + tf.math.squared_difference(x, y)

    def activations(x: Any) -> Any:
        scaled = x / 100.0
        return tf.concat(
            [tf.nn.elu(scaled), tf.nn.relu(x), tf.sigmoid(x), tf.nn.leaky_relu(x, 0.3),
             tf.clip_by_value(x, -1.0, 1.0),
             tf.nn.log_softmax(scaled), tf.tanh(x), tf.nn.relu6(x)], axis=1,
        )  # fmt: skip

    def functions(x: Any) -> Any:
        positive = tf.abs(x) + 1.0
        return tf.concat(
            [tf.sqrt(positive), tf.math.rsqrt(positive), tf.square(x / 10.0), tf.math.log(positive),
             tf.exp(x / 100.0), tf.sin(x / 10.0), tf.cos(x / 10.0), tf.floor(x), tf.math.ceil(x),
             -x, tf.pow(positive, 0.5)], axis=1,
        )  # fmt: skip

    def reductions(x: Any) -> Any:
        cube = tf.reshape(tf.matmul(x, WEIGHTS[:, :4]), (-1, 2, 2))
        total = tf.reduce_sum(cube, axis=1) + tf.reduce_mean(cube, axis=2)
        return total + tf.reduce_max(cube, axis=1) * tf.reduce_min(cube, axis=2)

    def gelu(x: Any) -> Any:
        return tf.nn.gelu(tf.matmul(x, WEIGHTS), approximate=True)

    def rare(x: Any) -> Any:
        slopes = np.float32([0.1, 0.2, 0.3])
        return tf.concat(
            [x * tf.nn.relu6(x + 3.0) / 6.0, tf.nn.relu(x) + (-slopes) * tf.nn.relu(-x),
             (tf.abs(x) + 1.0) / (x * x + 2.0), tf.pow(tf.abs(x) + 1.0, x / 100.0),
             tf.clip_by_value(x, -1.0, 1.0)], axis=1,
        )  # fmt: skip

    return {
        "rare": (rare, {"DIV", "POW", "HARD_SWISH", "PRELU", "RELU_N1_TO_1"}),
        "gelu": (gelu, {"GELU"}),
        "network": (network, {"FULLY_CONNECTED", "TANH", "SOFTMAX"}),
        "arithmetic": (arithmetic, {"SUB", "MUL", "ADD", "MINIMUM", "MAXIMUM"}),
        "activations": (activations, {"ELU", "LOGISTIC", "LEAKY_RELU", "LOG_SOFTMAX",
                                      "CONCATENATION", "RELU", "RELU6", "TANH"}),
        "functions": (functions, {"SQRT", "RSQRT", "SQUARE", "LOG", "EXP", "SIN", "COS", "FLOOR",
                                  "CEIL", "NEG", "ABS"}),
        "reductions": (reductions, {"RESHAPE", "SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN"}),
    }  # fmt: skip


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize(
    "chain", ["network", "gelu", "rare", "arithmetic", "activations", "functions", "reductions"]
)
def test_each_operator_answers_as_the_edge_does(
    chain: str, batch: int | None, tmp_path: Path
) -> None:
    import tensorflow as tf

    body, names = chains()[chain]
    ready = open_ready(converted(tmp_path / "rain.tflite", body, (batch, 3)))
    assert ready.graph is not None
    used = {step.name for step in ready.graph.operators}
    assert names <= used <= TABLE.keys()
    stage = translated(ready)  # proves it against the edge runtime
    rows = np.random.default_rng(7).normal(size=(30, 3)).astype(np.float32)
    assert np.abs(stage(rows) - body(tf.constant(rows))).max() < 1e-5
    assert "answers as the file does" in stage.notes[0]


def test_a_file_goes_on_as_a_stage(tmp_path: Path) -> None:
    stage = translated(open_ready(converted(tmp_path / "rain.tflite", dense, (1, 3))))
    rows = np.random.default_rng(7).normal(size=(30, 3)).astype(np.float32)

    def half(x: Any) -> Any:
        return x / 2.0

    fused = fuse([half, stage], 3)
    assert (fused.outputs, [step.name for step in fused.steps]) == (4, ["half", "rain"])
    export(fused, tmp_path / "out")
    assert prove([half, stage], tmp_path / "out", rows)[1].max_abs_diff < 1e-5
    with pytest.raises(FeatureMismatchError, match="takes 3 values: it is given 2"):
        stage(rows[:, :2])


@pytest.mark.parametrize("name", ["network", "reductions"])
def test_an_operator_that_answers_otherwise_is_noticed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"network": "TANH", "reductions": "SUM"}[name]
    ready = open_ready(converted(tmp_path / "rain.tflite", chains()[name][0], (1, 3)))
    right = TABLE[wrong]
    monkeypatch.setattr(
        operators, "TABLE", {**TABLE, wrong: lambda o, i, t: right(o, i, t) * np.float32(1.01)}
    )
    with pytest.raises(UnsupportedStageError, match="answers otherwise than the file"):
        translated(ready)


def test_other_operators_and_quantised_files_are_named(tmp_path: Path) -> None:
    import tensorflow as tf

    ready = open_ready(converted(tmp_path / "a.tflite", lambda x: tf.cumsum(x, axis=1), (1, 3)))
    with pytest.raises(UnsupportedStageError, match="it holds CUMSUM") as caught:
        translated(ready)
    assert "give it alone" in caught.value.remedy

    def rows() -> Any:
        yield [np.ones((1, 3), np.float32)]

    quantised = converted(
        tmp_path / "q.tflite",
        dense,
        (1, 3),
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=rows,
    )
    with pytest.raises(UnsupportedStageError, match=r"it holds (DE)?QUANTIZE"):
        translated(open_ready(quantised))


def test_weights_of_another_kind_are_named_with_their_operator(tmp_path: Path) -> None:
    ready = open_ready(converted(tmp_path / "rain.tflite", dense, (1, 3)))
    assert ready.graph is not None
    tensors = tuple(
        dataclasses.replace(t, dtype="INT8", data=None) if t.data is not None else t
        for t in ready.graph.tensors
    )
    other = dataclasses.replace(ready, graph=dataclasses.replace(ready.graph, tensors=tensors))
    with pytest.raises(UnsupportedStageError, match="FULLY_CONNECTED: it works on int8"):
        translated(other)


def test_what_mixes_rows_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    def over_rows(x: Any) -> Any:
        return x + tf.reduce_sum(x, axis=0, keepdims=True)

    ready = open_ready(converted(tmp_path / "rain.tflite", over_rows, (None, 3)))
    with pytest.raises(UnsupportedStageError, match="a reduction over rows"):
        translated(ready)
