"""The child's two tasks, in a real child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.convert.process import ask, scratch
from ggml_magic.errors import ConversionError
from ggml_magic.model.graph import export, fuse
from ggml_magic.model.training import tensorflow

pytestmark = pytest.mark.real

SECONDS = 120.0


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of a layer wide enough that dynamic range quantises it."""
    tf = tensorflow()
    weights = tf.constant(np.random.default_rng(0).normal(size=(3, 2048)), dtype=tf.float32)
    folder = tmp_path_factory.mktemp("saved") / "saved_model"
    export(fuse([lambda x: tf.reduce_sum(tf.tanh(x @ weights), axis=1, keepdims=True)], 3), folder)
    return folder


def test_each_variant_is_a_file_of_its_own(saved_model: Path, tmp_path: Path) -> None:
    variants = ["float32", "float16", "dynamic"]
    request: dict[str, Any] = {
        "task": "convert",
        "saved_model": str(saved_model),
        "variants": variants,
        "folder": str(tmp_path),
    }
    outcome = ask(request, tmp_path, tmp_path / "log", timeout_seconds=SECONDS)
    assert outcome.crash is None and outcome.response["refused"] == {}
    sizes = [(tmp_path / outcome.response["files"][variant]).stat().st_size for variant in variants]
    assert sizes[0] > sizes[1] > sizes[2]
    assert (tmp_path / "float32.tflite").read_bytes()[4:8] == b"TFL3"


def test_the_saved_model_answers_rows(saved_model: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(10, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    request = {
        "task": "answer",
        "saved_model": str(saved_model),
        "rows": str(tmp_path / "rows.npy"),
        "outputs": str(tmp_path / "outputs.npy"),
    }
    ask(request, tmp_path, tmp_path / "log", timeout_seconds=SECONDS)
    weights = np.random.default_rng(0).normal(size=(3, 2048)).astype(np.float32)
    expected = np.tanh(rows @ weights).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), expected, rtol=1e-3, atol=1e-3)


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
        "    return real(path if variant == 'float32' else '/nowhere', variant)\n"
        "child._converter = refusing; child.main(*sys.argv[1:])"
    )
    request = {
        "task": "convert",
        "saved_model": str(saved_model),
        "variants": ["float16", "float32"],
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
    assert response["done"] and list(response["files"]) == ["float32"]
    assert list(response["refused"]) == ["float16"] and "/nowhere" in response["refused"]["float16"]
