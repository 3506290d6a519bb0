from __future__ import annotations

import copy
from typing import Any

import pytest
from test_component_recipe import RECIPE

from ggml_magic.component.lint import lint

GET = "aws.greengrass#GetThingShadow"


def changed(*path: Any, to: Any) -> dict[str, Any]:
    recipe = copy.deepcopy(RECIPE.to_dict())
    place: Any = recipe
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return recipe


def test_a_good_recipe_breaks_no_rule() -> None:
    assert lint(RECIPE.to_dict()) == ()


M = ("Manifests", 0)
L = (*M, "Lifecycle")
A = (*M, "Artifacts")
ZIP = {"Uri": "s3://bucket/a/x.zip"}


@pytest.mark.parametrize(
    ("recipe", "rule", "where"),
    [
        (changed("RecipeFormatVersion", to="2021-01-25"), "format", "RecipeFormatVersion"),
        (changed("ComponentName", to="a b"), "name", "ComponentName"),
        (changed("ComponentName", to="a" * 129), "name", "ComponentName"),
        (changed("ComponentName", to=None), "schema", "ComponentName"),
        (changed("ComponentVersion", to="1.0"), "version", "ComponentVersion"),
        (changed("ComponentDescription", to="x" * 16_000), "size", "recipe"),
        (changed("Manifests", to=[]), "manifest", "Manifests"),
        (changed("Manifests", to="all"), "schema", "Manifests"),
        (changed("Manifests", to=["all"]), "schema", "Manifests[0]"),
        (changed(*A, to="x"), "schema", "Manifests[0].Artifacts[0]"),
        (changed("ComponentConfiguration", to=[]), "schema", "ComponentConfiguration"),
        (changed("manifests", to=[]), "key-case", "recipe.manifests"),
        (changed("Colour", to="red"), "key", "recipe.Colour"),
        (changed(*A, 0, "URI", to="s3://b/c"), "key-case", "Manifests[0].Artifacts[0].URI"),
        (changed(*L, "setEnv", to={}), "key-case", "Manifests[0].Lifecycle.setEnv"),
        (changed(*L, "run", "script", to="x"), "key-case", "Manifests[0].Lifecycle.run.script"),
        (changed(*M, "Platform", to={"os": "linux"}), "runtime", "Manifests[0].Platform"),
        (changed(*L, "run", to=None), "lifecycle", "Manifests[0].Lifecycle"),
        (changed(*L, "startup", to="x"), "lifecycle", "Manifests[0].Lifecycle"),
        (changed(*L, "run", to=""), "script", "Manifests[0].Lifecycle.run"),
        (
            changed(*L, "install", "Timeout", to=0),
            "timeout",
            "Manifests[0].Lifecycle.install.Timeout",
        ),
        (changed(*A, 0, "Uri", to="https://x/y"), "uri", "Manifests[0].Artifacts[0]"),
        (changed(*A, 0, "Uri", to="s3://my.bucket/y"), "uri", "Manifests[0].Artifacts[0]"),
        (
            changed(*A, to=[ZIP, {"Uri": "s3://bucket/b/x.zip"}]),
            "artifact-name",
            "Manifests[0].Artifacts[1]",
        ),
        (changed(*A, 0, "Unarchive", to="TAR"), "unarchive", "Manifests[0].Artifacts[0]"),
        (
            changed(*A, 0, "Permission", to={"Read": "ME"}),
            "permission",
            "Manifests[0].Artifacts[0]",
        ),
        (changed(*A, 0, "Permission", to="ALL"), "permission", "Manifests[0].Artifacts[0]"),
        (changed(*L, "run", to="run {work:folder}"), "variable", "Manifests[0] {work:folder}"),
        (changed(*L, "run", to="run {config:/a}"), "variable", "Manifests[0] {config:/a}"),
        (
            changed(*L, "run", to="run {configuration:/None}"),
            "variable",
            "Manifests[0] {configuration:/None}",
        ),
        (
            changed(*L, "run", to="run {a.b:work:path}"),
            "variable",
            "Manifests[0] {a.b:work:path}",
        ),
    ],
)
def test_each_broken_rule_is_named_with_its_place(
    recipe: dict[str, Any], rule: str, where: str
) -> None:
    found = lint(recipe)
    assert (rule, where) in [(finding.rule, finding.where) for finding in found]
    assert all(finding.mend in str(finding) for finding in found)


@pytest.mark.parametrize(
    "script",
    [
        "run {configuration:/InferenceInterval} {work:path} {iot:thingName} {kernel:rootPath}",
        "run ${NAME:-default}",
        "run {configuration:/accessControl/service/one/operations}",
        'awk {print} "{artifacts:decompressedPath}/x"',
    ],
)
def test_variables_that_point_somewhere_pass(script: str) -> None:
    assert lint(changed(*L, "run", to=script)) == ()


def test_what_the_code_calls_must_be_allowed() -> None:
    (finding,) = lint(RECIPE.to_dict(), operations=[GET])
    assert finding.rule == "access" and GET in finding.mend
    policy = ("ComponentConfiguration", "DefaultConfiguration", "accessControl", "service", "one")
    for allowed in ([GET], ["*"]):
        assert lint(changed(*policy, "operations", to=allowed), operations=[GET]) == ()
    (finding,) = lint(changed(*policy, "resources", to=[]))
    assert finding.rule == "access" and finding.where.endswith("service.one")


def test_a_global_lifecycle_stands_in_for_a_manifests_own() -> None:
    recipe = changed(*L, to=None)
    recipe["Lifecycle"] = {"run": {"all": "x"}}
    assert lint(recipe) == ()
