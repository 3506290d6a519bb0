"""Section 1: what a recipe may say, which manifest fits a device, and what it then runs."""

from __future__ import annotations

import asyncio
import json
import os
import platform as machine
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from deploying import Scene, play
from rules import rule
from sandboxes import (
    REGION,
    Connect,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    unique,
)

from ggml_magic.core import dialects, nucleus, recipe
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Component, Contents
from ggml_magic.core.platforms import device_platform, matches
from ggml_magic.core.recipe import Recipe, RecipeError, Step
from ggml_magic.core.versions import fits
from ggml_magic.sandbox.endpoint import Endpoint

LINUX = {"os": "linux", "architecture": "amd64"}
LITE = {**LINUX, "runtime": "aws_nucleus_lite"}
RUNS = {"Lifecycle": {"run": "true"}}
# a manifest that only takes part by its selections
NEVER = {"Platform": {"os": "never"}}


def written(**changes: Any) -> dict[str, Any]:
    """A recipe of the fewest keys, with others or in place of them."""
    return {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.A",
        "ComponentVersion": "1.0.0", "Manifests": [RUNS], **changes,
    }  # fmt: skip


def parsed(**changes: Any) -> Recipe:
    return recipe.parse(json.dumps(written(**changes)))


def chosen(platform: Mapping[str, str] = LINUX, **changes: Any) -> dict[str, Any]:
    """The lifecycle that a device takes of a recipe."""
    return recipe.choose(parsed(**changes), platform)[0]


def artifact(**keys: Any) -> recipe.Artifact:
    manifest = {**RUNS, "Artifacts": [{"Uri": "s3://b/k/a.zip", **keys}]}
    return recipe.choose(parsed(Manifests=[manifest]), LINUX)[1][0]


def refused(match: str, **changes: Any) -> None:
    with pytest.raises(RecipeError, match=match):
        parsed(**changes)


def as_lite(**manifest: Any) -> tuple[str, ...]:
    """Why nucleus lite refuses a recipe that is good for it but for the change."""
    one = {"Platform": {"runtime": "*"}, **RUNS, **manifest}
    return dialects.refusals(written(Manifests=[one]), "lite")


# The keys


@rule("1.01", "classic", "The keys of a recipe may be written in any case.")
def test_rule_1_01_keys_in_any_case() -> None:
    document = {key.swapcase(): value for key, value in written().items()}
    manifest = {"lifecycle": {"RUN": "x"}, "aRTIFACTS": [{"uri": "s3://b/k"}]}
    found = recipe.parse(json.dumps({**document, "mANIFESTS": [manifest]}))
    assert (found.name, found.version) == ("com.example.A", "1.0.0")
    assert recipe.choose(found, LINUX) == ({"RUN": "x"}, (recipe.Artifact("s3://b/k"),))


@rule("1.02", "classic", "Words that a recipe chooses from a list may be written in any case.")
def test_rule_1_02_words_in_any_case() -> None:
    found = artifact(Unarchive="zip", Algorithm="sha-256", Permission={"Read": "All"})
    assert (found.unarchive, found.algorithm, found.read) == ("ZIP", "SHA-256", "ALL")
    needs = {"b": {"VersionRequirement": "*", "DependencyType": "soft"}}
    assert not parsed(ComponentDependencies=needs).dependencies[0].hard
    assert parsed(ComponentType="AWS.Greengrass.Plugin").kind == "aws.greengrass.plugin"


@rule("1.03", "classic", "A key that nobody knows is passed over.")
def test_rule_1_03_unknown_keys() -> None:
    assert chosen(Colour="red", Manifests=[{**RUNS, "Colour": 1}]) == {"run": "true"}


@rule(
    "1.04",
    "lite",
    "Keys and words count in one case only: a recipe's keys capitalised, its steps in lower case.",
)
def test_rule_1_04_lites_exact_case() -> None:
    assert as_lite() == ()
    assert "run for Run" in as_lite(Lifecycle={"Run": "x"})[0]
    assert "exact case, ZIP" in as_lite(Artifacts=[{"Uri": "s3://b/k", "Unarchive": "zip"}])[0]
    lower = {key.lower(): value for key, value in written().items()}
    assert any("ComponentName for componentname" in why for why in dialects.refusals(lower, "lite"))


