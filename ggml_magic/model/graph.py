"""All stages as one graph: traced, hashed, exported as a SavedModel and proven equal.

The graph holds the variables themselves and none of the Keras objects: a Keras 3 model as a
converter's trackable object gives garbage without an error (RUNTIMES 1).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.errors import GgmlError, UnsupportedStageError
from ggml_magic.model.fingerprint import fingerprint
from ggml_magic.model.reach import calls_python
from ggml_magic.model.rounding import moved
from ggml_magic.model.stages import LONGEST_REASON, Step, answers, chain, in_python
from ggml_magic.model.training import quiet, tensorflow
from ggml_magic.presentation import plural

SIGNATURE = "serving_default"
INPUT = "features"
OUTPUT = "outputs"
# Largest difference between graph and live chain, relative to outputs above 1. Both are float32
# sums in another order: 1.2e-7 to 1.8e-7 were measured (RUNTIMES 1 and 3).
PARITY_BOUND = 1e-5
# The same where one step of float32 in what a stage takes moves the live chain's answer as far: a
# large value is standardised. The edge's own tolerance for float32 files.
STEPPED_BOUND = 1e-4
# Each of the two ways may round by a step.
STEPS = 2
# Below it a difference is put down to rounding: float32's step at 1e6 over a spread of 100.
ROUNDING_BOUND = 1e-3
# Rows that are also asked one by one, as the device asks.
SINGLE_ROWS = 8


@dataclass(frozen=True)
class Fused:
    """A traced graph: the steps inside it, its hash, its number of outputs (K)."""

    steps: tuple[Step, ...]
    sha256: bytes
    outputs: int
    function: Any
    variables: tuple[Any, ...]


@dataclass(frozen=True)
class Proof:
    """How far the SavedModel's answers are from the live chain's, on how many rows."""

    rows: int
    max_abs_diff: float


def fuse(stages: Sequence[Any], features: int) -> Fused:
    """Trace the stages into one graph that takes (None, ``features``) float32.

    Raises ``FeatureMismatchError`` and ``UnsupportedStageError``.
    """
    tf = tensorflow()
    steps: list[Step] = []

    def predict(features: Any) -> Any:
        steps.clear()
        return {OUTPUT: chain(stages, features, steps)}

    specification = tf.TensorSpec((None, features), tf.float32, name=INPUT)
    function = tf.function(predict, input_signature=[specification], autograph=False)
    try:
        with quiet():
            concrete = function.get_concrete_function()
    except GgmlError:
        raise
    except ValueError as error:
        # raised after tracing, by tf.function itself
        raise UnsupportedStageError(
            "the stages cannot be traced into one graph",
            str(error).strip().splitlines()[0][:LONGEST_REASON],
            "make variables once, outside of the stage's call",
        ) from error
    if calls_python(concrete.graph):
        raise in_python("a stage")
    width = int(concrete.structured_outputs[OUTPUT].shape[-1])
    return Fused(tuple(steps), fingerprint(concrete), width, function, tuple(concrete.variables))


def export(fused: Fused, folder: Path) -> None:
    """Write the graph as a SavedModel with the signature ``serving_default``."""
    tf = tensorflow()
    module = tf.Module()
    module.predict = fused.function
    module.held = list(fused.variables)
    try:
        with quiet():
            tf.saved_model.save(module, str(folder), signatures={SIGNATURE: fused.function})
    except tf.errors.ResourceExhaustedError as error:
        # TensorFlow's name for a full disk; the workspace tells it in one sentence
        raise OSError(errno.ENOSPC, str(error)) from error
    except (ValueError, AssertionError) as error:
        raise UnsupportedStageError(
            "the stages cannot be saved",
            str(error).strip().splitlines()[0][:LONGEST_REASON],
            "make constants and variables before the stage is called",
        ) from error


def prove(
    stages: Sequence[Any], folder: Path, rows: Rows, names: Sequence[str] = ()
) -> tuple[Rows, Proof]:
    """Compare the SavedModel with the live chain, in a batch and row by row.

    Returns the live outputs (N, K); ``names`` are the features'. Raises ``UnsupportedStageError``
    when they differ by more than ``PARITY_BOUND`` (``STEPPED_BOUND`` as far as the rounding of
    float32 explains it), when an answer depends on the other rows, or is not finite.
    """
    tf = tensorflow()
    live = answers(stages, rows)
    check_finite(live)
    with quiet():
        loaded = tf.saved_model.load(str(folder))  # kept: its signature alone does not live
        serve = loaded.signatures[SIGNATURE]
        batch = serve(tf.constant(rows))[OUTPUT].numpy()
        singles = np.concatenate(
            [serve(tf.constant(row[np.newaxis]))[OUTPUT].numpy() for row in rows[:SINGLE_ROWS]]
        )
    asked = _Asked(stages, rows, live, tuple(names))
    asked.check(batch, "the SavedModel does not answer as the stages did", CALLED_TWICE)
    asked.check(singles, "one row alone is answered differently", OTHER_ROWS)
    return live, Proof(len(rows), float(np.abs(batch - live).max()))


def check_finite(outputs: Rows) -> None:
    """Raise ``UnsupportedStageError`` where a model's outputs (N, K) are no numbers."""
    if not np.isfinite(outputs).all():
        bad = int((~np.isfinite(outputs)).any(axis=1).sum())
        raise UnsupportedStageError(
            f"the stages answer NaN or infinity to {bad:,} of {plural(len(outputs), 'row')}",
            "such a model has nothing to prove",
            "train it again with a smaller learning rate, or scale its inputs",
        )


