"""Modules that hold a function are stages by that function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model import modules
from ggml_magic.model.graph import export, fuse, prove
from ggml_magic.model.stages import check
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real

ROWS = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def make(tf: Any, *, also: bool = False, traced: bool = True) -> Any:
    class Scale(tf.Module):  # type: ignore[misc]  # tensorflow is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.factor = tf.Variable([1.0, 2.0, 3.0])

        def predict(self, x: Any) -> Any:
            return {"y": x * self.factor}

        def second(self, x: Any) -> Any:
            return x

    specification = [tf.TensorSpec((None, 3), tf.float32, name="x")]
    module = Scale()
    if traced:
        module.predict = tf.function(module.predict, input_signature=specification)
    if also:
        module.second = tf.function(module.second, input_signature=specification)
    return module


def proven(stage: Any, folder: Path) -> None:
    check([stage])
    fused = fuse([stage], 3)
    export(fused, folder)
    live, _ = prove([stage], folder, ROWS)
    np.testing.assert_allclose(live, ROWS * [1, 2, 3], rtol=1e-6)
    assert len(fused.variables) == 1


def test_the_only_function_of_a_module(tf: Any, tmp_path: Path) -> None:
    module = make(tf)
    assert modules.holds_a_function(module) and not modules.holds_a_function(tf.tanh)
    proven(module, tmp_path / "one")


def test_what_was_saved_and_loaded_with_its_signature(tf: Any, tmp_path: Path) -> None:
    module = make(tf, also=True)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"predict": module.predict})
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    proven(loaded, tmp_path / "again")
    proven(loaded.signatures["predict"], tmp_path / "signature")


def test_a_module_of_none_or_of_several(tf: Any) -> None:
    with pytest.raises(UnsupportedStageError, match="cannot be called") as caught:
        check([make(tf, traced=False)])
    assert "@tf.function" in caught.value.remedy
    with pytest.raises(UnsupportedStageError, match=r"2 of kind tf\.function: predict, second"):
        check([make(tf, also=True)])


def test_a_signature_of_two_tensors(tf: Any, tmp_path: Path) -> None:
    module = make(tf)
    specification = tf.TensorSpec((None, 1), tf.float32)
    two = tf.function(lambda a, b: a + b).get_concrete_function(a=specification, b=specification)
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": two})
    with pytest.raises(UnsupportedStageError, match="takes 2 tensors: a, b"):
        check([tf.saved_model.load(str(tmp_path))])
