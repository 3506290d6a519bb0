"""The door, over real HTTP."""

from __future__ import annotations

import http.client
import socket

import pytest
from sandboxes import (
    SHARED,
    Connect,
    bucket,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
)

from ggml_magic.sandbox import endpoint as ep
from ggml_magic.sandbox.front import LARGEST_BODY_BYTES, ours


@pytest.mark.parametrize(
    ("service", "path", "wanted"),
    [
        ("greengrass", "/greengrass/v2/components", "greengrassv2"),
        ("greengrass", "/greengrass/groups", None),
        ("greengrass", "/greengrass/servicerole", "greengrassv2"),
        ("greengrass", "/tags/arn:aws:greengrass:r:1:components:a", "greengrassv2"),
        ("greengrass", "/tags/arn:aws:greengrass:r:1:/greengrass/groups/x", None),
        ("iot", "/things/pi/jobs", None),
        ("iotdata", "/things/pi/jobs", "iot-jobs-data"),
        ("iot-jobs-data", "/things/pi/jobs/$next", "iot-jobs-data"),
        ("iotdata", "/things/pi/shadow", "iot-data"),
        ("iot", "/things/pi", None),
        ("s3", "/things/pi/shadow", None),
        ("s3", "/bucket/greengrass/v2/components", None),
    ],
)
def test_where_a_request_goes(service: str, path: str, wanted: str | None) -> None:
    assert ours(service, path) == wanted


def ask(endpoint: ep.Endpoint, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.real
@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/_ggml/health", {}, 200),
        ("GET", "/_ggml/health", {"Host": "localhost:1"}, 200),
        ("GET", "/_ggml/health", {"Host": "evil.example:80"}, 403),
        ("GET", "/_ggml/health", {"Host": "127.0.0.1.evil.example"}, 403),
        ("POST", "/_ggml/stop", {"Origin": "http://evil.example"}, 403),
        ("GET", "/_ggml/nowhere", {}, 404),
        ("GET", "/_ggml/things/../changes", {}, 404),
        ("POST", "/moto-api/reset", {}, 400),
        (
            "POST",
            "/greengrass/v2/deployments",
            {
                "Authorization": ep.authorization("greengrass", "eu-west-1"),
                "Content-Length": str(LARGEST_BODY_BYTES + 1),
            },
            413,
        ),
    ],
)
def test_who_may_come_in(
    endpoint: ep.Endpoint, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert ask(endpoint, method, path, headers) == status
    assert ask(endpoint, "GET", "/_ggml/health", {}) == 200


@pytest.mark.real
def test_it_listens_on_this_machine_only(endpoint: ep.Endpoint) -> None:
    others = {
        address[4][0] for address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    } - {"127.0.0.1"}
    for address in others:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, endpoint.port), timeout=5)


@pytest.mark.real
def test_a_presigned_address_works_and_its_signature_is_not_logged(
    aws: Connect, endpoint: ep.Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    s3, place = aws("s3"), bucket(aws)
    s3.put_object(Bucket=place, Key="signed", Body=b"content")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": place, "Key": "signed"})
    assert "Signature" in url
    assert ask(endpoint, "GET", url.removeprefix(endpoint.url), {}) == 200
    log = (tmp_path_factory.getbasetemp() / SHARED / "sandbox" / "sandbox.log").read_text()
    assert f"GET /{place}/signed 200" in log
    assert "Signature" not in log
