from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge import environment, write_model

from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.runtimes import runtime
from ggml_magic.runtimes.limits import MEBIBYTE, Limits
from ggml_magic.runtimes.litert import LITERT
from ggml_magic.runtimes.tensorflow import TENSORFLOW

LOCK = TENSORFLOW.requirements.read_text()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """1.5 GB that take half a minute to build, unless ``GGML_CACHE`` has them (RUNTIMES 1)."""
    folder = tmp_path_factory.mktemp("cache")
    with environment(folder) as python:
        yield python
    shutil.rmtree(folder)


def test_the_lock_has_the_small_build_where_there_is_one() -> None:
    pins = re.findall(r"^(tensorflow\S*)==(\S+) ; (.*) \\$", LOCK, re.MULTILINE)
    assert {(name, version) for name, version, _ in pins} == {
        ("tensorflow", TENSORFLOW.version),
        ("tensorflow-cpu", TENSORFLOW.version),
    }
    markers = {name: marker for name, _, marker in pins}
    assert markers["tensorflow-cpu"] == "platform_machine == 'x86_64' and sys_platform == 'linux'"
    assert TENSORFLOW.takes == "saved_model"


def test_every_pin_has_hashes_and_nothing_names_a_host() -> None:
    for entry in re.split(r"\n(?=[a-z])", LOCK.split("\n", 1)[1]):
        assert "--hash=sha256:" in entry, entry
    assert "://" not in LOCK and "index" not in LOCK


@pytest.mark.real
def test_the_saved_model_answers_as_its_conversion_does(python: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    def predict(values: Any) -> Any:
        return {"answer": tf.sigmoid(values @ tf.constant([[1.0], [-2.0]]) + 0.5)}

    module = tf.Module()
    specification = tf.TensorSpec((None, 2), tf.float32, name="readings")
    module.predict = tf.function(predict, input_signature=[specification])
    saved = tmp_path / "saved_model"
    tf.saved_model.save(module, str(saved), signatures={"serving_default": module.predict})
    converted = write_model(python, tmp_path / "m.tflite", [[1.0, -2.0]], [0.5])
    rows = np.random.default_rng(2).normal(size=(5000, 2)).astype(np.float32)
    run, edge = runtime.run(TENSORFLOW, saved, rows), runtime.run(LITERT, converted, rows)
    np.testing.assert_allclose(run.outputs, edge.outputs, atol=1e-6)
    assert (run.runtime, run.batch_rows) == ("tensorflow", 4096)
    # TensorFlow is about 540 MB (RUNTIMES 1), and that is what its memory must say
    assert run.peak_bytes is not None and run.peak_bytes > 300e6
    few = Limits(memory_bytes=512 * MEBIBYTE)
    with pytest.raises(EdgeRuntimeError, match="512 MiB of address space are too few"):
        runtime.run(TENSORFLOW, saved, rows, limits=few)
    with pytest.raises(EdgeRuntimeError, match=f"there is no SavedModel at {tmp_path}\n"):
        runtime.run(TENSORFLOW, tmp_path, rows)
