"""A tensor that is made of another's values is told from one that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ggml_magic.model.reach import calls_python, leaves, reaches
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real


def of(function: Callable[[Any, Any], Any]) -> bool:
    tf = tensorflow()
    with tf.Graph().as_default():
        values = tf.compat.v1.placeholder(tf.float32, (None, 3))
        return reaches(function(tf, values), values)


@pytest.mark.parametrize(
    "function",
    [
        lambda tf, x: x,
        lambda tf, x: x * 2.0,
        lambda tf, x: tf.concat([tf.zeros_like(x), x], axis=1),
        lambda tf, x: tf.function(lambda y: y + 1.0)(x),
        lambda tf, x: tf.zeros_like(x) + tf.reduce_sum(x),
    ],
)
def test_values_enter(function: Callable[[Any, Any], Any]) -> None:
    assert of(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda tf, x: tf.constant([[1.0]]),
        lambda tf, x: tf.zeros((tf.shape(x)[0], 1)),
        lambda tf, x: tf.zeros_like(x) + 1.0,
        lambda tf, x: tf.fill([tf.size(x), 1], 2.0),
        lambda tf, x: tf.compat.v1.py_func(abs, [x], tf.float32) + x,
    ],
)
def test_values_do_not_enter_or_leave_the_graph(function: Callable[[Any, Any], Any]) -> None:
    assert not of(function)


def doubled(tf: Any, x: Any) -> Any:
    return tf.py_function(lambda y: y * 2, [x], tf.float32)


@pytest.mark.parametrize(
    ("function", "seen", "anywhere"),
    [
        (doubled, True, True),
        (lambda tf, x: tf.numpy_function(abs, [x], tf.float32) + x, True, True),
        (lambda tf, x: tf.function(lambda y: doubled(tf, y))(x), False, True),
        (lambda tf, x: tf.function(lambda y: y + 1.0)(x), False, False),
    ],
)
def test_python_in_a_graph_is_seen(
    function: Callable[[Any, Any], Any], seen: bool, anywhere: bool
) -> None:
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        answer = function(tf, tf.compat.v1.placeholder(tf.float32, (None, 3)))
        assert (leaves(answer), calls_python(graph)) == (seen, anywhere)
