"""What lasts over a stop and over kill -9."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from sandboxes import (
    REGION,
    connected,
    on_a_small_disk,
    own_workspace,  # noqa: F401  # pytest finds fixtures by their names
)

from ggml_magic.sandbox import client
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


def fill(endpoint: ep.Endpoint) -> None:
    aws = connected(endpoint)
    iot, s3, data = aws("iot"), aws("s3"), aws("iot-data")
    location = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration=location)
    s3.create_bucket(Bucket="dropped", CreateBucketConfiguration=location)
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="kept", Key="a b/ü.zip", Body=b"content", Metadata={"my_key": "v"},
                  ContentType="application/zip")  # fmt: skip
    for key in ("gone", "gone too", "gone three"):
        s3.put_object(Bucket="kept", Key=key, Body=key.encode())
    s3.delete_object(Bucket="kept", Key="gone")
    objects = [{"Key": "gone too"}, {"Key": "gone three"}]
    s3.delete_objects(Bucket="kept", Delete={"Objects": objects})
    s3.delete_bucket(Bucket="dropped")
    iot.create_thing_type(thingTypeName="station")
    iot.create_thing(
        thingName="pi", thingTypeName="station", attributePayload={"attributes": {"at": "roof"}}
    )
    iot.create_thing(thingName="gone")
    iot.create_thing_group(thingGroupName="parent")
    iot.create_thing_group(thingGroupName="stations", parentGroupName="parent")
    iot.add_thing_to_thing_group(thingGroupName="stations", thingName="pi")
    iot.delete_thing(thingName="gone")
    for value in range(3):
        document = json.dumps({"state": {"reported": {"n": value}}})
        data.update_thing_shadow(thingName="pi", payload=document)
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "a",
        "ComponentVersion": "1.0.0",
        "Manifests": [{}],
    }
    greengrass = aws("greengrassv2")
    greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())
    greengrass.create_deployment(
        targetArn=f"arn:aws:iot:{REGION}:123456789012:thinggroup/stations",
        components={"a": {"componentVersion": "1.0.0"}},
    )


def check(endpoint: ep.Endpoint) -> None:
    aws = connected(endpoint)
    iot, s3, data = aws("iot"), aws("s3"), aws("iot-data")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["kept"]
    assert s3.get_bucket_location(Bucket="kept")["LocationConstraint"] == REGION
    assert s3.get_bucket_versioning(Bucket="kept")["Status"] == "Enabled"
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="kept")["Contents"]] == ["a b/ü.zip"]
    found = s3.get_object(Bucket="kept", Key="a b/ü.zip")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (
        b"content",
        {"my_key": "v"},
        "application/zip",
    )
    (thing,) = iot.list_things()["things"]
    assert (thing["thingName"], thing["thingTypeName"]) == ("pi", "station")
    assert thing["attributes"] == {"at": "roof"}
    group = iot.describe_thing_group(thingGroupName="stations")
    assert group["thingGroupMetadata"]["parentGroupName"] == "parent"
    assert iot.list_things_in_thing_group(thingGroupName="stations")["things"] == ["pi"]
    shadow = json.loads(data.get_thing_shadow(thingName="pi")["payload"].read())
    assert (shadow["version"], shadow["state"]) == (3, {"reported": {"n": 2}})
    deployments = aws("greengrassv2").list_deployments()["deployments"]
    assert [item["deploymentStatus"] for item in deployments] == ["ACTIVE"]
    pending = aws("iot-jobs-data").get_pending_job_executions(thingName="pi")
    assert len(pending["queuedJobs"]) == 1


def test_everything_lasts_over_a_kill_and_over_a_stop(workspace: Workspace) -> None:
    first = client.ensure(workspace, 5)
    fill(first)
    os.kill(first.pid, signal.SIGKILL)
    second = client.ensure(workspace, 5)
    assert second.instance != first.instance
    assert second.port == first.port
    check(second)
    client.stop(workspace)
    third = client.ensure(workspace, 5)
    assert third.port == first.port
    check(third)
    assert_private_data(workspace)


def assert_private_data(workspace: Workspace) -> None:
    places = ep.places(workspace)
    kept = [path.name for path in places.objects.iterdir()]
    assert kept == [hashlib.sha256(b"content").hexdigest()]
    for path in places.folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_forged_object_does_not_come_back(workspace: Workspace) -> None:
    endpoint = client.ensure(workspace, 5)
    s3 = connected(endpoint)("s3")
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="kept", Key="k", Body=b"content")
    client.stop(workspace)
    places = ep.places(workspace)
    (places.objects / hashlib.sha256(b"content").hexdigest()).write_bytes(b"forged!")
    s3 = connected(client.ensure(workspace, 5))("s3")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket="kept", Key="k")
    assert "object k of bucket kept is lost" in places.log.read_text()


FULL = """
import json, sys
from pathlib import Path
from botocore.exceptions import ClientError
from sandboxes import REGION, connected
from ggml_magic.sandbox import client
from ggml_magic.workspace import Workspace

def code(put):
    try:
        put()
    except ClientError as error:
        return error.response["Error"]["Code"]

workspace = Workspace(Path(sys.argv[1]) / ".ggml")
aws = connected(client.ensure(workspace, 5))
s3, data = aws("s3"), aws("iot-data")
s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
s3.put_object(Bucket="kept", Key="old", Body=b"first")
aws("iot").create_thing(thingName="pi")
large = b"x" * 3_000_000
told = [code(lambda: s3.put_object(Bucket="kept", Key=key, Body=large)) for key in ("old", "new")]
left = {item["Key"]: item["Size"] for item in s3.list_objects_v2(Bucket="kept")["Contents"]}
shadow = json.dumps({"state": {"reported": {"a": "x" * 8000}}})
for number in range(1000):
    refusal = code(
        lambda: data.update_thing_shadow(thingName="pi", shadowName=f"n{number}", payload=shadow)
    )
    if refusal:
        break
client.stop(workspace)
print(json.dumps([told, left, refusal]))
"""


def test_a_full_disk_is_said_and_nothing_is_there_that_a_restart_would_lose(
    tmp_path: Path,
) -> None:
    told, left, shadow = on_a_small_disk(tmp_path, FULL)
    assert told == ["SandboxDiskFull"] * 2
    assert left == {"old": len(b"first")}
    assert shadow == "SandboxDiskFull"