@rule("1.05", "both", "There is one format of recipes, that of 2020-01-25.")
def test_rule_1_05_format() -> None:
    refused("RecipeFormatVersion 2020-01-25", RecipeFormatVersion="2021-01-25")


@rule("1.06", "both", "A name is 1 to 128 letters, digits, hyphens, underscores and dots.")
def test_rule_1_06_name() -> None:
    for name in ("a", "com.example-1_B", "x" * 128):
        assert parsed(ComponentName=name).name == name
    for name in ("", "x" * 129, "a b", "a/b", "ä"):
        refused("ComponentName", ComponentName=name)


@rule("1.07", "both", "A version is a semantic one of at most 64 characters.")
def test_rule_1_07_version() -> None:
    for version in ("0.0.1", "1.2.3-rc.1+build", "1.0.0-" + "x" * 58):
        assert parsed(ComponentVersion=version).version == version
    for version in ("1.0", "v1.0.0", "01.0.0", "1.0.0-" + "x" * 59):
        refused("no semantic version", ComponentVersion=version)


@rule("1.08", "both", "None of a version's three numbers is higher than 999999.")
def test_rule_1_08_numbers_of_a_version() -> None:
    assert parsed(ComponentVersion="999999.999999.999999")
    for version in ("1000000.0.0", "0.1000000.0", "0.0.1000000"):
        refused("999999", ComponentVersion=version)


@rule(
    "1.09", "both", "A component is generic, a lambda, a plugin or a nucleus; generic unless said."
)
def test_rule_1_09_type() -> None:
    assert parsed().kind == "aws.greengrass.generic"
    for kind in ("generic", "lambda", "plugin", "nucleus"):
        assert parsed(ComponentType=f"aws.greengrass.{kind}").kind == f"aws.greengrass.{kind}"
    refused("ComponentType", ComponentType="aws.greengrass.other")


@rule("1.10", "both", "A recipe may tell its description, publisher and source.")
def test_rule_1_10_descriptions() -> None:
    found = parsed(ComponentDescription="d", ComponentPublisher="p", ComponentSource="s")
    assert (found.description, found.publisher, found.source) == ("d", "p", "s")
    assert parsed().description == parsed().publisher == parsed().source == ""


@rule("1.11", "both", "The default configuration holds any JSON, whose keys keep their case.")
def test_rule_1_11_default_configuration() -> None:
    any_json = {"Text": "", "no": None, "list": [1, {"x": []}], "deep": {"Yes": True, "n": 1.5}}
    found = parsed(ComponentConfiguration={"DefaultConfiguration": any_json})
    assert found.defaults == any_json


@rule("1.12", "both", "A dependency must say which versions will do.")
def test_rule_1_12_version_requirement() -> None:
    found = parsed(ComponentDependencies={"b": {"VersionRequirement": "^1.0.0"}})
    assert found.dependencies == (recipe.Dependency("b", "^1.0.0"),)
    refused("b has no VersionRequirement", ComponentDependencies={"b": {}})


@rule("1.13", "both", "A dependency is HARD or SOFT; HARD unless it says so.")
def test_rule_1_13_dependency_type() -> None:
    types: tuple[dict[str, str], ...] = ({}, {"DependencyType": "HARD"}, {"DependencyType": "SOFT"})
    needs = {f"c{at}": {"VersionRequirement": "*", **each} for at, each in enumerate(types)}
    found = parsed(ComponentDependencies=needs).dependencies
    assert [each.hard for each in found] == [True, True, False]
    other = {"b": {"VersionRequirement": "*", "DependencyType": "FIRM"}}
    refused("none of HARD, SOFT", ComponentDependencies=other)


@rule("1.14", "classic", "A recipe without a single manifest cannot be loaded.")
def test_rule_1_14_manifests() -> None:
    for manifests in ([], None):
        refused("at least one", Manifests=manifests)


@rule("1.15", "both", "None of the manifests is null.")
def test_rule_1_15_no_null_manifest() -> None:
    refused(r"Manifests\[1\]", Manifests=[RUNS, None])


@rule("1.16", "both", "A manifest may leave out all it can hold: platform, lifecycle, artifacts.")
def test_rule_1_16_manifest() -> None:
    assert recipe.choose(parsed(Manifests=[{}]), LINUX) == ({}, ())
    assert chosen(Manifests=[{"Name": "mine", "Selections": ["x"], **RUNS}]) == {"run": "true"}


