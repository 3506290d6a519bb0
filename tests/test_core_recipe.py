"""Recipes (EDGE-CORE 1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import recipe
from ggml_magic.core.recipe import Artifact, Dependency, RecipeError, Step

LINUX = {"os": "linux", "architecture": "amd64"}


def written(**changes: Any) -> dict[str, Any]:
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "com.example.A",
        "ComponentVersion": "1.0.0",
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Run": "true"}}],
        **changes,
    }


def chosen(document: dict[str, Any], platform: dict[str, str] = LINUX) -> Any:
    return recipe.choose(recipe.parse(json.dumps(document)), platform)


def test_keys_and_enums_are_read_in_any_case() -> None:
    document = {
        "recipeformatversion": "2020-01-25",
        "COMPONENTNAME": "com.example.A",
        "componentVersion": "1.0.0",
        "componentConfiguration": {"defaultConfiguration": {"Keep": {"Case": 1}}},
        "componentdependencies": {
            "b": {"versionrequirement": "^1.0", "dependencytype": "soft"},
            "c": {"VersionRequirement": "*"},
        },
        "manifests": [
            {
                "artifacts": [
                    {
                        "URI": "s3://b/k/a.zip",
                        "unarchive": "zip",
                        "digest": "d",
                        "algorithm": "SHA-256",
                        "permission": {"read": "all"},
                    }
                ],
                "lifecycle": {"setEnv": {"K": 1}, "run": {"script": "x", "timeout": "9"}},
            }
        ],
        "unknown": "ignored",
    }
    found = recipe.parse(json.dumps(document))
    assert (found.name, found.version) == ("com.example.A", "1.0.0")
    assert found.defaults == {"Keep": {"Case": 1}}
    assert found.dependencies == (Dependency("b", "^1.0", hard=False), Dependency("c", "*"))
    lifecycle, artifacts = recipe.choose(found, LINUX)
    assert artifacts == (Artifact("s3://b/k/a.zip", "d", "SHA-256", "ZIP", "ALL"),)
    parsed = recipe.lifecycle(lifecycle)
    assert parsed.setenv == {"K": "1"}
    assert parsed.steps == {"run": Step("x", 9.0)}


MANIFEST = {"Platform": {"os": "linux"}, "Lifecycle": {"Run": "true"}}
FILE = {"Uri": "s3://b/k/a.zip"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"RecipeFormatVersion": "2021-01-01"}, "RecipeFormatVersion"),
        ({"ComponentName": ""}, "no ComponentName"),
        ({"ComponentName": "a b"}, "1 to 128 letters"),
        ({"ComponentName": ".."}, "1 to 128 letters"),
        ({"ComponentName": "a/../b"}, "1 to 128 letters"),
        ({"ComponentName": "a" * 129}, "1 to 128 letters"),
        ({"ComponentName": {"a": 1}}, "ComponentName is no text"),
        ({"ComponentVersion": "1.0"}, "no semantic version"),
        ({"ComponentVersion": "1.0.1000000"}, "no semantic version"),
        ({"ComponentVersion": "1.0.0-" + "a" * 60}, "no semantic version"),
        ({"ComponentType": "aws.greengrass.other"}, "ComponentType"),
        ({"ComponentDescription": ["x"]}, "ComponentDescription is no text"),
        ({"ComponentConfiguration": "x"}, "ComponentConfiguration is no object"),
        ({"ComponentConfiguration": {"DefaultConfiguration": 1}}, "DefaultConfiguration is no"),
        ({"Manifests": []}, "Manifests must be"),
        ({"Manifests": {}}, "Manifests must be"),
        ({"Manifests": None}, "Manifests must be"),
        ({"Manifests": [None]}, r"Manifests\[0\] is no object"),
        ({"Manifests": [MANIFEST, "x"]}, r"Manifests\[1\] is no object"),
        ({"Manifests": [{"Platform": "linux"}]}, "Platform is no object"),
        ({"Manifests": [{"Platform": {"os": ["linux"]}}]}, "Platform.os is no text"),
        ({"Manifests": [{"Selections": "all"}]}, "Selections is no list"),
        ({"Manifests": [{"Lifecycle": "run"}]}, "Lifecycle is no object"),
        ({"Manifests": [{"Artifacts": FILE}]}, "Artifacts is no list"),
        ({"Manifests": [{"Artifacts": ["x"]}]}, r"Artifacts\[0\] is no object"),
        ({"Manifests": [{"Artifacts": [{}]}]}, "has no Uri"),
        ({"Manifests": [{"Artifacts": [{**FILE, "Unarchive": "TAR"}]}]}, "Unarchive 'TAR'"),
        ({"Manifests": [{"Artifacts": [{**FILE, "Algorithm": "MD5"}]}]}, "Algorithm 'MD5'"),
        (
            {"Manifests": [{"Artifacts": [{**FILE, "Permission": {"Read": "SOME"}}]}]},
            "Read 'SOME' is none of NONE, OWNER, ALL",
        ),
        (
            {"Manifests": [{"Artifacts": [{**FILE, "Permission": {"Execute": "x"}}]}]},
            "Execute 'X'",
        ),
        ({"ComponentDependencies": ["x"]}, "no object"),
        ({"ComponentDependencies": {"b": "^1"}}, "ComponentDependencies.b is no object"),
        ({"ComponentDependencies": {"b": {}}}, "has no VersionRequirement"),
        ({"ComponentDependencies": {"b c": {"VersionRequirement": "*"}}}, "no component's name"),
        ({"ComponentDependencies": {"b": {"VersionRequirement": "new"}}}, "no range of versions"),
        (
            {"ComponentDependencies": {"b": {"VersionRequirement": "*", "DependencyType": "x"}}},
            "DependencyType 'X' is none of HARD, SOFT",
        ),
        ({"Lifecycle": ["x"]}, "Lifecycle is no object"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        recipe.parse(json.dumps(written(**change)))


def test_what_else_a_recipe_says_is_kept() -> None:
    document = written(
        ComponentType="AWS.Greengrass.PLUGIN", ComponentDescription="d", ComponentPublisher=7,
        ComponentSource="arn:x",
    )  # fmt: skip
    found = recipe.parse(json.dumps(document))
    assert (found.kind, found.description, found.publisher, found.source) == (
        "aws.greengrass.plugin", "d", "7", "arn:x",
    )  # fmt: skip


YAML = """
recipeFormatVersion: 2020-01-25
componentName: com.example.A
componentVersion: 1.0.0
componentConfiguration:
  defaultConfiguration: {interval: 3, quiet: false}
