"""The stages of a prediction: which objects are accepted, and how each is called.

A stage takes one tensor of shape (N, F) and gives one of shape (N, K). Accepted are Keras 3
models and layers that have been trained or adapted, ``tf.Module`` objects and plain callables of
TensorFlow operations.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model.training import tensorflow
from ggml_magic.presentation import plural

ACCEPTED = "Keras 3 models and layers, tf.Module objects and functions of TensorFlow operations"
# RUNTIMES 3: from 4,096 rows on the speed is that of the machine; this stays far below 1 GB.
BATCH_ROWS = 65_536
LONGEST_REASON = 200
ANSI = re.compile(r"\x1b\[[0-9;]*m")
BOLD = re.compile(r"\x1b\[1m(.+?)\x1b\[0m", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A stage as it stands in the chain: its kind, name, width of input and output, parameters."""

    kind: str
    name: str
    inputs: int
    outputs: int
    parameters: int

    def __str__(self) -> str:
        named = f"{self.kind} {self.name!r}" if self.name else self.kind
        return f"{named} ({self.inputs} → {self.outputs}, {plural(self.parameters, 'parameter')})"


def check(stages: Sequence[object]) -> None:
    """Raise ``UnsupportedStageError`` for an object that is no stage, or was never trained."""
    if not stages:
        raise UnsupportedStageError(
            "no stage was given", f"a stage is one of: {ACCEPTED}", "%ggml model NAME STAGE…"
        )
    for stage in stages:
        if _is_keras(stage):
            _check_keras(stage)
        elif isinstance(stage, type) or not callable(stage):
            raise UnsupportedStageError(
                f"{_described(stage)} cannot be a stage", f"accepted are {ACCEPTED}", _hint(stage)
            )


def _described(stage: object) -> str:
    kind = stage.__name__ if isinstance(stage, type) else type(stage).__name__
    article = "an" if kind[0] in "AEIOUaeiou" else "a"
    return f"the class {kind}" if isinstance(stage, type) else f"{article} {kind}"


def _hint(stage: object) -> str:
    if hasattr(stage, "mean_") and hasattr(stage, "var_"):
        return "keras.layers.Normalization(mean=scaler.mean_, variance=scaler.var_)"
    return f"{stage.__name__}(…)" if isinstance(stage, type) else "%ggml model NAME STAGE…"


def _is_keras(stage: object) -> bool:
    # an object of Keras cannot exist before Keras was imported
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(stage, keras.layers.Layer)


def _check_keras(stage: Any) -> None:
    keras = sys.modules["keras"]
    if keras.backend.backend() != "tensorflow":
        raise UnsupportedStageError(
            f"{stage.name!r} runs on Keras' {keras.backend.backend()} backend",
            "the device's files are made by TensorFlow",
            "KERAS_BACKEND=tensorflow, set before keras is imported",
        )
    if not stage.built and _makes_weights(stage):
        verb = "adapted" if hasattr(stage, "adapt") else "trained"
        call = f"{stage.name}.adapt(X_train)" if verb == "adapted" else "model.fit(X_train, …)"
        raise UnsupportedStageError(
            f"{stage.name!r} has never been {verb}", "its weights do not exist yet", call
        )


def _makes_weights(stage: Any) -> bool:
    """Whether building would make weights; a layer without any (Rescaling) needs no training.

    Asked of a copy, since building the user's own would make it look trained.
    """
    if getattr(stage, "input_mean", None) is not None:
        return False
    try:
        copy = type(stage).from_config(stage.get_config())
        copy(sys.modules["keras"].KerasTensor((None, 1)))
    except Exception:  # noqa: BLE001  what cannot be copied and built is no plain layer: refused
        return True
    return bool(copy.weights)


def call(stage: Any, values: Any) -> Any:
    """One stage's answer to a tensor of shape (N, F), as in inference."""
    answer = stage(values, training=False) if _is_keras(stage) else stage(values)
    while isinstance(answer, (list, tuple, dict)) and len(answer) == 1:
        answer = next(iter(answer.values() if isinstance(answer, dict) else answer))
    return answer


def chain(stages: Sequence[Any], values: Any, steps: list[Step]) -> Any:
    """All stages after each other, on a symbolic tensor; what each is goes to ``steps``.

    Raises ``FeatureMismatchError`` where a stage takes another width than the one before gives,
    ``UnsupportedStageError`` where one cannot be traced.
    """
    for i, stage in enumerate(stages):
        width = int(values.shape[-1])
        _check_width(stage, width, first=i == 0)
        _build(stage, width)
        values = _traced(stage, values)
        steps.append(_step(stage, width, int(values.shape[-1])))
    return tensorflow().cast(values, "float32")


