"""Recurrent layers, which the converter takes for one row at a time only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained import SERIES, STEPS, VALUES

from ggml_magic.convert.fixed import REFUSAL, one_row
from ggml_magic.convert.variants import FLOAT32, content
from ggml_magic.model.graph import OUTPUT, SIGNATURE, export, fuse
from ggml_magic.model.training import tensorflow
from ggml_magic.runtimes import runtime as runtimes

pytestmark = pytest.mark.real


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
def test_one_row_at_a_time_answers_as_the_open_batch(kind: str, tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(1)
    layers: Any = keras.layers
    layer = layers.Bidirectional(layers.LSTM(8)) if kind == "Bidirectional" else None
    network = keras.Sequential(
        [
            keras.Input((STEPS * VALUES,)),
            layers.Reshape((STEPS, VALUES)),
            layer or getattr(layers, kind)(8),
            layers.Dense(2),
        ]
    )
    saved = str(tmp_path / "saved")
    export(fuse([network], STEPS * VALUES), Path(saved))
    with pytest.raises(Exception, match=REFUSAL):
        content(saved, FLOAT32, None, step=1)
    fixed = one_row(saved, tmp_path / "fixed")
    file = tmp_path / "model.tflite"
    file.write_bytes(content(fixed, FLOAT32, None, step=1))
    tf = tensorflow()
    loaded = tf.saved_model.load(saved)
    source = loaded.signatures[SIGNATURE](tf.constant(SERIES))[OUTPUT].numpy()
    run = runtimes.run(runtimes.get(), file, SERIES)
    np.testing.assert_allclose(run.outputs, source, atol=1e-6)
