"""Section 4: what stands for a placeholder in a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rules import rule

from ggml_magic.core import dialects, recipe
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.variables import Subject, Variables, fill, fill_configuration, fill_text
from tests.deploying import SUCCESSFUL, Scene, play

OWN = {
    "text": "t", "number": 3, "real": 1.5, "yes": True, "nothing": None, "list": ["x", {"y": 1}],
    "map": {"b": [1, 2], "a": "x"}, "thing": "{iot:thingName}", "dep": "{dep:configuration:/text}",
}  # fmt: skip


def subject(name: str, version: str, configuration: dict[str, Any]) -> Subject:
    tree = Tree()
    tree.merge((), configuration, 1)
    return Subject(name, version, tree)


def known(dialect: str = "classic") -> Variables:
    """What ``own`` 1.0.0 can ask for; its one dependency is ``dep`` 2.0.0."""
    dependency = subject("dep", "2.0.0", {"text": "theirs", "thing": "{iot:thingName}"})
    own = subject("own", "1.0.0", OWN)
    return Variables(Layout(Path("/gg")), "pi", own, {"dep": dependency}, dialect)


def filled(text: str, dialect: str = "classic") -> str:
    """A text in which nothing may be left over."""
    return fill_text(text, known(dialect), pytest.fail)


def left(text: str) -> list[str]:
    """The placeholders of a text that stay, all of them at their places."""
    told: list[str] = []
    assert fill_text(text, known(), told.append) == text
    return told


def is_left(placeholder: str) -> bool:
    return left(f"before {placeholder} after") == [placeholder]


# What they look like


@rule("4.01", "both", "{namespace:key} asks for something of the component itself.")
def test_rule_4_01_own() -> None:
    assert filled("{configuration:/text}") == "t"
    assert filled("{configuration:/text}", "lite") == "t"


@rule(
    "4.02", "classic", "{component:namespace:key} asks for the same of a dependency, HARD or SOFT."
)
def test_rule_4_02_of_a_dependency(tmp_path: Path) -> None:
    said = "{hard:configuration:/x} {soft:configuration:/x}"

    async def scene(at: Scene) -> None:
        for name in ("hard", "soft"):
            at.cloud.add(name, "1.0.0", {}, defaults={"x": name})
        at.cloud.add("app", "1.0.0", {"Setenv": {"said": said}}, needs={"hard": "*", "soft": "*"})
        needs = at.cloud.recipes["app"]["1.0.0"]["ComponentDependencies"]
        needs["soft"]["DependencyType"] = "SOFT"
        assert await at.deploy({"app": "1.0.0"}) == SUCCESSFUL
        lifecycle = at.held.contents.components["app"].lifecycle
        assert lifecycle["Setenv"]["said"] == "hard soft"

    play(tmp_path, scene)


@rule("4.03", "classic", "What a dependency depends on cannot be asked for.")
def test_rule_4_03_direct_only(tmp_path: Path) -> None:
    said = "{near:configuration:/x} {far:configuration:/x}"

    async def scene(at: Scene) -> None:
        at.cloud.add("far", "1.0.0", {}, defaults={"x": "far"})
        at.cloud.add("near", "1.0.0", {}, defaults={"x": "near"}, needs={"far": "*"})
        at.cloud.add("app", "1.0.0", {"Setenv": {"said": said}}, needs={"near": "*"})
        assert await at.deploy({"app": "1.0.0"}) == SUCCESSFUL
        lifecycle = at.held.contents.components["app"].lifecycle
        assert lifecycle["Setenv"]["said"] == "near {far:configuration:/x}"

    play(tmp_path, scene)


@rule(
    "4.04", "both", "A component and a namespace are letters, digits, dots, hyphens, underscores."
)
def test_rule_4_04_names() -> None:
    for text in ("{con figuration:/text}", "{config/uration:/text}", "{d ep:configuration:/text}"):
        assert left(text) == []
    assert is_left("{a.b-c_1:/text}")


@rule("4.05", "both", "A key holds neither a colon nor a closing brace.")
def test_rule_4_05_keys() -> None:
    assert left("{configuration:/a:b:c}") == []
    assert left("{configuration:/te}xt}") == ["{configuration:/te}"]


@rule("4.06", "both", "There is no way to write a placeholder that is not one.")
def test_rule_4_06_no_escape() -> None:
    assert filled(r"\{iot:thingName}") == r"\pi"
    assert filled("{{iot:thingName}}") == "{pi}"
    assert filled("${iot:thingName}") == "$pi"


@rule("4.07", "both", "Every occurrence is filled in.")
def test_rule_4_07_every_occurrence() -> None:
    assert filled("{iot:thingName}{iot:thingName} {iot:thingName}\n") == "pipi pi\n"


@rule("4.08", "both", "Text that was put in is not looked at again in the same pass.")
def test_rule_4_08_not_again() -> None:
    assert filled("{configuration:/thing}") == "{iot:thingName}"
    assert filled("{dep:configuration:/thing}") == "{iot:thingName}"


@rule("4.09", "classic", "The pass for the component itself comes before that for dependencies.")
def test_rule_4_09_two_passes() -> None:
    assert filled("{configuration:/dep}") == "theirs"


# What can be asked for


@rule("4.10", "both", "configuration: takes a JSON pointer; a single value is put in as its text.")
def test_rule_4_10_single_values() -> None:
    texts = {"text": "t", "number": "3", "real": "1.5", "yes": "true", "nothing": "null"}
    for key, text in texts.items():
        assert filled(f"{{configuration:/{key}}}") == text
    assert filled("{configuration:/map/b/1} {configuration:/list/1/y}") == "2 1"


@rule("4.11", "both", "A map or a list is put in as JSON without blanks, its keys in order.")
def test_rule_4_11_maps_and_lists() -> None:
    assert filled("{configuration:/map}") == '{"a":"x","b":[1,2]}'
    assert filled("{configuration:/list}") == '["x",{"y":1}]'


@rule("4.12", "both", "The empty pointer is the whole configuration.")
def test_rule_4_12_whole() -> None:
    small = Variables(Layout(Path("/gg")), "pi", subject("own", "1.0.0", {"b": 1, "a": {}}))
    assert fill_text("{configuration:}", small, pytest.fail) == '{"a":{},"b":1}'


@rule("4.13", "both", "artifacts:path is the folder of the version's artifacts.")
def test_rule_4_13_artifacts_path() -> None:
    assert filled("{artifacts:path}") == "/gg/packages/artifacts/own/1.0.0"
    assert filled("{dep:artifacts:path}") == "/gg/packages/artifacts/dep/2.0.0"


@rule("4.14", "both", "artifacts:decompressedPath is the folder of what was unpacked of them.")
def test_rule_4_14_decompressed_path() -> None:
    assert filled("{artifacts:decompressedPath}") == "/gg/packages/artifacts-unarchived/own/1.0.0"
    found = filled("{dep:artifacts:decompressedPath}")
    assert found == "/gg/packages/artifacts-unarchived/dep/2.0.0"


@rule("4.15", "both", "work:path is the component's own folder.")
def test_rule_4_15_work_path() -> None:
    assert filled("{work:path} {dep:work:path}") == "/gg/work/own /gg/work/dep"


@rule("4.16", "both", "kernel:rootPath is the core's root.")
def test_rule_4_16_root_path() -> None:
    for dialect in ("classic", "lite"):
        assert filled("{kernel:rootPath}", dialect) == "/gg"


@rule("4.17", "both", "iot:thingName is the device's thing.")
def test_rule_4_17_thing_name() -> None:
    for dialect in ("classic", "lite"):
        assert filled("{iot:thingName}", dialect) == "pi"


# What cannot be filled in


@rule("4.18", "classic", "A namespace or key that nobody knows is left as it is.")
def test_rule_4_18_unknown_namespace() -> None:
    for placeholder in ("{secret:path}", "{work:paths}", "{iot:region}", "{dep:secret:path}"):
        assert is_left(placeholder)


@rule("4.19", "classic", "A pointer to nothing is left as it is.")
def test_rule_4_19_missing_pointer() -> None:
    for key in ("/none", "/text/deeper", "/list/2", "no-slash"):
        assert is_left(f"{{configuration:{key}}}")
    assert is_left("{dep:configuration:/none}")


@rule("4.20", "classic", "What asks for a component that is no dependency is left as it is.")
def test_rule_4_20_stranger() -> None:
    assert is_left("{stranger:configuration:/text}")
    assert is_left("{stranger:work:path}")


@rule("4.21", "classic", "What is left is told to the log, and the deployment goes on.")
def test_rule_4_21_goes_on(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("app", "1.0.0", {"Setenv": {"said": "{stranger:work:path}"}})
        assert await at.deploy({"app": "1.0.0"}) == SUCCESSFUL
        lifecycle = at.held.contents.components["app"].lifecycle
        assert lifecycle["Setenv"]["said"] == "{stranger:work:path}"
        assert "{stranger:work:path} stays" in at.log.path.read_text()

    play(tmp_path, scene)


# Where they are filled in


@rule(
    "4.22", "both", "They are filled in anywhere in a lifecycle: scripts, Setenv, Skipif, Timeout."
)
def test_rule_4_22_lifecycle() -> None:
    written = {
        "Setenv": {"A": "{configuration:/text}"},
        "install": "echo {configuration:/text}",
        "run": {
            "Script": "run {configuration:/text}", "Timeout": "{configuration:/number}",
            "Skipif": "exists {work:path}/x", "Setenv": {"B": "{configuration:/number}"},
        },
    }  # fmt: skip
    found = recipe.lifecycle(fill(written, known(), pytest.fail))
    assert found.setenv == {"A": "t"}
    assert found.steps["install"].script == "echo t"
    assert found.steps["run"] == recipe.Step("run t", 3, "exists /gg/work/own/x", {"B": "3"})


async def configured(at: Scene, interpolates: bool) -> Any:
    """What a component has of a default and of a merged value."""
    at.cloud.add("app", "1.0.0", {}, defaults={"default": "{iot:thingName}"})
    switch = {"merge": {"interpolateComponentConfiguration": interpolates}}
    nucleus = {"aws.greengrass.Nucleus": {"version": "*", "configurationUpdate": switch}}
    await at.deploy(nucleus, group="thinggroup/g")
    update = {"merge": {"merged": "{iot:thingName}"}}
    await at.deploy({"app": {"version": "1.0.0", "configurationUpdate": update}})
    return at.configuration("app")


@rule(
    "4.23", "classic", "In configurations they are, if interpolateComponentConfiguration says so."
)
@pytest.mark.parametrize("interpolates", [True, False])
def test_rule_4_23_configurations(tmp_path: Path, interpolates: bool) -> None:
    async def scene(at: Scene) -> None:
        text = "pi" if interpolates else "{iot:thingName}"
        assert await configured(at, interpolates) == {"default": text, "merged": text}

    play(tmp_path, scene)


@rule("4.24", "classic", "There only what is the system's is filled in, no configuration:.")
def test_rule_4_24_no_configuration_in_configurations() -> None:
    told: list[str] = []
    written = {"a": "{configuration:/text} {iot:thingName} {kernel:rootPath} {work:path}"}
    found = fill_configuration(written, known(), told.append)
    assert found == {"a": "{configuration:/text} pi /gg /gg/work/own"}
    assert told == ["{configuration:/text}"]


# Nucleus lite


@rule("4.25", "lite", "Only what is the component's own can be asked for.")
def test_rule_4_25_lites_own_only() -> None:
    manifest = {"Platform": {"runtime": "*"}, "Lifecycle": {"run": "{dep:artifacts:path}/x"}}
    document = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": "a", "ComponentVersion": "1.0.0",
        "Manifests": [manifest],
    }  # fmt: skip
    (why,) = dialects.refusals(document, "lite")
    assert "{dep:artifacts:path} asks for another component" in why
    assert dialects.refusals(document, "classic") == ()


@rule("4.26", "lite", "The folders of work and artifacts end with a slash.")
def test_rule_4_26_lites_slashes() -> None:
    assert filled("{work:path}", "lite") == "/gg/work/own/"
    assert filled("{artifacts:path}", "lite") == "/gg/packages/artifacts/own/1.0.0/"
    found = filled("{artifacts:decompressedPath}", "lite")
    assert found == "/gg/packages/artifacts-unarchived/own/1.0.0/"


@rule("4.28", "both", "A path below the root finds a dependency's files on either nucleus.")
def test_rule_4_28_portable_spelling() -> None:
    written = "{kernel:rootPath}/packages/artifacts-unarchived/dep/2.0.0"
    assert filled(written) == filled(written, "lite") == filled("{dep:artifacts:decompressedPath}")