def _build(stage: Any, width: int) -> None:
    """Build a layer that was never called, outside of the graph that is being traced.

    Built inside, its constants would belong to that graph and the user's layer would be lost.
    """
    if _is_keras(stage) and not stage.built:
        with tensorflow().init_scope():
            stage.build((None, width))


def _traced(stage: Any, values: Any) -> Any:
    title = _title(stage)
    try:
        answer = call(stage, values)
    except Exception as error:  # whatever the user's own code raises becomes one sentence
        raise UnsupportedStageError(
            f"{title} cannot be taken into a graph",
            _reason(error),
            f"a stage takes one (N, {values.shape[-1]}) tensor and uses TensorFlow operations only",
        ) from error
    shape: Any = getattr(answer, "shape", None)
    if shape is None or isinstance(answer, (np.ndarray, np.generic)) or not _is_table(shape):
        found = "no tensor" if shape is None else f"the shape {_shape(shape)}"
        raise UnsupportedStageError(
            f"{title} gives {found}",
            "a stage gives one tensor of shape (N, K), a row for each row",
            "tf.reshape(y, (-1, K)) at its end",
        )
    return answer


def _is_table(shape: Any) -> bool:
    return shape.rank == 2 and shape[0] is None and shape[1] is not None


def _shape(shape: Any) -> str:
    if getattr(shape, "rank", 0) is None:
        return "unknown"
    inside = ", ".join("N" if size is None else str(size) for size in shape)
    return f"({inside})"


def _reason(error: Exception) -> str:
    text = str(error)
    bold = BOLD.search(text)
    lines = [line.strip() for line in ANSI.sub("", bold.group(1) if bold else text).splitlines()]
    said = next((line for line in lines if line and not line.startswith("Exception enc")), "")
    return f"{type(error).__name__}: {said}"[:LONGEST_REASON]


def _check_width(stage: Any, width: int, *, first: bool) -> None:
    expected = _input_width(stage)
    if expected in (None, width):
        return
    given = "the contract" if first else "the stage before it"
    noun = "feature" if first else "value"
    raise FeatureMismatchError(
        f"{_title(stage)} takes {plural(expected or 0, noun)}",
        f"{given} gives {width}",
        "--features with one name for each input of the network"
        if first
        else "give the stages in the order in which a row passes them",
    )


def _input_width(stage: Any) -> int | None:
    """How many values a Keras stage takes, where it knows.

    Without it a Normalization of 3 would broadcast over 1 feature and raise nothing.
    """
    if not _is_keras(stage):
        return None
    shape = getattr(stage, "input_shape", None)
    if isinstance(shape, tuple) and shape and not isinstance(shape[0], (tuple, list)):
        if len(shape) != 2:
            raise UnsupportedStageError(
                f"{_title(stage)} takes the shape {shape}",
                "a stage takes rows of shape (N, F)",
                "keras.Input((F,)), and a Reshape layer behind it",
            )
        return int(shape[1]) if shape[1] is not None else None
    for statistic in (getattr(stage, "mean", None), getattr(stage, "input_mean", None)):
        if statistic is not None and np.ndim(statistic):
            return int(np.shape(statistic)[-1])
    axes: dict[int, int] = getattr(getattr(stage, "input_spec", None), "axes", None) or {}
    return axes.get(-1)


def _title(stage: Any) -> str:
    name = _name(stage)
    return f"{type(stage).__name__} {name!r}" if name else type(stage).__name__


def _name(stage: Any) -> str:
    name = getattr(stage, "name", None) or getattr(stage, "__name__", "")
    return "" if name == "<lambda>" else str(name)


def _step(stage: Any, inputs: int, outputs: int) -> Step:
    weights: Any = getattr(stage, "weights", None) or getattr(stage, "variables", ())
    parameters = sum(int(np.prod(weight.shape)) for weight in weights)
    return Step(type(stage).__name__, _name(stage), inputs, outputs, parameters)


def answers(stages: Sequence[Any], rows: Rows) -> Rows:
    """What the notebook's own live stages answer to rows (N, F): outputs (N, K), float32.

    They are called one after the other as the notebook would, in batches of ``BATCH_ROWS``.
    """
    tf = tensorflow()
    batches = []
    for start in range(0, len(rows), BATCH_ROWS):
        values = tf.constant(rows[start : start + BATCH_ROWS])
        for stage in stages:
            values = call(stage, values)
        batches.append(np.asarray(values, dtype=np.float32))
    return np.concatenate(batches)
