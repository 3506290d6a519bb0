"""``.tflite`` files that lie, refuse or mislead, made for real.

Some by TensorFlow's own converter, some by editing its files through the flatbuffer schema. All
weights come from seeds: no training, and the same files in each run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.model.training import tensorflow

Rows = npt.NDArray[np.float32]
# what a weather station measures: hPa, °C, %
MEAN, SPREAD = (1013.0, 12.0, 65.0), (8.0, 9.0, 20.0)
FEATURES = "pressure:hPa,temperature:degC,humidity:%"
PASCALS = 100.0
TEN = 10
WIDE = 256
FIRST_KERNEL_BYTES = 4 * WIDE * 3
# any numbers of the size that networks like
ANY = np.random.default_rng(5).normal(size=(500, 3)).astype(np.float32)
MARK = b"TFL3"
OLDER_FIELD_HOLDS = 127  # the number of an operator, in files of before 2021


@dataclass(frozen=True)
class Made:
    """A ``.tflite`` file, and the Keras model that it was made from."""

    content: bytes
    model: Any

    def source(self, rows: Rows) -> Rows:
        """What the model answers to rows (N, F): outputs (N, 1)."""
        return np.asarray(self.model(tensorflow().constant(rows)))


# Editing ------------------------------------------------------------------------------------------


def edited(content: bytes, change: Callable[[Any], None]) -> bytes:
    """The file after ``change`` was done to its ``ModelT``."""
    import flatbuffers

    model = schema().ModelT.InitFromPackedBuf(content, 0)
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), MARK)
    return bytes(builder.Output())


def with_version(content: bytes, operator: str, version: int) -> bytes:
    """The file with another version on an operator, as ai-edge-quantizer leaves its own."""

    def change(model: Any) -> None:
        (code,) = (c for c in model.operatorCodes if c.builtinCode == _number(operator))
        code.version = version

    return edited(content, change)


def with_custom(content: bytes, operator: str, name: str) -> bytes:
    """The file with a builtin operator turned into a custom one."""

    def change(model: Any) -> None:
        (code,) = (c for c in model.operatorCodes if c.builtinCode == _number(operator))
        code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.CUSTOM
        code.customCode = name

    return edited(content, change)


def without_metadata(content: bytes) -> bytes:
    """The file without what it says of versions."""

    def change(model: Any) -> None:
        model.metadata = None

    return edited(content, change)


def with_least_runtime(content: bytes, version: str) -> bytes:
    """The file with another ``min_runtime_version``."""

    def change(model: Any) -> None:
        (entry,) = (m for m in model.metadata if m.name == b"min_runtime_version")
        model.buffers[entry.buffer].data = np.frombuffer(version.encode(), np.uint8)

    return edited(content, change)


def renamed(content: bytes, old: str, new: str) -> bytes:
    """The file with another name on a tensor."""

    def change(model: Any) -> None:
        (tensor,) = (t for t in model.subgraphs[0].tensors if t.name == old.encode())
        tensor.name = new

    return edited(content, change)


def naming_only(operator: int, version: int) -> bytes:
    """A file that names one builtin operator in a version, and uses none."""
    import flatbuffers

    parts = schema()
    code, graph, tensor, model = (
        getattr(parts, f"{kind}T")() for kind in ("OperatorCode", "SubGraph", "Tensor", "Model")
    )
    code.builtinCode, code.version = operator, version
    code.deprecatedBuiltinCode = min(operator, OLDER_FIELD_HOLDS)
    tensor.name, tensor.shape, tensor.buffer = "x", [1], 0
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [parts.BufferT()]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), MARK)
    return bytes(builder.Output())


def schema() -> Any:
    """TensorFlow's bundled schema."""
    tensorflow()
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def _number(operator: str) -> int:
    return int(getattr(schema().BuiltinOperator, operator))


# Making -------------------------------------------------------------------------------------------


def network(*widths: int, activation: str = "relu", seed: int = 1, features: int = 3) -> Any:
    """A dense network with a sigmoid at its end, as Keras builds it."""
    tensorflow()
    import keras

    dense = [keras.layers.Dense(width, activation=activation) for width in widths]
    model = keras.Sequential(
        [keras.Input((features,)), *dense, keras.layers.Dense(1, activation="sigmoid")]
    )
    random = np.random.default_rng(seed)
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        # as wide as its inputs are many, so that answers spread however wide the network is
        kernel = random.normal(0, 1.5 / np.sqrt(len(kernel)), kernel.shape)
        layer.set_weights([kernel, random.normal(0, 0.3, bias.shape)])
    return model


def converter(call: Callable[[Any], Any], shape: tuple[int | None, ...] = (None, 3)) -> Any:
    """A converter of a function of one tensor; the function keeps its own variables."""
    tf = tensorflow()
    function = tf.function(call).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return tf.lite.TFLiteConverter.from_concrete_functions([function], function)


def quantised(call: Callable[[Any], Any], representative: Rows, *, int16: bool = False) -> bytes:
    """An int8 or int16x8 file, calibrated on rows; its input and output stay float32."""
    tf = tensorflow()
    made = converter(call)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.representative_dataset = lambda: ([row[np.newaxis]] for row in representative)
    sets = tf.lite.OpsSet
    made.target_spec.supported_ops = [
        sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if int16
        else sets.TFLITE_BUILTINS_INT8
    ]
    with warnings.catch_warnings():
        # the quantiser's noise, about statistics that a representative set stands for (RUNTIMES 1)
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")
        return bytes(made.convert())


