from __future__ import annotations

import json

import pytest

from ggml_magic.sandbox import refusals
from ggml_magic.sandbox.service import Request, Response

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("service", "request_", "operation"),
    [
        ("iot", Request("POST", "/dimensions/d"), "CreateDimension of iot"),
        ("iam", Request("POST", "/", body=b"Action=GetUser&Version=1", headers=FORM), "GetUser"),
        (
            "sagemaker",
            Request("POST", "/", headers={"x-amz-target": "SageMaker.ListEdgePackagingJobs"}),
            "ListEdgePackagingJobs of sagemaker",
        ),
        ("s3", Request("GET", "/b", query="inventory"), "GET /b?inventory of s3"),
        ("no-such-service", Request("GET", "/x"), "GET /x of no-such-service"),
    ],
)
def test_a_refusal_names_the_operation(service: str, request_: Request, operation: str) -> None:
    answer = refusals.unserved(service, request_)
    assert answer.status == 400
    assert operation.encode() in answer.body
    assert not refusals.is_html(answer)


def test_each_protocol_gets_its_own_shape() -> None:
    assert b"<Error><Code>NotServedBySandbox" in refusals.unserved("s3", Request("GET", "/b")).body
    query = Request("POST", "/", body=b"Action=X", headers=FORM)
    assert b"<ErrorResponse>" in refusals.unserved("iam", query).body
    document = json.loads(refusals.unserved("iot", Request("GET", "/x")).body)
    assert document["__type"] == "NotServedBySandbox"


def test_pages_for_people_are_known() -> None:
    assert refusals.is_html(Response(404, (), b"<!doctype html>\n<html>"))
    assert not refusals.is_html(Response(404, (), b"<?xml version='1.0'?><Error/>"))
    assert not refusals.is_html(Response(200, (), b"<html>"))