@rule("1.17", "both", "A platform may name keys that only this device knows.")
def test_rule_1_17_own_keys_of_a_platform() -> None:
    wanted = {"os": "linux", "site": "roof", "runtime": "*"}
    for platform in (LINUX, LITE):
        assert matches(wanted, {**platform, "site": "roof"})
        assert not matches(wanted, {**platform, "site": "cellar"})


@rule("1.18", "classic", "The place of an artifact is its Uri, in any case, as URI too.")
def test_rule_1_18_uri_in_any_case() -> None:
    for key in ("Uri", "URI", "uri"):
        manifest = {**RUNS, "Artifacts": [{key: "s3://b/k"}]}
        assert recipe.choose(parsed(Manifests=[manifest]), LINUX)[1][0].uri == "s3://b/k"


@rule("1.19", "lite", "The place of an artifact is read from Uri, spelt so.")
def test_rule_1_19_lites_uri() -> None:
    assert as_lite(Artifacts=[{"Uri": "s3://b/k"}]) == ()
    assert "Uri for URI" in as_lite(Artifacts=[{"URI": "s3://b/k"}])[0]


@rule("1.20", "both", "The algorithm of a digest is SHA-256, there is no other.")
def test_rule_1_20_algorithm() -> None:
    found = artifact(Digest="ZGln", Algorithm="SHA-256")
    assert (found.digest, found.algorithm) == ("ZGln", "SHA-256")
    with pytest.raises(RecipeError, match="Algorithm 'MD5'"):
        artifact(Digest="ZGln", Algorithm="MD5")


@rule("1.21", "both", "An artifact is unpacked when it says ZIP; NONE is the default.")
def test_rule_1_21_unarchive() -> None:
    assert (artifact().unarchive, artifact(Unarchive="ZIP").unarchive) == ("NONE", "ZIP")
    with pytest.raises(RecipeError, match="none of NONE, ZIP"):
        artifact(Unarchive="TAR")


@rule("1.22", "both", "Who may read an artifact is NONE, OWNER or ALL; OWNER unless said.")
def test_rule_1_22_read() -> None:
    for word in ("NONE", "OWNER", "ALL"):
        assert artifact(Permission={"Read": word}).read == word
    assert artifact().read == artifact(Permission={"Execute": "ALL"}).read == "OWNER"


@rule("1.23", "both", "Who may execute an artifact is NONE, OWNER or ALL; NONE unless said.")
def test_rule_1_23_execute() -> None:
    for word in ("NONE", "OWNER", "ALL"):
        assert artifact(Permission={"Execute": word}).execute == word
    assert artifact().execute == artifact(Permission={"Read": "ALL"}).execute == "NONE"


# How it is written


@rule("1.24", "both", "A recipe is JSON or YAML.")
def test_rule_1_24_json_or_yaml() -> None:
    as_yaml = yaml.safe_dump(written(ComponentPublisher="p"))
    assert recipe.parse(as_yaml) == parsed(ComponentPublisher="p")


@pytest.mark.real
@rule("1.25", "both", "The cloud hands a device JSON, whatever the recipe was written in.")
def test_rule_1_25_json_from_the_cloud(aws: Connect, endpoint: Endpoint, tmp_path: Path) -> None:
    name = unique("com.example.Yaml")
    manifest = {"Platform": {"os": "linux"}, **RUNS}
    text = yaml.safe_dump(written(ComponentName=name, Manifests=[manifest]))
    aws("greengrassv2").create_component_version(inlineRecipe=text.encode())
    file = tmp_path / "endpoint.json"
    file.write_text(json.dumps({"url": endpoint.url}))
    candidate = asyncio.run(Cloud("pi", file, REGION).resolve(LINUX, name, {"thing/pi": "*"}))
    assert json.loads(candidate.recipe)["ComponentName"] == name


TYPED = {"interval": 3, "quiet": False}


@rule("1.26", "lite", "All single values of a YAML recipe become text.")
def test_rule_1_26_yaml_is_text_on_lite() -> None:
    document = yaml.safe_dump(written(ComponentConfiguration={"DefaultConfiguration": TYPED}))
    assert recipe.parse(document, "lite").defaults == {"interval": "3", "quiet": "false"}
    assert recipe.parse(document, "classic").defaults == TYPED


