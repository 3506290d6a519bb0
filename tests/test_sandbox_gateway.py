from __future__ import annotations

import base64
import hashlib
import json

import pytest
from sandboxes import REGION, unique

from ggml_magic.sandbox.gateway import MotoGateway
from ggml_magic.sandbox.upstream import Upstream

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


def test_a_thing_is_added_once_and_only_to_its_region(upstream: Upstream) -> None:
    gateway, name = MotoGateway(upstream), unique("pi")
    assert not gateway.is_thing(REGION, name)
    gateway.add_thing(REGION, name)
    attributes = {"attributePayload": {"attributes": {"at": "roof"}}}
    upstream.ask("iot", REGION, "PATCH", f"/things/{name}", body=json.dumps(attributes).encode())
    gateway.add_thing(REGION, name)
    shown = upstream.json("iot", REGION, f"/things/{name}")
    assert shown is not None
    assert shown["attributes"] == {"at": "roof"}
    assert gateway.is_thing(REGION, name)
    assert not gateway.is_thing("us-east-1", name)


def test_who_belongs_to_a_group(upstream: Upstream) -> None:
    gateway, group, name = MotoGateway(upstream), unique("group"), unique("pi")
    assert not gateway.is_group(REGION, group)
    assert gateway.members(REGION, group) == []
    upstream.ask("iot", REGION, "POST", f"/thing-groups/{group}", body=b"{}")
    gateway.add_thing(REGION, name)
    joined = json.dumps({"thingGroupName": group, "thingName": name}).encode()
    upstream.ask("iot", REGION, "PUT", "/thing-groups/addThingToThingGroup", body=joined)
    assert gateway.is_group(REGION, group)
    assert gateway.members(REGION, group) == [name]
    assert gateway.groups(REGION, name) == [group]
    assert gateway.groups("us-east-1", name) is None
    path = "/thing-groups/removeThingFromThingGroup"
    upstream.ask("iot", REGION, "PUT", path, body=joined)
    assert gateway.groups(REGION, name) == []


def test_an_objects_digest_is_that_of_its_bytes(upstream: Upstream) -> None:
    gateway, bucket = MotoGateway(upstream), unique("artifacts")
    upstream.ask("s3", "us-east-1", "PUT", f"/{bucket}")
    upstream.ask("s3", "us-east-1", "PUT", f"/{bucket}/a b/ü.zip", body=b"content")
    digest = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    assert gateway.digest(bucket, "a b/ü.zip") == digest


@pytest.mark.parametrize(
    ("bucket", "why"), [("nobody-has-it", "does not exist"), ("with.dot", "has a dot")]
)
def test_an_object_that_cannot_be_used_says_why(upstream: Upstream, bucket: str, why: str) -> None:
    with pytest.raises(LookupError, match=why):
        MotoGateway(upstream).digest(bucket, "key")
