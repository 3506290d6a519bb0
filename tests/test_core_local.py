"""What a local deployment asks for (EDGE-CORE 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.core import local
from ggml_magic.core.local import RequestError, RunWith, Update
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS, Limits

A, B, C = "com.example.A", "com.example.B", "com.example.C"
NAMES = st.sampled_from([A, B, C, "d", "e"])
ROOTS = st.dictionaries(NAMES, st.sampled_from(["1.0.0", "2.0.0", "^1.0.0"]))


def test_all_of_a_request_is_read(tmp_path: Path) -> None:
    found = local.parse({
        "groupName": "roof", "failureHandlingPolicy": "DO_NOTHING",
        "rootComponentVersionsToAdd": {A: "1.0.0", B: "^1.2"}, "rootComponentsToRemove": [C],
        "componentToConfiguration": {A: {"MERGE": {"x": {"y": 1}}, "RESET": ["/z", ""]}, B: None},
        "componentToRunWithInfo": {
            A: {"posixUser": "me:us", "systemResourceLimits": {"memory": 1024.0, "cpus": 0.5}},
            B: {"windowsUser": "x"},
        },
        "recipeDirectoryPath": str(tmp_path), "artifactsDirectoryPath": str(tmp_path),
    })  # fmt: skip
    assert found.group == "thinggroup/roof"
    assert (found.add, found.remove) == ({A: "1.0.0", B: "^1.2"}, (C,))
    assert found.configuration == {A: Update({"x": {"y": 1}}, ("/z", ""))}
    assert found.run_with == {A: RunWith("me:us", Limits(0.5, 1024)), B: RunWith()}
    assert (found.recipes, found.artifacts) == (tmp_path, tmp_path)
    assert not found.rolls_back


def test_an_empty_request_changes_nothing_of_the_local_group() -> None:
    found = local.parse({"groupName": None, "rootComponentVersionsToAdd": None})
    assert (found.group, found.rolls_back) == (LOCAL_DEPLOYMENTS, True)
    document = local.document(found, "d", 5, {A: "1.0.0"})
    assert {name: wanted.version for name, wanted in document.components.items()} == {A: "1.0.0"}
    # nobody is asked: a person is waiting (SKIP_NOTIFY)
    assert (document.notify, document.timestamp, document.rolls_back) == (False, 5, True)
    # what is not said of a component's user stays as it is
    assert document.components[A].run_with is None
    assert document.components[A].limits is None


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"groupName": "a/b"}, "no name of a thing group"),
        ({"groupName": 5}, "groupName is no string"),
        ({"failureHandlingPolicy": "PRAY"}, "one of ROLLBACK, DO_NOTHING"),
        ({"rootComponentVersionsToAdd": [A]}, "no object"),
        ({"rootComponentVersionsToAdd": {"../../x": "1.0.0"}}, "no name of a component"),
        ({"rootComponentVersionsToAdd": {"a/b": "1.0.0"}}, "no name of a component"),
        ({"rootComponentVersionsToAdd": {"x" * 5000: "1.0.0"}}, "no name of a component"),
        ({"rootComponentVersionsToAdd": {A: "one"}}, "no version of"),
        ({"rootComponentVersionsToAdd": {A: 1}}, "no version of"),
        ({"rootComponentVersionsToAdd": {f"c{n}": "1.0.0" for n in range(2000)}}, "up to 1000"),
        ({"rootComponentsToRemove": A}, "no list"),
        ({"rootComponentsToRemove": ["/"]}, "no name of a component"),
        ({"componentToConfiguration": {A: {"merge": {}}}}, "other keys than MERGE and RESET"),
        ({"componentToConfiguration": {A: {"MERGE": [1]}}}, "MERGE of com.example.A is no object"),
        ({"componentToConfiguration": {A: {"RESET": "/x"}}}, "no list of JSON pointers"),
        ({"componentToRunWithInfo": {A: "me"}}, "no object"),
        ({"componentToRunWithInfo": {A: {"systemResourceLimits": 5}}}, "no object"),
        ({"componentToRunWithInfo": {A: {"systemResourceLimits": {"cpus": 0}}}}, "above 0"),
        ({"componentToRunWithInfo": {A: {"systemResourceLimits": {"memory": "1"}}}}, "above 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        local.parse(request_)
    assert caught.value.shape == "InvalidArgumentsError"
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


def test_a_folder_must_be_one_and_absolute(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for key, shape in local.FOLDER_ERRORS.items():
        for text in ("recipes", str(file), str(tmp_path / "none"), "/x\0y"):
            with pytest.raises(RequestError) as caught:
                local.check_folders(local.parse({key: text}))
            assert caught.value.shape == shape


def test_only_roots_are_configured() -> None:
    asked = local.parse({
        "rootComponentsToRemove": [A], "componentToConfiguration": {A: {"MERGE": {"x": 1}}},
    })  # fmt: skip
    with pytest.raises(RequestError, match="no root component of LOCAL_DEPLOYMENTS"):
        local.document(asked, "d", 1, {A: "1.0.0"})


@given(ROOTS, ROOTS, st.lists(NAMES))
def test_roots_are_those_before_less_the_removed_with_the_added(
    present: dict[str, str], added: dict[str, str], removed: list[str]
) -> None:
    asked = local.parse({"rootComponentVersionsToAdd": added, "rootComponentsToRemove": removed})

    def after(roots: dict[str, str]) -> dict[str, str]:
        document = local.document(asked, "d", 1, roots)
        return {name: wanted.version for name, wanted in document.roots.items()}

    found = after(present)
    kept = {name: version for name, version in present.items() if name not in removed}
    assert found == {**kept, **added}
    # taken up again by a core that was killed after it was done, it says the same
    assert after(found) == found
