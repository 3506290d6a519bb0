"""Publishing is idempotent, finishes what was left, and replaces nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.component.bundle import Artifact, Bundle, Component
from ggml_magic.deploy.publish import publish, with_uris
from ggml_magic.errors import PublishError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace


def recipe(name: str, version: str = "1.0.0") -> dict[str, Any]:
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Lifecycle": {"Run": "echo {artifacts:path}"},
                "Artifacts": [{"Uri": "{artifact:a.zip}", "Unarchive": "ZIP"}],
            }
        ],
    }


def test_only_the_artifacts_addresses_are_filled_in() -> None:
    before = recipe("com.example.A")
    after = with_uris(before, {"a.zip": "s3://b/k/a.zip"})
    assert after["Manifests"][0]["Artifacts"] == [{"Uri": "s3://b/k/a.zip", "Unarchive": "ZIP"}]
    assert after["Manifests"][0]["Lifecycle"] == {"Run": "echo {artifacts:path}"}
    assert before == recipe("com.example.A")
    plain = {**before, "Manifests": [{"Lifecycle": {"Run": "x"}}]}
    assert with_uris(plain, {}) == plain


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("publish") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


def bundle(folder: Path, name: str, content: bytes, sha256: str | None = None) -> Bundle:
    path = folder / "a.zip"
    path.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    artifact = Artifact(path, found, len(content))
    component = Component(name, "1.0.0", recipe(name), (artifact,), sha256 or found)
    return Bundle("rain", (component,), "m", "ai-edge-litert", "2.3.0", new=True)


@pytest.fixture
def calls(cloud: Cloud) -> Iterator[list[str]]:
    """The names of the calls that are made, in order."""
    made: list[str] = []

    def note(model: Any, **_: Any) -> None:
        made.append(model.name)

    clients = [cloud.storage.s3.client, cloud.components.greengrass.client]
    for client in clients:
        client.meta.events.register("before-call", note, unique_id="calls")
    yield made
    for client in clients:
        client.meta.events.unregister("before-call", unique_id="calls")


@pytest.mark.real
def test_a_second_time_nothing_is_changed_and_nothing_goes_up(
    cloud: Cloud, calls: list[str], tmp_path: Path
) -> None:
    ours = bundle(tmp_path, "com.example.Twice", b"content")
    first = publish(cloud, Settings(), ours)
    assert first.uploaded_bytes == len(b"content")
    assert [done.created for done in first.components] == [True]
    assert {"PutObject", "CreateComponentVersion"} <= set(calls)
    calls.clear()
    second = publish(cloud, Settings(), ours)
    assert second.uploaded_bytes == 0
    assert [done.created for done in second.components] == [False]
    assert set(calls) == {"DescribeComponent"}


@pytest.mark.real
def test_the_artifact_lies_under_its_hash_and_the_recipe_names_it(
    cloud: Cloud, tmp_path: Path
) -> None:
    ours = bundle(tmp_path, "com.example.Key", b"content")
    publish(cloud, Settings(), ours)
    arn = cloud.components.arn("com.example.Key", "1.0.0")
    stored = json.loads(cloud.components.greengrass.call("GetComponent", arn=arn)["recipe"])
    sha256 = hashlib.sha256(b"content").hexdigest()
    artifact = stored["Manifests"][0]["Artifacts"][0]
    assert artifact["Uri"] == f"s3://{cloud.storage.bucket()}/com.example.Key/{sha256}/a.zip"
    assert cloud.components.versions("com.example.Key") == {"1.0.0": sha256}


@pytest.mark.real
def test_an_upload_without_its_version_is_finished(
    cloud: Cloud, calls: list[str], tmp_path: Path
) -> None:
    ours = bundle(tmp_path, "com.example.Half", b"content")
    sha256 = ours.root.artifacts[0].sha256
    key = f"com.example.Half/{sha256}/a.zip"
    cloud.storage.put_if_absent(cloud.storage.bucket(), key, tmp_path / "a.zip", sha256)
    calls.clear()
    done = publish(cloud, Settings(), ours)
    assert (done.uploaded_bytes, done.components[0].created) == (0, True)
    assert "PutObject" not in calls


@pytest.mark.real
def test_a_version_with_other_content_is_left_alone(cloud: Cloud, tmp_path: Path) -> None:
    publish(cloud, Settings(), bundle(tmp_path, "com.example.Taken", b"first"))
    with pytest.raises(PublishError, match="other content") as failed:
        publish(cloud, Settings(), bundle(tmp_path, "com.example.Taken", b"second"))
    assert failed.value.remedy == "%ggml package rain"
    first = hashlib.sha256(b"first").hexdigest()
    assert cloud.components.versions("com.example.Taken") == {"1.0.0": first}


@pytest.mark.real
@pytest.mark.parametrize("now", [b"changed", None])
def test_what_is_not_what_was_packaged_does_not_go_up(
    cloud: Cloud, calls: list[str], tmp_path: Path, now: bytes | None
) -> None:
    ours = bundle(tmp_path, "com.example.Tampered", b"packaged")
    path = ours.root.artifacts[0].path
    path.write_bytes(now) if now else path.unlink()
    with pytest.raises(PublishError, match=r"a\.zip of rain (has changed|is gone)"):
        publish(cloud, Settings(), ours)
    assert not {"PutObject", "CreateComponentVersion"} & set(calls)


@pytest.mark.real
def test_our_own_content_that_failed_before_is_published_after_all(
    cloud: Cloud, tmp_path: Path
) -> None:
    name = "com.example.Healed"
    ours = bundle(tmp_path, name, b"content")
    broken = with_uris(recipe(name), {"a.zip": f"s3://{cloud.storage.bucket()}/not/there.zip"})
    cloud.components.create(json.dumps(broken).encode(), ours.root.content_sha256, {})
    with pytest.raises(PublishError):
        cloud.components.wait_deployable(name, "1.0.0")
    assert publish(cloud, Settings(), ours).components[0].created
    assert cloud.components.wait_deployable(name, "1.0.0").state == "DEPLOYABLE"


@pytest.mark.real
def test_the_bucket_of_the_settings_is_used(cloud: Cloud, tmp_path: Path) -> None:
    settings = Settings(bucket="my-edge-artifacts")
    publish(cloud, settings, bundle(tmp_path, "com.example.Bucket", b"content"))
    sha256 = hashlib.sha256(b"content").hexdigest()
    assert cloud.storage.exists("my-edge-artifacts", f"com.example.Bucket/{sha256}/a.zip")
