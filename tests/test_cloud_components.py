"""Component versions: what is there, what it holds, and why it is not deployable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ggml_magic.cloud.components import ComponentVersion
from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.errors import CloudError, PublishError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace


def version(**told: Any) -> ComponentVersion:
    given = {"state": "FAILED", "message": "", "errors": (), **told}
    return ComponentVersion("a", "1.0.0", "arn", content_sha256="", **given)


def test_the_cause_is_the_artifacts_own_message_before_the_general_one() -> None:
    wrong = version(errors=(("s3://b/k", "Not\nFound"),), message="failed")
    assert wrong.cause() == "s3://b/k: Not Found"
    assert version(message="too large").cause() == "too large"
    assert version().cause() == "its state is FAILED"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("components") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


def recipe(name: str, number: str, *uris: str) -> bytes:
    manifest = {
        "Platform": {"os": "linux", "runtime": "*"},
        "Lifecycle": {"Run": "sleep 1"},
        "Artifacts": [{"Uri": uri} for uri in uris],
    }
    return json.dumps(
        {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": number,
            "Manifests": [manifest],
        }
    ).encode()


@pytest.mark.real
def test_each_version_is_listed_with_its_content(cloud: Cloud) -> None:
    name = "com.example.Listed"
    assert cloud.components.versions(name) == {}
    assert cloud.components.describe(name, "1.0.0") is None
    cloud.components.create(recipe(name, "1.0.0"), "a" * 64, {})
    arn = cloud.components.create(recipe(name, "1.0.1"), "b" * 64, {"ggml:model": "rain"})
    assert arn == cloud.components.arn(name, "1.0.1")
    assert cloud.components.wait_deployable(name, "1.0.1").state == "DEPLOYABLE"
    assert cloud.components.versions(name) == {"1.0.0": "a" * 64, "1.0.1": "b" * 64}


@pytest.mark.real
def test_a_version_is_not_replaced(cloud: Cloud) -> None:
    name = "com.example.Once"
    cloud.components.create(recipe(name, "1.0.0"), "a" * 64, {})
    with pytest.raises(CloudError) as failed:
        cloud.components.create(recipe(name, "1.0.0"), "b" * 64, {})
    assert failed.value.code == "ConflictException"
    assert cloud.components.versions(name) == {"1.0.0": "a" * 64}


@pytest.mark.real
def test_an_artifact_that_is_not_there_is_named(cloud: Cloud) -> None:
    name, uri = "com.example.Absent", f"s3://{cloud.storage.bucket()}/absent.zip"
    cloud.components.create(recipe(name, "1.0.0", uri), "a" * 64, {})
    with pytest.raises(PublishError, match="cannot be deployed") as failed:
        cloud.components.wait_deployable(name, "1.0.0")
    assert uri in failed.value.why
    cloud.components.delete(name, "1.0.0")
    with pytest.raises(PublishError, match="it is gone"):
        cloud.components.wait_deployable(name, "1.0.0")
