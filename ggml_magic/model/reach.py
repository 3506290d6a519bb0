"""Whether a tensor is made of another's values.

A function that gives up its input for a constant traces without an error, and would answer the
same for ever.
"""

from __future__ import annotations

from typing import Any

# Operations that look at a tensor's shape and not at its values.
BLIND = frozenset(("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"))
# Operations that leave the graph for Python, which no device has.
OUTSIDE = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc"))


def leaves(answer: Any) -> bool:
    """Whether a tensor is made by code that the graph calls in Python."""
    seen: set[int] = set()
    waiting = [answer.op]
    while waiting:
        operation = waiting.pop()
        if id(operation) in seen:
            continue
        seen.add(id(operation))
        if operation.type in OUTSIDE:
            return True
        waiting.extend(tensor.op for tensor in operation.inputs)
    return False


def calls_python(graph: Any) -> bool:
    """Whether a graph calls Python anywhere, also inside the functions that it calls."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return any(node.op in OUTSIDE for node in nodes)


def reaches(answer: Any, values: Any) -> bool:
    """Whether the values of the tensor ``values`` enter ``answer``, both of one graph.

    False also where they pass through Python (``tf.py_function``). A call of another traced
    function counts as looking at all its inputs.
    """
    if answer is values:
        return True
    seen: set[int] = set()
    waiting = [answer.op]
    found = False
    while waiting:
        operation = waiting.pop()
        if id(operation) in seen:
            continue
        seen.add(id(operation))
        if operation.type in OUTSIDE:
            return False
        if operation.type in BLIND:
            continue
        for tensor in operation.inputs:
            found = found or tensor is values
            waiting.append(tensor.op)
    return found
