from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from sandboxes import (
    ACCOUNT,
    REGION,
    Connect,
    bucket,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    unique,
)

from ggml_magic.sandbox.upstream import Upstream

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


def test_a_paged_list_is_read_to_its_end(upstream: Upstream) -> None:
    names = {unique("pi") for _ in range(60)}
    for name in names:
        upstream.ask("iot", REGION, "POST", f"/things/{name}", body=b"{}")
    first = upstream.json("iot", REGION, "/things")
    assert first is not None
    assert first["nextToken"]
    assert names <= {item["thingName"] for item in upstream.pages(REGION, "/things", "things")}


def test_what_is_not_there_is_none(upstream: Upstream) -> None:
    assert upstream.json("iot", REGION, f"/things/{unique('pi')}") is None
    assert list(upstream.pages(REGION, "/thing-groups/nobody/things", "things")) == []


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/data.json", "/latest/meta-data"])
def test_motos_own_switches_are_closed(upstream: Upstream, path: str) -> None:
    name = unique("pi")
    upstream.ask("iot", REGION, "POST", f"/things/{name}", body=b"{}")
    with pytest.raises(NotImplementedError):
        upstream.ask("s3", REGION, "POST", path)
    assert upstream.json("iot", REGION, f"/things/{name}") is not None


def test_names_and_metadata_arrive_as_they_are_spelled(upstream: Upstream, tmp_path: Path) -> None:
    place, path = unique("kept"), tmp_path / "content"
    path.write_bytes(b"content")
    upstream.ask("s3", "us-east-1", "PUT", f"/{place}")
    with path.open("rb") as content:
        headers = {"x-amz-meta-my_key": "v", "content-type": "application/zip"}
        made = upstream.ask("s3", REGION, "PUT", f"/{place}/a b/ü+%.zip",
                            headers=headers, body=content, length=7)  # fmt: skip
    assert made.status == http.client.OK
    found = upstream.ask("s3", REGION, "GET", f"/{place}/a b/ü+%.zip")
    shown = {name.lower(): value for name, value in found.headers}
    assert (found.body, shown["content-type"]) == (b"content", "application/zip")
    assert shown["x-amz-meta-my_key"] == "v"


def test_metadata_and_large_uploads_of_s3(aws: Connect, tmp_path: Path) -> None:
    s3, path, place = aws("s3"), tmp_path / "large", bucket(aws)
    path.write_bytes(b"0123456789" * 1_000_000)
    s3.upload_file(str(path), place, "large", ExtraArgs={"Metadata": {"my_key": "v"}})
    head = s3.head_object(Bucket=place, Key="large")
    assert (head["ContentLength"], head["Metadata"]) == (10_000_000, {"my_key": "v"})
    assert s3.get_object(Bucket=place, Key="large", Range="bytes=3-5")["Body"].read() == b"345"
    assert aws("sts").get_caller_identity()["Account"] == ACCOUNT
