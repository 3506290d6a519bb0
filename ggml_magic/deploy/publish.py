"""Publish a bundle: artifacts to S3, recipes to Greengrass. What is there stays as it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic.cloud.components import FAILED, MODEL_TAG, ComponentVersion
from ggml_magic.cloud.connect import Cloud
from ggml_magic.component.bundle import Artifact, Bundle, Component
from ggml_magic.errors import CloudError, PublishError
from ggml_magic.settings import Settings

PLACEHOLDER = "{artifact:%s}"
CHUNK = 1 << 20


@dataclass(frozen=True)
class PublishedComponent:
    """A component version that can be deployed; ``created`` says that this call made it."""

    name: str
    version: str
    arn: str
    created: bool


@dataclass(frozen=True)
class Published:
    """What is published now, and how many bytes went up for it."""

    components: tuple[PublishedComponent, ...]
    uploaded_bytes: int


def publish(cloud: Cloud, settings: Settings, bundle: Bundle) -> Published:
    """Publish each component of a bundle that is not there yet.

    Running it again changes nothing, and finishes what an interrupted run left. Raises
    ``PublishError`` where the version is taken by other content or does not become deployable,
    ``CloudError`` for a bucket that cannot be used.
    """
    done, uploaded = [], 0
    for component in bundle.components:
        there = cloud.components.describe(component.name, component.version)
        created = there is None or _left_failed(cloud, bundle, component, there)
        if created:
            uploaded += _create(cloud, settings, bundle, component)
        ready = cloud.components.wait_deployable(component.name, component.version)
        done.append(PublishedComponent(ready.name, ready.version, ready.arn, created))
    return Published(tuple(done), uploaded)


def _left_failed(
    cloud: Cloud, bundle: Bundle, component: Component, there: ComponentVersion
) -> bool:
    """Whether our own content failed there before: it was never deployable, so it may go."""
    same_content(bundle.name, component, there)
    if there.state != FAILED:
        return False
    cloud.components.delete(component.name, component.version)
    return True


def same_content(name: str, component: Component, there: ComponentVersion) -> None:
    """Raise ``PublishError`` where a version holds other content than this component's."""
    if there.content_sha256 == component.content_sha256:
        return
    raise PublishError(
        f"{component.name} {component.version} is already published with other content",
        "a published version is never replaced; packaging again takes the next version",
        f"%ggml package {name}",
    )


def _create(cloud: Cloud, settings: Settings, bundle: Bundle, component: Component) -> int:
    bucket = cloud.storage.bucket(settings.bucket)
    uris, uploaded = {}, 0
    for artifact in component.artifacts:
        _unchanged(bundle.name, artifact)
        key = f"{component.name}/{artifact.sha256}/{artifact.name}"
        if cloud.storage.put_if_absent(bucket, key, artifact.path, artifact.sha256):
            uploaded += artifact.size
        uris[artifact.name] = f"s3://{bucket}/{key}"
    recipe = json.dumps(with_uris(component.recipe, uris)).encode()
    try:
        cloud.components.create(recipe, component.content_sha256, {MODEL_TAG: bundle.name})
    except CloudError as error:
        taken = cloud.components.describe(component.name, component.version)
        if error.code != "ConflictException" or taken is None:
            raise
        same_content(bundle.name, component, taken)  # another run of ours was quicker
    return uploaded


def with_uris(recipe: dict[str, Any], uris: dict[str, str]) -> dict[str, Any]:
    """The recipe with each ``{artifact:NAME}`` replaced by its S3 URI."""
    places = {PLACEHOLDER % name: uri for name, uri in uris.items()}
    manifests = [
        {
            **manifest,
            "Artifacts": [
                {**artifact, "Uri": places.get(artifact["Uri"], artifact["Uri"])}
                for artifact in manifest["Artifacts"]
            ],
        }
        if "Artifacts" in manifest
        else manifest
        for manifest in recipe["Manifests"]
    ]
    return {**recipe, "Manifests": manifests}


def _unchanged(name: str, artifact: Artifact) -> None:
    """Refuse a file that is not what was packaged, before its first byte goes up."""
    try:
        found = _sha256(artifact.path)
    except FileNotFoundError:
        found = ""
    if found != artifact.sha256:
        state = "has changed since it was packaged" if found else "is gone"
        raise PublishError(
            f"{artifact.name} of {name} {state}",
            "what is published must be what was packaged",
            f"%ggml package {name}",
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
