"""Artifacts: downloaded, verified and unpacked (EDGE-CORE 3).

A file takes its name only when its digest is right, a folder only when all of it is unpacked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.core import archives, downloads, packages
from ggml_magic.core.disk import Layout
from ggml_magic.core.downloads import Place, Store
from ggml_magic.core.packages import ArtifactError as ArtifactError
from ggml_magic.core.packages import Room
from ggml_magic.core.packages import remove as remove
from ggml_magic.core.packages import tidy as tidy
from ggml_magic.core.recipe import SHA256, Artifact
from ggml_magic.workspace import make_private

UNKNOWN_SCHEME = "UNSUPPORTED_ARTIFACT_SCHEME"
Owned = Callable[[Path], None]


@dataclass(frozen=True)
class Wishes:
    """How artifacts are kept beyond what their recipe says.

    ``room`` is asked before anything is written. ``owned`` hears of each file and each unpacked
    folder that is ready, so that another user can be made its owner.
    """

    room: Room
    owned: Owned = lambda path: None


async def prepare(
    layout: Layout, store: Store, component: str, version: str, artifacts: Iterable[Artifact],
    wishes: Wishes | None = None,
) -> None:  # fmt: skip
    """Bring a component version's artifacts to the device.

    What is there with the right digest is used again. Raises ``ArtifactError`` and, when the
    cloud does not answer, ``UnreachableError``.
    """
    heeded = wishes or Wishes(Room(layout))
    folder = layout.artifacts / component / version
    arn = packages.arn_of(layout, component, version)
    make_private(folder)
    for artifact in artifacts:
        file = folder / _plain_name(artifact)
        await _fetch(store, artifact, arn, file, heeded.room)
        if artifact.unarchive == "ZIP":
            target = layout.unarchived / component / version / file.stem
            await asyncio.to_thread(archives.unpack, artifact, file, target, heeded.room)
            heeded.owned(target)
        file.chmod(archives.mode(artifact))
        heeded.owned(file)


def _plain_name(artifact: Artifact) -> str:
    if artifact.name in ("", ".", "..") or artifact.name.startswith("."):
        raise ArtifactError(f"{artifact.uri!r} names no file")
    return artifact.name


async def _fetch(store: Store, artifact: Artifact, arn: str, file: Path, room: Room) -> None:
    if not artifact.digest and file.is_file():
        return  # of a local recipe: taken as it is
    if not artifact.digest or artifact.algorithm != SHA256:
        raise ArtifactError(f"{artifact.uri} comes without a {SHA256} digest")
    if file.exists() and await asyncio.to_thread(downloads.digest_of, file) == artifact.digest:
        downloads.drop_partials(file)
        return
    place = _place(artifact.uri, arn)
    await downloads.fetch(store, place, artifact, file, room)


def _place(uri: str, arn: str) -> Place:
    """Where an artifact is; a scheme that is not known here is an error that says which are."""
    scheme, _, rest = uri.partition(":")
    kind = scheme.lower()
    if kind == "s3":
        bucket, _, key = rest.removeprefix("//").partition("/")
        if rest.startswith("//") and bucket and key:
            return Place(uri, bucket=bucket, key=key)
        raise ArtifactError(f"{uri!r} is no s3://bucket/key", UNKNOWN_SCHEME)
    if kind == "greengrass":
        if not arn:
            why = "its component is no version of the cloud's"
            raise ArtifactError(f"{uri} cannot be downloaded: {why}")
        return Place(uri, arn=arn, name=rest.lstrip("/"))
    if kind == "docker":
        why = "this core runs no containers"
        raise ArtifactError(f"{uri} is a Docker image, and {why}", UNKNOWN_SCHEME)
    raise ArtifactError(f"{uri!r} is neither s3://bucket/key nor greengrass:name", UNKNOWN_SCHEME)
