"""Layout and whole files."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from pathlib import Path

import pytest

from ggml_magic.core.disk import (
    PARTIAL,
    PARTIAL_SECONDS,
    Layout,
    partial_name,
    read_json,
    write_json,
)


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
    made = (layout.root, *layout.root.rglob("*"))
    assert {folder.stat().st_mode & 0o777 for folder in made} == {0o700}
    assert layout.log("a") == layout.root / "logs" / "a.log"
    assert layout.work("a") == layout.root / "work" / "a"


def test_what_leads_from_a_workspace_to_a_root(tmp_path: Path) -> None:
    cores = tmp_path / ".ggml" / "cores"
    assert Layout(cores / "pi", cores.parent).above == (cores.parent, cores)
    assert Layout(cores / "pi").above == ()


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


def test_a_download_that_can_go_on_outlives_its_core(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "root")
    layout.make()
    digest = base64.b64encode(hashlib.sha256(b"+/").digest()).decode()
    folders = [layout.artifacts / "a" / version for version in ("1.0.0", "2.0.0")]
    for folder in folders:
        folder.mkdir(parents=True)
    wanted, orphan = (folder / partial_name("m.bin", digest) for folder in folders)
    old = folders[0] / partial_name("old.bin", digest)
    other = folders[0] / ".m.bin.part"
    for file in (wanted, orphan, old, other):
        file.touch()
    os.utime(old, (0, time.time() - PARTIAL_SECONDS - 60))
    (layout.recipes / "a-1.0.0.json").touch()
    layout.sweep()
    assert [path.exists() for path in (wanted, orphan, old, other)] == [True, False, False, False]


def test_the_name_of_a_part_tells_the_file_and_is_a_plain_name() -> None:
    digest = base64.b64encode(b"\xff\xfe" * 16).decode()
    name = partial_name("m.bin", digest)
    assert "/" not in name
    match = PARTIAL.fullmatch(name)
    assert match
    assert match[1] == "m.bin"
