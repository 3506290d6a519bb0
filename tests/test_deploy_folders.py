"""What the folders of a local deployment hold, and names that are near."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ggml_magic.core.client import CoreDevice
from ggml_magic.deploy import folders
from ggml_magic.deploy.cores import LocalState
from ggml_magic.deploy.wish import Wish
from ggml_magic.errors import GrammarError

A = "com.example.Hello"


def recipe(name: str = A, version: str = "1.0.0") -> str:
    return json.dumps({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "Manifests": [{"Platform": {"os": "linux"}}],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("com.example.Helo", A),
        ("com.example.hello", A),
        ("com.exmple.Hello", A),
        ("com.example.BadRecipe", ""),
        ("com.example.Fan", ""),
        ("Hallo", ""),
    ],
)
def test_a_name_is_near_by_what_it_does_not_share(name: str, meant: str) -> None:
    assert folders.nearest(name, [A, "com.example.BadInst"]) == meant
    assert folders.nearest(name, []) == ""


def test_a_folder_without_recipes_is_said_to_be_one(tmp_path: Path) -> None:
    for text in ("", "[1]"):
        (tmp_path / "data.json").write_text(text)
        with pytest.raises(GrammarError, match=f"no recipe is in {tmp_path}") as caught:
            folders.check(Wish(str(tmp_path), add={A: "1.0.0"}), "pi")
        assert caught.value.remedy == f"ls {tmp_path}"
        assert len(str(caught.value).splitlines()) == 2
    (tmp_path / "a.json").write_text(recipe())
    found = folders.check(Wish(str(tmp_path)), "pi")
    assert found.versions == {A: ("1.0.0",)}
    assert [each.file.name for each in found.broken] == ["data.json"]
    assert folders.check(Wish(), "pi") == folders.look(str(tmp_path / "gone")) == folders.Folder()


def test_after_a_failure_the_users_own_line_comes_completed(tmp_path: Path) -> None:
    for name, version in ((A, "1.2.0"), (A, "1.10.0"), ("com.example.BadInst", "1.0.0")):
        (tmp_path / f"{name}-{version}.json").write_text(recipe(name, version))
    folder = folders.look(str(tmp_path))
    device = CoreDevice("pi", tmp_path / "root", 1, tmp_path)

    def following(cause: str, **add: str) -> str:
        named = {f"com.example.{name}": version for name, version in add.items()}
        wish = Wish(str(tmp_path), "art", named, configuration='{"x y": 1}', on_failure="nothing")
        state = LocalState("d", "FAILED", "", "FAILED_NO_STATE_CHANGE", cause)
        return folders.failure(device, wish, folder, state).remedy

    def line(*components: str) -> str:
        words = " ".join(f"--component com.example.{each}" for each in components)
        return (
            f"%ggml core deploy --thing pi --recipes {tmp_path} --artifacts art {words} "
            """--configuration '{"x y": 1}' --on-failure nothing"""
        )

    nowhere = "no version of {} fits: LOCAL_DEPLOYMENTS asks for it (deployable: none)"
    assert following(nowhere.format(A), Hello="9.9.9", Fan="1.0.0") == line(
        "Hello=1.10.0", "Fan=1.0.0"
    )
    assert following(nowhere.format("com.example.Helo"), Helo="1.0.0") == line("Hello=1.10.0")
    assert following(nowhere.format("com.example.Fan"), Fan="1.0.0") == f"ls {tmp_path}"
    assert following(nowhere.format(A), Hello="^1.0.0") == f"ls {tmp_path}"
    # an error within one recipe leads to its file, and to no other component
    bad = f"{A} 1.2.0: Lifecycle is no object"
    assert following(bad, Hello="1.2.0") == (
        f"mend {tmp_path / f'{A}-1.2.0.json'}, then {line('Hello=1.2.0')}"
    )
    bad = "/r/x.yaml cannot be used: the recipe is no object"
    assert following(bad, Bad="1.0.0") == f"mend /r/x.yaml, then {line('Bad=1.0.0')}"
    assert following("something else", Hello="1.2.0") == "%ggml core status --thing pi"
