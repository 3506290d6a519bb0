"""Stages of Keras: what must be true of one, and how it is asked.

Keras 3 and the older tf-keras are two packages with one manner; a model of either is a stage.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.training import tensorflow

# A stage of a network that gives more than one row of numbers for each row.
FLATTENED = "keras.Sequential([network, keras.layers.Flatten()])"
PACKAGES = ("keras", "tf_keras")


def package(stage: object) -> ModuleType | None:
    """The Keras that a stage is of; None for any other object.

    Imports none: an object of Keras cannot exist before Keras was imported.
    """
    for name in PACKAGES:
        keras = sys.modules.get(name)
        layers = getattr(keras, "layers", None)
        if keras is not None and layers is not None and isinstance(stage, layers.Layer):
            return keras
    return None


def check(stage: Any) -> None:
    """Raise ``UnsupportedStageError`` for another backend, or for what was never trained."""
    keras = package(stage)
    if hasattr(keras, "KerasTensor") and keras.backend.backend() != "tensorflow":  # type: ignore[union-attr]  # a stage of Keras has its package
        raise UnsupportedStageError(
            f"{stage.name!r} runs on Keras' {keras.backend.backend()} backend",  # type: ignore[union-attr]  # as above
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
        copy(package(stage).Input((1,)))  # type: ignore[union-attr]  # a stage of Keras has its package
    except Exception:  # noqa: BLE001  what cannot be copied and built is no plain layer: refused
        return True
    return bool(copy.weights)


def behind_reshape(inside: tuple[int, ...], width: int) -> str:
    """The line that makes one stage of a network whose rows have the shape ``inside``."""
    return (
        f"keras.Sequential([keras.Input(({width},)), keras.layers.Reshape({inside}), network]) "
        "as one stage"
    )


def build(stage: Any, width: int) -> None:
    """Build a layer that was never called, outside of the graph that is being traced.

    Built inside, its constants would belong to that graph and the user's layer would be lost.
    """
    if not stage.built:
        with tensorflow().init_scope():
            stage.build((None, width))


def width(stage: Any, title: str) -> int | None:
    """How many values a stage takes, where it knows; raises ``UnsupportedStageError`` if no row.

    Without it a Normalization of 3 would broadcast over 1 feature and raise nothing.
    """
    shape = getattr(stage, "input_shape", None)
    if isinstance(shape, tuple) and shape and not isinstance(shape[0], (tuple, list)):
        if len(shape) != 2:
            inside = tuple(size or 1 for size in shape[1:])
            raise UnsupportedStageError(
                f"{title} takes the shape {shape}",
                "a stage takes rows of shape (N, F)",
                behind_reshape(inside, int(np.prod(inside))),
            )
        return int(shape[1]) if shape[1] is not None else None
    for statistic in (getattr(stage, "mean", None), getattr(stage, "input_mean", None)):
        if statistic is not None and np.ndim(statistic):
            return int(np.shape(statistic)[-1])
    axes: dict[int, int] = getattr(getattr(stage, "input_spec", None), "axes", None) or {}
    return axes.get(-1)
