"""The child's two tasks, in a real child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ggml_magic.convert.process import ask, scratch
from ggml_magic.errors import ConversionError
from ggml_magic.model.graph import export, fuse
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real

SECONDS = 120.0
WIDTH = 64
WEIGHTS = np.random.default_rng(0).normal(size=(WIDTH, 128)) / 8


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with a matrix large enough that dynamic range quantises it."""
    tf = tensorflow()
    weights = tf.constant(WEIGHTS, dtype=tf.float32)
    folder = tmp_path_factory.mktemp("saved") / "saved_model"
    export(
        fuse([lambda x: tf.reduce_sum(tf.tanh(x @ weights), axis=1, keepdims=True)], WIDTH), folder
    )
    return folder


def test_a_failure_ends_in_one_sentence_and_a_log(tmp_path: Path) -> None:
    request = {"task": "answer", "saved_model": str(tmp_path / "nothing")}
    with scratch(tmp_path) as folder, pytest.raises(ConversionError) as caught:
        ask(request, folder, tmp_path / "log", timeout_seconds=SECONDS)
    assert "answer process failed" in caught.value.what and "nothing" in caught.value.why
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_refused_variant_leaves_the_others(saved_model: Path, tmp_path: Path) -> None:
    # the child itself, with a converter that refuses what a wrong folder is to it
    code = (
        "import json, sys; from ggml_magic.convert import child\n"
        "real = child._converter\n"
        "def refusing(path, variant):\n"
        "    return real(path if variant != 'float16' else '/nowhere', variant)\n"
        "child._converter = refusing; child.main(*sys.argv[1:])"
    )
    request = {
        "task": "convert",
        "saved_model": str(saved_model),
        "variants": ["float16", "float32", "dynamic"],
        "folder": str(tmp_path),
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    subprocess.run(
        [sys.executable, "-c", code, "request.json", "response.json"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    response = json.loads((tmp_path / "response.json").read_text())
    assert response["done"] and list(response["files"]) == ["float32", "dynamic"]
    float32, dynamic = ((tmp_path / name).read_bytes() for name in response["files"].values())
    assert float32[4:8] == dynamic[4:8] == b"TFL3" and len(dynamic) < len(float32)
    assert list(response["refused"]) == ["float16"] and "/nowhere" in response["refused"]["float16"]
