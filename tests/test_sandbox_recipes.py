from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from ggml_magic.sandbox import recipes
from ggml_magic.sandbox.faults import ServiceError

RECIPE: dict[str, Any] = {
    "RecipeFormatVersion": "2020-01-25",
    "ComponentName": "com.example.Rain",
    "ComponentVersion": "1.0.0",
    "Manifests": [
        {
            "Platform": {"os": "linux", "runtime": "*"},
            "Lifecycle": {"Run": "true"},
            "Artifacts": [{"Uri": "s3://bucket/a.zip", "Unarchive": "ZIP"}],
        }
    ],
}


def changed(**changes: Any) -> bytes:
    return json.dumps({**RECIPE, **changes}).encode()


def artifact(**changes: Any) -> bytes:
    return changed(Manifests=[{"Artifacts": [{"Uri": "s3://bucket/a.zip", **changes}]}])


def test_json_and_yaml_give_the_same_recipe() -> None:
    assert recipes.parse(json.dumps(RECIPE).encode()) == RECIPE
    assert recipes.parse(yaml.safe_dump(RECIPE).encode()) == RECIPE
    unquoted = yaml.safe_dump(RECIPE).replace("'2020-01-25'", "2020-01-25")
    assert recipes.parse(unquoted.encode()) == RECIPE


def test_keys_and_choices_are_read_in_any_case() -> None:
    text = json.dumps(RECIPE).replace("ComponentName", "componentname").replace("Uri", "URI")
    assert recipes.parse(text.replace("ZIP", "zip").encode()) == RECIPE


def test_the_authors_digests_are_dropped() -> None:
    parsed = recipes.parse(artifact(Digest="forged", Algorithm="MD5"))
    assert list(recipes.artifacts(parsed)) == [{"Uri": "s3://bucket/a.zip"}]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 20_0, "neither JSON nor YAML"),
        (b"[]", "must be an object"),
        (b"- &a [1]\n- *a\n", "aliases"),
        (changed(ComponentDescription="x" * 16_000), "at most 16000"),
        (changed(RecipeFormatVersion="2021-01-01"), "must be 2020-01-25"),
        (changed(ComponentName="a b"), "ComponentName"),
        (changed(ComponentName="n" * 129), "ComponentName"),
        (changed(ComponentVersion="1.0"), "semantic version"),
        (changed(ComponentVersion="1.0.1000000"), "semantic version"),
        (changed(ComponentVersion="01.0.0"), "semantic version"),
        (changed(ComponentVersion=1), "semantic version"),
        (changed(ComponentType="aws.greengrass.other"), "ComponentType"),
        (changed(Manifests=[]), "at least one manifest"),
        (changed(Manifests=[None]), "Manifests[0]"),
        (changed(Manifests=[{"Platform": []}]), "Platform"),
        (changed(Manifests=[{"Platform": {"os": "/(/"}}]), "regular expression"),
        (artifact(Uri="http://x/y"), "s3://bucket/key"),
        (artifact(Unarchive="RAR"), "NONE, ZIP"),
        (artifact(Permission={"Read": "SOME"}), "NONE, OWNER, ALL"),
        (
            changed(Manifests=[{"Artifacts": [{"Uri": "s3://a/x"}, {"Uri": "s3://b/x"}]}]),
            "unique file names",
        ),
        (changed(ComponentDependencies={"a": {}}), "VersionRequirement"),
        (changed(ComponentDependencies={"a": {"VersionRequirement": "newest"}}), "range"),
        (
            changed(
                ComponentDependencies={
                    "a": {"VersionRequirement": "^1.0.0", "DependencyType": "WISH"}
                }
            ),
            "HARD, SOFT",
        ),
    ],
)
def test_what_aws_refuses_is_refused(content: bytes, wanted: str) -> None:
    with pytest.raises(ServiceError) as caught:
        recipes.parse(content)
    assert caught.value.code == "ValidationException"
    assert wanted in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("platform", "fits"),
    [
        ({}, True),
        (None, True),
        ({"os": "linux"}, True),
        ({"os": "windows"}, False),
        ({"os": "all"}, True),
        ({"os": "/linux|darwin/"}, True),
        ({"architecture": "/amd64/"}, False),
        ({"runtime": "*"}, True),
        ({"runtime": "aws_nucleus_lite"}, False),
    ],
)
def test_platforms(platform: dict[str, str] | None, fits: bool) -> None:
    manifest = {} if platform is None else {"Platform": platform}
    recipe = recipes.parse(changed(Manifests=[manifest]))
    assert recipes.suits(recipe, {"os": "linux", "architecture": "aarch64"}) is fits


def test_a_service_artifact_lies_in_the_services_bucket() -> None:
    parsed = recipes.parse(artifact(Uri="greengrass:own.bin"))
    assert recipes.place(parsed, "greengrass:own.bin") == (
        recipes.SERVICE_BUCKET, f"{RECIPE['ComponentName']}/{RECIPE['ComponentVersion']}/own.bin",
    )  # fmt: skip
    assert recipes.place(parsed, "s3://bucket/a/b") == ("bucket", "a/b")
    for uri in ("greengrass:", "greengrass:a/../b", "greengrass:.."):
        with pytest.raises(ServiceError, match="greengrass:file"):
            recipes.parse(artifact(Uri=uri))


def test_a_components_type_is_read_in_any_case() -> None:
    parsed = recipes.parse(changed(ComponentType="AWS.greengrass.Generic"))
    assert parsed["ComponentType"] == "aws.greengrass.generic"


def test_a_value_that_begins_with_no_letter_suits_no_device() -> None:
    parsed = recipes.parse(changed(Manifests=[{"Platform": {"site": "-roof"}}]))
    assert not recipes.suits(parsed, {"site": "-roof"})
