from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edge import environment, write_model

from ggml_magic.errors import EdgeRuntimeError, EnvironmentBuildError, GrammarError
from ggml_magic.runtimes import runtime


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


def test_runtimes_are_found_by_name() -> None:
    assert "ai-edge-litert" in runtime.names()
    assert runtime.get().name == "ai-edge-litert" and runtime.get().requirements.exists()


def test_an_unknown_runtime_is_told_which_there_are() -> None:
    with pytest.raises(GrammarError, match=r"'tensorrt'.*there are ai-edge-litert"):
        runtime.get("tensorrt")


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"GGML_CACHE": "/a"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/ggml_magic"),
        ({"HOME": "/c"}, "/c/.cache/ggml_magic"),
    ],
)
def test_environments_are_kept_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("GGML_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert runtime.cache_folder() == Path(folder)


def test_a_build_that_fails_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GGML_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentBuildError, match="Not a directory"):
        runtime.environment(runtime.get())


@pytest.mark.real
def test_a_model_is_run_and_measured_as_a_device_would(tmp_path: Path, python: Path) -> None:
    again = runtime.environment(runtime.get())
    assert again.python == python and not again.built and again.seconds < 1
    model = write_model(python, tmp_path / "m.tflite", [[1.0, 2.0]], [0.0])
    run = runtime.run(runtime.get(), model, np.zeros((50, 2), np.float32))
    assert (run.outputs == 0.5).all()
    assert (run.runtime, run.version) == ("ai-edge-litert", runtime.get().version)
    assert run.architecture == os.uname().machine
    assert 0 < run.row_microseconds_p50 <= run.row_microseconds_p95 < 1e6
    assert 0 < run.load_seconds < 10
    # Python with numpy and the runtime is about 40 MB (RUNTIMES 6); TensorFlow would be 500
    assert 20e6 < run.peak_bytes < 80e6


@pytest.mark.real
def test_the_environment_is_the_lock_and_not_the_notebooks(python: Path, tmp_path: Path) -> None:
    model = write_model(python, tmp_path / "m.tflite", [[1.0]], [0.0])
    with pytest.MonkeyPatch.context() as patch:
        (tmp_path / "numpy.py").write_text("raise ImportError('of the notebook')")
        patch.setenv("PYTHONPATH", str(tmp_path))
        patch.chdir(tmp_path)
        assert runtime.run(runtime.get(), model, np.zeros((1, 1), np.float32)).outputs == 0.5


@pytest.mark.real
def test_a_run_over_its_limit_is_ended_and_told(tmp_path: Path, python: Path) -> None:
    model = write_model(python, tmp_path / "m.tflite", [[1.0]], [0.0])
    with pytest.raises(EdgeRuntimeError, match=r"did not end within 0\.001 s"):
        runtime.run(runtime.get(), model, np.zeros((1, 1), np.float32), timeout_seconds=0.001)


@pytest.mark.real
def test_the_remedy_names_the_model_of_the_workspace(tmp_path: Path, python: Path) -> None:
    model = tmp_path / "models" / "rain" / "abc" / "candidates" / "float32.tflite"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"no model at all, but long enough to look at")
    with pytest.raises(EdgeRuntimeError) as caught:
        runtime.run(runtime.get(), model, np.zeros((1, 1), np.float32))
    assert caught.value.remedy == "%ggml convert rain"
