"""A SavedModel read before TensorFlow runs any of it: what it asks for, and what it may not do.

A graph is a program: an operation can read or write any file, call Python or reach another
machine, and loading alone runs the initialisers and the restoring. So the protocol buffer is read
first, and a graph that reaches out of itself is refused.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.training import tensorflow

SAVED_MODEL_FILE = "saved_model.pb"
# TensorFlow would take these instead of the file that was read here.
OTHER_FILES = ("saved_model.cpb", "saved_model.pbtxt")
LARGEST_BYTES = 2 << 30  # a protocol buffer cannot be larger
SERVE = "serve"
SIGNATURE_PREFIX = "__saved_model"  # TensorFlow's own: initialisers and the like
# Operations that reach out of the graph: files, Python, other machines, mapped memory, the end of
# the process. Inference needs none of them, so whole families are named.
REACHING = re.compile(
    r"File|Reader|Dataset|Iterator|Summary|PyFunc|Rpc|RemoteCall|Debug|LMDB|BigQuery|Bigtable"
    r"|ImmutableConst|LoadAndRemap|VocabRemapping|Checkpoint|^_?(Host)?(Send|Recv)|^_Xla.*(Send|Recv)"
    r"|^Abort$|TRTEngine|Collective|^Dist|ConfigureDistributed|^PrintV2$|Session|DataService"
)
SAVING = frozenset(("Save", "SaveSlices", "SaveV2", "ShardedFilename", "ShardedFilespec"))
SAVING |= {"MergeV2Checkpoints"}
RESTORING = frozenset(("Restore", "RestoreSlice", "RestoreV2"))
OWN_INITIALISERS = ("main_op", "legacy_init_op", "saved_model_main_op")


@dataclass(frozen=True)
class Value:
    """An input or output of a signature: its name, its tensor in the graph, dtype and shape.

    ``None`` in the shape is a size that may vary; a shape of ``None`` is not known at all.
    """

    name: str
    tensor: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name} (any shape)"
        inside = ", ".join("N" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({inside}{',' if len(self.shape) == 1 else ''})"


@dataclass(frozen=True)
class Signature:
    """One way to call a SavedModel."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass(frozen=True)
class Scanned:
    """What a SavedModel says of itself: who wrote it, its graph's tags and its signatures."""

    tensorflow: str
    tags: tuple[str, ...]
    signatures: tuple[Signature, ...]


def scan(folder: Path) -> Scanned:
    """Read a SavedModel's graph without running anything of it.

    Raises ``UnsupportedStageError`` for a file that is none, and for an operation that reaches
    out of the graph.
    """
    graph = _serving(folder, _read(folder))
    found = _reaching(graph)
    if found:
        raise UnsupportedStageError(
            f"the SavedModel {folder.name} is not loaded: it holds the operation {found}",
            "it reaches out of the graph, to files, Python or other machines",
            "export the model again without it, and only load models whose origin you know",
        )
    return Scanned(
        graph.meta_info_def.tensorflow_version,
        tuple(graph.meta_info_def.tags),
        tuple(
            Signature(name, _values(told.inputs), _values(told.outputs))
            for name, told in sorted(graph.signature_def.items())
            if not name.startswith(SIGNATURE_PREFIX) and told.outputs
        ),
    )


def _read(folder: Path) -> Any:
    tensorflow()
    damaged = importlib.import_module("google.protobuf.message").DecodeError
    other = next((name for name in OTHER_FILES if (folder / name).exists()), None)
    if other is not None:
        raise _no_model(folder, f"{other} lies in it, and only {SAVED_MODEL_FILE} is read")
    path = folder / SAVED_MODEL_FILE
    if path.stat().st_size >= LARGEST_BYTES:
        raise _no_model(folder, f"{SAVED_MODEL_FILE} has more than {LARGEST_BYTES:,} bytes")
    read = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
    try:
        read.ParseFromString(path.read_bytes())
    except damaged:
        raise _no_model(folder, f"{SAVED_MODEL_FILE} is damaged or something else") from None
    return read


def _serving(folder: Path, read: Any) -> Any:
    graphs = list(read.meta_graphs)
    serving = [graph for graph in graphs if SERVE in graph.meta_info_def.tags] or graphs
    if len(serving) != 1:
        raise _no_model(
            folder,
            f"it holds {len(serving)} graphs with the tag {SERVE}" if serving else "it is empty",
        )
    return serving[0]


def _no_model(folder: Path, why: str) -> UnsupportedStageError:
    return UnsupportedStageError(
        f"{folder.name} is no SavedModel that can be loaded",
        why,
        f'model.export("{folder.name}"), or tf.saved_model.save(…), where it was trained',
    )


def _values(told: Any) -> tuple[Value, ...]:
    tf = tensorflow()
    values = []
    for name, value in sorted(told.items()):
        known = not value.tensor_shape.unknown_rank
        sizes = tuple(None if d.size < 0 else int(d.size) for d in value.tensor_shape.dim)
        dtype = tf.dtypes.as_dtype(value.dtype).name if value.dtype else "unknown"
        values.append(Value(name, value.name, dtype, sizes if known else None))
    return tuple(values)


def _reaching(graph: Any) -> str:
    """The first operation that may not be there, or an empty text.

    A saver's own operations may, but only where the saver alone leads: what the signatures and
    the initialisers run may neither save nor restore, and what restores may not save.
    """
    walk = _Walk(graph)
    everywhere = walk.all_operations()
    bad = {op for op in everywhere if op not in SAVING | RESTORING and REACHING.search(op)}
    bad |= walk.served() & (SAVING | RESTORING) | walk.restored() & SAVING
    return min(bad, default="")


class _Walk:
    """Follows a graph backwards from nodes, and into the functions that they name."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._nodes = {node.name: node for node in graph.graph_def.node}
        self._functions = {f.signature.name: f for f in graph.graph_def.library.function}

    def all_operations(self) -> set[str]:
        """The operations of the graph and of all its functions, reached or not."""
        graph = self._graph.graph_def
        found = {node.op for node in graph.node}
        found |= {node.op for function in graph.library.function for node in function.node_def}
        return found - self._functions.keys()

    def served(self) -> set[str]:
        """The operations that signatures, initialisers and the object graph run."""
        starts = [
            _node(value.name)
            for told in self._graph.signature_def.values()
            for value in told.outputs.values()
        ]
        for key in OWN_INITIALISERS:
            if key in self._graph.collection_def:
                starts += map(_node, self._graph.collection_def[key].node_list.value)
        return self._operations(starts, self._graph.object_graph_def.concrete_functions)

    def restored(self) -> set[str]:
        """The operations that loading runs to fill the variables."""
        return self._operations([_node(self._graph.saver_def.restore_op_name)], ())

    def _operations(self, starts: Iterable[str], functions: Iterable[str]) -> set[str]:
        """The operations that run when these nodes and functions do."""
        nodes, seen = list(starts), set()
        called, found = set(functions), set()
        while nodes:
            name = nodes.pop()
            if name in seen or name not in self._nodes:
                continue
            seen.add(name)
            node = self._nodes[name]
            found.add(node.op)
            called.update(_called(node))
            nodes += [_node(source) for source in node.input]
        waiting = list(called)
        while waiting:
            function = self._functions.get(waiting.pop())
            for node in () if function is None else function.node_def:
                found.add(node.op)
                fresh = set(_called(node)) - called
                called |= fresh
                waiting += fresh
        return found


def _called(node: Any) -> Iterator[str]:
    """The functions that a node names; its own operation can be one of them."""
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
