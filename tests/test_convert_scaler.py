"""The scaler of a float file is what stands before the first weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.convert.scaler import scaler, stayed
from ggml_magic.convert.variants import FLOAT32, content
from ggml_magic.model.graph import export, fuse
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real
Stage = Callable[[Any], Any]
WEIGHTS = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)


def file(stage: Stage, folder: Path) -> bytes:
    export(fuse([stage], 3), folder / "saved")
    return content(str(folder / "saved"), FLOAT32, None, step=1)


def network(x: Any) -> Any:
    tf = tensorflow()
    return tf.tanh(x @ tf.constant(WEIGHTS))


@pytest.mark.parametrize(
    ("stage", "found"),
    [
        (lambda x: network((x - [1.0, 2.0, 3.0]) / [4.0, 5.0, 6.0]), True),
        (lambda x: network(tensorflow().math.log(tensorflow().abs(x) + 1.0)), True),
        (network, False),
        (
            lambda x: network(tensorflow().reshape(tensorflow().reshape(x, (-1, 3, 1)), (-1, 3))),
            False,
        ),
        (lambda x: x * [2.0, 3.0, 4.0], False),  # no weights: nothing to quantise behind it
        (lambda x: network(x) + 1.0, False),  # arithmetic behind the weights is no scaler
    ],
)
def test_arithmetic_before_the_weights(stage: Stage, found: bool, tmp_path: Path) -> None:
    made = file(stage, tmp_path)
    names = scaler(made)
    assert bool(names) is found and stayed(made, made, names)
    assert not stayed(made, made, (*names, "another"))
