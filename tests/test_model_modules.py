"""Modules that hold a function are stages by that function."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model import modules
from ggml_magic.model.graph import export, fuse, prove
from ggml_magic.model.saved import open_saved
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
    # its own name has a number that is another in each process
    assert not fuse([loaded.signatures["predict"]], 3).steps[0].name


@pytest.mark.parametrize("way", ["signature", "restored function", "in a function"])
def test_a_function_whose_model_was_not_kept(tf: Any, tmp_path: Path, way: str) -> None:
    module = make(tf)
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.predict})
    loaded = tf.saved_model.load(str(tmp_path))
    serving = loaded.signatures["serving_default"]
    stage = {
        "signature": serving,
        "restored function": loaded.predict,
        "in a function": lambda x: serving(x=x)["y"],
    }[way]
    fuse([stage], 3)
    del loaded
    gc.collect()
    with pytest.raises(UnsupportedStageError, match="has lost its variables") as caught:
        fuse([stage], 3)
    assert caught.value.remedy.startswith("module = tf.saved_model.load(FOLDER)")
    # each of the ways that the remedy names
    module = tf.saved_model.load(str(tmp_path))
    for kept in (module.signatures["serving_default"], module, open_saved(tmp_path, "")):
        assert len(fuse([kept], 3).variables) == 1


def test_the_remedy_for_several_signatures_is_one_that_works(tf: Any, tmp_path: Path) -> None:
    module = make(tf, also=True)
    both = {"predict": module.predict, "second": module.second}
    tf.saved_model.save(module, str(tmp_path), signatures=both)
    loaded = tf.saved_model.load(str(tmp_path))
    with pytest.raises(UnsupportedStageError, match="2 of kind signature") as caught:
        check([loaded])
    head, _, code = caught.value.remedy.partition(": stage = ")
    assert head.endswith("keep the module in a variable")
    stage = {"module.signatures['predict']": loaded.signatures["predict"]}[code]
    proven(stage, tmp_path / "one")


def test_a_module_may_call_anything_its_weights(tf: Any) -> None:
    module = make(tf)
    module.weights = module.factor
    assert [step.parameters for step in fuse([module], 3).steps] == [3]


@pytest.mark.parametrize("variables", [5, {"a": 1}, ["a"]])
def test_what_is_called_variables_and_is_none_is_not_counted(tf: Any, variables: Any) -> None:
    class Own:
        def __call__(self, x: Any) -> Any:
            return x * 2.0

    stage: Any = Own()
    stage.variables = variables
    assert [step.parameters for step in fuse([stage], 3).steps] == [None]


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
