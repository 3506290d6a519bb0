from __future__ import annotations

import base64

import pytest

from ggml_magic.sandbox import routes, shapes

MODEL = routes.load("greengrassv2")
TARGET = "arn:aws:iot:eu-west-1:123456789012:thing/pi"


def problems(operation: str, body: object) -> list[str]:
    reader = shapes.Reader()
    reader.read(MODEL.operation_model(operation).input_shape, body, "")
    return [f"{problem.name}: {problem.message}" for problem in reader.problems]


def test_a_sound_request_is_read_as_it_is() -> None:
    reader = shapes.Reader()
    body = {
        "targetArn": TARGET,
        "components": {"a.b": {"componentVersion": "1.0.0", "runWith": {"posixUser": "u"}}},
        "unknown": 1,
    }
    read = reader.read(MODEL.operation_model("CreateDeployment").input_shape, body, "")
    assert reader.problems == []
    assert read == {key: value for key, value in body.items() if key != "unknown"}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, "targetArn: is required"),
        ({"targetArn": 3}, "targetArn: must be a string"),
        ({"targetArn": "arn:aws:s3:::x"}, "targetArn: must match"),
        ({"targetArn": TARGET, "deploymentName": "n" * 257}, "deploymentName: must have a length"),
        ({"targetArn": TARGET, "deploymentName": ""}, "deploymentName: must have a length"),
        ({"targetArn": TARGET, "clientToken": "a b"}, "clientToken: must match"),
        ({"targetArn": TARGET, "components": []}, "components: must be an object"),
        ({"targetArn": TARGET, "components": {"a": {}}}, "components.a.componentVersion: is req"),
        (
            {"targetArn": TARGET, "deploymentPolicies": {"failureHandlingPolicy": "PRAY"}},
            "deploymentPolicies.failureHandlingPolicy: must be one of ROLLBACK, DO_NOTHING",
        ),
        (
            {
                "targetArn": TARGET,
                "iotJobConfiguration": {"jobExecutionsRolloutConfig": {"maximumPerMinute": 1001}},
            },
            "iotJobConfiguration.jobExecutionsRolloutConfig.maximumPerMinute: must have at most",
        ),
        (
            {
                "targetArn": TARGET,
                "deploymentPolicies": {"componentUpdatePolicy": {"timeoutInSeconds": 1.5}},
            },
            "deploymentPolicies.componentUpdatePolicy.timeoutInSeconds: must be a whole number",
        ),
    ],
)
def test_what_the_model_forbids_is_named(body: object, wanted: str) -> None:
    assert any(problem.startswith(wanted) for problem in problems("CreateDeployment", body))


def test_all_problems_are_told_at_once() -> None:
    found = problems("CreateDeployment", {"deploymentName": "", "clientToken": "?"})
    assert len(found) == 3


def test_blobs_are_base64_both_ways() -> None:
    assert problems("CreateComponentVersion", {"inlineRecipe": "*"}) == [
        "inlineRecipe: must be base64"
    ]
    shape = MODEL.operation_model("GetComponent").output_shape
    written = shapes.write(shape, {"recipe": b"{}", "recipeOutputFormat": "JSON", "tags": None})
    assert written == {"recipe": base64.b64encode(b"{}").decode(), "recipeOutputFormat": "JSON"}


def test_javas_control_class_is_understood() -> None:
    pattern = shapes.compiled(r"[^\p{C}]+")
    assert pattern.fullmatch("one line")
    assert not pattern.fullmatch("two\nlines")
