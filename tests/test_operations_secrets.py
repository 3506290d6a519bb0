"""The IPC operations of ``secrets``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OWN, Core, client_of_own, core_with_two_components
from sandboxes import SHARED, Connect, shared_aws, shared_endpoint, unique

from ggml_magic.core.authorize import SECRETS

__all__ = ["client_of_own", "core_with_two_components", "shared_aws", "shared_endpoint"]

PASSWORD = "correct horse"


def allow(core: Core, *resources: str) -> None:
    core.allow(SECRETS, ["GetSecretValue"], *resources)


@pytest.fixture(name="cloud")
def cloud_of_the_core(core: Core, aws: Connect, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Secrets Manager of the sandbox that the core asks."""
    file = tmp_path_factory.getbasetemp() / SHARED / "sandbox" / "endpoint.json"
    shutil.copy(file, core.endpoint)
    return aws("secretsmanager")


@pytest.mark.real
def test_a_secret_by_name_and_by_arn_and_its_versions(
    core: Core, client: GreengrassCoreIPCClientV2, cloud: Any
) -> None:
    name = unique("password")
    made = cloud.create_secret(Name=name, SecretString=PASSWORD)
    allow(core, made["ARN"])
    for asked in (name, made["ARN"]):
        found = client.get_secret_value(secret_id=asked)
        assert found.secret_id == made["ARN"]
        assert (found.version_id, found.version_stage) == (made["VersionId"], ["AWSCURRENT"])
        assert found.secret_value.secret_string == PASSWORD
    cloud.put_secret_value(SecretId=name, SecretBinary=b"\x00\xff")
    assert client.get_secret_value(secret_id=name).secret_value.secret_binary == b"\x00\xff"
    before = client.get_secret_value(secret_id=name, version_stage="AWSPREVIOUS")
    assert before.secret_value.secret_string == PASSWORD
    first = client.get_secret_value(secret_id=name, version_id=made["VersionId"])
    assert first.secret_value.secret_string == PASSWORD


@pytest.mark.real
def test_no_policy_no_secret_and_no_word_of_whether_there_is_one(
    core: Core, client: GreengrassCoreIPCClientV2, cloud: Any
) -> None:
    name = unique("password")
    arn = cloud.create_secret(Name=name, SecretString=PASSWORD)["ARN"]
    allow(core, "another")
    for asked in (name, arn, "none"):
        with pytest.raises(model.UnauthorizedError) as caught:
            client.get_secret_value(secret_id=asked)
        assert caught.value.message == (
            f"Principal {OWN} is not authorized to perform "
            f"{SECRETS}:aws.greengrass#GetSecretValue on resource {asked}"
        )
    allow(core, "*")
    with pytest.raises(model.ResourceNotFoundError) as missing:
        client.get_secret_value(secret_id="none")
    assert missing.value.resource_name == "none"


@pytest.mark.real
def test_while_the_cloud_is_away_what_was_had_is_had_and_nothing_is_on_the_disk(
    core: Core, client: GreengrassCoreIPCClientV2, cloud: Any
) -> None:
    name = unique("password")
    cloud.create_secret(Name=name, SecretString=PASSWORD)
    allow(core, name)
    client.get_secret_value(secret_id=name)
    core.endpoint.unlink()
    assert client.get_secret_value(secret_id=name).secret_value.secret_string == PASSWORD
    with pytest.raises(model.ServiceError):
        client.get_secret_value(secret_id=name, version_stage="AWSPREVIOUS")
    assert PASSWORD.encode() not in contents(core.layout.root)


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_without_a_cloud_it_is_told_and_to_strangers_nothing(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    allow(core, "mine")
    with pytest.raises(model.ServiceError):
        client.get_secret_value(secret_id="mine")
    with pytest.raises(model.UnauthorizedError):
        client.get_secret_value(secret_id="theirs")


@pytest.mark.parametrize(
    "request_", [{"secret_id": ""}, {"secret_id": "a", "version_id": "1", "version_stage": "2"}]
)
def test_what_names_no_version_of_a_secret(
    client: GreengrassCoreIPCClientV2, request_: dict[str, str]
) -> None:
    with pytest.raises(model.InvalidArgumentsError):
        client.get_secret_value(**request_)
