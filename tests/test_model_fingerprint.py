"""The hash of a computation: blind to names, not to anything that is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.fingerprint import fingerprint
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def of(tf: Any, function: Callable[[Any], Any]) -> bytes:
    specification = tf.TensorSpec((None, 2), tf.float32)
    return fingerprint(tf.function(function).get_concrete_function(specification))


def test_names_do_not_enter(tf: Any) -> None:
    first, second = tf.Variable([1.0, 2.0], name="a"), tf.Variable([1.0, 2.0], name="b")

    def named(x: Any) -> Any:
        with tf.name_scope("elsewhere"):
            return tf.tanh(x, name="bent") * second

    assert of(tf, lambda x: tf.tanh(x) * first) == of(tf, named)


def test_the_order_of_making_does_not_enter(tf: Any) -> None:
    def left_first(x: Any) -> Any:
        left = tf.tanh(x)
        return left - tf.exp(x)

    def right_first(x: Any) -> Any:
        right = tf.exp(x)
        return tf.tanh(x) - right

    assert of(tf, left_first) == of(tf, right_first)


def test_every_number_enters(tf: Any) -> None:
    weights = tf.Variable(np.ones((2, 40), dtype=np.float32))
    large = tf.constant(np.ones((2, 40), dtype=np.float32))
    seen = {of(tf, lambda x: x @ weights @ tf.transpose(large) * 2.0)}
    weights[1, 39].assign(np.nextafter(np.float32(1), np.float32(2)))
    seen.add(of(tf, lambda x: x @ weights @ tf.transpose(large) * 2.0))
    seen.add(of(tf, lambda x: x @ weights @ tf.transpose(large) * 2.5))
    large = tf.constant(np.full((2, 40), 3, dtype=np.float32))
    seen.add(of(tf, lambda x: x @ weights @ tf.transpose(large) * 2.0))
    assert len(seen) == 4


def test_operations_attributes_and_the_order_of_inputs_enter(tf: Any) -> None:
    other = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    variants: list[Callable[[Any], Any]] = [
        lambda x: tf.matmul(x, other),
        lambda x: tf.matmul(x, other, transpose_b=True),
        lambda x: x - tf.matmul(x, other),
        lambda x: tf.matmul(x, other) - x,
        lambda x: tf.split(x, 2, axis=1)[0],
        lambda x: tf.split(x, 2, axis=1)[1],
    ]
    assert len({of(tf, variant) for variant in variants}) == len(variants)


def test_the_bodies_of_calls_and_loops_enter(tf: Any) -> None:
    def looped(step: float) -> Callable[[Any], Any]:
        @tf.function
        def inner(x: Any) -> Any:
            return x + step

        return lambda x: tf.while_loop(
            lambda i, _: i < 3, lambda i, y: (i + 1, inner(y)), (tf.constant(0), x)
        )[1]

    assert of(tf, looped(1.0)) == of(tf, looped(1.0))
    assert of(tf, looped(1.0)) != of(tf, looped(1.5))


def test_a_deep_graph_is_no_trouble(tf: Any) -> None:
    def deep(x: Any) -> Any:
        for _ in range(3000):
            x = x + 1.0
        return x

    assert len(of(tf, deep)) == 32


def test_a_table_is_refused(tf: Any) -> None:
    keys = tf.constant([1], dtype=tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, [2.0]), 0.0)
    with pytest.raises(UnsupportedStageError, match="resource that is no variable"):
        of(tf, lambda x: table.lookup(tf.cast(x, tf.int64)))