@rule("1.27", "both", "The values of a JSON recipe keep their types.")
def test_rule_1_27_types_of_json() -> None:
    document = json.dumps(written(ComponentConfiguration={"DefaultConfiguration": TYPED}))
    for dialect in ("classic", "lite"):
        assert recipe.parse(document, dialect).defaults == TYPED


@rule("1.28", "lite", "A recipe has at most 16 KiB.")
def test_rule_1_28_lites_size() -> None:
    def sized(size: int) -> bytes:
        manifest = {"Platform": {"runtime": "*"}, **RUNS}
        text = json.dumps(written(Manifests=[manifest])).encode()
        return text + b" " * (size - len(text))

    dialects.check(sized(16 * 1024), "lite")
    with pytest.raises(RecipeError, match="16384"):
        dialects.check(sized(16 * 1024 + 1), "lite")
    dialects.check(sized(16 * 1024 + 1), "classic")


# Steps


@rule("1.29", "classic", "The names of steps count in any case.")
def test_rule_1_29_steps_in_any_case() -> None:
    found = recipe.lifecycle({"RUN": "r", "install": "i", "sHUTDOWN": "s"})
    assert {name: step.script for name, step in found.steps.items()} == {
        "run": "r", "install": "i", "shutdown": "s"
    }  # fmt: skip


@rule(
    "1.30", "both", "Steps are bootstrap, install, startup, run, shutdown, uninstall and recover."
)
def test_rule_1_30_steps() -> None:
    names = {"bootstrap", "install", "startup", "run", "shutdown", "uninstall", "recover"}
    found = recipe.lifecycle({**dict.fromkeys(names, "x"), "Dance": "x"})
    assert set(found.steps) == {name.lower() for name in names}


@rule("1.31", "both", "Beside the steps, Setenv gives all of them variables.")
def test_rule_1_31_setenv() -> None:
    found = recipe.lifecycle({"Setenv": {"Rate": 5}, "run": "x"})
    assert (dict(found.setenv), set(found.steps)) == ({"Rate": "5"}, {"run"})


@rule("1.32", "classic", "The spellings setEnv and script of AWS's own recipes are taken.")
def test_rule_1_32_setenv_and_script_as_aws_writes_them() -> None:
    found = recipe.lifecycle({"setEnv": {"A": "1"}, "run": {"script": "x", "setEnv": {"B": "2"}}})
    assert (found.setenv, found.steps["run"]) == ({"A": "1"}, Step("x", setenv={"B": "2"}))


def step(**keys: Any) -> Step:
    return recipe.lifecycle({"run": {"Script": "x", **keys}}).steps["run"]


@rule("1.33", "both", "A step is its script, or the script with how it shall run.")
def test_rule_1_33_step() -> None:
    assert recipe.lifecycle({"run": "x"}).steps["run"] == Step("x")
    full = step(Timeout=9, Skipif="onpath y", Setenv={"A": "1"}, RequiresPrivilege=True)
    assert full == Step("x", 9, "onpath y", {"A": "1"}, privileged=True)


@rule("1.34", "both", "A step wants privilege by true, or by the text of it.")
def test_rule_1_34_privilege() -> None:
    assert step(RequiresPrivilege=True).privileged
    assert step(RequiresPrivilege="true").privileged
    for said in (False, "false", "yes", None):
        assert not step(RequiresPrivilege=said).privileged


@rule("1.35", "both", "The numbers of a step may be texts.")
def test_rule_1_35_numbers_as_text() -> None:
    assert step(Timeout="900") == step(Timeout=900) == Step("x", 900)


# Platforms


@rule("1.36", "both", "The first manifest in their order that fits the device is taken.")
def test_rule_1_36_first_that_fits() -> None:
    def manifest(name: str, **platform: str) -> dict[str, Any]:
        return {"Platform": {"runtime": "*", **platform}, "Lifecycle": {"run": name}}

    manifests = [manifest("w", os="windows"), manifest("first", os="linux"), manifest("second")]
    for platform in (LINUX, LITE):
        assert chosen(platform, Manifests=manifests) == {"run": "first"}


@rule("1.37", "both", "A manifest fits when every entry of its platform does.")
def test_rule_1_37_every_entry() -> None:
    good = {"os": "linux", "architecture": "amd64", "runtime": "*"}
    for platform in (LINUX, LITE):
        assert matches(good, platform)
        for key in ("os", "architecture"):
            assert not matches({**good, key: "other"}, platform)


