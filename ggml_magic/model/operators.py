"""A ready .tflite among other stages: its operators as TensorFlow operations, proven equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model.ready import FLOAT32, Graph, Operator, ReadyFile, Tensor
from ggml_magic.model.training import tensorflow
from ggml_magic.presentation import plural
from ggml_magic.runtimes import runtime

# Random rows at each spread on which the translation must answer as the file does.
PROOF_ROWS = 64
SPREADS = (1.0, 100.0)
# Relative to answers above 1, for values around 1: other sums of the same float32 products.
PARITY_BOUND = 1e-5
# The kinds of constants that say how to reshape or reduce.
PLACES = ("INT32", "INT64")

Inputs = list[Any]
Translation = Callable[[Any, Inputs, Tensor], Any]


class _UnknownForm(Exception):  # noqa: N818  never leaves this module
    """An operator that is in the table, in a form that is not."""


class TranslatedFile:
    """A ready .tflite as a stage from (N, F) to (N, K), in TensorFlow operations."""

    def __init__(self, ready: ReadyFile, graph: Graph, notes: tuple[str, ...] = ()) -> None:
        self.name = ready.name
        self.width = ready.width
        self.variables: tuple[Any, ...] = ()
        self.notes = notes
        self._graph = graph

    def __call__(self, values: Any) -> Any:
        """The file's answer to a tensor (N, F); raises ``FeatureMismatchError``."""
        width = values.shape[-1]
        if width is not None and int(width) != self.width:
            raise FeatureMismatchError(
                f"{self.name}.tflite takes {plural(self.width, 'value')}",
                f"it is given {width}",
                "--features with one name for each input of the network",
            )
        graph = self._graph
        known: dict[int, Any] = {
            i: tensor.data for i, tensor in enumerate(graph.tensors) if tensor.data is not None
        }
        known[graph.input] = values
        for step in graph.operators:
            inputs = [None if place < 0 else known[place] for place in step.inputs]
            (place,) = step.outputs
            known[place] = TABLE[step.name](step.options, inputs, graph.tensors[place])
        return known[graph.output]


def translated(ready: ReadyFile) -> TranslatedFile:
    """The file's operators in TensorFlow, proven on random rows in the edge runtime itself.

    Raises ``UnsupportedStageError`` for an operator that is not in ``TABLE``, for what is no
    float32, and where the translation answers otherwise than the file.
    """
    graph = ready.graph
    if graph is None:
        raise ValueError("a ReadyFile to be translated comes from open_ready")
    for step in graph.operators:
        _check(ready, graph, step)
    stage = TranslatedFile(ready, graph)
    worst = _proven(ready, stage)
    note = (
        f"{ready.path.name} was translated into TensorFlow to stand beside other stages. On "
        f"{PROOF_ROWS * len(SPREADS)} random rows it answers as the file does in "
        f"{runtime.DEFAULT} (largest difference {worst:.2g})."
    )
    return TranslatedFile(ready, graph, (note,))


def _check(ready: ReadyFile, graph: Graph, step: Operator) -> None:
    if step.name not in TABLE or len(step.outputs) != 1:
        raise _not_taken(ready, step.name, "beside other stages only float operators are known")
    for place in (*step.inputs, *step.outputs):
        tensor = graph.tensors[place]
        if place < 0 or tensor.dtype == FLOAT32:
            continue
        if tensor.dtype not in PLACES or tensor.data is None:
            raise _not_taken(ready, step.name, f"it works on {tensor.dtype.lower()}, not float32")


def _not_taken(ready: ReadyFile, name: str, why: str) -> UnsupportedStageError:
    return UnsupportedStageError(
        f"{ready.path.name} cannot stand beside other stages: it holds {name}",
        why,
        "give it alone, or the model that it was made from",
    )


