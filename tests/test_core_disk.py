"""Layout and whole files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.core.disk import Layout, read_json, write_json


def test_the_layout_is_the_nucleus_one_and_private(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "root")
    layout.make()
    layout.make()
    found = {str(path.relative_to(layout.root)) for path in layout.root.rglob("*")}
    assert found == {
        "config", "deployments", "logs", "packages", "packages/artifacts",
        "packages/artifacts-unarchived", "packages/recipes", "work",
        "work/aws.greengrass.ShadowManager",
    }  # fmt: skip
    assert layout.root.stat().st_mode & 0o777 == 0o700
    assert layout.log("a") == layout.root / "logs" / "a.log"
    assert layout.work("a") == layout.root / "work" / "a"


def test_a_file_appears_whole_and_private_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    assert read_json(file) is None
    write_json(file, {"b": 1, "a": [None]})
    assert read_json(file) == {"a": [None], "b": 1}
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert read_json(file) == {"a": [None], "b": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_deleted_folder_is_not_brought_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_json(tmp_path / "gone" / "x.json", {})
    assert not (tmp_path / "gone").exists()


def test_what_a_killed_core_was_writing_is_swept_and_nothing_else(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "root")
    layout.make()
    version = Path("a") / "1.0.0"
    files = (
        layout.recipes / ".a-1.0.0.json.part",
        layout.artifacts / version / ".a.zip.part",
        layout.state_file.parent / ".config.json.part",
        layout.unarchived / version / ".a.x1.part" / "deep",
    )
    kept = (
        layout.artifacts / version / ".env",
        layout.work("a") / ".own.part",
        layout.unarchived / version / "a" / ".theirs.part",
    )
    for file in (*files, *kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    layout.sweep()
    assert not any(file.exists() for file in files)
    assert all(file.exists() for file in kept)
