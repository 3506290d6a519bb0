from __future__ import annotations

import base64
import json
from typing import Any

from ggml_magic.sandbox import faults
from ggml_magic.sandbox.service import Call, Request, Service

SEEN: list[Call] = []


def create(call: Call) -> dict[str, Any]:
    SEEN.append(call)
    return {"componentName": "a", "componentVersion": "1.0.0", "creationTimestamp": 1.5,
            "status": {"componentState": "REQUESTED"}, "extra": 1}  # fmt: skip


def installed(call: Call) -> dict[str, Any]:
    SEEN.append(call)
    raise faults.not_found("coreDevice", "pi")


SERVICE = Service(
    "greengrassv2",
    {
        "CreateComponentVersion": create,
        "ListInstalledComponents": installed,
        "DeleteComponent": lambda call: {},
    },
    faults.refused_members,
)
CREATE = "/greengrass/v2/createComponentVersion"


def test_a_call_is_read_answered_and_written() -> None:
    body = json.dumps({"inlineRecipe": base64.b64encode(b"{}").decode(), "tags": {"k": "v"}})
    answer = SERVICE.answer(Request("POST", CREATE, body=body.encode(), region="eu-west-1"))
    assert answer.status == 201
    assert json.loads(answer.body) == {
        "componentName": "a",
        "componentVersion": "1.0.0",
        "creationTimestamp": 1.5,
        "status": {"componentState": "REQUESTED"},
    }
    assert SEEN[-1].parameters == {"inlineRecipe": b"{}", "tags": {"k": "v"}}
    assert SEEN[-1].region == "eu-west-1"


def test_query_values_are_typed_and_checked() -> None:
    path = "/greengrass/v2/coreDevices/pi/installedComponents"
    answer = SERVICE.answer(Request("GET", path, query="maxResults=7&topologyFilter=ALL"))
    assert answer.status == 404
    assert SEEN[-1].parameters == {
        "coreDeviceThingName": "pi",
        "maxResults": 7,
        "topologyFilter": "ALL",
    }
    refused = SERVICE.answer(Request("GET", path, query="maxResults=101&topologyFilter=SOME"))
    assert refused.status == 400
    assert [field["name"] for field in json.loads(refused.body)["fields"]] == [
        "maxResults",
        "topologyFilter",
    ]


def test_errors_have_the_shape_of_aws() -> None:
    path = "/greengrass/v2/coreDevices/pi/installedComponents"
    answer = SERVICE.answer(Request("GET", path))
    assert ("x-amzn-ErrorType", "ResourceNotFoundException") in answer.headers
    assert json.loads(answer.body) == {
        "message": "coreDevice pi does not exist",
        "resourceType": "coreDevice",
        "resourceId": "pi",
    }


def test_an_unserved_operation_refuses_by_name_and_is_not_asked_for_again() -> None:
    answer = SERVICE.answer(Request("GET", "/greengrass/servicerole"))
    document = json.loads(answer.body)
    assert answer.status == 400
    assert document["reason"] == "UNKNOWN_OPERATION"
    assert "GetServiceRoleForAccount" in document["message"]
    nowhere = SERVICE.answer(Request("GET", "/greengrass/v2/nowhere"))
    assert nowhere.status == 400


def test_a_body_that_is_no_json_object_is_refused() -> None:
    for body in (b"{", b"[]", b"[" * 100_000):
        assert SERVICE.answer(Request("POST", CREATE, body=body)).status == 400


def test_no_content_has_no_content() -> None:
    path = "/greengrass/v2/components/arn:aws:greengrass:r:1:components:a:versions:1.0.0"
    answer = SERVICE.answer(Request("DELETE", path))
    assert (answer.status, answer.body) == (204, b"")
