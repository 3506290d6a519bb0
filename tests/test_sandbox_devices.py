from __future__ import annotations

import json
from typing import Any

import pytest
from sandboxes import (
    Connect,
    core,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    unique,
)

from ggml_magic.sandbox import endpoint as ep

pytestmark = pytest.mark.real


def test_fleet_status_is_what_the_cloud_knows(aws: Connect, endpoint: ep.Endpoint) -> None:
    greengrass, data, device = aws("greengrassv2"), aws("iot-data"), core(endpoint)
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


def say(aws: Connect, device: str, *components: dict[str, Any]) -> None:
    message = {"messageType": "PARTIAL", "overallDeviceStatus": "HEALTHY", "components": components}
    topic = f"$aws/things/{device}/greengrassv2/health/json"
    aws("iot-data").publish(topic=topic, payload=json.dumps(message).encode())


def test_a_state_has_the_time_since_when_it_is_so(aws: Connect, endpoint: ep.Endpoint) -> None:
    device = core(endpoint)

    def shown() -> list[Any]:
        answer = aws("greengrassv2").list_installed_components(coreDeviceThingName=device)
        return [
            (item["lifecycleStateDetails"], item["lastStatusChangeTimestamp"])
            for item in answer["installedComponents"]
        ]

    running = {"componentName": "a", "version": "1.0.0", "status": "RUNNING", "isRoot": True}
    say(aws, device, {**running, "statusDetails": {"statusReason": "first"}})
    ((_, since),) = shown()
    say(aws, device, {**running, "statusDetails": {"statusReason": "second"}})
    assert shown() == [("second", since)]
    say(aws, device, {**running, "status": "UNINSTALLED"})
    assert shown() == []


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"components": {}}'])
def test_what_is_no_status_message_changes_nothing(
    aws: Connect, endpoint: ep.Endpoint, payload: bytes
) -> None:
    device = core(endpoint)
    topic = f"$aws/things/{device}/greengrassv2/health/json"
    answer = refused(lambda: aws("iot-data").publish(topic=topic, payload=payload))
    assert answer["Error"]["Code"] == "InvalidRequestException"
    shown = aws("greengrassv2").get_core_device(coreDeviceThingName=device)
    assert shown["status"] == "UNHEALTHY"


def test_core_devices_are_listed_by_group(aws: Connect, endpoint: ep.Endpoint) -> None:
    iot, inside, _ = aws("iot"), core(endpoint), core(endpoint)
    group = unique("group")
    arn = iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=inside)
    listed = aws("greengrassv2").list_core_devices(thingGroupArn=arn)["coreDevices"]
    assert [item["coreDeviceThingName"] for item in listed] == [inside]
