from __future__ import annotations

import pytest

from ggml_magic.sandbox.routes import Router

ARN = "arn%3Aaws%3Agreengrass%3Aeu-west-1%3A1%3Acomponents%3Aa.b%3Aversions%3A1.0.0"


@pytest.mark.parametrize(
    ("service", "method", "path", "operation", "values"),
    [
        ("greengrassv2", "GET", "/greengrass/v2/components", "ListComponents", {}),
        (
            "greengrassv2",
            "GET",
            f"/greengrass/v2/components/{ARN}/metadata",
            "DescribeComponent",
            {"arn": "arn:aws:greengrass:eu-west-1:1:components:a.b:versions:1.0.0"},
        ),
        (
            "iot-jobs-data",
            "PUT",
            "/things/pi/jobs/$next",
            "StartNextPendingJobExecution",
            {"thingName": "pi"},
        ),
        (
            "iot-jobs-data",
            "PUT",
            "/things/pi/jobs/%24next",
            None,
            {},
        ),
        (
            "iot-jobs-data",
            "GET",
            "/things/pi/jobs/%24next",
            "DescribeJobExecution",
            {"thingName": "pi", "jobId": "$next"},
        ),
        (
            "iot-data",
            "POST",
            "/topics/$aws/things/pi/greengrassv2/health/json",
            "Publish",
            {"topic": "$aws/things/pi/greengrassv2/health/json"},
        ),
        (
            "iot-data",
            "POST",
            "/topics/a%2Fb",
            "Publish",
            {"topic": "a/b"},
        ),
        ("greengrassv2", "PATCH", "/greengrass/v2/components", None, {}),
    ],
)
def test_routes(
    service: str, method: str, path: str, operation: str | None, values: dict[str, str]
) -> None:
    route = Router(service).find(method, path)
    if operation is None:
        assert route is None
    else:
        assert route is not None
        assert (route.operation.name, dict(route.values)) == (operation, values)


def test_every_operation_of_the_model_has_a_route() -> None:
    router = Router("greengrassv2")
    for name in router.model.operation_names:
        http = router.model.operation_model(name).http
        path = http["requestUri"].replace("{", "").replace("+}", "").replace("}", "")
        route = router.find(http["method"], path)
        assert route is not None
        assert route.operation.name == name
