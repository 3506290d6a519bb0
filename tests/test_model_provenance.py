from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ggml_magic.model import provenance
from ggml_magic.model.provenance import gathered, notebook_path

ROWS = np.ones((4, 2), dtype=np.float32)


@pytest.fixture(autouse=True)
def _no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(provenance.SESSION, raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one commit."""
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), (*name, "commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_notebook_is_told_from_the_repositorys_root(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = repository / "notebooks" / "rain.ipynb"
    path.parent.mkdir()
    monkeypatch.setenv(provenance.SESSION, str(path))
    found = gathered((), ROWS, None, "ab")
    assert found.notebook == "notebooks/rain.ipynb"
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert found.git_commit == head.stdout.strip()
    assert str(repository) not in repr(found)


def test_without_a_repository_it_is_the_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv(provenance.SESSION, str(tmp_path / "rain.ipynb"))
    found = gathered((), ROWS, None, "ab")
    assert (found.notebook, found.git_commit) == ("rain.ipynb", None)
    monkeypatch.setenv(provenance.SESSION, str(tmp_path / "gone" / "rain.ipynb"))
    assert gathered((), ROWS, None, "ab").notebook == "rain.ipynb"


@pytest.mark.parametrize("name", provenance.NAMES)
def test_papermill_and_vs_code_tell_it_by_a_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], name, "/elsewhere/rain.ipynb", raising=False)
    assert notebook_path() == Path("/elsewhere/rain.ipynb")
    monkeypatch.setattr(sys.modules["__main__"], name, 3)
    assert notebook_path() is None


def test_a_console_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(provenance.SESSION, "/elsewhere/console-1-af")
    assert notebook_path() is None
    assert gathered((), ROWS, None, "ab").notebook is None


def test_rows_and_labels_are_in_the_hash_of_the_data() -> None:
    other = ROWS.copy()
    other[3, 1] = 2
    labels = np.asarray([0, 1, 0, 1])
    names = np.asarray(["a", "b", "a", "b"], dtype=object)
    founds = [
        gathered((), ROWS, None, "ab"),
        gathered((), other, None, "ab"),
        gathered((), ROWS, labels, "ab"),
        gathered((), ROWS, 1 - labels, "ab"),
        gathered((), ROWS, names, "ab"),
    ]
    assert len({found.data_sha256 for found in founds}) == len(founds)
    assert founds[0].data_sha256 == gathered((), ROWS.copy(), None, "ab").data_sha256
    assert founds[0].model_sha256 == "ab" and founds[0].numpy == np.__version__
    assert founds[0].rows == 4
