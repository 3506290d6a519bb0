from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edge import environment, write_model

from ggml_magic.device.interpreter import BATCH
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.runtimes import runtime

pytestmark = pytest.mark.real

WEIGHTS, BIAS = [[1.0, -2.0, 0.5], [0.25, 0.0, -1.0]], [0.5, -0.5]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


def expected(rows: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(rows @ np.asarray(WEIGHTS, np.float32).T + np.float32(BIAS))))


@pytest.mark.parametrize("batch", [0, 1, 4])
@pytest.mark.parametrize("count", [1, 6, BATCH + 3])
def test_rows_give_the_same_outputs_whatever_the_signature_allows(
    tmp_path: Path, python: Path, batch: int, count: int
) -> None:
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS, batch)
    rows = np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    outputs = runtime.run(runtime.get(), model, rows).outputs
    assert outputs.shape == (count, 2) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected(rows), atol=1e-6)


def test_no_rows_give_no_outputs(tmp_path: Path, python: Path) -> None:
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS)
    assert runtime.run(runtime.get(), model, np.empty((0, 3), np.float32)).outputs.shape == (0, 2)


def test_rows_of_another_width_are_refused(tmp_path: Path, python: Path) -> None:
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS)
    with pytest.raises(EdgeRuntimeError, match="rows of 3 features"):
        runtime.run(runtime.get(), model, np.zeros((2, 4), np.float32))


def test_what_is_no_model_is_one_line(tmp_path: Path, python: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model at all, but long enough to look at")
    for name, why in (("m.tflite", "cannot load m.tflite"), ("none.tflite", "no model at")):
        with pytest.raises(EdgeRuntimeError, match=why) as caught:
            runtime.run(runtime.get(), tmp_path / name, np.zeros((1, 3), np.float32))
        assert "\n" not in caught.value.why
