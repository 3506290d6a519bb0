"""Downloads that go on where they were cut (EDGE-CORE 3).

The part that is here lies beside the file's place, with the digest of the whole in its name: a
core that was killed goes on with it, and a part of something else is never taken for it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ggml_magic.core.disk import PARTIAL, UNFINISHED, partial_name
from ggml_magic.core.packages import ArtifactError, Room
from ggml_magic.core.recipe import Artifact
from ggml_magic.errors import CloudError, UnreachableError

# A wrong digest after this many whole transfers is no accident.
TRIES = 3
# A transfer that is cut goes on while it gets further, at most so often within a try.
CUTS = 20
# Seconds before a transfer that was cut goes on.
PAUSE_SECONDS = 0.2
CHUNK = 1024 * 1024
MISMATCH = "ARTIFACT_CHECKSUM_MISMATCH"


@dataclass(frozen=True)
class Place:
    """Where an artifact is: an S3 object, or a name below a component version's ARN."""

    uri: str
    bucket: str = ""
    key: str = ""
    arn: str = ""
    name: str = ""


class Store(Protocol):
    """Where artifacts come from."""

    async def download(self, place: Place, target: Path, admit: Callable[[int], None]) -> str:
        """Write an object to a file, going on behind what the file has already.

        ``admit`` hears how many bytes will come before the first is written, and may raise.
        Returns base64 of the SHA-256 of the whole file.
        """


async def fetch(store: Store, place: Place, artifact: Artifact, file: Path, room: Room) -> None:
    """Bring one file with the digest that its recipe names.

    Raises ``ArtifactError``; ``UnreachableError`` leaves what came so far for the next time.
    """
    aside = file.with_name(partial_name(file.name, artifact.digest))
    drop_partials(file, besides=aside)
    for _ in range(TRIES):
        if await _whole(store, place, aside, room) == artifact.digest:
            aside.replace(file)
            return
        aside.unlink(missing_ok=True)
    raise ArtifactError(
        f"{place.uri} is not what was published: its digest differs", MISMATCH
    )  # fmt: skip


async def _whole(store: Store, place: Place, aside: Path, room: Room) -> str:
    """One try: the digest of all of it, however often the transfer was cut on the way."""
    for _ in range(CUTS):
        before = _size(aside)
        try:
            return await store.download(place, aside, lambda size: room.claim(place.uri, size))
        except UnreachableError:
            if _size(aside) <= before:
                raise
        except CloudError as error:
            aside.unlink(missing_ok=True)
            raise ArtifactError(f"{place.uri} cannot be downloaded: {error}") from None
        except ArtifactError:
            aside.unlink(missing_ok=True)
            raise
        await asyncio.sleep(PAUSE_SECONDS)
    raise UnreachableError("the cloud does not answer", f"{place.uri} was cut {CUTS} times")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def drop_partials(file: Path, besides: Path | None = None) -> None:
    """Remove parts of what a file was to be."""
    for path in file.parent.glob(f".*{UNFINISHED}"):
        match = PARTIAL.fullmatch(path.name)
        if match and match[1] == file.name and path != besides:
            path.unlink()


def digest_of(file: Path) -> str:
    """Base64 of a file's SHA-256, read in small pieces."""
    return base64.b64encode(hashed(file).digest()).decode()


def hashed(file: Path) -> hashlib._Hash:
    """The running SHA-256 of what a file holds; of nothing when there is none."""
    digest = hashlib.sha256()
    if file.exists():
        with file.open("rb") as content:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
    return digest
