"""Recipes (EDGE-CORE 1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"RecipeFormatVersion": "2021-01-01"}, "RecipeFormatVersion"),
        ({"ComponentName": ""}, "no ComponentName"),
        ({"Manifests": []}, "no manifests"),
        ({"Manifests": [None]}, "no manifests"),
        ({"ComponentDependencies": ["x"]}, "no object"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        recipe.parse(json.dumps(written(**change)))


@pytest.mark.parametrize("text", ["[]", "{", "not: json"])
def test_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        recipe.parse(text)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"os": "linux", "architecture": "amd64"}, True),
        ({"os": "all", "architecture": "any"}, True),
        ({"os": "windows"}, False),
        ({"os": "/linux|darwin/"}, True),
        ({"os": "/lin/"}, False),
        ({"os": "-linux"}, False),
        ({"runtime": "*"}, True),
        ({"runtime": None}, True),
        ({"runtime": "aws_nucleus_lite"}, False),
        ({"own": "all"}, False),
    ],
)
def test_platforms(wanted: dict[str, Any], fits: bool) -> None:
    assert recipe.matches(wanted, LINUX) is fits


def test_a_bad_pattern_is_named() -> None:
    with pytest.raises(RecipeError, match="Platform os"):
        recipe.matches({"os": "/(/"}, LINUX)


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
    assert found.steps["bootstrap"] == Step("b", 7, "onpath x", {"A": "True"}, privileged=True)
    with pytest.raises(RecipeError, match="Timeout"):
        recipe.lifecycle({"Run": {"Script": "x", "Timeout": "soon"}})


def test_this_device_is_described_without_a_runtime() -> None:
    found = recipe.device_platform()
    assert found["os"] in ("linux", "darwin")
    assert "runtime" not in found
    assert found["architecture"] != "x86_64"
