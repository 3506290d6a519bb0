"""Keras 3 and tf-keras are stages alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model import networks
from ggml_magic.model.graph import export, fuse, prove
from ggml_magic.model.stages import check
from ggml_magic.model.training import quiet, tensorflow

pytestmark = pytest.mark.real

ROWS = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    tensorflow()
    with quiet():
        return __import__(request.param)


def stages_of(keras: Any) -> dict[str, Any]:
    layers = keras.layers

    class Own(keras.Model):  # type: ignore[misc]  # keras is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.dropout = layers.Dense(2), layers.Dropout(0.9)

        def call(self, x: Any, training: Any = None) -> Any:
            return self.dropout(self.dense(x), training=training)

    subclassed = Own()
    subclassed(ROWS)
    source = keras.Input((3,))
    adapted = layers.Normalization()
    adapted.adapt(ROWS)
    return {
        "sequential": keras.Sequential([keras.Input((3,)), layers.Dense(2)]),
        "functional": keras.Model(source, layers.Dense(2)(source)),
        "subclassed": subclassed,
        "adapted": adapted,
        "by hand": layers.Normalization(mean=[0.0, 1, 2], variance=[1.0, 2, 3]),
        "no weights": layers.Rescaling(0.5),
    }


def test_every_kind_is_taken_and_proven(keras: Any, tmp_path: Path) -> None:
    for name, stage in stages_of(keras).items():
        assert networks.package(stage) is keras
        check([stage])
        fused = fuse([stage], 3)
        export(fused, tmp_path / name)
        live, proof = prove([stage], tmp_path / name, ROWS)
        assert live.shape == (30, fused.outputs) and proof.rows == 30
        np.testing.assert_allclose(stage(ROWS, training=False), live, rtol=1e-5, atol=1e-6)


def test_what_was_never_trained_is_refused(keras: Any) -> None:
    layers = keras.layers
    for stage, match in (
        (layers.Normalization(), "has never been adapted"),
        (keras.Sequential([layers.Dense(1)]), "has never been trained"),
        (layers.Dense(1), "has never been trained"),
    ):
        with pytest.raises(UnsupportedStageError, match=match):
            check([stage])
        assert not stage.built


def test_another_width_is_refused(keras: Any) -> None:
    for name in ("sequential", "functional", "adapted", "by hand"):
        with pytest.raises(FeatureMismatchError, match="takes 3 features"):
            fuse([stages_of(keras)[name]], 1)


def test_both_kinds_in_one_chain(tmp_path: Path) -> None:
    import keras
    import tf_keras

    scaler = keras.layers.Normalization(mean=[0.0, 1, 2], variance=[1.0, 2, 3])
    network = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(1)])
    export(fuse([scaler, network], 3), tmp_path)
    live, _ = prove([scaler, network], tmp_path, ROWS)
    np.testing.assert_allclose(live, network(scaler(ROWS)), rtol=1e-5, atol=1e-6)


def test_other_objects_are_of_no_keras() -> None:
    assert networks.package(np.tanh) is None and networks.package("model") is None
