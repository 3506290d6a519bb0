from __future__ import annotations

import json

import pytest
from sandboxes import (
    REGION,
    Connect,
    component,
    deploy,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
    unique,
)

from ggml_magic.core import provided

pytestmark = pytest.mark.real


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


def test_who_leaves_a_group_need_not_begin(aws: Connect) -> None:
    name, iot, (device, _) = component(aws), aws("iot"), thing(aws)
    group = unique("group")
    arn = iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=device)
    deploy(aws, arn, name)
    pending = aws("iot-jobs-data").get_pending_job_executions
    assert len(pending(thingName=device)["queuedJobs"]) == 1
    iot.remove_thing_from_thing_group(thingGroupName=group, thingName=device)
    assert pending(thingName=device)["queuedJobs"] == []


def test_what_the_request_does_not_say_is_filled_in_as_aws_does(aws: Connect) -> None:
    greengrass, (device, arn) = aws("greengrassv2"), thing(aws)
    made = greengrass.create_deployment(
        targetArn=arn,
        deploymentPolicies={"componentUpdatePolicy": {"timeoutInSeconds": 7}},
        tags={"k": "v"},
    )
    shown = greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentName"] == f"Deployment for {device}"
    assert shown["deploymentPolicies"] == {
        "failureHandlingPolicy": "ROLLBACK",
        "componentUpdatePolicy": {"timeoutInSeconds": 7, "action": "NOTIFY_COMPONENTS"},
        "configurationValidationPolicy": {"timeoutInSeconds": 30},
    }
    assert shown["tags"] == {"k": "v"}
    elsewhere = aws("greengrassv2", "us-east-1")
    refused(lambda: elsewhere.get_deployment(deploymentId=made["deploymentId"]))


def test_a_component_that_the_core_is_itself_can_be_configured(aws: Connect) -> None:
    greengrass, (_, arn) = aws("greengrassv2"), thing(aws)
    name, version = provided.SHADOW_MANAGER, provided.VERSIONS["classic"][provided.SHADOW_MANAGER]
    update = {"merge": '{"synchronize": {}}'}

    def create(version: str) -> None:
        wanted = {name: {"componentVersion": version, "configurationUpdate": update}}
        greengrass.create_deployment(targetArn=arn, components=wanted)

    create(version)
    assert refused(lambda: create("0.0.1"))["Error"]["Code"] == "ResourceNotFoundException"