@cache
def wide(*, dynamic: bool) -> Made:
    """A network wide enough for dynamic-range quantisation to take hold: FULLY_CONNECTED v12."""
    model = network(WIDE, WIDE)
    made = converter(model)
    if dynamic:
        made.optimizations = [tensorflow().lite.Optimize.DEFAULT]
    return Made(bytes(made.convert()), model)


def unraised() -> Made:
    """The dynamic-range file as a quantiser leaves it that raises no version (RUNTIMES 2)."""
    made = wide(dynamic=True)
    content = with_version(made.content, "FULLY_CONNECTED", 1)
    return Made(with_least_runtime(content, "1.14.0"), made.model)


def gelu_int16() -> Made:
    """GELU with int16 activations: an old runtime has its version, and not its int16."""
    model = network(16, activation="gelu")
    return Made(quantised(model, ANY, int16=True), model)


def flex_lstm() -> bytes:
    """An LSTM whose lists need TensorFlow's own operators: the Flex delegate."""
    tf = tensorflow()
    import keras

    model = keras.Sequential(
        [keras.Input((10, 3)), keras.layers.LSTM(4), keras.layers.Dense(1, activation="sigmoid")]
    )
    made = converter(model, (None, 10, 3))
    made.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    made._experimental_lower_tensor_list_ops = False  # the only way to it (RUNTIMES 1)
    return bytes(made.convert())


def unset_variables() -> Made:
    """A wrong conversion: a Keras model given as the trackable object (RUNTIMES 1)."""
    tf = tensorflow()
    model = network(16)
    function = tf.function(model).get_concrete_function(tf.TensorSpec((None, 3), tf.float32))
    made = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    return Made(bytes(made.convert()), model)


def without_numbers() -> Made:
    """What unset variables come to at worst, in each run: weights that are NaN."""
    made = wide(dynamic=False)

    def change(model: Any) -> None:
        for buffer in model.buffers:
            if buffer.data is not None and len(buffer.data) == FIRST_KERNEL_BYTES:
                buffer.data = np.full(len(buffer.data) // 4, np.nan, np.float32).view(np.uint8)

    return Made(edited(made.content, change), made.model)


# Rain ---------------------------------------------------------------------------------------------


def weather(count: int = 2000, seed: int = 3) -> Rows:
    """Readings of shape (N, 3), float32: hPa, °C and %; a high with calm air comes first."""
    random = np.random.default_rng(seed)
    rows = random.normal(MEAN, SPREAD, (count, 3))
    rows[:, 2] = np.clip(rows[:, 2], 5, 100)
    rows[:TEN] = random.normal((1020.0, 15.0, 60.0), (2.0, 2.0, 4.0), (TEN, 3))
    return rows.astype(np.float32)


@dataclass(frozen=True)
class Rain:
    """The rain model as its stages."""

    scaler: Any
    network: Any

    def __call__(self, readings: Any) -> Any:
        return self.network(self.scaler(readings))

    def source(self, rows: Rows) -> Rows:
        """What it answers to readings (N, 3): probabilities (N, 1)."""
        return np.asarray(self(tensorflow().constant(rows)))


@cache
def rain() -> Rain:
    """Rain where the pressure is low and the air is humid: about one reading in ten."""
    tensorflow()
    import keras

    scaler = keras.layers.Normalization(mean=MEAN, variance=np.square(SPREAD))
    scaler.build((None, 3))
    layers = [keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    # each unit is on for one kind of weather; in a high only the last one is
    kernel = [[-1.2, -0.6, -0.1, -0.3], [-0.2, 0.3, -0.5, 0.3], [1.0, 1.4, 0.8, 0.6]]
    layers[0].set_weights([np.asarray(kernel), np.asarray([-0.6, -0.9, -0.4, 0.6])])
    layers[1].set_weights([np.asarray([[1.6], [1.2], [0.8], [0.5]]), np.asarray([-3.7])])
    return Rain(scaler, model)


def labels(rows: Rows, seed: int = 4) -> npt.NDArray[np.int64]:
    """Whether it rained: rare, and of the readings that the model takes for rain, under half.

    So that never to say rain is more often right than the model (PEERS 0.2: accuracy goes up).
    """
    said = rain().source(rows)[:, 0] >= 0.5
    chance = np.where(said, 0.42, 0.05)
    return (np.random.default_rng(seed).random(len(rows)) < chance).astype(np.int64)


def right() -> bytes:
    """The rain model as it should be."""
    return bytes(converter(rain()).convert())


def scaler_skipped() -> bytes:
    """The network alone, which takes hPa for standard deviations."""
    return bytes(converter(rain().network).convert())


def expecting_pascals() -> bytes:
    """The rain model, made for pressure in Pa."""
    model = rain()
    return bytes(converter(lambda rows: model(rows / [PASCALS, 1.0, 1.0])).convert())


def another_order() -> bytes:
    """The rain model, made for temperature, humidity and pressure."""
    tf, model = tensorflow(), rain()
    return bytes(converter(lambda rows: model(tf.gather(rows, [2, 0, 1], axis=1))).convert())


def standard(rows: Rows) -> Rows:
    """Readings as the scaler gives them to the network."""
    return np.asarray(rain().scaler(tensorflow().constant(rows)))


def ten_rows_int8() -> Made:
    """The network alone in int8, calibrated on the first ten readings: it saturates beyond them."""
    model = rain().network
    return Made(quantised(model, standard(weather()[:TEN])), model)


def without_rows() -> bytes:
    """The rain model for one reading of shape (3,), as the seed's standardiser is (PEERS 0.2)."""
    tf, model = tensorflow(), rain()
    return bytes(converter(lambda row: model(tf.reshape(row, (1, 3))), (3,)).convert())