@rule("1.38", "classic", "A manifest without a platform, or with an empty one, fits every device.")
def test_rule_1_38_no_platform() -> None:
    manifest = {"Lifecycle": {"run": "x"}}
    for each in (manifest, {**manifest, "Platform": {}}):
        assert chosen({"os": "plan9"}, Manifests=[each]) == {"run": "x"}


@rule("1.39", "classic", "An entry of null or * fits, even where the device has no such key.")
def test_rule_1_39_star() -> None:
    assert matches({"os": "*", "site": "*"}, LINUX)
    assert matches({"os": None, "site": None}, LINUX)


@rule("1.40", "both", "Any other entry fits no device that lacks its key.")
def test_rule_1_40_missing_key() -> None:
    for value in ("roof", "all", "any", "/.*/"):
        assert not matches({"site": value}, LINUX)
        assert not matches({"site": value, "runtime": "*"}, LITE)


@rule("1.41", "classic", "A value between slashes is a regular expression for the whole.")
def test_rule_1_41_regular_expression() -> None:
    assert matches({"os": "/darwin|lin.*/"}, LINUX)
    assert not matches({"os": "/lin/"}, LINUX)


@rule("1.42", "both", "As os or architecture, all and any fit every device.")
def test_rule_1_42_all_and_any() -> None:
    for word in ("all", "any"):
        assert matches({"os": word, "architecture": word}, LINUX)
        assert matches({"os": word, "architecture": word, "runtime": "*"}, LITE)
        assert not matches({"site": word}, {"site": "roof"})


@rule("1.43", "both", "A value that begins with neither a letter nor a digit fits nothing.")
def test_rule_1_43_odd_beginnings() -> None:
    for value in ("-x", "_x", ".x", "ä", ""):
        assert not matches({"site": value}, {"site": value})


@rule("1.44", "both", "Other values are compared letter by letter.")
def test_rule_1_44_equality() -> None:
    assert matches({"os": "linux"}, LINUX)
    for value in ("Linux", "linu", "linux "):
        assert not matches({"os": value}, LINUX)


def on_a(kind: str, monkeypatch: pytest.MonkeyPatch, dialect: str = "classic") -> dict[str, str]:
    """How a device of another processor describes itself."""
    monkeypatch.setattr(machine, "machine", lambda: kind)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=kind))
    return device_platform(dialect=dialect)


@rule("1.45", "both", "A device's os is linux, or darwin on a Mac.")
def test_rule_1_45_os(monkeypatch: pytest.MonkeyPatch) -> None:
    for kernel in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", kernel)
        assert device_platform()["os"] == kernel


@rule("1.47", "both", "A device's architecture is amd64, x86, arm or aarch64.")
def test_rule_1_47_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"x86_64": "amd64", "i686": "x86", "armv7l": "arm", "aarch64": "aarch64"}
    for kind, name in names.items():
        for dialect in ("classic", "lite"):
            assert on_a(kind, monkeypatch, dialect)["architecture"] == name


@rule("1.48", "both", "Only a device of ARM tells the architecture's detail.")
def test_rule_1_48_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_a("armv7l", monkeypatch)["architecture.detail"] == "armv7l"
    assert on_a("aarch64", monkeypatch)["architecture.detail"] == "aarch64"
    assert "architecture.detail" not in on_a("x86_64", monkeypatch)


@rule("1.49", "classic", "A device has no runtime: * fits it, the name of lite does not.")
def test_rule_1_49_no_runtime() -> None:
    assert "runtime" not in device_platform()
    assert matches({"runtime": "*"}, device_platform())
    assert not matches({"runtime": "aws_nucleus_lite"}, device_platform())


def own_layout(root: Path) -> Layout:
    made = Layout(root)
    made.make()
    return made


@rule("1.50", "lite", "A device's runtime is aws_nucleus_lite.")
def test_rule_1_50_runtime_of_lite(tmp_path: Path) -> None:
    layout = own_layout(tmp_path)
    nucleus.dialect(layout, "lite")
    assert nucleus.read(layout, Contents()).platform["runtime"] == "aws_nucleus_lite"


