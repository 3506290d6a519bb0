"""What a ``.tflite`` file says of itself, read with the flatbuffer schema that TensorFlow brings.

Runs where TensorFlow is: in the conversion child. The file may come from anywhere, so no count in
it is believed before it is weighed against the file's own length.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ggml_magic.model import flatfile
from ggml_magic.model.flatfile import CUSTOM

NO_MARK = "it is no .tflite file: the mark TFL3 is not at its beginning"
DAMAGED = "the .tflite file is damaged or cut short"
FLEX = "Flex"
MIN_RUNTIME = "min_runtime_version"
# A large language model's file has some ten thousand tensors. A damaged one can name millions,
# all at the same place: so many entries are read (about 2 s), then it is refused.
MOST_ENTRIES = 500_000
ENTRY_BYTES = 4
TABLE_ENTRIES = 2  # its place, and what stands there
# texts and arrays are not taken apart, and cost less than entries
BULK_PER_ENTRY = 64
LONGEST_TEXT = 200
# All tensors are counted; so many of them are described.
KEPT_TENSORS = 500
# FULLY_CONNECTED with float inputs and int8 weights by channel needs this version. A quantiser
# that leaves version 1 makes older runtimes answer a constant (RUNTIMES 2).
BY_CHANNEL = {"FULLY_CONNECTED": 12}
QUANTISED = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
# What the schema's readers raise where a number in the file leads astray.
DAMAGE = (
    struct.error,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
)


def inspect(content: bytes) -> dict[str, Any]:
    """What the bytes of a ``.tflite`` file say: plain values, ready for JSON.

    ``static.StaticReport.from_dict`` takes them; its fields say what each is. Raises
    ``ValueError`` with a plain sentence where the bytes are no such file, or damaged.
    """
    if not flatfile.is_marked(content):
        raise ValueError(NO_MARK)
    schema = flatfile.schema()
    try:
        return _File(content, schema).report()
    except DAMAGE as error:
        raise ValueError(f"{DAMAGED}: a place in it leads nowhere") from error
    except ValueError as error:
        # ours, or numpy's own words for a vector that goes beyond the end
        raise ValueError(f"{DAMAGED}: {error}") from error


class _File:
    """One file while it is read; ``_left`` entries may still be."""

    def __init__(self, content: bytes, schema: Any) -> None:
        self._content = content
        self._left = min(len(content) // ENTRY_BYTES, MOST_ENTRIES)
        self._types = flatfile.names(schema.TensorType)
        self._builtins = flatfile.names(schema.BuiltinOperator)
        self._model = schema.Model.GetRootAs(content, 0)
        self._codes = [self._code(c) for c in self._all(self._model, "OperatorCodes")]
        self._buffers = list(self._all(self._model, "Buffers"))
        self._sizes = [self._buffer_size(buffer) for buffer in self._buffers]

    def report(self) -> dict[str, Any]:
        graphs = [_Graph(self, graph) for graph in self._all(self._model, "Subgraphs")]
        if not graphs:
            raise ValueError("it has no graph")
        graphs[0].name_ends()
        used = [entry for graph in graphs for entry in graph.operators]
        tensors = sorted((tensor for graph in graphs for tensor in graph.told()), key=_ends_first)
        weights = {size.pop("buffer"): size for graph in graphs for size in graph.weights()}
        total = sum(weight["bytes"] for weight in weights.values())
        quantised = sum(w["bytes"] for w in weights.values() if w["quantised"])
        quantised_input, behind = graphs[0].quantised_input()
        names = {name for name, _, _ in self._codes}
        return {
            "size": len(self._content),
            "sha256": hashlib.sha256(self._content).hexdigest(),
            "operators": self._operators([code for code, _, _ in used]),
            "flex": sorted(name for name in names if name.startswith(FLEX)),
            "min_runtime_version": self._metadata(MIN_RUNTIME),
            "tensors": tensors[:KEPT_TENSORS],
            "tensor_count": sum(len(graph.tensors) for graph in graphs),
            "weight_bytes": total,
            "quantised_share": quantised / total if total else 0.0,
            "input_range": _reach(quantised_input),
            "input_step": quantised_input and quantised_input["scale"],
            "range_behind": behind,
            "signatures": [
                self.text(s.SignatureKey()) for s in self._all(self._model, "SignatureDefs")
            ],
            "understated": _unique(entry for graph in graphs for entry in graph.understated()),
            "unset_variables": "READ_VARIABLE" in names and "ASSIGN_VARIABLE" not in names,
        }

    def spend(self, entries: int) -> None:
        """Count entries before they are read."""
        self._left -= entries
        if entries < 0 or self._left < 0:
            raise ValueError("it names more entries than it can hold")

    def text(self, value: bytes | None) -> str:
        found = value or b""
        self.spend(len(found) // BULK_PER_ENTRY)
        return found[:LONGEST_TEXT].decode("utf-8", "replace")

    def array(self, table: Any, field: str) -> Any:
        """A vector of numbers, where it stands in the file; empty where there is none."""
        length = getattr(table, f"{field}Length")()
        self.spend(length // BULK_PER_ENTRY)
        return getattr(table, f"{field}AsNumpy")() if length else np.empty(0, np.int64)

    def numbers(self, table: Any, field: str) -> list[int]:
        """A vector of integers as a list."""
        self.spend(getattr(table, f"{field}Length")())
        return [int(number) for number in self.array(table, field)]

    def code(self, index: int) -> tuple[str, int, bool]:
        if not 0 <= index < len(self._codes):
            raise ValueError("an operator is of a kind that the file does not name")
        return self._codes[index]

    def dtype(self, number: int) -> str:
        return self._types.get(number, f"type_{number}").lower()

    def buffer_bytes(self, index: int) -> int:
        return self._sizes[index] if 0 < index < len(self._sizes) else 0

    def all(self, table: Any, field: str) -> Iterator[Any]:
        return self._all(table, field)

    def _all(self, table: Any, field: str) -> Iterator[Any]:
        count = getattr(table, f"{field}Length")()
        self.spend(count * TABLE_ENTRIES)
        one = getattr(table, field)
        return (one(at) for at in range(count))

    def _code(self, code: Any) -> tuple[str, int, bool]:
        number = flatfile.builtin(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self._builtins.get(number, f"BUILTIN_{number}")
        if name == CUSTOM:
            return self.text(code.CustomCode()) or CUSTOM, int(code.Version()), True
        return name, int(code.Version()), False

    def _buffer_size(self, buffer: Any) -> int:
        if buffer.DataLength():
            return len(buffer.DataAsNumpy())  # a view; numpy refuses one beyond the end
        # weights of large files stand behind the flatbuffer
        size = int(buffer.Size())
        if size and buffer.Offset() + size > len(self._content):
            raise ValueError("a tensor's bytes go beyond its end")
        return size

    def _operators(self, used: list[tuple[str, int, bool]]) -> list[dict[str, Any]]:
        """Every operator that the file names; a runtime needs also those that nothing uses."""
        counts = dict.fromkeys(self._codes, 0)
        for code in used:
            counts[code] += 1
        return [
            {"name": name, "version": version, "count": count, "custom": custom}
            for (name, version, custom), count in sorted(counts.items())
        ]

    def _metadata(self, wanted: str) -> str:
        for entry in self._all(self._model, "Metadata"):
            if self.text(entry.Name()) == wanted and entry.Buffer() < len(self._buffers):
                data: bytes = self.array(self._buffers[entry.Buffer()], "Data").tobytes()
                return self.text(data.rstrip(b"\0"))
        return ""


class _Graph:
    """One subgraph: its operators as (code, inputs, outputs) and its tensors."""

    def __init__(self, file: _File, graph: Any) -> None:
        self._file = file
        self.inputs = file.numbers(graph, "Inputs")
        self.outputs = file.numbers(graph, "Outputs")
        self.operators = [
            (
                file.code(operator.OpcodeIndex()),
                file.numbers(operator, "Inputs"),
                file.numbers(operator, "Outputs"),
            )
            for operator in file.all(graph, "Operators")
        ]
        self.tensors = [self._tensor(tensor) for tensor in file.all(graph, "Tensors")]
        self._check()

    def _check(self) -> None:
        # -1 is an optional input that is not there
        named = [*self.inputs, *self.outputs]
        named += [at for _, inputs, outputs in self.operators for at in (*inputs, *outputs)]
        if any(not -1 <= at < len(self.tensors) for at in named):
            raise ValueError("an operator names a tensor that is not there")

    def name_ends(self) -> None:
        """Mark the tensors that the caller sees: those of the first graph, not of a loop's body."""
        for role, ends in (("output", self.outputs), ("input", self.inputs)):
            for at in ends:
                if at >= 0:
                    self.tensors[at]["role"] = role

    def _tensor(self, tensor: Any) -> dict[str, Any]:
        # the signature has -1 where any number of rows fits
        file = self._file
        shape = file.numbers(tensor, "ShapeSignature") or file.numbers(tensor, "Shape")
        kept = file.buffer_bytes(tensor.Buffer())
        return {
            "name": file.text(tensor.Name()),
            "role": "weight" if kept else "activation",
            "shape": shape,
            "dtype": file.dtype(tensor.Type()),
            **self._quantisation(tensor.Quantization()),
            "buffer": (tensor.Buffer(), kept),
        }

    def _quantisation(self, quantisation: Any) -> dict[str, Any]:
        none = {"scale": None, "zero_point": None, "scales": 0, "axis": None}
        if quantisation is None:
            return none
        scales = self._file.array(quantisation, "Scale")
        zeros = self._file.array(quantisation, "ZeroPoint")
        if not len(scales):
            return none
        if not np.isfinite(scales).all():
            raise ValueError("a quantisation scale is not a number")
        if len(scales) > 1:
            axis = int(quantisation.QuantizedDimension())
            return {**none, "scales": len(scales), "axis": axis}
        zero = int(zeros[0]) if len(zeros) else 0
        return {**none, "scale": float(scales[0]), "zero_point": zero, "scales": 1}

    def told(self) -> Iterator[dict[str, Any]]:
        """The inputs, the outputs, and every tensor that is quantised."""
        for tensor in self.tensors:
            if tensor["scales"] or tensor["role"] in ("input", "output"):
                yield {key: value for key, value in tensor.items() if key != "buffer"}

    def weights(self) -> Iterator[dict[str, Any]]:
        for tensor in self.tensors:
            buffer, kept = tensor["buffer"]
            if kept:
                yield {"buffer": buffer, "bytes": kept, "quantised": bool(tensor["scales"])}

    def quantised_input(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The first quantised tensor that the input feeds, or is.

        With the operators that stand between the two, where the input is scaled first.
        """
        fed = {at for at in self.inputs[:1] if at >= 0}
        behind: list[str] = []
        for at in fed:
            if _is_quantised(self.tensors[at]):
                return self.tensors[at], behind
        # a file's operators stand in the order in which they are run
        for (name, _, _), inputs, outputs in self.operators:
            if fed.isdisjoint(inputs):
                continue
            for at in outputs:
                if _is_quantised(self.tensors[at]):
                    return self.tensors[at], behind
                fed.add(at)
            behind.append(name)
        return None, []

    def understated(self) -> Iterator[dict[str, Any]]:
        """Operators whose version is lower than what their weights need."""
        for (name, version, _), inputs, _ in self.operators:
            needs = BY_CHANNEL.get(name, 0)
            taken = [self.tensors[at] for at in inputs if at >= 0]
            if version < needs and _is_by_channel(taken):
                yield {"name": name, "version": version, "needs": needs}


def _ends_first(tensor: Mapping[str, Any]) -> bool:
    return tensor["role"] not in ("input", "output")


def _is_quantised(tensor: Mapping[str, Any]) -> bool:
    return tensor["dtype"] in QUANTISED and tensor["scale"] is not None


def _is_by_channel(taken: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an operator takes floats, and int8 weights that are quantised by channel."""
    dtypes = [tensor["dtype"] for tensor in taken]
    return dtypes[:1] == ["float32"] and any(
        tensor["dtype"] == "int8" and tensor["scales"] > 1 for tensor in taken[1:]
    )


def _reach(tensor: Mapping[str, Any] | None) -> list[float] | None:
    """The smallest and the largest value that a quantised tensor can express."""
    if tensor is None:
        return None
    return [tensor["scale"] * (end - tensor["zero_point"]) for end in QUANTISED[tensor["dtype"]]]


def _unique(entries: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(items) for items in dict.fromkeys(tuple(entry.items()) for entry in entries)]
