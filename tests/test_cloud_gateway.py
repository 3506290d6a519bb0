"""Every failure of a call becomes one clean sentence of our own, without secrets."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.cloud.connect import sandbox_maker
from ggml_magic.cloud.gateway import LONGEST_REASON, Gateway, failure, said
from ggml_magic.errors import CloudError, UnreachableError

PLANTED = "AKIAIOSFODNN7EXAMPLE"


def answered(code: str, message: str = "") -> boto.ClientError:
    return boto.ClientError({"Error": {"Code": code, "Message": message}}, "GetDeployment")


def test_a_refused_call_names_the_operation_the_code_and_the_cloud() -> None:
    error = failure("aws", "CreateDeployment", answered("AccessDeniedException", "you may not"))
    assert (error.operation, error.code) == ("CreateDeployment", "AccessDeniedException")
    assert error.what == "CreateDeployment is not allowed on aws"
    assert "permission for CreateDeployment" in error.remedy


@pytest.mark.parametrize(
    ("error", "why", "remedy"),
    [
        (boto.NoCredentialsError(), "no AWS credentials", "aws configure"),
        (boto.ProfileNotFound(profile="nope"), "AWS_PROFILE", "list-profiles"),
        (boto.NoRegionError(), "no region", "%ggml config region="),
        (boto.UnauthorizedSSOTokenError(), "expired", "aws sso login"),
        (answered("ExpiredTokenException", "old"), "expired", "aws sso login"),
        (answered("UnrecognizedClientException", "no"), "does not accept", "aws configure"),
        (answered("ThrottlingException", "slow"), "too many calls", "run this again"),
        (answered("ValidationException", "bad\n  name"), "bad name (ValidationException)", "aws"),
    ],
)
def test_each_cause_has_its_own_words(error: Exception, why: str, remedy: str) -> None:
    told = failure("aws", "GetDeployment", error)
    assert type(told) is CloudError
    assert why in told.why
    assert remedy in told.remedy
    assert len(str(told).splitlines()) == 2


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
        boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"),
        boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"),
        boto.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"),
    ],
)
def test_a_silent_endpoint_is_unreachable(error: Exception) -> None:
    told = failure("sandbox", "GetDeployment", error)
    assert isinstance(told, UnreachableError)
    assert told.remedy == "%ggml sandbox status"


@pytest.mark.parametrize(
    "message",
    [
        f"the key {PLANTED} is unknown",
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=PLANTED&X-Amz-Expires=3",
        "x-amz-security-token: PLANTED",
        'Credential="PLANTED/20260101/eu-west-1"',
    ],
)
@pytest.mark.parametrize("code", ["ValidationException", "SignatureDoesNotMatch"])
def test_no_secret_of_a_message_is_told(message: str, code: str) -> None:
    told = str(failure("aws", "GetDeployment", answered(code, message)))
    assert "PLANTED" not in told
    assert PLANTED not in told


@given(st.text())
@settings(deadline=None)
def test_a_reason_is_one_bounded_line(text: str) -> None:
    line = said(text)
    assert len(line) <= LONGEST_REASON
    assert len(line.splitlines()) <= 1
    assert said(line) == line


def test_nobody_at_the_port_is_told_soon(free_port: int) -> None:
    gateway = Gateway("sandbox", "sts", sandbox_maker(f"http://127.0.0.1:{free_port}", "eu-west-1"))
    with pytest.raises(UnreachableError, match="sandbox did not answer GetCallerIdentity"):
        gateway.call("GetCallerIdentity")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
