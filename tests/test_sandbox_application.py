"""Unmodified boto3 against a real sandbox process."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from ggml_magic.sandbox import client
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real
REGION = "eu-west-1"
BUCKET = "ggml-artifacts"
Connect = Callable[[str], Any]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ep.Endpoint]:
    workspace = Workspace(tmp_path_factory.mktemp("sandbox") / ".ggml")
    try:
        yield client.ensure(workspace, 5)
    finally:
        client.stop(workspace)


@pytest.fixture(scope="module")
def aws(endpoint: ep.Endpoint) -> Connect:
    def connect(service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=endpoint.url,
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )

    connect("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return connect


def recipe(name: str, version: str = "1.0.0", **more: Any) -> bytes:
    return json.dumps(
        {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, **more}],
        }
    ).encode()


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def thing(aws: Connect) -> tuple[str, str]:
    name = unique("pi")
    return name, aws("iot").create_thing(thingName=name)["thingArn"]


def component(aws: Connect, version: str = "1.0.0", name: str = "") -> str:
    name = name or unique("com.example.Rain")
    aws("greengrassv2").create_component_version(inlineRecipe=recipe(name, version))
    return name


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call()
    response: dict[str, Any] = caught.value.response
    assert 400 <= response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return response


def test_a_component_is_digested_and_deployable(aws: Connect) -> None:
    name, content = unique("com.example.Rain"), b"an artifact"
    uri = f"s3://{BUCKET}/a folder/{name}.zip"
    aws("s3").put_object(Bucket=BUCKET, Key=f"a folder/{name}.zip", Body=content)
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
    uri = f"s3://{BUCKET}/nothing.zip"
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


def test_the_same_token_creates_once(aws: Connect) -> None:
    name, greengrass, token = unique("com.example.Rain"), aws("greengrassv2"), uuid.uuid4().hex
    first, second = (
        greengrass.create_component_version(inlineRecipe=recipe(name), clientToken=token)
        for _ in range(2)
    )
    assert first["creationTimestamp"] == second["creationTimestamp"]
    other = refused(
        lambda: greengrass.create_component_version(
            inlineRecipe=recipe(name, "2.0.0"), clientToken=token
        )
    )
    assert other["Error"]["Code"] == "ConflictException"


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


def test_tags(aws: Connect) -> None:
    greengrass = aws("greengrassv2")
    name = component(aws)
    arn = f"arn:aws:greengrass:{REGION}:123456789012:components:{name}:versions:1.0.0"
    greengrass.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    greengrass.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert greengrass.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}


def deploy(aws: Connect, arn: str, name: str, **more: Any) -> str:
    components = {name: {"componentVersion": "1.0.0", **more}}
    answer = aws("greengrassv2").create_deployment(targetArn=arn, components=components)
    return str(answer["deploymentId"])


def core(endpoint: ep.Endpoint, name: str) -> None:
    headers = {"Authorization": ep.authorization("iot", REGION)}
    status, _ = ep.call(endpoint, "PUT", f"/_ggml/cores/{name}", headers=headers)
    assert status == 200


def effective(aws: Connect, name: str) -> list[dict[str, Any]]:
    answer = aws("greengrassv2").list_effective_deployments(coreDeviceThingName=name)
    found: list[dict[str, Any]] = answer["effectiveDeployments"]
    return found


def test_a_deployment_reaches_its_device_and_ends(aws: Connect, endpoint: ep.Endpoint) -> None:
    name, greengrass, jobs = component(aws), aws("greengrassv2"), aws("iot-jobs-data")
    device = unique("core")
    core(endpoint, device)
    arn = f"arn:aws:iot:{REGION}:123456789012:thing/{device}"
    update = {"merge": '{"Interval": 2}', "reset": ["/old"]}
    identifier = deploy(aws, arn, name, configurationUpdate=update)
    assert effective(aws, device)[0]["coreDeviceExecutionStatus"] == "QUEUED"
    execution = jobs.start_next_pending_job_execution(thingName=device)["execution"]
    document = json.loads(execution["jobDocument"])
    assert document["deploymentId"] == identifier
    assert document["configurationArn"].endswith(f"configuration:thing/{device}:1")
    assert document["components"][name] == {
        "version": "1.0.0",
        "configurationUpdate": {"reset": ["/old"], "merge": {"Interval": 2}},
    }
    assert document["failureHandlingPolicy"] == "ROLLBACK"
    assert effective(aws, device)[0]["coreDeviceExecutionStatus"] == "IN_PROGRESS"
    # a core that comes back takes up what it had begun
    again = jobs.start_next_pending_job_execution(thingName=device)["execution"]
    assert again["jobId"] == execution["jobId"]
    jobs.update_job_execution(
        jobId=execution["jobId"],
        thingName=device,
        status="FAILED",
        statusDetails={
            "detailed-deployment-status": "FAILED_NO_STATE_CHANGE",
            "deployment-failure-cause": "checksum of rain.zip differs",
            "deployment-error-stack": '["ARTIFACT_CHECKSUM_MISMATCH"]',
        },
    )
    ended = effective(aws, device)[0]
    assert ended["coreDeviceExecutionStatus"] == "FAILED"
    assert ended["reason"] == "FAILED_NO_STATE_CHANGE: checksum of rain.zip differs"
    assert ended["statusDetails"]["errorStack"] == ["ARTIFACT_CHECKSUM_MISMATCH"]
    assert greengrass.get_deployment(deploymentId=identifier)["deploymentStatus"] == "FAILED"
    late = refused(
        lambda: jobs.update_job_execution(
            jobId=execution["jobId"], thingName=device, status="SUCCEEDED"
        )
    )
    assert late["Error"]["Code"] == "InvalidStateTransitionException"


def test_a_new_deployment_replaces_the_targets_last(aws: Connect) -> None:
    name, greengrass, (device, arn) = component(aws), aws("greengrassv2"), thing(aws)
    first, second = deploy(aws, arn, name), deploy(aws, arn, name)
    old = greengrass.get_deployment(deploymentId=first)
    new = greengrass.get_deployment(deploymentId=second)
    assert (old["deploymentStatus"], old["isLatestForTarget"], old["revisionId"]) == (
        "INACTIVE",
        False,
        "1",
    )
    assert (new["deploymentStatus"], new["isLatestForTarget"], new["revisionId"]) == (
        "ACTIVE",
        True,
        "2",
    )
    latest = greengrass.list_deployments(targetArn=arn)["deployments"]
    assert [item["deploymentId"] for item in latest] == [second]
    every = greengrass.list_deployments(targetArn=arn, historyFilter="ALL")["deployments"]
    assert [item["deploymentId"] for item in every] == [second, first]
    pending = aws("iot-jobs-data").get_pending_job_executions(thingName=device)
    assert [job["jobId"] for job in pending["queuedJobs"]] == [new["iotJobId"]]


def test_a_group_deploys_to_members_and_to_who_joins_later(aws: Connect) -> None:
    name, iot, jobs = component(aws), aws("iot"), aws("iot-jobs-data")
    group, (early, _), (late, _) = unique("group"), thing(aws), thing(aws)
    arn = iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=early)
    identifier = deploy(aws, arn, name)
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=late)
    for device in (early, late):
        execution = jobs.start_next_pending_job_execution(thingName=device)["execution"]
        assert json.loads(execution["jobDocument"])["deploymentId"] == identifier
        jobs.update_job_execution(jobId=execution["jobId"], thingName=device, status="SUCCEEDED")
    status = aws("greengrassv2").get_deployment(deploymentId=identifier)["deploymentStatus"]
    assert status == "ACTIVE"


def test_cancelling_spares_who_has_not_begun_and_only_the_ended_is_deleted(aws: Connect) -> None:
    name, greengrass, (device, arn) = component(aws), aws("greengrassv2"), thing(aws)
    identifier = deploy(aws, arn, name)
    active = refused(lambda: greengrass.delete_deployment(deploymentId=identifier))
    assert active["Error"]["Code"] == "ConflictException"
    greengrass.cancel_deployment(deploymentId=identifier)
    assert "execution" not in aws("iot-jobs-data").start_next_pending_job_execution(
        thingName=device
    )
    twice = refused(lambda: greengrass.cancel_deployment(deploymentId=identifier))
    assert twice["Error"]["Code"] == "ConflictException"
    greengrass.delete_deployment(deploymentId=identifier)
    refused(lambda: greengrass.get_deployment(deploymentId=identifier))


def test_what_cannot_be_deployed_is_refused(aws: Connect) -> None:
    name, greengrass, (_, arn) = component(aws), aws("greengrassv2"), thing(aws)
    wrong = {
        "ResourceNotFoundException": [
            {"targetArn": f"{arn}-not", "components": {}},
            {"targetArn": arn, "components": {name: {"componentVersion": "9.9.9"}}},
            {"targetArn": arn, "components": {"nobody": {"componentVersion": "1.0.0"}}},
        ],
        "ValidationException": [
            {"targetArn": arn.replace(REGION, "us-east-1"), "components": {}},
            {"targetArn": arn, "components": {name: {"componentVersion": "^1.0.0"}}},
            *(
                {
                    "targetArn": arn,
                    "components": {
                        name: {"componentVersion": "1.0.0", "configurationUpdate": update}
                    },
                }
                for update in ({"merge": "{"}, {"merge": "[]"}, {"reset": ["old"]})
            ),
        ],
    }
    for code, requests in wrong.items():
        for request in requests:
            answer = refused(lambda r=request: greengrass.create_deployment(**r))
            assert answer["Error"]["Code"] == code
    assert greengrass.list_deployments(targetArn=arn)["deployments"] == []


def test_fleet_status_is_what_the_cloud_knows(aws: Connect, endpoint: ep.Endpoint) -> None:
    greengrass, data, device = aws("greengrassv2"), aws("iot-data"), unique("core")
    core(endpoint, device)
    assert greengrass.get_core_device(coreDeviceThingName=device)["status"] == "UNHEALTHY"

    def report(kind: str, *components: tuple[str, str, bool]) -> None:
        message = {
            "ggcVersion": "2.0.0",
            "platform": "linux",
            "architecture": "amd64",
            "runtime": "aws_nucleus_classic",
            "thing": device,
            "messageType": kind,
            "overallDeviceStatus": "HEALTHY",
            "components": [
                {
                    "componentName": name,
                    "version": "1.0.0",
                    "status": state,
                    "statusDetails": {"statusCodes": ["RUN_ERROR"], "statusReason": "why"},
                    "isRoot": root,
                }
                for name, state, root in components
            ],
        }
        topic = f"$aws/things/{device}/greengrassv2/health/json"
        data.publish(topic=topic, payload=json.dumps(message).encode())

    def installed(topology: str) -> dict[str, str]:
        found = greengrass.list_installed_components(
            coreDeviceThingName=device, topologyFilter=topology
        )["installedComponents"]
        return {item["componentName"]: item["lifecycleState"] for item in found}

    report("COMPLETE", ("a", "RUNNING", True), ("b", "BROKEN", False))
    shown = greengrass.get_core_device(coreDeviceThingName=device)
    assert (shown["status"], shown["coreVersion"], shown["architecture"]) == (
        "HEALTHY",
        "2.0.0",
        "amd64",
    )
    assert installed("ROOT") == {"a": "RUNNING"}
    assert installed("ALL") == {"a": "RUNNING", "b": "BROKEN"}
    report("PARTIAL", ("a", "ERRORED", True))
    assert installed("ALL") == {"a": "ERRORED", "b": "BROKEN"}
    report("COMPLETE", ("b", "FINISHED", True))
    assert installed("ALL") == {"b": "FINISHED"}
    listed = greengrass.list_core_devices(status="HEALTHY")["coreDevices"]
    assert device in [item["coreDeviceThingName"] for item in listed]
    greengrass.delete_core_device(coreDeviceThingName=device)
    refused(lambda: greengrass.get_core_device(coreDeviceThingName=device))


def test_shadows(aws: Connect) -> None:
    data, (device, _) = aws("iot-data"), thing(aws)

    def update(**document: Any) -> dict[str, Any]:
        answer = data.update_thing_shadow(thingName=device, payload=json.dumps(document))
        found: dict[str, Any] = json.loads(answer["payload"].read())
        return found

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            data.get_thing_shadow(thingName=device)["payload"].read()
        )
        return found

    assert refused(shown)["Error"]["Code"] == "ResourceNotFoundException"
    first = update(state={"reported": {"a": 1, "b": {"c": 2}}}, clientToken="t")
    assert (first["version"], first["clientToken"]) == (1, "t")
    update(state={"desired": {"a": 5}, "reported": {"b": {"c": None, "d": 3}}}, version=1)
    document = shown()
    assert document["version"] == 2
    assert document["state"] == {
        "desired": {"a": 5},
        "reported": {"a": 1, "b": {"d": 3}},
        "delta": {"a": 5},
    }
    assert set(document["metadata"]["reported"]["b"]) == {"d"}
    stale = refused(lambda: update(state={"reported": {}}, version=1))
    assert stale["Error"]["Code"] == "ConflictException"
    for bad in ({}, {"state": []}, {"state": {"other": {}}}, {"state": {"reported": 1}}):
        assert refused(lambda b=bad: update(**b))["Error"]["Code"] == "InvalidRequestException"
    large = refused(lambda: update(state={"reported": {"a": "x" * 9000}}))
    assert large["Error"]["Code"] == "RequestEntityTooLargeException"
    data.update_thing_shadow(thingName=device, shadowName="n", payload=b'{"state": {}}')
    assert data.list_named_shadows_for_thing(thingName=device)["results"] == ["n"]
    data.delete_thing_shadow(thingName=device)
    refused(shown)
    assert update(state={"reported": {"a": 1}})["version"] == 3


def test_notices_come_for_jobs_and_for_others_shadow_updates(
    aws: Connect, endpoint: ep.Endpoint
) -> None:
    name, data, (device, arn) = component(aws), aws("iot-data"), thing(aws)

    def changes(after: int, wait: int = 0) -> dict[str, Any]:
        path = f"/_ggml/things/{device}/changes?after={after}&wait={wait}"
        return ep.call(endpoint, "GET", path, timeout_seconds=40)[1]

    start = changes(0)["sequence"]
    data.update_thing_shadow(thingName=device, payload=b'{"state": {"desired": {"a": 1}}}')
    seen = changes(start, 20)
    assert (seen["jobs"], seen["shadow"]) == (False, True)
    deploy(aws, arn, name)
    seen = changes(seen["sequence"], 20)
    assert (seen["jobs"], seen["shadow"]) == (True, False)


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("greengrassv2", "get_service_role_for_account", {}),
        ("iot", "create_dimension", {"name": "d", "type": "TOPIC_FILTER", "stringValues": ["a"],
                                     "clientRequestToken": "t"}),
        ("iot-data", "list_retained_messages", {}),
        ("iot-jobs-data", "start_command_execution",
         {"targetArn": "arn:aws:iot:eu-west-1:123456789012:thing/a", "commandArn": "c"}),
        ("iam", "simulate_principal_policy",
         {"PolicySourceArn": "arn:aws:iam::123456789012:role/x", "ActionNames": ["s3:GetObject"]}),
    ],
)  # fmt: skip
def test_what_nobody_serves_is_refused_by_name(
    aws: Connect, service: str, operation: str, parameters: dict[str, Any]
) -> None:
    answer = refused(lambda: getattr(aws(service), operation)(**parameters))
    named = operation.replace("_", "")
    assert named in answer["Error"]["Message"].lower()


def test_metadata_and_large_uploads_of_s3(aws: Connect, tmp_path: Path) -> None:
    s3, path = aws("s3"), tmp_path / "large"
    path.write_bytes(b"0123456789" * 1_000_000)
    s3.upload_file(str(path), BUCKET, "large", ExtraArgs={"Metadata": {"my_key": "v"}})
    head = s3.head_object(Bucket=BUCKET, Key="large")
    assert (head["ContentLength"], head["Metadata"]) == (10_000_000, {"my_key": "v"})
    assert s3.get_object(Bucket=BUCKET, Key="large", Range="bytes=3-5")["Body"].read() == b"345"
    assert aws("sts").get_caller_identity()["Account"] == "123456789012"
