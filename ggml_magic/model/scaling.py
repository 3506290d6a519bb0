"""The scaler at the head of a model, found by its numbers.

A suspect of a failed proof is that the device leaves a scaler out, or applies it twice. To try
that, one must know what it does: for each feature a factor and a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.model import networks
from ggml_magic.model.stages import answers

# Rows on which a scaler is looked for; each column is also shuffled, for itself.
ROWS = 512
FEWEST_ROWS = 3
SHUFFLE_SEED = 0
# A float32 sum of two terms is right to one step of its largest term; each scaler takes a few.
ROUNDINGS = 16 * float(np.finfo(np.float32).eps)
LAYERS = ("Normalization", "Rescaling")


@dataclass(frozen=True)
class Scaling:
    """A scaler as one factor and one constant for each feature: rows * scale + offset."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def forward(self, rows: Rows) -> Rows:
        """Rows (N, F) as the network behind the scaler sees them."""
        scaled: Rows = (rows * np.asarray(self.scale) + np.asarray(self.offset)).astype(np.float32)
        return scaled

    def inverse(self, rows: Rows) -> Rows:
        """Scaled rows (N, F) as they were before."""
        before: Rows = ((rows - np.asarray(self.offset)) / np.asarray(self.scale)).astype(
            np.float32
        )
        return before


def found(stages: Sequence[Any], rows: Rows) -> Scaling | None:
    """The scaling that the leading stages do to rows (N, F), where they do one.

    The longest run of first stages that keeps the width and is affine feature by feature on the
    rows: checked on them and on rows that mix them, not assumed of any class. A single Keras model
    is looked into for a Normalization or Rescaling layer at its head. None when there is no such
    thing, or when it changes nothing.
    """
    sample = _mixed(rows)
    best = None
    for count in range(1, len(stages)):
        scaling = _affine(lambda x, n=count: answers(stages[:n], x), sample)  # type: ignore[misc]  # mypy does not infer a default's type
        if scaling is None:
            break
        best = scaling
    head = None if best is not None or not stages else _head(stages[0])
    if head is not None:
        best = _affine(lambda x: answers([head], x), sample)
    return None if best is None or _is_identity(best) else best


def _head(stage: Any) -> Any:
    """The scaling layers at the head of a Keras model as a stage of its own; None without."""
    keras = networks.package(stage)
    layers = [layer for layer in getattr(stage, "layers", ()) if _kind(layer) != "InputLayer"]
    if keras is None or not layers or _kind(layers[0]) not in LAYERS:
        return None
    count = next((i for i, layer in enumerate(layers) if _kind(layer) not in LAYERS), len(layers))
    if count == len(layers):
        return None
    try:
        return keras.Model(stage.inputs, layers[count - 1].output)
    # a subclassed model has no symbolic inputs: which of its layers comes first is not known
    except Exception:  # noqa: BLE001
        return None


def _kind(layer: Any) -> str:
    return type(layer).__name__


def _mixed(rows: Rows) -> Rows:
    """Some of the rows, and as many with each column shuffled for itself.

    So two features that go together in training cannot pass for one another.
    """
    places = np.linspace(0, len(rows) - 1, min(len(rows), ROWS)).round().astype(np.int64)
    sample = np.asarray(rows[places], dtype=np.float32)
    random = np.random.default_rng(SHUFFLE_SEED)
    shuffled = np.stack([random.permutation(column) for column in sample.T], axis=1)
    return np.concatenate([sample, shuffled])


def _affine(stage: Callable[[Rows], Rows], sample: Rows) -> Scaling | None:
    scaled = stage(sample)
    if scaled.shape != sample.shape or not np.isfinite(scaled).all():
        return None
    lines = [_line(x, y) for x, y in zip(sample.T, scaled.T, strict=True)]
    if any(line is None for line in lines):
        return None
    scale, offset = zip(*(line for line in lines if line is not None), strict=True)
    return Scaling(scale, offset)


def _line(column: Rows, scaled: Rows) -> tuple[float, float] | None:
    """(scale, offset) where ``scaled`` is a line over ``column``, within float32's rounding."""
    x, y = column.astype(np.float64), scaled.astype(np.float64)
    if len(np.unique(column)) < FEWEST_ROWS:
        return None  # a line goes through any two points
    low, high = x.argmin(), x.argmax()
    scale = (y[high] - y[low]) / (x[high] - x[low])
    offset = y[low] - scale * x[low]
    allowed = ROUNDINGS * (np.abs(scale * x).max() + abs(offset) + np.abs(y).max())
    if scale == 0 or not (np.abs(x * scale + offset - y) <= allowed).all():
        return None
    return float(scale), float(offset)


def _is_identity(scaling: Scaling) -> bool:
    return np.allclose(scaling.scale, 1, rtol=ROUNDINGS) and np.allclose(
        scaling.offset, 0, atol=ROUNDINGS
    )
