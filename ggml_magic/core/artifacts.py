"""Artifacts: downloaded, verified and unpacked (EDGE-CORE 3).

A file takes its name only when its digest is right, a folder only when all of it is unpacked.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ggml_magic.core.disk import UNFINISHED, Layout
from ggml_magic.core.recipe import Artifact
from ggml_magic.errors import CloudError, UnreachableError

SHA256 = "SHA-256"
# A transfer may be cut; a wrong digest after this many is no accident.
TRIES = 3
# In the folder beside an unpacked artifact's: the digest of what was unpacked.
STAMP = ".digest"
CHUNK = 1024 * 1024


class ArtifactError(Exception):
    """An artifact that cannot be used; the text says which and why."""


class Store(Protocol):
    """Where artifacts come from."""

    async def download(self, bucket: str, key: str, target: Path) -> str:
        """Write an object to a file; returns base64 of its SHA-256."""


async def prepare(
    layout: Layout, store: Store, component: str, version: str, artifacts: Iterable[Artifact]
) -> None:
    """Bring a component version's artifacts to the device.

    What is there with the right digest is used again. Raises ``ArtifactError`` and, when the
    cloud does not answer, ``UnreachableError``.
    """
    folder = layout.artifacts / component / version
    folder.mkdir(parents=True, exist_ok=True)
    for artifact in artifacts:
        file = folder / _plain_name(artifact)
        await _fetch(store, artifact, file)
        if artifact.unarchive == "ZIP":
            target = layout.unarchived / component / version / file.stem
            await asyncio.to_thread(_unpack, artifact, file, target)
        file.chmod(mode(artifact))


def _plain_name(artifact: Artifact) -> str:
    if artifact.name in ("", ".", ".."):
        raise ArtifactError(f"{artifact.uri!r} names no file")
    return artifact.name


async def _fetch(store: Store, artifact: Artifact, file: Path) -> None:
    if not artifact.digest or artifact.algorithm != SHA256:
        raise ArtifactError(f"{artifact.uri} comes without a {SHA256} digest")
    if file.exists() and await asyncio.to_thread(_digest, file) == artifact.digest:
        return
    bucket, key = _place(artifact.uri)
    aside = file.with_name(f".{file.name}{UNFINISHED}")
    try:
        for _ in range(TRIES):
            if await _downloaded(store, artifact, bucket, key, aside) == artifact.digest:
                aside.replace(file)
                return
    finally:
        aside.unlink(missing_ok=True)
    raise ArtifactError(f"{artifact.uri} is not what was published: its digest differs")


async def _downloaded(
    store: Store, artifact: Artifact, bucket: str, key: str, aside: Path
) -> str:  # fmt: skip
    try:
        return await store.download(bucket, key, aside)
    except UnreachableError:
        raise
    except CloudError as error:
        raise ArtifactError(f"{artifact.uri} cannot be downloaded: {error}") from None


def _place(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme.lower() != "s3" or not bucket or not key:
        raise ArtifactError(f"{uri!r} is no s3://bucket/key, and no other scheme is known here")
    return bucket, key


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def _unpack(artifact: Artifact, archive: Path, target: Path) -> None:
    """Unpack a ZIP into a folder of its name; all of it or nothing."""
    stamp = target.with_name(f"{target.name}{STAMP}")
    if target.is_dir() and stamp.exists() and stamp.read_text() == artifact.digest:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(UNFINISHED, f".{target.name}.", target.parent))
    try:
        with zipfile.ZipFile(archive) as content:
            for entry in content.infolist():
                _check(artifact, entry, aside)
            content.extractall(aside)
        _permit(artifact, aside)
        stamp.unlink(missing_ok=True)
        remove(target)
        aside.rename(target)
        stamp.write_text(artifact.digest)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ArtifactError(f"{artifact.name} cannot be unpacked: {error}") from None
    finally:
        remove(aside)


def _check(artifact: Artifact, entry: zipfile.ZipInfo, target: Path) -> None:
    """Refuse an entry that would lie outside the target, or is no file or folder."""
    root = os.path.abspath(target)  # noqa: PTH100  # resolve() would follow links
    inside = os.path.abspath(os.path.join(root, entry.filename))  # noqa: PTH100, PTH118
    if inside != root and not inside.startswith(root + os.sep):
        raise ArtifactError(f"{artifact.name} holds {entry.filename!r}, which leaves its folder")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise ArtifactError(f"{artifact.name} holds {entry.filename!r}, which is a link")


def _permit(artifact: Artifact, folder: Path) -> None:
    """Files get the artifact's bits; folders can be entered by whoever may read what is in them."""
    bits = mode(artifact)
    reach = stat.S_IRWXU | (0o050 if bits & 0o040 else 0) | (0o005 if bits & 0o004 else 0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(reach if path.is_dir() else bits)


def mode(artifact: Artifact) -> int:
    """The permission bits of an artifact (EDGE-CORE 3)."""
    read, execute = artifact.read, artifact.execute
    bits = 0o400
    bits |= 0o100 if execute in ("OWNER", "ALL") else 0
    bits |= 0o040 if read in ("OWNER", "ALL") or execute != "NONE" else 0
    bits |= 0o010 if execute != "NONE" else 0
    bits |= 0o004 if read == "ALL" or execute == "ALL" else 0
    bits |= 0o001 if execute == "ALL" else 0
    return bits


def tidy(layout: Layout, kept: Iterable[tuple[str, str]]) -> None:
    """Remove packages of component versions that are not among those kept."""
    wanted = set(kept)
    for root in (layout.artifacts, layout.unarchived):
        for component in root.iterdir():
            for version in component.iterdir():
                if (component.name, version.name) not in wanted:
                    remove(version)
            if not any(component.iterdir()):
                component.rmdir()
    names = {f"{name}-{version}.json" for name, version in wanted}
    for recipe in layout.recipes.glob("*.json"):
        if recipe.name not in names:
            recipe.unlink()


def remove(folder: Path) -> None:
    """Remove a folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)
