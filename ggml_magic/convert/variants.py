"""The kinds of file that a model can become, and the converter for each.

The names are used everywhere; the converters run in the child only, where TensorFlow is.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from ggml_magic.convert.scaler import scaler, stayed
from ggml_magic.device.contract import Rows
from ggml_magic.model.graph import SIGNATURE
from ggml_magic.model.training import tensorflow

FLOAT32, FLOAT16, DYNAMIC = "float32", "float16", "dynamic"
INT8, INT16X8, SPLIT = "int8", "int16x8", "int8-split"
READY = "ready"  # a file that was there before
# In this order they are made; float32 first, since it is the measure of the others.
MADE = (FLOAT32, FLOAT16, DYNAMIC, INT8, INT16X8, SPLIT)
# They need rows to measure the range of each activation on.
CALIBRATED = (INT8, INT16X8, SPLIT)
# So many rows at once: the same ranges but for rounding, in half the time on the rain network.
CALIBRATION_BATCH = 256


class NothingToSplitError(Exception):
    """The graph has no arithmetic before its first weights, or it cannot be kept in float."""


def content(saved_model: str, variant: str, rows: Rows | None, *, step: int) -> bytes:
    """The bytes of a ``.tflite`` file of a SavedModel, input and output float32.

    ``rows`` (N, F) are needed by those of ``CALIBRATED``, and are shown ``step`` at a time.
    Raises whatever the converter raises, and ``NothingToSplitError``.
    """
    if variant in CALIBRATED and rows is None:
        raise ValueError(f"{variant} needs rows to calibrate on")
    converter = _converter(saved_model)
    if variant == FLOAT32:
        return bytes(converter.convert())
    tf = tensorflow()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if variant in CALIBRATED and rows is not None:
        converter.representative_dataset = lambda: _batches(rows, step)
        converter.target_spec.supported_ops = [_operators(variant)]
    if variant == SPLIT and rows is not None:
        return _split(saved_model, converter, rows, step)
    return bytes(converter.convert())


def _converter(saved_model: str) -> Any:
    # from the SavedModel's own signature: never from a Keras object (RUNTIMES 1)
    lite = tensorflow().lite.TFLiteConverter
    return lite.from_saved_model(saved_model, signature_keys=[SIGNATURE])


def _operators(variant: str) -> Any:
    sets = tensorflow().lite.OpsSet
    if variant == INT16X8:
        return sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    return sets.TFLITE_BUILTINS_INT8


def _batches(rows: Rows, step: int) -> Iterator[list[Rows]]:
    for at in range(0, len(rows), step):
        yield [rows[at : at + step]]


def _split(saved_model: str, converter: Any, rows: Rows, step: int) -> bytes:
    """The network in int8, all that stands before its first weights in float.

    One scale for a raw row is as coarse as its widest feature: 4 hPa, and so 4 degrees
    (RUNTIMES 3, PEERS 0.2). TensorFlow's selective quantisation leaves named tensors alone.
    """
    full = bytes(_converter(saved_model).convert())
    names = scaler(full)
    if not names:
        raise NothingToSplitError("there is nothing to split: no scaler stands before the weights")
    debug = tensorflow().lite.experimental
    options = debug.QuantizationDebugOptions(denylisted_nodes=list(names))
    with contextlib.redirect_stdout(io.StringIO()):
        debugger = debug.QuantizationDebugger(
            converter=converter,
            debug_dataset=lambda: _batches(rows[:step], step),
            debug_options=options,
        )
        made = bytes(debugger.get_nondebug_quantized_model())
    if not stayed(made, full, names):
        raise NothingToSplitError("the converter did not leave the scaler as it is")
    return made
