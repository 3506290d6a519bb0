"""A ready .tflite as it is given: read with TensorFlow's own schema, never run here."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model import flatfile

FLOAT32 = "FLOAT32"
CONSTANTS: Mapping[str, Any] = {FLOAT32: np.float32, "INT32": np.int32, "INT64": np.int64}
LARGEST_BYTES = 2 << 30  # what a flatbuffer can hold
MATRIX = 2
# What reading offsets that lead nowhere raises.
DAMAGED = (
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file: ``None`` in its shape is a size that may vary.

    ``data`` holds its values where they are constant and of a kind in ``CONSTANTS``.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    data: npt.NDArray[Any] | None


@dataclass(frozen=True)
class Operator:
    """One step: the operator's name, the places of its tensors (-1: left out), its options."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True)
class Graph:
    """What the file computes, from the tensor at ``input`` to that at ``output``."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: int
    output: int


@dataclass(frozen=True)
class ReadyFile:
    """A ready .tflite as the only stage: the file itself is the source.

    ``width`` and ``outputs`` are F and K of its input (N, F) and output (N, K).
    """

    path: Path
    name: str
    width: int
    outputs: int
    notes: tuple[str, ...] = ()
    graph: Graph | None = field(default=None, compare=False, repr=False)


def open_ready(path: Path) -> ReadyFile:
    """Read a .tflite with one float32 input (N, F) or (1, F) and one such output.

    Raises ``UnsupportedStageError`` for a damaged file and for other inputs and outputs.
    """
    if path.stat().st_size >= LARGEST_BYTES:
        raise _unreadable(path, f"it has more than {LARGEST_BYTES:,} bytes")
    content = path.read_bytes()
    if not flatfile.is_marked(content):
        mark = flatfile.MARK.decode()
        raise _unreadable(path, f"it does not begin as one does, with {mark}")
    schema = flatfile.schema()
    try:
        read = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        inputs, outputs = list(read.subgraphs[0].inputs), list(read.subgraphs[0].outputs)
        tensors = _tensors(schema, read)
        operators = _operators(schema, read)
        ends = [tensors[i] for i in inputs], [tensors[i] for i in outputs]
        _check_places(operators, [*inputs, *outputs], len(tensors))
    except DAMAGED as error:
        raise _unreadable(path, "it is damaged: what is written in it leads nowhere") from error
    width = _width(path, "input", ends[0])
    answers = _width(path, "output", ends[1])
    graph = Graph(tensors, operators, int(inputs[0]), int(outputs[0]))
    return ReadyFile(path, path.stem, width, answers, (), graph)


def _unreadable(path: Path, why: str) -> UnsupportedStageError:
    return UnsupportedStageError(
        f"{path.name} is no .tflite that can be read", why, "copy it again from where it was made"
    )


def _tensors(schema: Any, read: Any) -> tuple[Tensor, ...]:
    names = flatfile.names(schema.TensorType)
    return tuple(
        Tensor(
            bytes(tensor.name or b"").decode("utf-8", "replace"),
            names[tensor.type],
            _shape(tensor),
            _data(names[tensor.type], tensor, read.buffers[tensor.buffer].data),
        )
        for tensor in read.subgraphs[0].tensors
    )


def _shape(tensor: Any) -> tuple[int | None, ...]:
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return tuple(None if size < 0 else int(size) for size in _listed(signature))


def _listed(vector: Any) -> list[int]:
    return [] if vector is None else [int(value) for value in vector]


def _data(dtype: str, tensor: Any, content: Any) -> npt.NDArray[Any] | None:
    if content is None or not len(content) or dtype not in CONSTANTS:
        return None
    values: npt.NDArray[Any] = np.frombuffer(bytes(bytearray(content)), dtype=CONSTANTS[dtype])
    return values.reshape(tuple(_listed(tensor.shape)))


def _operators(schema: Any, read: Any) -> tuple[Operator, ...]:
    names = flatfile.names(schema.BuiltinOperator)
    found = []
    for operator in read.subgraphs[0].operators or ():
        code = read.operatorCodes[operator.opcodeIndex]
        name = names[flatfile.builtin(code.builtinCode, code.deprecatedBuiltinCode)]
        if name == flatfile.CUSTOM:
            name = f"{name} {bytes(code.customCode or b'').decode('utf-8', 'replace')}"
        inputs, outputs = tuple(_listed(operator.inputs)), tuple(_listed(operator.outputs))
        found.append(Operator(name, inputs, outputs, operator.builtinOptions))
    return tuple(found)


def _check_places(operators: tuple[Operator, ...], ends: list[int], count: int) -> None:
    places = [*ends, *(place for o in operators for place in (*o.inputs, *o.outputs))]
    if not all(-1 <= place < count for place in places) or min(ends, default=0) < 0:
        raise IndexError


def _width(path: Path, end: str, tensors: list[Tensor]) -> int:
    listed = ", ".join(_told(tensor) for tensor in tensors) or "none"
    if len(tensors) != 1:
        raise UnsupportedStageError(
            f"{path.name} has {len(tensors)} {end}s",
            f"a model here has one: {listed}",
            "make a file with that one alone",
        )
    (tensor,) = tensors
    if tensor.dtype != FLOAT32:
        raise UnsupportedStageError(
            f"{path.name} has the {end} {listed}",
            "rows are float32, whatever is quantised inside",
            f"convert it again and leave inference_{end}_type at tf.float32",
        )
    if len(tensor.shape) != MATRIX or tensor.shape[0] not in (None, 1) or not tensor.shape[1]:
        one = " It was made for one row without its N" if len(tensor.shape) == 1 else ""
        raise UnsupportedStageError(
            f"{path.name} has the {end} {listed}",
            f"rows have the shape (N, F), answers (N, K).{one}",
            "make it again from the SavedModel or Keras model, or give that one",
        )
    return tensor.shape[1]


def _told(tensor: Tensor) -> str:
    sizes = ", ".join("N" if size is None else str(size) for size in tensor.shape)
    comma = "," if len(tensor.shape) == 1 else ""
    return f"{tensor.name} ({sizes}{comma}) of {tensor.dtype.lower()}"
