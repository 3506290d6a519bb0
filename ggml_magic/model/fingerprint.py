"""What a traced graph computes, as a hash that no name enters.

Keras numbers its layers afresh (``dense_3``), SavedModel files differ at every export, and the
configuration of a subclassed model says nothing of its code. So the hash is taken over the graph
itself: each node is hashed with its operation, its attributes and the hashes of its inputs, and
each captured variable with its values. Equal hashes mean equal computations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ggml_magic.errors import UnsupportedStageError

# Attributes that say where and how a node runs or what it is called, not what it computes.
SILENT_ATTRIBUTES = frozenset(
    ("container", "shared_name", "debug_name", "config", "config_proto", "executor_type")
)


def fingerprint(concrete: Any) -> bytes:
    """The SHA-256 of a ``tf.ConcreteFunction`` with one input: operations, constants, variables.

    Raises ``UnsupportedStageError`` for a resource that is no variable, such as a lookup table,
    and for a tensor of another graph.
    """
    definition = concrete.graph.as_graph_def()
    captured = {
        inner.op.name: _captured(concrete, outer) for outer, inner in concrete.graph.captures
    }
    arguments = [tensor.op.name for tensor in concrete.inputs if tensor.op.name not in captured]
    leaves = captured | {name: b"argument %d" % i for i, name in enumerate(arguments)}
    functions = {f.signature.name: f for f in definition.library.function}
    hasher = _Hasher(functions)
    return hasher.graph(definition.node, leaves, [tensor.name for tensor in concrete.outputs])


def _captured(concrete: Any, outer: Any) -> bytes:
    for variable in concrete.variables:
        if variable.handle is outer:
            return _values(variable.numpy())
    if outer.dtype.name in ("resource", "variant"):
        raise UnsupportedStageError(
            "a stage holds a resource that is no variable",
            "lookup tables and the like have no place on the device",
            "turn text and categories into numbers before the first stage",
        )
    if not hasattr(outer, "numpy"):
        raise UnsupportedStageError(
            "a stage holds a tensor that another traced function made",
            f"{outer.name} has no value outside of that function",
            "make constants and variables before the stage is called",
        )
    return _values(outer.numpy())


def _values(array: Any) -> bytes:
    content = array.tobytes() if array.dtype.kind != "O" else repr(array.tolist()).encode()
    return _hash(str(array.dtype).encode(), repr(array.shape).encode(), content)


def _hash(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


class _Hasher:
    """Hashes graphs and, through their calls and loops, the functions that they name."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions
        self._known: dict[str, bytes] = {}

    def graph(self, nodes: Any, leaves: Mapping[str, bytes], outputs: list[str]) -> bytes:
        by_name = {node.name: node for node in nodes}
        known = dict(leaves)
        for output in outputs:
            self._visit(_source(output), by_name, known)
        return _hash(*(_edge(output, known) for output in outputs))

    def _visit(self, name: str, nodes: Mapping[str, Any], known: dict[str, bytes]) -> None:
        """Hash a node after all that it depends on; no recursion, since graphs are deep."""
        waiting = [name]
        while waiting:
            top = waiting[-1]
            if top in known:
                waiting.pop()
                continue
            node = nodes[top]
            missing = [_source(i) for i in node.input if _source(i) not in known]
            if missing:
                waiting.extend(missing)
                continue
            known[top] = self._node(node, known)
            waiting.pop()

    def _node(self, node: Any, known: Mapping[str, bytes]) -> bytes:
        data = [_edge(i, known) for i in node.input if not i.startswith("^")]
        control = sorted(known[_source(i)] for i in node.input if i.startswith("^"))
        attributes = [
            part
            for name in sorted(node.attr)
            if name not in SILENT_ATTRIBUTES and not name.startswith("_")
            for part in (name.encode(), self._attribute(node.attr[name]))
        ]
        return _hash(node.op.encode(), *data, b"after", *control, b"with", *attributes)

    def _attribute(self, value: Any) -> bytes:
        if value.HasField("func"):
            return self._function(value.func.name)
        if value.HasField("list") and value.list.func:
            return _hash(*(self._function(function.name) for function in value.list.func))
        encoded: bytes = value.SerializeToString(deterministic=True)
        return encoded

    def _function(self, name: str) -> bytes:
        if name not in self._known:
            function = self._functions[name]
            arguments = [argument.name for argument in function.signature.input_arg]
            leaves = {argument: b"argument %d" % i for i, argument in enumerate(arguments)}
            outputs = [function.ret[argument.name] for argument in function.signature.output_arg]
            self._known[name] = self.graph(function.node_def, leaves, outputs)
        return self._known[name]


def _source(edge: str) -> str:
    """``dense/MatMul`` of the edges ``dense/MatMul:0``, ``dense/MatMul:product:0``, ``^…``."""
    return edge.removeprefix("^").partition(":")[0]


def _edge(edge: str, known: Mapping[str, bytes]) -> bytes:
    """A node's hash and which of its outputs; ``x`` and ``x:0`` are the same edge."""
    name, _, port = edge.partition(":")
    return known[name] + (b"" if port in ("", "0") else port.encode())
