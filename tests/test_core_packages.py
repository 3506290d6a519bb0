"""The component store on the disk (EDGE-CORE 3)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ggml_magic.core import packages
from ggml_magic.core.disk import Layout
from ggml_magic.core.packages import ArtifactError, Room
from ggml_magic.core.recipe import RecipeError

ARN = "arn:aws:greengrass:eu-west-1:123456789012:components:a:versions:1.0.0"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.make()
    return made


def written(name: str = "a", version: str = "1.0.0") -> bytes:
    document = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "Manifests": [{"Lifecycle": {"Run": "true"}}],
    }  # fmt: skip
    return json.dumps(document).encode()


YAML = b"""
RecipeFormatVersion: 2020-01-25
ComponentName: a
ComponentVersion: 1.0.0
Manifests: [{}]
"""


def fill(layout: Layout, name: str, version: str, size: int = 10) -> None:
    packages.keep(layout, written(name, version), ARN)
    folder = layout.artifacts / name / version
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(b"x" * size)
    (layout.unarchived / name / version / "x").mkdir(parents=True)


def test_a_recipe_is_kept_by_name_and_version_with_its_arn(layout: Layout) -> None:
    assert packages.keep(layout, written(), ARN).name == "a"
    assert packages.arn_of(layout, "a", "1.0.0") == ARN
    assert packages.arn_of(layout, "a", "2.0.0") == ""
    assert packages.stored(layout, "a") == {"1.0.0": layout.recipes / "a-1.0.0.json"}
    packages.keep(layout, YAML)
    assert packages.stored(layout, "a") == {"1.0.0": layout.recipes / "a-1.0.0.yaml"}
    with pytest.raises(RecipeError):
        packages.keep(layout, b"{}")


def test_what_is_stored_is_told_by_name(layout: Layout) -> None:
    for name, version in (("a", "1.0.0"), ("a", "1.0.0-rc.1"), ("a-b", "1.0.0"), ("b", "1.0.0")):
        packages.keep(layout, written(name, version))
    assert set(packages.stored(layout, "a")) == {"1.0.0", "1.0.0-rc.1"}
    assert set(packages.stored(layout, "a-b")) == {"1.0.0"}


def test_tidying_keeps_what_is_named(layout: Layout) -> None:
    for name, version in (("a", "1.0.0"), ("a", "2.0.0"), ("b", "1.0.0")):
        fill(layout, name, version)
    packages.tidy(layout, [("a", "2.0.0")])
    for folder in (layout.artifacts, layout.unarchived):
        assert [str(path.relative_to(folder)) for path in folder.glob("*/*")] == ["a/2.0.0"]
    assert {path.name for path in layout.recipes.iterdir()} == {"a-2.0.0.json", "a-2.0.0.arn"}


def test_the_stores_size_is_that_of_its_files(layout: Layout) -> None:
    assert packages.size(layout) == 0
    fill(layout, "a", "1.0.0", 1000)
    assert packages.size(layout) == 1000 + len(written()) + len(ARN)


def test_room_is_made_of_what_nobody_needs_and_only_then_refused(layout: Layout) -> None:
    fill(layout, "a", "1.0.0", 1000)
    fill(layout, "b", "1.0.0", 1000)
    limit = packages.size(layout) + 100
    room = Room(layout, lambda: [("b", "1.0.0")], store_bytes=limit)
    room.claim("x", 100)
    assert packages.stored(layout, "a")
    room.claim("x", 1000)
    assert not packages.stored(layout, "a")
    assert packages.stored(layout, "b")
    with pytest.raises(
        ArtifactError, match=r"no room for x of 2000 bytes: the component"
    ) as caught:
        room.claim("x", 2000)
    assert caught.value.code == "DISK_SPACE_CRITICAL"
    assert packages.stored(layout, "b")


def test_the_disk_keeps_its_reserve(layout: Layout) -> None:
    free = shutil.disk_usage(layout.root).free
    Room(layout).claim("x", 1)
    with pytest.raises(ArtifactError, match="must stay"):
        Room(layout, free_bytes=2 * free).claim("x", 1)


def test_removing_what_is_not_there(layout: Layout) -> None:
    packages.remove(layout.root / "none")