@rule("1.51", "lite", "A manifest must name the runtime of lite, or * for every runtime.")
def test_rule_1_51_runtime_must_be_named() -> None:
    assert matches({"runtime": "*"}, LITE)
    assert matches({"runtime": "aws_nucleus_lite"}, LITE)
    for platform in ({}, {"os": "linux"}, {"runtime": None}, {"runtime": "other"}):
        assert not matches(platform, LITE)
    assert "runtime" in as_lite(Platform={"os": "linux"})[0]


@rule("1.52", "lite", "There are no regular expressions.")
def test_rule_1_52_no_regular_expression_on_lite() -> None:
    assert not matches({"runtime": "*", "os": "/linux/"}, LITE)
    assert "regular" in as_lite(Platform={"runtime": "*", "os": "/linux/"})[0]


@rule("1.53", "both", "The nucleus's platformOverride adds keys to the device's and replaces them.")
def test_rule_1_53_platform_override(tmp_path: Path) -> None:
    layout, tree = own_layout(tmp_path), Tree()
    tree.merge((), {"platformOverride": {"os": "vxworks", "site": "roof"}}, 1)
    for dialect, name in (("classic", "Nucleus"), ("lite", "NucleusLite")):
        nucleus.dialect(layout, dialect)
        held = Contents({}, {f"aws.greengrass.{name}": Component("2.0.0", {}, (), tree)})
        found = nucleus.read(layout, held).platform
        assert (found["os"], found["site"]) == ("vxworks", "roof")
        assert found["architecture"] == device_platform()["architecture"]


@rule("1.54", "both", "A recipe without a manifest that fits fails the deployment.")
def test_rule_1_54_no_manifest_fits(tmp_path: Path) -> None:
    manifest = {"Platform": {"os": "windows"}, **RUNS}

    async def scene(at: Scene) -> None:
        at.cloud.recipes["a"] = {"1.0.0": written(ComponentName="a", Manifests=[manifest])}
        result = await at.deploy({"a": "1.0.0"})
        assert result.detail == "FAILED_NO_STATE_CHANGE"
        assert "no manifest of a 1.0.0 fits os=" in result.cause
        assert "NO_AVAILABLE_COMPONENT_VERSION" in result.errors

    play(tmp_path, scene)


# Which lifecycle


@rule("1.55", "classic", "A manifest's own lifecycle is used whole, and the global one not at all.")
def test_rule_1_55_own_lifecycle() -> None:
    own = {"run": {"all": "not a keyword here"}}
    manifest = {"Lifecycle": own, "Selections": ["fast"]}
    assert chosen(Manifests=[manifest], Lifecycle={"fast": {"install": "i"}, "run": "r"}) == own


@rule("1.56", "classic", "Without one, the manifest's selections pick from the global lifecycle.")
def test_rule_1_56_global_lifecycle() -> None:
    lifecycle = {"fast": {"run": "f"}, "all": {"run": "a"}}
    for own in ({}, {"Lifecycle": {}}, {"Lifecycle": None}):
        manifest = {"Selections": ["fast"], **own}
        assert chosen(Manifests=[manifest], Lifecycle=lifecycle) == {"run": "f"}


@rule("1.57", "classic", "Keywords are the selections of all manifests, and the word all.")
def test_rule_1_57_keywords() -> None:
    manifests = [{**NEVER, "Selections": ["slow"]}, {"Selections": ["fast"]}]
    lifecycle = {"run": {"slow": "s"}, "install": {"all": "i"}}
    # slow is a keyword of another manifest, so this one has no Run
    assert chosen(Manifests=manifests, Lifecycle=lifecycle) == {"install": "i"}
    # without that manifest it is a key as any other
    found = chosen(Manifests=manifests[1:], Lifecycle=lifecycle)
    assert found == {"run": {"slow": "s"}, "install": "i"}


@rule("1.58", "classic", "Where keywords stand, the first of the manifest's selections is taken.")
def test_rule_1_58_first_selection() -> None:
    lifecycle = {"fast": {"run": "f"}, "slow": {"run": "s"}, "all": {"run": "a"}}
    for selections, taken in ((["slow", "fast"], "s"), (["none", "fast", "slow"], "f")):
        assert chosen(Manifests=[{"Selections": selections}], Lifecycle=lifecycle) == {"run": taken}


@rule("1.59", "classic", "Where none of its selections stands, the key all is taken.")
def test_rule_1_59_all() -> None:
    lifecycle = {"fast": {"run": "f"}, "all": {"run": "a"}}
    for manifest in ({"Selections": ["slow"]}, {}):
        manifests = [{**NEVER, "Selections": ["fast"]}, manifest]
        assert chosen(Manifests=manifests, Lifecycle=lifecycle) == {"run": "a"}


