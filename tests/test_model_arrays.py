"""Functions of numpy as graphs: equal to what numpy gives, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ggml_magic.model.arrays import NotTraceableError, traced
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real

ROWS = np.random.default_rng(0).normal([100, 12, 65], [8, 9, 20], (50, 3)).astype(np.float32)
ROWS[3] = 0
MEAN, SPREAD = np.asarray([100.0, 12, 65]), np.asarray([8.0, 9, 20])

Function = Callable[[Any], Any]


def assigned(x: Any) -> Any:
    y = x.copy()
    y[:, 0] = np.log1p(np.abs(y[:, 0]))
    y[:, 1:] = y[:, 1:] * 2
    y[:, [0]] = 1.5 + y[:, [0]]
    return y


def in_place(x: Any) -> Any:
    x -= MEAN
    x /= SPREAD
    return x


def centred(x: Any) -> Any:
    return x - x.mean(axis=1, keepdims=True)


SAME: dict[str, Function] = {
    "log1p": lambda x: np.log1p(np.abs(x)),
    "standardised": lambda x: (x - MEAN) / SPREAD,
    "constant first": lambda x: (MEAN - x) * 2 / SPREAD,
    "clip": lambda x: np.clip(x, 0, [1, 2, 3]),
    "clip method": lambda x: x.clip(0, 5),
    "clip one side": lambda x: np.clip(x, None, 5),
    "clip by name": lambda x: np.clip(x, a_min=0, a_max=5) + np.clip(x, min=1, max=3),
    "where": lambda x: np.where(x > 12, x, 0),
    "where of ints": lambda x: np.where(x[:, :1] > 12, 1, 0),
    "where and or": lambda x: np.where((x > 12) & ~(x > 60) | (x < 1), 1.0, x),
    "concatenate": lambda x: np.concatenate([x[:, :1], np.log1p(np.abs(x[:, 1:]))], axis=1),
    "stack": lambda x: np.stack([x[:, 0], x[:, 1] * x[:, 2]], axis=1),
    "column_stack": lambda x: np.column_stack([x[:, 0], x[:, 1:] / MEAN[0]]),
    "hstack": lambda x: np.hstack([x, np.ones_like(x[:, :1])]),
    "columns by list": lambda x: x[:, [2, -3]],
    "columns by mask": lambda x: x[:, np.asarray([True, False, True])],
    "new axis": lambda x: x[:, 0, None] + x[:, 1][:, np.newaxis],
    "assigned": assigned,
    "in place": in_place,
    "mean of the row": centred,
    "sum method": lambda x: x.sum(axis=1)[:, None],
    "matmul": lambda x: x @ np.eye(3)[:, :2],
    "dot": lambda x: np.dot(x, np.ones((3, 1))),
    "einsum": lambda x: np.einsum("ij,jk->ik", x, np.ones((3, 2))),
    "astype": lambda x: x.astype(np.float64) / 3,
    "truth as number": lambda x: (x > 12).astype(int) * 2.5,
    "cycle": lambda x: np.stack([np.sin(x[:, 0] / 24), np.cos(x[:, 0] / 24)], axis=-1),
    "powers": lambda x: np.square(x) + np.sqrt(np.abs(x)) + x**2,
    "hypot": lambda x: np.hypot(x[:, :1], x[:, 1:2]),
    "mod": lambda x: np.mod(x, 10),
    "round": lambda x: np.round(x) + np.rint(x) + np.floor(x),
    "nan_to_num": lambda x: np.nan_to_num(x),
    "select": lambda x: np.select([x < 10, x < 100], [x, x * 2], 0),
    "norm": lambda x: x / (1 + np.linalg.norm(x, axis=1, keepdims=True)),
    "reshape": lambda x: x.reshape(-1, 3, 1).sum(axis=2),
    "transposed": lambda x: (x.T * 2).T,
    "maximum": lambda x: np.maximum(x, 0) + np.fmin(3, x),
    "ndim and shape": lambda x: x * np.ndim(x) * x.shape[1],
    "loop over columns": lambda x: sum(x[:, i : i + 1] * (i + 1) for i in range(x.shape[1])),
}


@pytest.mark.parametrize("name", SAME)
def test_the_graph_gives_what_numpy_gives(name: str) -> None:
    tf, function = tensorflow(), SAME[name]
    specification = tf.TensorSpec((None, 3), tf.float32)
    graph = tf.function(
        lambda x: traced(function, x), input_signature=[specification], autograph=False
    ).get_concrete_function()
    expected = np.asarray(function(ROWS.copy()), dtype=np.float32)
    answer = graph(tf.constant(ROWS)).numpy()
    np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=1e-4)
    assert len({answer[i].tobytes() for i in range(50)}) > 1
    kinds = {t.dtype for o in graph.graph.get_operations() for t in o.outputs}
    assert tf.float64 not in kinds  # no kernel of the device has it


def looped(x: Any) -> Any:
    return np.asarray([row * 2 for row in x])


def branched(x: Any) -> Any:
    return x if x.mean() > 3 else -x


def written_by_row(x: Any) -> Any:
    x[0] = 1
    return x


def into_an_array(x: Any) -> Any:
    return np.add(x, 1, out=np.zeros((50, 3), dtype=np.float32))


REFUSED: dict[str, tuple[Function, str]] = {
    "a plain array": (lambda x: np.asarray(x) * 2, "turned into a plain array"),
    "a loop over rows": (looped, "a loop over the rows"),
    "a branch": (branched, "np.where chooses"),
    "len": (lambda x: x * np.ones((len(x), 3)), r"len\(\)"),
    "float": (lambda x: x * float(x[0, 0]), r"float\(\)"),
    "int": (lambda x: x * int(x[0, 0]), r"int\(\)"),
    "median": (lambda x: np.median(x, axis=1), "np.median has no operation"),
    "interp": (lambda x: np.interp(x, [0, 1], [0, 1]), "np.interp has no operation"),
    "where=": (lambda x: np.multiply(x, 2, where=x > 0), "with where"),
    "reduce": (lambda x: np.add.reduce(x, axis=1), "np.add"),
    "rows by value": (lambda x: x[x[:, 0] > 3], "rows chosen"),
    "a row written": (written_by_row, "writing to other places"),
    "where alone": (lambda x: np.where(x > 3), "both branches"),
    "out=": (into_an_array, "writes into an array"),
    "decimals": (lambda x: np.round(x, 2), "to decimals"),
    "two lists": (lambda x: x[[0, 1], [0, 1]], "two lists"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_operation_is_refused_by_name(name: str) -> None:
    tf = tensorflow()
    function, match = REFUSED[name]
    with pytest.raises(NotTraceableError, match=match), tf.Graph().as_default():
        traced(function, tf.compat.v1.placeholder(tf.float32, (None, 3)))


def test_it_has_no_values_to_give_away() -> None:
    tf = tensorflow()
    for leak in (lambda x: x.numpy(), lambda x: x.tolist(), lambda x: x.item()):
        with pytest.raises((AttributeError, NotTraceableError)):
            traced(leak, tf.constant(ROWS))
