"""Which part of a float ``.tflite`` is the scaler: all arithmetic before the first weights.

Runs in the child, with the flatbuffer schema that TensorFlow brings.
"""

from __future__ import annotations

from collections.abc import Iterator

from ggml_magic.model import flatfile

# Operators that hold weights, or a graph of their own that does (a recurrent layer's loop).
WEIGHTED = frozenset(
    (
        "FULLY_CONNECTED",
        "CONV_2D",
        "CONV_3D",
        "DEPTHWISE_CONV_2D",
        "TRANSPOSE_CONV",
        "BATCH_MATMUL",
        "EMBEDDING_LOOKUP",
        "GATHER",
        "LSTM",
        "RNN",
        "SVDF",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN",
        "WHILE",
        "IF",
    )
)
# What moves values and changes none: no scaler is made of these alone.
MOVES = frozenset(("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE"))


def scaler(content: bytes) -> tuple[str, ...]:
    """Names of the tensors that a float file computes before its first operator with weights.

    None where nothing but moves stands there, or where there are no weights at all.
    """
    before: list[str] = []
    arithmetic = False
    for operator, outputs in _operators(content):
        if operator in WEIGHTED:
            return tuple(before) if arithmetic else ()
        arithmetic = arithmetic or operator not in MOVES
        before += [name for name, _ in outputs]
    return ()


def stayed(content: bytes, full: bytes, names: tuple[str, ...]) -> bool:
    """Whether each of the named tensors is there, of the type that it has in the float file.

    Not all are float32 there: a scaler may ask ``x > 0``, which is a bool.
    """
    kinds, before = _kinds(content), _kinds(full)
    return all(name in kinds and kinds[name] == before[name] for name in names)


def _kinds(content: bytes) -> dict[str, int]:
    return {name: kind for _, outputs in _operators(content) for name, kind in outputs}


def _operators(content: bytes) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Operators of the main graph in their order, with name and type of each output."""
    schema = flatfile.schema()
    builtins = flatfile.names(schema.BuiltinOperator)
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    for at in range(graph.OperatorsLength()):
        operator = graph.Operators(at)
        code = model.OperatorCodes(operator.OpcodeIndex())
        number = flatfile.builtin(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        tensors = [graph.Tensors(operator.Outputs(i)) for i in range(operator.OutputsLength())]
        yield builtins[number], [(tensor.Name().decode(), tensor.Type()) for tensor in tensors]
