from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from typing import Any

import pytest
import yaml
from sandboxes import (
    REGION,
    Connect,
    bucket,
    component,
    component_arn,
    recipe,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
    unique,
)

pytestmark = pytest.mark.real


def test_a_component_is_digested_and_deployable(aws: Connect) -> None:
    name, content, place = unique("com.example.Rain"), b"an artifact", bucket(aws)
    uri = f"s3://{place}/a folder/{name}.zip"
    aws("s3").put_object(Bucket=place, Key=f"a folder/{name}.zip", Body=content)
    greengrass = aws("greengrassv2")
    created = greengrass.create_component_version(
        inlineRecipe=recipe(name, Artifacts=[{"Uri": uri, "Unarchive": "ZIP"}]), tags={"k": "v"}
    )
    assert created["status"]["componentState"] == "REQUESTED"
    described = greengrass.describe_component(arn=created["arn"])
    assert described["status"]["componentState"] == "DEPLOYABLE"
    assert described["platforms"] == [
        {"name": "linux", "attributes": {"os": "linux", "runtime": "*"}}
    ]
    assert described["tags"] == {"k": "v"}
    as_json = json.loads(greengrass.get_component(arn=created["arn"])["recipe"])
    artifact = as_json["Manifests"][0]["Artifacts"][0]
    assert artifact["Digest"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert artifact["Algorithm"] == "SHA-256"
    answer = greengrass.get_component(arn=created["arn"], recipeOutputFormat="YAML")
    assert yaml.safe_load(answer["recipe"]) == as_json


def test_a_version_is_never_replaced(aws: Connect) -> None:
    name, greengrass = component(aws), aws("greengrassv2")
    again = refused(lambda: greengrass.create_component_version(inlineRecipe=recipe(name)))
    assert again["Error"]["Code"] == "ConflictException"
    assert again["resourceType"] == "componentVersion"


def test_a_missing_artifact_fails_the_component_and_it_cannot_be_deployed(aws: Connect) -> None:
    name, greengrass = unique("com.example.Rain"), aws("greengrassv2")
    uri = f"s3://{bucket(aws)}/nothing.zip"
    created = greengrass.create_component_version(
        inlineRecipe=recipe(name, Artifacts=[{"Uri": uri}])
    )
    status = greengrass.describe_component(arn=created["arn"])["status"]
    assert status["componentState"] == "FAILED"
    assert uri in status["errors"]
    _, arn = thing(aws)
    answer = refused(
        lambda: greengrass.create_deployment(
            targetArn=arn, components={name: {"componentVersion": "1.0.0"}}
        )
    )
    assert answer["Error"]["Code"] == "ValidationException"


def test_versions_are_listed_newest_first_and_deleted(aws: Connect) -> None:
    greengrass, name = aws("greengrassv2"), component(aws, "1.9.0")
    for version in ("1.10.0", "1.2.0"):
        component(aws, version, name)
    pages = greengrass.get_paginator("list_components").paginate(PaginationConfig={"PageSize": 1})
    listed = {item["componentName"]: item for page in pages for item in page["components"]}
    assert listed[name]["latestVersion"]["componentVersion"] == "1.10.0"
    arn = listed[name]["arn"]
    versions = greengrass.list_component_versions(arn=arn)["componentVersions"]
    assert [item["componentVersion"] for item in versions] == ["1.10.0", "1.9.0", "1.2.0"]
    greengrass.delete_component(arn=versions[0]["arn"])
    gone = refused(lambda: greengrass.get_component(arn=versions[0]["arn"]))
    assert gone["Error"]["Code"] == "ResourceNotFoundException"


def test_resolving_picks_the_best_version_that_meets_all(aws: Connect) -> None:
    greengrass, name = aws("greengrassv2"), component(aws, "1.0.0")
    component(aws, "1.5.0", name)
    component(aws, "2.0.0", name)

    def resolve(os: str = "linux", **requirements: str) -> Any:
        return greengrass.resolve_component_candidates(
            platform={"attributes": {"os": os, "architecture": "amd64"}},
            componentCandidates=[{"componentName": name, "versionRequirements": requirements}],
        )["resolvedComponentVersions"]

    assert [item["componentVersion"] for item in resolve(a=">=1.0.0", b="<2.0.0")] == ["1.5.0"]
    assert json.loads(resolve(a="2.0.0")[0]["recipe"])["ComponentVersion"] == "2.0.0"
    none = refused(lambda: resolve(a="^3.0.0"))
    assert "1.5.0" in none["Error"]["Message"]
    refused(lambda: resolve(os="windows", a="*"))


def test_a_component_is_made_from_a_recipe_only(aws: Connect) -> None:
    source = {"lambdaArn": f"arn:aws:lambda:{REGION}:123456789012:function:f:1"}
    create = aws("greengrassv2").create_component_version
    answer = refused(lambda: create(lambdaFunction=source))
    assert [field["name"] for field in answer["fields"]] == ["inlineRecipe"]


def test_each_region_has_its_own_and_nobody_has_public_ones(aws: Connect) -> None:
    name = component(aws)
    elsewhere = aws("greengrassv2", "us-east-1")
    other = component_arn(name).replace(REGION, "us-east-1")
    assert refused(lambda: elsewhere.describe_component(arn=other))["resourceId"] == other
    assert elsewhere.create_component_version(inlineRecipe=recipe(name))["arn"] == other
    assert aws("greengrassv2").list_components(scope="PUBLIC")["components"] == []


def test_a_requirement_that_is_no_range_is_refused(aws: Connect) -> None:
    candidate = {"componentName": component(aws), "versionRequirements": {"a": "newest"}}
    resolve = aws("greengrassv2").resolve_component_candidates
    answer = refused(lambda: resolve(platform={}, componentCandidates=[candidate]))
    assert [field["name"] for field in answer["fields"]] == ["versionRequirements.a"]


def test_an_artifact_has_a_signed_address(aws: Connect) -> None:
    name, place = unique("com.example.Rain"), bucket(aws)
    s3, greengrass = aws("s3"), aws("greengrassv2")
    s3.put_object(Bucket=place, Key="deep/m.bin", Body=b"from s3")
    held = "greengrass-component-artifacts"
    location = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=held, CreateBucketConfiguration=location)
    s3.put_object(Bucket=held, Key=f"{name}/1.0.0/own.bin", Body=b"the service's")
    uris = (f"s3://{place}/deep/m.bin", "greengrass:own.bin")
    created = greengrass.create_component_version(
        inlineRecipe=recipe(name, Artifacts=[{"Uri": uri} for uri in uris])
    )
    described = greengrass.describe_component(arn=created["arn"])
    assert described["status"]["componentState"] == "DEPLOYABLE"
    for file, content in (("m.bin", b"from s3"), ("own.bin", b"the service's")):
        found = greengrass.get_component_version_artifact(arn=created["arn"], artifactName=file)
        with urllib.request.urlopen(found["preSignedUrl"]) as answer:
            assert answer.read() == content
    answer = refused(
        lambda: greengrass.get_component_version_artifact(arn=created["arn"], artifactName="x")
    )
    assert answer["Error"]["Code"] == "ResourceNotFoundException"
    other = component_arn(name, "9.0.0")
    answer = refused(
        lambda: greengrass.get_component_version_artifact(arn=other, artifactName="m.bin")
    )
    assert answer["resourceType"] == "componentVersion"


def test_a_service_artifact_that_nobody_put_there_fails_the_component(aws: Connect) -> None:
    name, greengrass = unique("com.example.Rain"), aws("greengrassv2")
    created = greengrass.create_component_version(
        inlineRecipe=recipe(name, Artifacts=[{"Uri": "greengrass:none.bin"}])
    )
    status = greengrass.describe_component(arn=created["arn"])["status"]
    assert status["componentState"] == "FAILED"
    assert "greengrass:none.bin" in status["errors"]
