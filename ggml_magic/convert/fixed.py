"""A SavedModel again, for one row at a time.

The converter refuses the loops of recurrent layers where the batch is open: the lists in them
need elements of a fixed shape (RUNTIMES 1). Here that shape is fixed, in the graph itself, since
the layers that made it are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ggml_magic.model.graph import INPUT, OUTPUT, SIGNATURE
from ggml_magic.model.training import tensorflow

# What the converter says, and only then is another batch of use.
REFUSAL = "element_shape to be static"
# List operators, and which of their inputs is the shape of an element.
ELEMENT_SHAPES = {
    "TensorListReserve": 0,
    "EmptyTensorList": 0,
    "TensorListFromTensor": 1,
    "TensorListStack": 1,
    "TensorListGetItem": 2,
}
# A function of the same name would be the loaded model's own, unchanged.
RENAMED = "_one_row"
OPEN = -1
# They belong to training, and name functions that are not taken along.
GRADIENTS = ("forward_function_name", "backward_function_name")


def one_row(saved_model: str, folder: Path) -> str:
    """Write the model with the input shape (1, F) into ``folder``; returns its path."""
    tf = tensorflow()
    loaded = tf.saved_model.load(saved_model)
    serve = loaded.signatures[SIGNATURE]
    definition = _with_fixed_lists(serve.graph.as_graph_def())
    (_, given) = serve.structured_input_signature
    shape = [1, *given[INPUT].shape[1:]]

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec(shape, tf.float32, name=INPUT)], autograph=False
    )
    def predict(features: Any) -> Any:
        capture = tf.compat.v1.get_default_graph().capture
        values = [features, *map(capture, serve.captured_inputs)]
        named = {inside.name: value for inside, value in zip(serve.inputs, values, strict=True)}
        (outputs,) = tf.graph_util.import_graph_def(
            definition, input_map=named, return_elements=[serve.outputs[0].name], name=""
        )
        return {OUTPUT: tf.ensure_shape(outputs, [1, serve.outputs[0].shape[-1]])}

    module = tf.Module()
    module.loaded, module.predict = loaded, predict  # its variables must be found in the new one
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: predict})
    return str(folder)


def _with_fixed_lists(definition: Any) -> Any:
    functions = definition.library.function
    names = {function.signature.name for function in functions}
    for nodes in (definition.node, *(function.node_def for function in functions)):
        _fix(nodes)
        _rename(nodes, names)
    for function in functions:
        function.signature.name += RENAMED
        for name in GRADIENTS:
            function.attr.pop(name, None)
    return definition


def _fix(nodes: Iterable[Any]) -> None:
    tf = tensorflow()
    by_name = {node.name: node for node in nodes}
    for node in by_name.values():
        node.attr.pop("_output_shapes", None)  # they say the open batch
        place = ELEMENT_SHAPES.get(node.op)
        shape = None if place is None else by_name.get(node.input[place].split(":")[0])
        if shape is None or shape.op != "Const":
            continue
        sizes = tf.make_ndarray(shape.attr["value"].tensor)
        if sizes.ndim and len(sizes) > 1 and sizes[0] == OPEN:
            sizes = sizes.copy()
            sizes[0] = 1
            shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(sizes))


def _rename(nodes: Iterable[Any], names: set[str]) -> None:
    for node in nodes:
        if node.op in names:
            node.op += RENAMED
        for value in node.attr.values():
            kind = value.WhichOneof("value")
            called = [value.func] if kind == "func" else list(value.list.func)
            for function in called if kind in ("func", "list") else ():
                if function.name in names:
                    function.name += RENAMED
