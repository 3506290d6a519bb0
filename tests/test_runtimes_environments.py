from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edge import environment as shared_environment
from edge import write_model

from ggml_magic.device import environment as device_environment
from ggml_magic.device.environment import Python
from ggml_magic.errors import EnvironmentBuildError
from ggml_magic.runtimes import runtime
from ggml_magic.runtimes.environments import cache_folder, environment, find
from ggml_magic.runtimes.kinds import PinnedRuntime

SECONDS_WHEN_BUILT = 0.2


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with shared_environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


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
    assert cache_folder() == Path(folder)


def test_a_build_that_fails_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GGML_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentBuildError, match="Not a directory"):
        environment(runtime.get())


def test_one_that_another_python_made_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GGML_CACHE", str(tmp_path))
    lock = tmp_path / "lock.txt"
    lock.write_text("# For Python 3.2 to 3.3. Locked.\n")
    old = PinnedRuntime("old", "1.0", lock)
    assert find(old) is None
    folder = tmp_path / "runtimes" / "old"
    place = device_environment.home(folder, lock, Python("", (3, 2)))
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to("/bin/true")
    (place / device_environment.STAMP).touch()
    assert environment(old).python == place / "bin" / "python"


@pytest.mark.real
def test_once_built_it_is_there_at_once_and_needs_no_network(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(python, tmp_path / "m.tflite", [[1.0]], [0.0])
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "PIP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    again = environment(runtime.get())
    assert again.python == python and not again.built and again.seconds < SECONDS_WHEN_BUILT
    assert runtime.run(runtime.get(), model, np.zeros((1, 1), np.float32)).outputs == 0.5