CALLED_TWICE = (
    "is something random or changing in a stage? Random layers act in inference too",
    "make each row's answer depend on that row alone, and the same every time",
)
OTHER_ROWS = (
    "a stage looks at the other rows of its batch, and a device has one row at a time",
    "make each row's answer depend on that row alone, and the same every time",
)
ROUNDED = (
    "so small a difference is the rounding of float32, which has seven digits and loses them "
    "where a feature is large against its spread",
    "subtract a constant from {feature} before training, or give it in another unit; of a function "
    "give each step as a stage of its own",
)


@dataclass(frozen=True)
class _Asked:
    """The live chain, and what it answered to the rows."""

    stages: Sequence[Any]
    rows: Rows
    live: Rows
    names: tuple[str, ...]

    def check(self, graph: Rows, what: str, because: tuple[str, str]) -> None:
        """Compare the graph's answers to the first rows (n, F) with the live ones."""
        live = self.live[: len(graph)]
        size = np.maximum(1.0, np.abs(live))
        difference = np.abs(graph - live) / size
        worst = float(difference.max())
        if worst <= PARITY_BOUND:
            return
        if not worst <= ROUNDING_BOUND:  # so that NaN fails too
            raise _otherwise(what, worst, PARITY_BOUND, because)
        far = (difference > PARITY_BOUND).any(axis=1)
        steps = moved(self.stages, self.rows[: len(graph)][far])
        if not steps.again <= PARITY_BOUND:
            raise _otherwise(what, worst, PARITY_BOUND, because)
        bound = np.clip(STEPS * steps.outputs / size[far], PARITY_BOUND, STEPPED_BOUND)
        beyond = difference[far] / bound
        if not (beyond <= 1).all():
            why, remedy = ROUNDED
            feature = self.names[steps.feature] if self.names else f"column {steps.feature}"
            place = int(beyond.argmax())
            apart, allowed = float(difference[far].flat[place]), float(bound.flat[place])
            raise _otherwise(what, apart, allowed, (why, remedy.format(feature=feature)))


def _otherwise(
    what: str, worst: float, bound: float, because: tuple[str, str]
) -> UnsupportedStageError:
    return UnsupportedStageError(f"{what} (by {worst:.3g}, more than {bound:.3g})", *because)
