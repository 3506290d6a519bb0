"""Folders of recipes and artifacts, and what may not be taken from them (EDGE-CORE 7)."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from ggml_magic.core import store_import
from ggml_magic.core.disk import Layout
from ggml_magic.core.store_import import Found, ImportRefusedError

A = "com.example.A"
PLATFORM = {"os": "linux", "architecture": "amd64"}


@pytest.fixture(name="layout")
def empty_layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "root")
    made.make()
    return made


@pytest.fixture(name="recipes")
def folder_of_recipes(tmp_path: Path) -> Path:
    made = tmp_path / "recipes"
    made.mkdir()
    return made


@pytest.fixture(name="artifacts")
def folder_of_artifacts(tmp_path: Path) -> Path:
    made = tmp_path / "artifacts"
    (made / A / "1.0.0").mkdir(parents=True)
    return made


def recipe(name: str = A, version: str = "1.0.0", *files: str) -> str:
    listed = [{"URI": f"s3://BUCKET_NAME/{file}"} for file in files]
    return json.dumps({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "Manifests": [{"Platform": {"os": "linux"}, "Artifacts": listed}],
    })  # fmt: skip


def look(layout: Layout, recipes: Path | None, artifacts: Path | None = None) -> Found:
    return store_import.look(layout, recipes, artifacts, "classic")


def refused(layout: Layout, recipes: Path | None, artifacts: Path | None = None) -> str:
    """The refusal, which is one line, and comes at once."""
    found: list[str] = []

    def run() -> None:
        try:
            look(layout, recipes, artifacts)
        except ImportRefusedError as error:
            found.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it is held up"
    assert len(found) == 1
    assert len(found[0].splitlines()) == 1
    return found[0]


def test_json_and_yaml_at_any_depth_are_recipes_and_nothing_else_is(
    layout: Layout, recipes: Path
) -> None:
    (recipes / "a.json").write_text(recipe())
    (recipes / "deep" / "er").mkdir(parents=True)
    (recipes / "deep" / "er" / "b.YAML").write_text(
        "RecipeFormatVersion: 2020-01-25\nComponentName: com.example.B\nComponentVersion: 2.0.0\n"
        "ComponentConfiguration: {DefaultConfiguration: {Interval: 3}}\n"
        "Manifests: [{Platform: {os: linux}}]\n"
    )
    (recipes / "README.md").write_text("no recipe")
    (recipes / "empty.json").touch()
    (recipes / ".hidden.json").write_text("{")
    (recipes / ".git").mkdir()
    (recipes / ".git" / "x.json").write_text("{")
    found = look(layout, recipes)
    assert [(each.recipe.name, each.kind) for each in found.recipes] == [
        (A, "json"),
        ("com.example.B", "yaml"),
    ]
    # local YAML keeps its types on the classic nucleus, and becomes text on nucleus lite
    assert found.recipes[1].recipe.defaults == {"Interval": 3}
    lite = store_import.look(layout, recipes, None, "lite")
    assert lite.recipes[1].recipe.defaults == {"Interval": "3"}


def test_artifacts_are_those_of_versions_that_are_known(
    layout: Layout, recipes: Path, artifacts: Path
) -> None:
    (recipes / "a.json").write_text(recipe())
    (artifacts / A / "1.0.0" / "inner").mkdir()
    (artifacts / A / "1.0.0" / "inner" / "x").write_text("x")
    (artifacts / A / "2.0.0").mkdir()
    (artifacts / A / "2.0.0" / "y").write_text("of no version that is known")
    assert list(look(layout, recipes, artifacts).artifacts) == [Path(A, "1.0.0", "inner", "x")]
    # new artifacts for a version that is on the device, without its recipe
    (layout.artifacts / A / "2.0.0").mkdir(parents=True)
    assert list(look(layout, None, artifacts).artifacts) == [Path(A, "2.0.0", "y")]
    assert look(layout, None) == Found()


def test_a_recipe_that_cannot_be_is_named_with_its_file(layout: Layout, recipes: Path) -> None:
    for text, words in (
        ("{", "no JSON"),
        ("[1]", "no object"),
        (recipe(name="../../x"), "ComponentName"),
        (recipe(name="a/b"), "ComponentName"),
        (recipe(version="../1"), "ComponentVersion"),
        ("a: &a [1]\nb: *a", "aliases"),
        ("{" * 1000, "nested|no JSON"),
    ):
        (recipes / "x.yaml").write_text(text)
        (broken,) = look(layout, recipes).broken
        said = str(broken)
        assert len(said.splitlines()) == 1
        assert said.startswith(f"{recipes / 'x.yaml'} cannot be used: ")
        assert any(word in said for word in words.split("|")), said


def test_a_broken_recipe_stops_only_what_may_need_it(layout: Layout, recipes: Path) -> None:
    needs = json.loads(recipe())
    needs["ComponentDependencies"] = {"com.example.B": {"VersionRequirement": "^1.0.0"}}
    (recipes / "a.json").write_text(json.dumps(needs))
    (recipes / "c.json").write_text(recipe("com.example.C"))

    def check(text: str, root: str) -> None:
        (recipes / "x.yaml").write_text(text)
        store_import.check_readable(layout, look(layout, recipes), [root])

    for name in (A, "com.example.B"):
        for text in (f"ComponentName: {name}\n  x: [", f'{{"componentname" : "{name}",'):
            with pytest.raises(ImportRefusedError, match=r"x\.yaml cannot be used"):
                check(text, A)
            check(text, "com.example.C")
    check("ComponentName: com.example.D\n  x: [", A)
    # it does not tell whose it is: perhaps of the one that is nowhere
    with pytest.raises(ImportRefusedError, match=r"x\.yaml cannot be used"):
        check("a: [", A)
    check("a: [", "com.example.C")
    (layout.recipes / "com.example.B-1.0.0.json").write_text(recipe("com.example.B"))
    check("a: [", A)


def test_two_recipes_of_one_version_are_refused(layout: Layout, recipes: Path) -> None:
    for name in ("a.json", "b.yaml"):
        (recipes / name).write_text(recipe())
    assert refused(layout, recipes) == f"a.json and b.yaml are both the recipe of {A} 1.0.0"


def test_a_huge_recipe_is_not_read(layout: Layout, recipes: Path) -> None:
    with (recipes / "a.json").open("wb") as file:
        file.truncate(100_000_000)
    assert "has 100,000,000 bytes" in refused(layout, recipes)


def test_a_folder_without_end_is_left(
    layout: Layout, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_import, "MOST_FILES", 5)
    for number in range(6):
        (recipes / f"{number}.txt").touch()
    assert "holds more than 5 files" in refused(layout, recipes)


def test_links_stay_within_their_folder(
    layout: Layout, recipes: Path, artifacts: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(recipe())
    (recipes / "real.txt").write_text(recipe())
    (recipes / "a.json").symlink_to("real.txt")
    assert len(look(layout, recipes).recipes) == 1
    for link, target in (
        (recipes / "b.json", outside / "secret"),
        (recipes / "c", outside),
        (artifacts / A / "1.0.0" / "x", outside / "secret"),
        (artifacts / A / "1.0.0" / "y", outside),
        (artifacts / A / "1.0.0" / "z", Path("/dev/zero")),
    ):
        link.symlink_to(target)
        assert f"{link} is a link that leaves" in refused(layout, recipes, artifacts)
        link.unlink()
    (artifacts / A / "1.0.0").rmdir()
    (artifacts / A / "1.0.0").symlink_to(outside)
    assert "is a link that leaves" in refused(layout, recipes, artifacts)


def test_what_is_no_plain_file_is_not_opened(
    layout: Layout, recipes: Path, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (recipes / "a.json", artifacts / A / "1.0.0" / "x"):
        os.mkfifo(place)
        assert refused(layout, recipes, artifacts) == f"{place} is no plain file"
        place.unlink()
        if place.parent == recipes:
            (recipes / "b.json").write_text(recipe())
    with socket.socket(socket.AF_UNIX) as listening:
        # a socket's path must be short
        monkeypatch.chdir(artifacts / A / "1.0.0")
        listening.bind("x")
        assert "is no plain file" in refused(layout, recipes, artifacts)
    (artifacts / A / "1.0.0" / "x").unlink()
    (artifacts / A / "1.0.0" / "x").symlink_to("x")
    said = refused(layout, recipes, artifacts)
    assert "no plain file" in said or "leaves" in said


def test_the_core_s_own_packages_and_folders_that_went_are_refused(
    layout: Layout, recipes: Path, tmp_path: Path
) -> None:
    for folder in (layout.artifacts, layout.root, tmp_path):
        assert "holds this core's own artifacts" in refused(layout, None, folder)
    recipes.rmdir()
    assert refused(layout, recipes) == f"{recipes} is no folder any more"


# Root may read everything, so the child gives it up once all is imported.
READS_AS_ANOTHER = """
import os, sys
from pathlib import Path
from ggml_magic.core import store_import
from ggml_magic.core.disk import Layout
root, recipes, nobody = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(nobody)
    os.setuid(nobody)
