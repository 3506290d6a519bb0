from __future__ import annotations

import json

import pytest
from sandboxes import (
    Connect,
    component,
    core,
    deploy,
    effective,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
    thing_arn,
)

from ggml_magic.sandbox import endpoint as ep

pytestmark = pytest.mark.real


def test_a_deployment_reaches_its_device_and_ends(aws: Connect, endpoint: ep.Endpoint) -> None:
    name, greengrass, jobs = component(aws), aws("greengrassv2"), aws("iot-jobs-data")
    device = core(endpoint)
    arn = thing_arn(device)
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


def test_an_update_says_what_it_changed_and_keeps_the_details(aws: Connect) -> None:
    jobs, (device, arn) = aws("iot-jobs-data"), thing(aws)
    deploy(aws, arn, component(aws))
    begun = jobs.start_next_pending_job_execution(thingName=device, statusDetails={"step": "one"})
    execution = begun["execution"]
    answer = jobs.update_job_execution(
        jobId=execution["jobId"],
        thingName=device,
        status="IN_PROGRESS",
        expectedVersion=execution["versionNumber"],
        includeJobExecutionState=True,
        includeJobDocument=True,
    )
    assert answer["executionState"] == {
        "status": "IN_PROGRESS",
        "statusDetails": {"step": "one"},
        "versionNumber": execution["versionNumber"] + 1,
    }
    assert answer["jobDocument"] == execution["jobDocument"]


@pytest.mark.parametrize(
    ("code", "update"),
    [
        ("VersionMismatch", {"status": "IN_PROGRESS", "expectedVersion": 77}),
        ("InvalidRequestException", {"status": "QUEUED"}),
        ("InvalidRequestException", {"status": "FAILED", "statusDetails": {"why": "x" * 1025}}),
        ("ResourceNotFoundException", {"status": "FAILED", "jobId": "another"}),
    ],
)
def test_an_update_that_iot_refuses_changes_nothing(
    aws: Connect, code: str, update: dict[str, object]
) -> None:
    jobs, (device, arn) = aws("iot-jobs-data"), thing(aws)
    deploy(aws, arn, component(aws))
    before = jobs.describe_job_execution(jobId="$next", thingName=device)["execution"]
    call = {"jobId": before["jobId"], "thingName": device, **update}
    assert refused(lambda: jobs.update_job_execution(**call))["Error"]["Code"] == code
    after = jobs.describe_job_execution(jobId=before["jobId"], thingName=device)["execution"]
    assert after == before


def test_nothing_pending_is_no_execution(aws: Connect) -> None:
    jobs, (device, _) = aws("iot-jobs-data"), thing(aws)
    assert "execution" not in jobs.start_next_pending_job_execution(thingName=device)
    assert "execution" not in jobs.describe_job_execution(jobId="$next", thingName=device)
