"""The parts together: what one of them changes, the others know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sandboxes import (
    REGION,
    Connect,
    component,
    core,
    deploy,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
    thing_arn,
)

from ggml_magic.sandbox import endpoint as ep

pytestmark = pytest.mark.real


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


def test_a_deleted_thing_takes_its_jobs_and_shadow_along(
    aws: Connect, endpoint: ep.Endpoint
) -> None:
    data, jobs, device = aws("iot-data"), aws("iot-jobs-data"), core(endpoint)
    deploy(aws, thing_arn(device), component(aws))
    data.update_thing_shadow(thingName=device, payload=b'{"state": {"reported": {"a": 1}}}')
    aws("iot").delete_thing(thingName=device)
    assert jobs.get_pending_job_executions(thingName=device)["queuedJobs"] == []
    refused(lambda: data.get_thing_shadow(thingName=device))
    # provisioned again, it gets what its name still has
    headers = {"Authorization": ep.authorization("iot", REGION)}
    ep.call(endpoint, "PUT", f"/_ggml/cores/{device}", headers=headers)
    assert len(jobs.get_pending_job_executions(thingName=device)["queuedJobs"]) == 1


def test_a_device_is_at_home_in_its_own_region(aws: Connect, endpoint: ep.Endpoint) -> None:
    device = core(endpoint)
    document = {"state": {"reported": {"a": 1}}}
    aws("iot-data").update_thing_shadow(thingName=device, payload=json.dumps(document))

    def shadow(agent: str) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": ep.authorization("iotdata", "us-east-1"), "User-Agent": agent}
        return ep.call(endpoint, "GET", f"/things/{device}/shadow", headers=headers)

    assert shadow("ggml-core/1")[1]["state"] == document["state"]
    assert shadow("Boto3/1")[0] == 404


def test_the_shadow_of_no_thing_is_refused(aws: Connect) -> None:
    name, _ = thing(aws)
    update = aws("iot-data").update_thing_shadow
    answer = refused(lambda: update(thingName=f"{name}-not", payload=b'{"state": {}}'))
    assert answer["Error"]["Code"] == "ResourceNotFoundException"