def _proven(ready: ReadyFile, stage: TranslatedFile) -> float:
    random = np.random.default_rng(0)
    shape = (PROOF_ROWS, ready.width)
    parts = [(random.normal(size=shape) * spread).astype(np.float32) for spread in SPREADS]
    rows = np.concatenate(parts)
    try:
        answers = np.asarray(stage(tensorflow().constant(rows)))
    except (_UnknownForm, KeyError) as error:
        form = str(error) if isinstance(error, _UnknownForm) else "a tensor that nothing makes"
        raise _not_taken(ready, form, "it is known only in its plain form") from error
    except (tensorflow().errors.OpError, ValueError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise _not_taken(ready, "a shape that is bound to one row", first) from error
    edge = runtime.run(runtime.get(), ready.path, rows).outputs
    bounds = PARITY_BOUND * np.repeat(SPREADS, PROOF_ROWS)[:, np.newaxis]
    same = answers.shape == edge.shape and bool(
        (
            (np.abs(answers - edge) <= bounds * np.maximum(1.0, np.abs(edge)))
            | (np.isnan(answers) & np.isnan(edge))
            | (answers == edge)
        ).all()
    )
    if not same:
        raise UnsupportedStageError(
            f"{ready.path.name}, translated into TensorFlow, answers otherwise than the file",
            f"on {len(rows)} random rows in {runtime.DEFAULT}",
            "give it alone, or the model that it was made from",
        )
    return float(np.nanmax(np.abs(answers - edge), initial=0.0))


def _activated(options: Any, value: Any) -> Any:
    """The activation that is fused into an operator (ActivationFunctionType of the schema)."""
    tf = tensorflow()
    activations: Mapping[int, Callable[[Any], Any]] = {
        0: lambda x: x,
        1: tf.nn.relu,
        2: lambda x: tf.clip_by_value(x, -1.0, 1.0),
        3: tf.nn.relu6,
        4: tf.math.tanh,
    }
    kind = getattr(options, "fusedActivationFunction", 0)
    if kind not in activations:
        raise _UnknownForm("a fused SIGN_BIT")
    return activations[kind](value)


def _pair(operation: Callable[[Any], Callable[..., Any]]) -> Translation:
    """An operator of two inputs, with its fused activation."""

    def apply(options: Any, inputs: Inputs, _output: Tensor) -> Any:
        return _activated(options, operation(tensorflow())(inputs[0], inputs[1]))

    return apply


def _single(operation: Callable[[Any], Callable[..., Any]]) -> Translation:
    """An operator of one input and no options."""
    return lambda _options, inputs, _output: operation(tensorflow())(inputs[0])


def _fully_connected(options: Any, inputs: Inputs, _output: Tensor) -> Any:
    tf = tensorflow()
    if getattr(options, "weightsFormat", 0):
        raise _UnknownForm("FULLY_CONNECTED with shuffled weights")
    values, weights = inputs[0], inputs[1]
    if not getattr(options, "keepNumDims", False):
        values = tf.reshape(values, (-1, weights.shape[-1]))
    answer = tf.linalg.matmul(values, weights, transpose_b=True)
    if len(inputs) > 2 and inputs[2] is not None:  # the bias
        answer = answer + inputs[2]
    return _activated(options, answer)


def _softmax(options: Any, inputs: Inputs, _output: Tensor) -> Any:
    return tensorflow().nn.softmax(inputs[0] * np.float32(getattr(options, "beta", 1.0)))


def _gelu(options: Any, inputs: Inputs, _output: Tensor) -> Any:
    approximate = bool(getattr(options, "approximate", False))
    return tensorflow().nn.gelu(inputs[0], approximate=approximate)


def _leaky_relu(options: Any, inputs: Inputs, _output: Tensor) -> Any:
    return tensorflow().nn.leaky_relu(inputs[0], alpha=float(getattr(options, "alpha", 0.0)))


def _prelu(_options: Any, inputs: Inputs, _output: Tensor) -> Any:
    tf = tensorflow()
    return tf.nn.relu(inputs[0]) + inputs[1] * tf.minimum(inputs[0], 0.0)


def _hard_swish(_options: Any, inputs: Inputs, _output: Tensor) -> Any:
    return inputs[0] * tensorflow().nn.relu6(inputs[0] + 3.0) / 6.0


def _reshape(_options: Any, inputs: Inputs, output: Tensor) -> Any:
    """Each row by itself: the file may have been made for one row, whose N is 1."""
    given = inputs[1] if len(inputs) > 1 else [-1 if s is None else s for s in output.shape]
    target = [int(size) for size in np.ravel(given)]
    inside = list(inputs[0].shape[1:])
    if not target or target[0] not in (1, -1) or None in inside or -1 in target[1:]:
        raise _UnknownForm(f"RESHAPE to {tuple(target)}")
    if math.prod(target[1:]) != math.prod(inside):
        raise _UnknownForm(f"RESHAPE to {tuple(target)}, which mixes rows")
    return tensorflow().reshape(inputs[0], (-1, *target[1:]))


def _concatenation(options: Any, inputs: Inputs, _output: Tensor) -> Any:
    if options.axis == 0 or options.axis == -len(inputs[0].shape):
        raise _UnknownForm("CONCATENATION of rows")
    return _activated(options, tensorflow().concat(inputs, options.axis))


def _reduced(operation: Callable[[Any], Callable[..., Any]]) -> Translation:
    def apply(options: Any, inputs: Inputs, _output: Tensor) -> Any:
        axes = [int(axis) for axis in np.ravel(inputs[1])]
        if 0 in axes or -len(inputs[0].shape) in axes:
            raise _UnknownForm("a reduction over rows")
        keep = bool(getattr(options, "keepDims", False))
        return operation(tensorflow())(inputs[0], axis=axes, keepdims=keep)

    return apply


TABLE: Mapping[str, Translation] = {
    "FULLY_CONNECTED": _fully_connected,
    "ADD": _pair(lambda tf: tf.math.add),
    "SUB": _pair(lambda tf: tf.math.subtract),
    "MUL": _pair(lambda tf: tf.math.multiply),
    "DIV": _pair(lambda tf: tf.math.divide),
    "MAXIMUM": _pair(lambda tf: tf.math.maximum),
    "MINIMUM": _pair(lambda tf: tf.math.minimum),
    "POW": _pair(lambda tf: tf.math.pow),
    "SQUARED_DIFFERENCE": _pair(lambda tf: tf.math.squared_difference),
    "RELU": _single(lambda tf: tf.nn.relu),
    "RELU6": _single(lambda tf: tf.nn.relu6),
    "RELU_N1_TO_1": _single(lambda tf: lambda x: tf.clip_by_value(x, -1.0, 1.0)),
    "LOGISTIC": _single(lambda tf: tf.math.sigmoid),
    "TANH": _single(lambda tf: tf.math.tanh),
    "ELU": _single(lambda tf: tf.nn.elu),
    "EXP": _single(lambda tf: tf.math.exp),
    "LOG": _single(lambda tf: tf.math.log),
    "SQRT": _single(lambda tf: tf.math.sqrt),
    "RSQRT": _single(lambda tf: tf.math.rsqrt),
    "SQUARE": _single(lambda tf: tf.math.square),
    "ABS": _single(lambda tf: tf.math.abs),
    "NEG": _single(lambda tf: tf.math.negative),
    "SIN": _single(lambda tf: tf.math.sin),
    "COS": _single(lambda tf: tf.math.cos),
    "FLOOR": _single(lambda tf: tf.math.floor),
    "CEIL": _single(lambda tf: tf.math.ceil),
    "LOG_SOFTMAX": _single(lambda tf: tf.nn.log_softmax),
    "SOFTMAX": _softmax,
    "GELU": _gelu,
    "LEAKY_RELU": _leaky_relu,
    "PRELU": _prelu,
    "HARD_SWISH": _hard_swish,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    "SUM": _reduced(lambda tf: tf.math.reduce_sum),
    "MEAN": _reduced(lambda tf: tf.math.reduce_mean),
    "REDUCE_MAX": _reduced(lambda tf: tf.math.reduce_max),
    "REDUCE_MIN": _reduced(lambda tf: tf.math.reduce_min),
}
