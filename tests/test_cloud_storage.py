"""Artifacts on S3 are put once, checked, and never replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.cloud.storage import Storage
from ggml_magic.errors import CloudError, PublishError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("storage") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


def as_aws(storage: Storage) -> Storage:
    """The very same calls, told that the cloud is AWS."""
    return replace(storage, s3=replace(storage.s3, cloud="aws"))


def test_the_default_bucket_is_named_after_account_and_region_and_made_once(cloud: Cloud) -> None:
    name = cloud.storage.bucket()
    assert name == f"ggml-{cloud.account}-{cloud.region}"
    assert cloud.storage.bucket() == name


def test_a_file_goes_up_once(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(b"model")
    bucket, sha256 = cloud.storage.bucket(), hashlib.sha256(b"model").hexdigest()
    key = f"a/{sha256}/model.zip"
    assert not cloud.storage.exists(bucket, key)
    assert cloud.storage.put_if_absent(bucket, key, path, sha256)
    assert cloud.storage.exists(bucket, key)
    assert not cloud.storage.put_if_absent(bucket, key, path, sha256)


def test_a_key_that_holds_something_else_is_not_overwritten(cloud: Cloud, tmp_path: Path) -> None:
    bucket, key = cloud.storage.bucket(), "b/model.zip"
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"11111")
    second.write_bytes(b"22222")  # of the same size: only the checksum tells
    cloud.storage.put_if_absent(bucket, key, first, hashlib.sha256(b"11111").hexdigest())
    with pytest.raises(PublishError, match="something else"):
        cloud.storage.put_if_absent(bucket, key, second, hashlib.sha256(b"22222").hexdigest())
    assert cloud.storage.s3.call("GetObject", Bucket=bucket, Key=key)["Body"].read() == b"11111"


def test_on_aws_a_missing_bucket_is_left_to_its_owner(cloud: Cloud) -> None:
    storage = as_aws(cloud.storage)
    for _ in range(2):  # nor was it made by the first attempt
        with pytest.raises(CloudError, match="does not exist on aws") as failed:
            storage.bucket("a-bucket-of-somebody")
        assert failed.value.remedy == "aws s3 mb s3://a-bucket-of-somebody --region eu-west-1"


def test_a_bucket_of_another_region_is_refused(cloud: Cloud) -> None:
    name = cloud.storage.bucket()
    elsewhere = replace(cloud.storage, region="eu-central-1")
    with pytest.raises(CloudError, match="lies in eu-west-1") as failed:
        elsewhere.bucket(name)
    assert failed.value.remedy == "%ggml config region=eu-west-1"


@pytest.mark.parametrize("region", ["us-east-1", "eu-north-1"])
def test_every_region_gets_its_bucket(cloud: Cloud, region: str) -> None:
    from ggml_magic.cloud.connect import sandbox_maker
    from ggml_magic.cloud.gateway import Gateway

    assert cloud.endpoint is not None
    s3 = Gateway("sandbox", "s3", sandbox_maker(cloud.endpoint, region))
    storage = Storage(s3, region, cloud.account)
    assert storage.bucket() == storage.bucket() == f"ggml-{cloud.account}-{region}"
