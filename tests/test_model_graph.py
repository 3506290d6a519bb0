"""The one graph is what the stages are, or is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.graph import (
    OUTPUT,
    PARITY_BOUND,
    SIGNATURE,
    STEPPED_BOUND,
    Proof,
    export,
    fuse,
    prove,
)
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real

ROWS = np.random.default_rng(0).normal(1000, 300, size=(200, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def proven(stages: list[Any], folder: Path) -> tuple[Any, Proof]:
    export(fuse(stages, 3), folder)
    return prove(stages, folder, ROWS)


def test_the_saved_model_answers_as_the_stages_do(tf: Any, tmp_path: Path) -> None:
    weights = tf.Variable(np.random.default_rng(1).normal(size=(3, 2)), dtype=tf.float32)
    held_by_nobody = tf.Variable([1000.0, 1000.0, 1000.0])
    live, proof = proven([lambda x: x - held_by_nobody, lambda x: tf.tanh(x @ weights)], tmp_path)
    assert live.shape == (200, 2)
    assert proof == Proof(200, pytest.approx(0, abs=PARITY_BOUND))
    loaded = tf.saved_model.load(str(tmp_path))
    signature = loaded.signatures[SIGNATURE]
    (taken,) = signature.structured_input_signature[1].values()
    assert taken.shape.as_list() == [None, 3] and taken.dtype == tf.float32
    np.testing.assert_allclose(signature(tf.constant(ROWS))[OUTPUT].numpy(), live, rtol=1e-5)


def test_nothing_is_told_to_the_notebook(
    tf: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    proven([tf.tanh], tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_random_stage_is_refused(tf: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedStageError, match="does not answer as the stages did"):
        proven([lambda x: x + tf.random.normal((1, 3))], tmp_path)


def test_a_stage_that_changes_with_each_call_is_refused(tf: Any, tmp_path: Path) -> None:
    calls = []

    def counting(x: Any) -> Any:
        calls.append(1)
        return x * float(len(calls))

    with pytest.raises(UnsupportedStageError, match="does not answer as the stages did"):
        proven([counting], tmp_path)


def test_a_stage_that_looks_at_other_rows_is_refused(tf: Any, tmp_path: Path) -> None:
    def standardised_by_its_batch(x: Any) -> Any:
        return x - tf.reduce_mean(x, axis=0)

    with pytest.raises(UnsupportedStageError, match="one row alone is answered differently"):
        proven([standardised_by_its_batch], tmp_path)


def test_a_model_that_answers_nan_is_refused(tf: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedStageError, match="NaN or infinity to 200 of 200 rows"):
        proven([lambda x: tf.math.log(-tf.abs(x) - 1.0)], tmp_path)


def test_a_layer_that_was_never_called_stays_usable(tf: Any, tmp_path: Path) -> None:
    import keras

    scaler = keras.layers.Normalization(mean=[1000.0, 1000, 1000], variance=[4.0, 4, 4])
    live, _ = proven([scaler], tmp_path)
    np.testing.assert_allclose(live, (ROWS - 1000) / 2, rtol=1e-5)
    np.testing.assert_allclose(scaler(ROWS), live)


def test_a_tensor_of_another_graph_is_refused(tf: Any, tmp_path: Path) -> None:
    kept: list[Any] = []

    @tf.function  # type: ignore[untyped-decorator]  # tensorflow is untyped here
    def keeping(x: Any) -> Any:
        kept.append(tf.reduce_sum(x))
        return x

    keeping(tf.constant(ROWS))
    with pytest.raises(UnsupportedStageError, match="a tensor that another traced function made"):
        proven([lambda x: x + kept[0]], tmp_path)


def test_the_rounding_of_float32_is_called_that(tf: Any, tmp_path: Path) -> None:
    times = np.random.default_rng(0).normal(1.6e9, 2e5, size=(200, 3)).astype(np.float32)
    # numpy subtracts in float64; float32's steps at 1.6e9 are 128 apart
    middle = np.full(3, 1.6e9 + 40)

    def standardised(x: Any) -> Any:
        return (x - middle) / 2e5

    export(fuse([standardised], 3), tmp_path)
    with pytest.raises(UnsupportedStageError, match="the rounding of float32") as caught:
        prove([standardised], tmp_path, times, ("made", "read", "sent"))
    assert re.search("subtract a constant from (made|read|sent) before", caught.value.remedy)


def test_steps_of_float32_between_the_stages_are_no_other_answer(tf: Any, tmp_path: Path) -> None:
    from sklearn.preprocessing import StandardScaler

    pressure = np.random.default_rng(0).normal([1013, 12], [8, 2], size=(2000, 2))
    rows = pressure.astype(np.float32)
    scaler = StandardScaler().fit(np.log1p(rows))
    export(fuse([np.log1p, scaler], 2), tmp_path / "two")
    _, proof = prove([np.log1p, scaler], tmp_path / "two", rows, ("pressure", "wind"))
    assert PARITY_BOUND < proof.max_abs_diff < STEPPED_BOUND

    def off(x: Any) -> Any:  # as far apart, and not by rounding: what float32 cannot explain
        return x + (6e-5 if isinstance(x, np.ndarray) else 0.0)

    export(fuse([np.tanh, off], 2), tmp_path / "off")
    with pytest.raises(UnsupportedStageError, match=r"\(by 6\.\d*e-05, more than 1e-05\)"):
        prove([np.tanh, off], tmp_path / "off", rows / 1000, ("pressure", "wind"))


def test_small_noise_is_no_rounding(tf: Any, tmp_path: Path) -> None:
    noise = [lambda x: x / 1000.0, lambda x: x + tf.random.uniform((1, 3), -4e-5, 4e-5)]
    with pytest.raises(UnsupportedStageError, match="something random"):
        proven(noise, tmp_path)


def test_a_scaler_that_lies_is_found_out(tf: Any, tmp_path: Path) -> None:
    from sklearn.preprocessing import StandardScaler

    class Own(StandardScaler):  # type: ignore[misc]  # sklearn is untyped here
        def transform(self, rows: Any) -> Any:
            return super().transform(rows) * 2

    with pytest.raises(UnsupportedStageError, match="does not answer as the stages did"):
        proven([Own().fit(ROWS)], tmp_path)
