"""The workspace: whole files or none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ggml_magic import workspace as ws
from ggml_magic.errors import DiskFullError


def test_it_is_beside_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ws.find().root == tmp_path / ".ggml"
    monkeypatch.setenv("GGML_WORKSPACE", str(tmp_path / "elsewhere"))
    assert ws.find().root == tmp_path / "elsewhere"


def test_json_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "value.json"
    assert ws.read_json(path) is None
    ws.write_json(path, {"b": 1, "a": [1.5, None]})
    assert ws.read_json(path) == {"a": [1.5, None], "b": 1}


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "value.json"
    ws.write_json(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError) as caught:
        ws.write_json(path, "new")
    assert "df -h" in caught.value.remedy
    assert ws.read_json(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with ws.whole_folder(target) as aside:
        (aside / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(RuntimeError), ws.whole_folder(target) as aside:
        (aside / "b").write_text("2")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [target]


def test_each_folder_that_is_made_is_private_whatever_makes_it(tmp_path: Path) -> None:
    workspace = ws.Workspace(tmp_path / ".ggml")
    ws.write_json(workspace.root / "receipts" / "one.json", 1)
    workspace.folder("cores", "pi")
    with ws.whole_folder(workspace.root / "models" / "rain" / "sha") as aside:
        (aside / "model.json").touch()
    made = [path for path in (workspace.root, *workspace.root.rglob("*")) if path.is_dir()]
    assert len(made) == 7
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
    # what is there stays as its owner wants it
    workspace.root.chmod(0o711)
    workspace.folder("cores", "other")
    assert workspace.root.stat().st_mode & 0o777 == 0o711


def test_folders_are_private_and_locks_exclude(tmp_path: Path) -> None:
    workspace = ws.Workspace(tmp_path / ".ggml")
    assert workspace.folder("receipts").stat().st_mode & 0o077 == 0
    with workspace.lock("sandbox"):
        other = workspace.lock("sandbox")
        assert other.acquire is not None
        with pytest.raises(TimeoutError):
            other.acquire(timeout=0)
