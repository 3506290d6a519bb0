from __future__ import annotations

import pytest

from ggml_magic.sandbox import faults, routes

GREENGRASS = routes.load("greengrassv2")


@pytest.mark.parametrize(
    "fault",
    [
        faults.invalid("a", "is wrong"),
        faults.unparsable("cannot be read"),
        faults.unserved("GetServiceRole"),
        faults.not_found("component", "a"),
        faults.conflict("component", "a", "exists already"),
    ],
)
def test_codes_statuses_and_fields_are_the_service_models(fault: faults.ServiceError) -> None:
    shape = GREENGRASS.shape_for(fault.code)
    assert fault.status == shape.metadata["error"]["httpStatusCode"]
    assert set(fault.details) <= set(shape.members)
    reason = fault.details.get("reason")
    assert reason is None or reason in shape.members["reason"].enum


def test_every_refused_member_is_named() -> None:
    problems = [faults.Problem("a", "is required"), faults.Problem("b", "must be a string")]
    fault = faults.refused_members(problems)
    assert fault.message == "a: is required; b: must be a string"
    assert [field["name"] for field in fault.details["fields"]] == ["a", "b"]
    assert str(fault) == f"ValidationException: {fault.message}"


@pytest.mark.parametrize("service", ["iot-data", "iot-jobs-data"])
def test_the_data_planes_refuse_in_their_own_way(service: str) -> None:
    fault = faults.data_plane([faults.Problem("thingName", "is required")])
    shape = routes.load(service).shape_for(fault.code)
    assert fault.status == shape.metadata["error"]["httpStatusCode"]
    assert fault.message == "thingName: is required"


def test_what_is_missing_is_named_when_nothing_else_is_said() -> None:
    assert faults.not_found("coreDevice", "pi").message == "coreDevice pi does not exist"
    assert faults.not_found("coreDevice", "pi", "it left").message == "it left"