@rule("1.60", "classic", "Where the key all is missing too, nothing of that part remains.")
def test_rule_1_60_dropped() -> None:
    manifests = [{**NEVER, "Selections": ["fast"]}, {}]
    lifecycle = {"run": {"fast": "f"}, "install": "i"}
    assert chosen(Manifests=manifests, Lifecycle=lifecycle) == {"install": "i"}


@rule("1.61", "classic", "What stands beside a keyword without being one is ignored.")
def test_rule_1_61_siblings() -> None:
    lifecycle = {"all": {"run": "a"}, "install": "beside"}
    assert chosen(Manifests=[{}], Lifecycle=lifecycle) == {"run": "a"}


@rule("1.62", "classic", "Selections pick at the top, below the steps and inside what they picked.")
def test_rule_1_62_at_any_level() -> None:
    steps = {"run": {"Script": {"fast": "f", "all": "a"}}, "install": {"all": "i"}}
    found = chosen(Manifests=[{"Selections": ["fast"]}], Lifecycle={"fast": steps})
    assert found == {"run": {"Script": "f"}, "install": "i"}


@rule("1.63", "classic", "An empty lifecycle is a good one: the component is finished at once.")
def test_rule_1_63_empty_lifecycle(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        nothing = written(ComponentName="a", Manifests=[{}], Lifecycle={"all": {}})
        at.cloud.recipes["a"] = {"1.0.0": nothing}
        assert (await at.deploy({"a": "1.0.0"})).detail == "SUCCESSFUL"
        assert at.running() == {"a": "1.0.0 FINISHED"}

    play(tmp_path, scene)


# Ranges of versions


def meets(requirement: str, *versions: str) -> list[bool]:
    return [fits(version, [requirement]) for version in versions]


@rule("1.64", "both", "A requirement names a version or compares; a space means both of two.")
def test_rule_1_64_comparators() -> None:
    assert meets("1.0.0", "1.0.0", "1.0.1") == [True, False]
    assert meets(">1.0.0", "1.0.0", "1.0.1") == [False, True]
    found = meets(">=1.0.0 <2.0.0", "0.9.9", "1.0.0", "1.9.9", "2.0.0")
    assert found == [False, True, True, False]


@rule("1.65", "both", "Two bars mean either of two requirements.")
def test_rule_1_65_either() -> None:
    assert meets("<1.0.0 || 2.0.0", "0.5.0", "1.0.0", "2.0.0") == [True, False, True]


@rule("1.66", "both", "^ lets all grow that follows the first number which is not 0.")
def test_rule_1_66_caret() -> None:
    assert meets("^1.2.3", "1.2.2", "1.2.3", "1.9.0", "2.0.0") == [False, True, True, False]
    assert meets("^0.2.3", "0.2.9", "0.3.0") == [True, False]


@rule("1.67", "both", "~ lets the last number grow.")
def test_rule_1_67_tilde() -> None:
    assert meets("~1.2.3", "1.2.2", "1.2.3", "1.2.9", "1.3.0") == [False, True, True, False]


@rule("1.68", "both", "x and * stand for any number.")
def test_rule_1_68_any_number() -> None:
    for requirement in ("1.x", "1.X", "1.*", "1"):
        assert meets(requirement, "0.9.0", "1.0.0", "1.9.9", "2.0.0") == [False, True, True, False]
    assert meets("*", "0.0.0", "999999.0.0") == [True, True]


@rule("1.69", "both", "A hyphen between two versions means all from one to the other.")
def test_rule_1_69_hyphen() -> None:
    assert meets("1.2.0 - 1.4.0", "1.1.9", "1.2.0", "1.4.0", "1.4.1") == [False, True, True, False]


@rule("1.70", "both", "What a deployment says as a component's version is a requirement too.")
def test_rule_1_70_version_of_a_root(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        for version in ("1.0.0", "1.4.0", "2.0.0"):
            at.cloud.add("a", version, {})
        for asked, taken in (("^1.0.0", "1.4.0"), ("1.0.0", "1.0.0")):
            await at.deploy({"a": asked})
            assert at.running() == {"a": f"{taken} FINISHED"}

    play(tmp_path, scene)