try:
    print(store_import.look(Layout(root), recipes, None, "classic"))
except store_import.ImportRefusedError as error:
    print(error)
"""


@pytest.mark.real
def test_what_may_not_be_read_is_said() -> None:
    with tempfile.TemporaryDirectory() as made:  # pytest's own are closed to others
        root, recipes = Path(made, "root"), Path(made, "recipes")
        for folder in (Path(made), root, recipes):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        (recipes / "a.json").write_text(recipe())
        (recipes / "a.json").chmod(0)
        nobody = str(pwd.getpwnam("nobody").pw_uid)
        command = [sys.executable, "-c", READS_AS_ANOTHER, str(root), str(recipes), nobody]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Permission denied" in said
    assert str(recipes / "a.json") in said
    assert len(said.splitlines()) == 1


def test_an_artifact_that_nobody_brought(layout: Layout, recipes: Path, artifacts: Path) -> None:
    (recipes / "a.json").write_text(recipe(A, "1.0.0", "model.zip"))

    def check() -> None:
        found = look(layout, recipes, artifacts)
        store_import.check_artifacts(layout, found, {A: "1.0.0"}, PLATFORM, artifacts)

    with pytest.raises(ImportRefusedError) as caught:
        check()
    place = artifacts / A / "1.0.0" / "model.zip"
    assert str(caught.value) == f"{A} 1.0.0 needs the artifact model.zip: put it at {place}"
    with pytest.raises(ImportRefusedError, match=f"no folder of artifacts, as {A}/1.0.0/model.zip"):
        store_import.check_artifacts(layout, look(layout, recipes), {A: "1.0.0"}, PLATFORM)
    # one that is there, here or already on the device, or that a digest leads to
    (artifacts / A / "1.0.0" / "model.zip").touch()
    check()
    (artifacts / A / "1.0.0" / "model.zip").unlink()
    (layout.artifacts / A / "1.0.0").mkdir(parents=True)
    (layout.artifacts / A / "1.0.0" / "model.zip").touch()
    check()
    found = look(layout, recipes, artifacts)
    store_import.check_artifacts(layout, found, {}, PLATFORM)
    with pytest.raises(ImportRefusedError, match=r"a\.json cannot be used: no manifest of"):
        store_import.check_artifacts(layout, found, {A: "1.0.0"}, {"os": "darwin"})
