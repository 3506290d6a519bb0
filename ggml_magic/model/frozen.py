"""A saved graph with its weights as constants and its functions inlined, to be called as a stage.

What comes out of a graph of an old version, or of one that was saved for a single row, cannot be
called inside another graph as it is. Inlined, its operations are laid into the calling graph one
by one, and their shapes follow from what they are given.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.training import quiet, tensorflow

# TensorFlow has no public name for it, though its own converter begins with it.
INLINING = "tensorflow.python.framework.convert_to_constants"


def freeze(concrete: Any) -> Callable[..., Any]:
    """A concrete function of one output as a function of tensors in the order of its inputs.

    Its weights are constants, it calls no other function, and its output's shape follows from
    what it is given. Raises ``UnsupportedStageError`` where a loop or a branch calls functions.
    """
    tf = tensorflow()
    with quiet():
        inline = importlib.import_module(INLINING).convert_variables_to_constants_v2
        # loops that are lowered into frames of the old kind cannot be laid into a function
        frozen = inline(concrete, lower_control_flow=False)
    definition = frozen.graph.as_graph_def()
    if definition.library.function:
        raise UnsupportedStageError(
            "a saved graph cannot be taken apart",
            "a loop or a branch in it calls functions",
            "export the model again with the present TensorFlow",
        )
    names = [tensor.name for tensor in frozen.inputs]
    (result,) = [tensor.name for tensor in frozen.outputs]

    def laid(*tensors: Any) -> Any:
        given = dict(zip(names, tensors, strict=True))
        (answer,) = tf.graph_util.import_graph_def(
            definition, input_map=given, return_elements=[result], name="saved"
        )
        return answer

    function: Callable[..., Any] = tf.function(laid, autograph=False, reduce_retracing=True)
    return function