manifests:
  - platform: {os: linux, runtime: "*"}
    artifacts: [{uri: "s3://b/k"}]
    lifecycle:
      setEnv: {N: 5}
      run:
        script: |
          echo {configuration:/interval}
        timeout: 900
        requiresPrivilege: true
      uninstall: rm x
"""


def test_yaml_keeps_its_types_on_the_classic_core_and_is_text_on_lite() -> None:
    found = recipe.parse(YAML)
    assert found.defaults == {"interval": 3, "quiet": False}
    parsed = recipe.lifecycle(recipe.choose(found, LINUX)[0])
    assert parsed.setenv == {"N": "5"}
    assert parsed.steps == {
        "run": Step("echo {configuration:/interval}\n", 900, privileged=True),
        "uninstall": Step("rm x", 120),
    }
    assert recipe.parse(YAML, "lite").defaults == {"interval": "3", "quiet": "false"}
    as_json = json.dumps(written(ComponentConfiguration={"DefaultConfiguration": {"n": 3}}))
    assert recipe.parse(as_json, "lite").defaults == {"n": 3}


def test_lite_has_defaults_of_its_own_and_leaves_local_archives_packed() -> None:
    artifacts = [
        {"Uri": "s3://b/a.zip", "Unarchive": "ZIP", "Digest": "d", "Permission": {"Read": "ALL"}},
        {"Uri": "s3://b/b.zip", "Unarchive": "ZIP"},
    ]
    manifests = [{"Platform": {"runtime": "*"}, "Artifacts": artifacts}]
    document = written(Manifests=manifests)
    lite = {**LINUX, "runtime": "aws_nucleus_lite"}
    assert chosen(document, lite)[1] == (
        Artifact("s3://b/a.zip", "d", "SHA-256", "ZIP", "ALL"),
        Artifact("s3://b/b.zip", bits=0o755),
    )  # fmt: skip
    assert chosen(document)[1] == (
        Artifact("s3://b/a.zip", "d", "", "ZIP", "ALL"), Artifact("s3://b/b.zip", unarchive="ZIP"),
    )  # fmt: skip


def test_an_artifacts_name_is_the_last_of_its_place() -> None:
    uris = ("s3://b/k/a.zip", "greengrass:model.bin", "greengrass://x/y", "s3://b/")
    assert [Artifact(uri).name for uri in uris] == ["a.zip", "model.bin", "y", ""]


def test_the_first_manifest_that_fits_is_taken() -> None:
    manifests = [
        {"Platform": {"os": "windows"}, "Lifecycle": {"Run": "w"}},
        {"Platform": {"os": "linux", "architecture": "arm"}, "Lifecycle": {"Run": "arm"}},
        {"Platform": {"os": "linux"}, "Lifecycle": {"Run": "first"}},
        {"Lifecycle": {"Run": "last"}},
    ]
    assert chosen(written(Manifests=manifests))[0] == {"Run": "first"}
    with pytest.raises(RecipeError, match=r"no manifest of com.example.A 1.0.0 fits os=plan9"):
        chosen(written(Manifests=manifests[:3]), {"os": "plan9"})


def test_a_nucleus_lite_says_why_it_takes_no_manifest() -> None:
    manifests = [{"Platform": {"os": "linux"}}, {"Platform": {"runtime": "other"}}]
    with pytest.raises(RecipeError) as refused:
        chosen(written(Manifests=manifests), {**LINUX, "runtime": "aws_nucleus_lite"})
    why = '; nucleus lite takes only what names runtime "*" or "aws_nucleus_lite"'
    assert str(refused.value).endswith(f"runtime=aws_nucleus_lite{why}")


def test_a_global_lifecycle_is_filtered_by_selections() -> None:
    lifecycle = {
        "fast": {"Run": "fast run"},
        "all": {
            "Run": {"Script": {"fast": "never", "all": "slow run"}},
            "Install": {"all": {"Script": "install"}},
        },
        "ignored": {"Run": "beside a keyword"},
    }
    manifests = [
        {"Platform": {"architecture": "amd64"}, "Selections": ["fast"]},
        {"Platform": {"os": "linux"}},
    ]
    document = written(Manifests=manifests, Lifecycle=lifecycle)
    assert chosen(document)[0] == {"Run": "fast run"}
    slow = chosen(document, {"os": "linux", "architecture": "arm"})[0]
    assert slow == {"Run": {"Script": "slow run"}, "Install": {"Script": "install"}}


def test_a_manifests_own_lifecycle_hides_the_global_one() -> None:
    document = written(Lifecycle={"all": {"Install": "global"}})
    assert chosen(document)[0] == {"Run": "true"}
    manifests = [{"Platform": {"os": "linux"}, "Selections": ["other"]}]
    assert chosen(written(Manifests=manifests, Lifecycle={"third": {"Run": "x"}}))[0] == {
        "third": {"Run": "x"}
    }


def test_steps_have_the_nucleus_timeouts_and_their_own_settings() -> None:
    found = recipe.lifecycle(
        {
            "Install": "i",
            "Startup": {"Script": "s"},
            "RUN": "r",
            "shutdown": "d",
            "Recover": "  ",
            "Bootstrap": {
                "Script": "b",
                "Timeout": 7,
                "RequiresPrivilege": "true",
                "Skipif": "onpath x",
                "Setenv": {"A": True},
            },
        }
    )
    assert {name: step.timeout for name, step in found.steps.items()} == {
        "install": 120,
        "startup": 120,
        "run": None,
        "shutdown": 15,
        "bootstrap": 7,
    }
    assert found.steps["bootstrap"] == Step("b", 7, "onpath x", {"A": "true"}, privileged=True)
    with pytest.raises(RecipeError, match="Timeout"):
        recipe.lifecycle({"Run": {"Script": "x", "Timeout": "soon"}})


@pytest.mark.parametrize("timeout", ["soon", -1, "nan", "inf", {"a": 1}])
def test_a_timeout_is_a_number_of_seconds(timeout: object) -> None:
    with pytest.raises(RecipeError, match="Timeout"):
        recipe.lifecycle({"Run": {"Script": "x", "Timeout": timeout}})


def test_a_step_is_text_or_a_map() -> None:
    assert recipe.lifecycle({"Run": 5, "Install": None}).steps == {"run": Step("5")}
    with pytest.raises(RecipeError, match="list"):
        recipe.lifecycle({"Run": ["x"]})
    found = recipe.lifecycle({"Setenv": {"a": None, "b": [1], "c": {"d": "ä"}}, "Run": "x"})
    assert found.setenv == {"a": "", "b": "[1]", "c": '{"d":"ä"}'}


WORDS = st.sampled_from(["all", "fast", "slow", "Run", "Install", "Script"])
LIFECYCLES = st.dictionaries(
    WORDS,
    st.recursive(
        st.sampled_from(["x", "y"]), lambda inner: st.dictionaries(WORDS, inner, max_size=3)
    ),
    max_size=3,
)
SELECTIONS = st.lists(st.sampled_from(["fast", "slow"]), max_size=2)


def keys(value: Any) -> set[str]:
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(each) for each in value.values()))


@settings(deadline=None)
@given(LIFECYCLES, SELECTIONS)
def test_a_selected_lifecycle_holds_no_keyword_and_is_selected_again_unchanged(
    lifecycle: dict[str, Any], selections: list[str]
) -> None:
    # another manifest makes both words keywords
    others = {"Platform": {"os": "none"}, "Selections": ["fast", "slow"]}
    manifests = [others, {"Platform": {"os": "linux"}, "Selections": selections}]
    found = chosen(written(Manifests=manifests, Lifecycle=lifecycle))[0]
    assert not keys(found) & {"all", "fast", "slow"}
    assert chosen(written(Manifests=manifests, Lifecycle=found))[0] == found


def test_the_first_of_a_manifests_selections_wins_and_without_any_there_is_nothing() -> None:
    lifecycle = {"fast": {"Run": "fast"}, "slow": {"Run": "slow"}}
    manifests = [{"Selections": ["slow", "fast"]}]
    assert chosen(written(Manifests=manifests, Lifecycle=lifecycle))[0] == {"Run": "slow"}
    manifests = [{"Platform": {"os": "none"}, "Selections": ["fast", "slow"]}, {}]
    assert chosen(written(Manifests=manifests, Lifecycle=lifecycle))[0] == {}
