"""SavedModels of old TensorFlow versions whose objects no longer load.

A SavedModel holds its computation twice: as Python objects and as a plain graph beside a
checkpoint. The objects of a Keras model that was saved with its optimiser by TensorFlow 2.1 fail
today (``'_UserObject' object has no attribute 'add_slot'``); the graph does not. Where
``tf_keras`` is installed, TensorFlow imports it for the optimiser and the objects do load: then
nothing is salvaged, and the model's sha256 is another one, because the graph holds variables
where a salvaged one holds constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.frozen import freeze
from ggml_magic.model.scan import Scanned, Signature
from ggml_magic.model.training import quiet, tensorflow

# Random rows on which the salvaged function must answer as the saved graph does, and their spread.
PROOF_ROWS = 256
SPREAD = 10.0
# Relative to answers above 1: both run the same float32 operations, optimised differently.
PARITY_BOUND = 1e-5


@dataclass(frozen=True)
class Salvaged:
    """What was saved from a graph: a function of the signature's inputs, in their order.

    ``note`` says what was done and how well the function answers as the saved graph does.
    """

    function: Callable[..., Any]
    order: tuple[str, ...]
    note: str

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """The one output, for inputs by name."""
        return self.function(*(inputs[name] for name in self.order))


def salvage(folder: Path, scanned: Scanned, signature: Signature, reason: str) -> Salvaged:
    """Take a signature out of a SavedModel's graph and checkpoint, its weights as constants.

    ``reason`` is why its objects do not load. Raises ``UnsupportedStageError`` where the graph
    cannot be restored either, or where what was taken answers otherwise than the saved graph.
    """
    given = _random_inputs(signature)
    try:
        with quiet():
            frozen, saved_answers = _restored(folder, scanned, signature, given)
            function = _function(frozen, signature)
            tf = tensorflow()
            answers = function(*(tf.constant(given[v.name]) for v in signature.inputs)).numpy()
    except Exception as error:  # TensorFlow's many kinds become one sentence
        raise UnsupportedStageError(
            f"the SavedModel {folder.name} does not load",
            f"{reason}; and its graph cannot be restored: {first_line(error)}",
            f"export it again where it was trained (it was TensorFlow {scanned.tensorflow})",
        ) from error
    difference = _difference(answers, saved_answers)
    if not difference <= PARITY_BOUND:  # so that NaN fails too
        raise UnsupportedStageError(
            f"what was salvaged from {folder.name} does not answer as the saved graph does",
            f"on {PROOF_ROWS} random rows it differs by up to {difference:.3g}",
            f"export it again where it was trained (it was TensorFlow {scanned.tensorflow})",
        )
    note = (
        f"{folder.name} was salvaged: its objects, saved by TensorFlow {scanned.tensorflow}, no "
        f"longer load ({reason}), so its graph was taken with the weights of its checkpoint. On "
        f"{PROOF_ROWS} random rows it answers as the saved signature {signature.name!r} does "
        f"(largest difference {difference:.2g})."
    )
    return Salvaged(function, tuple(value.name for value in signature.inputs), note)


def first_line(error: Exception) -> str:
    """The first line that an error says, or its kind."""
    return (
        next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        or type(error).__name__
    )


def _random_inputs(signature: Signature) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        value.name: (
            random.normal(size=[size or PROOF_ROWS for size in value.shape or (PROOF_ROWS,)])
            * SPREAD
        ).astype(value.dtype)
        for value in signature.inputs
    }


def _restored(
    folder: Path, scanned: Scanned, signature: Signature, given: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The graph with its weights as constants, and what the saved graph answers to ``given``."""
    v1 = tensorflow().compat.v1
    output = signature.outputs[0].tensor
    graph = tensorflow().Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        v1.saved_model.load(session, list(scanned.tags), str(folder))
        answers = session.run(output, {v.tensor: given[v.name] for v in signature.inputs})
        frozen = v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), [output.partition(":")[0]]
        )
    return frozen, answers


def _function(frozen: Any, signature: Signature) -> Any:
    tf = tensorflow()
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(frozen, name=""), ()
    )
    element = wrapped.graph.as_graph_element
    feeds = [element(value.tensor) for value in signature.inputs]
    return freeze(wrapped.prune(feeds, element(signature.outputs[0].tensor)))


def _difference(one: Any, other: Any) -> float:
    if one.shape != other.shape:
        return float("nan")
    return float((np.abs(one - other) / np.maximum(1.0, np.abs(other))).max(initial=0.0))
