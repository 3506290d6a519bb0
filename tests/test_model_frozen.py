"""A saved graph with constants for weights, laid into the graph that calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.frozen import freeze

pytestmark = pytest.mark.real


def concrete(body: Any, *shape: int | None) -> Any:
    import tensorflow as tf

    function = tf.function(
        body, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False
    )
    return function.get_concrete_function()


def test_weights_become_constants_and_the_first_size_is_free() -> None:
    import tensorflow as tf

    mean = tf.Variable([1.0, 2.0])
    inner = tf.function(lambda x: x - mean, autograph=False)
    frozen = freeze(concrete(lambda x: inner(x) * 2.0, 2))
    mean.assign([9.0, 9.0])
    answer = frozen(tf.constant([[1.0, 2.0], [2.0, 4.0]]))
    assert np.array_equal(answer, [[0.0, 0.0], [2.0, 4.0]])
    outer = tf.function(frozen, input_signature=[tf.TensorSpec((None, 2), tf.float32)])
    traced = outer.get_concrete_function()
    assert traced.outputs[0].shape.as_list() == [None, 2]
    assert not traced.variables


def test_a_loop_that_calls_functions_is_refused() -> None:
    import tensorflow as tf

    body = concrete(lambda x: tf.map_fn(lambda row: row * 2.0, x), None, 2)
    with pytest.raises(UnsupportedStageError, match="a loop or a branch"):
        freeze(body)
