from __future__ import annotations

import json
from typing import Any

import pytest
from sandboxes import (
    Connect,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
)


@pytest.mark.real
def test_a_shadow_lives_as_iots_do(aws: Connect) -> None:
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
