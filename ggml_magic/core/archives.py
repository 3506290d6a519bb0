"""ZIP archives unpacked: all of one or nothing, and never outside its folder (EDGE-CORE 3)."""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from ggml_magic.core.disk import UNFINISHED
from ggml_magic.core.downloads import digest_of
from ggml_magic.core.packages import ArtifactError, Room, remove
from ggml_magic.core.recipe import Artifact
from ggml_magic.workspace import make_private

# In the folder beside an unpacked artifact's: the digest of what was unpacked.
STAMP = ".digest"
# Each entry takes an inode even when it is empty.
MOST_ENTRIES = 100_000
UNPACKING = "IO_UNZIP_ERROR"
# What a malformed archive makes the library raise; an OSError is of a place before its begin, of
# a name that is too long, of a file where a folder should be, or of the disk itself.
BROKEN = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, zlib.error,
    struct.error, OSError,
)  # fmt: skip
KINDS = (0, stat.S_IFREG, stat.S_IFDIR)


def unpack(artifact: Artifact, archive: Path, target: Path, room: Room) -> None:
    """Unpack a ZIP into a folder of its name; raises ``ArtifactError``, and nothing stays then.

    A folder that holds every entry of the same archive in its size stays as it is.
    """
    digest = artifact.digest or digest_of(archive)
    stamp = target.with_name(f"{target.name}{STAMP}")
    make_private(target.parent)
    aside = Path(tempfile.mkdtemp(UNFINISHED, f".{target.name}.", target.parent))
    try:
        with zipfile.ZipFile(archive) as content:
            entries = content.infolist()
            _check(artifact, entries)
            if stamp.exists() and stamp.read_text() == digest and _complete(entries, target):
                return
            room.claim(f"{artifact.name} unpacked", sum(entry.file_size for entry in entries))
            # an entry that is longer than it says is cut there and fails its checksum
            content.extractall(aside)
        _permit(artifact, aside)
        stamp.unlink(missing_ok=True)
        remove(target)
        aside.rename(target)
        stamp.write_text(digest)
    except BROKEN as error:
        raise _refused(artifact, f"cannot be unpacked: {error}") from None
    finally:
        remove(aside)


def _refused(artifact: Artifact, why: str) -> ArtifactError:
    return ArtifactError(f"{artifact.name} {why}", UNPACKING)


def _check(artifact: Artifact, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse what would lie outside, is no file or folder, or is there twice."""
    if len(entries) > MOST_ENTRIES:
        raise _refused(artifact, f"holds {len(entries)} entries, more than {MOST_ENTRIES}")
    seen: set[tuple[str, ...]] = set()
    for entry in entries:
        shown = repr(entry.filename[:200])
        parts = _parts(entry)
        if entry.filename.startswith(("/", "\\")) or ".." in parts:
            raise _refused(artifact, f"holds {shown}, which leaves its folder")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in KINDS:
            what = "link" if kind == stat.S_IFLNK else "device or pipe"
            raise _refused(artifact, f"holds {shown}, which is a {what}")
        if parts in seen:
            raise _refused(artifact, f"holds {shown} twice")
        seen.add(parts)


def _parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    return tuple(part for part in entry.filename.split("/") if part not in ("", "."))


def _complete(entries: Iterable[zipfile.ZipInfo], target: Path) -> bool:
    """Whether all files of an archive are in the folder in their size."""
    for entry in entries:
        path = target.joinpath(*_parts(entry))
        try:
            if not entry.is_dir() and path.lstat().st_size != entry.file_size:
                return False
        except OSError:
            return False
    return target.is_dir()


def _permit(artifact: Artifact, folder: Path) -> None:
    """Files get the artifact's bits; folders can be entered by whoever may read what is in them."""
    bits = mode(artifact)
    reach = stat.S_IRWXU | (0o050 if bits & 0o040 else 0) | (0o005 if bits & 0o004 else 0)
    for place, _, files in os.walk(folder):
        Path(place).chmod(reach)
        for file in files:
            (Path(place) / file).chmod(bits)


def mode(artifact: Artifact) -> int:
    """The permission bits of an artifact (EDGE-CORE 3)."""
    if artifact.bits is not None:
        return artifact.bits
    read, execute = artifact.read, artifact.execute
    bits = 0o400
    bits |= 0o100 if execute in ("OWNER", "ALL") else 0
    bits |= 0o040 if read in ("OWNER", "ALL") or execute != "NONE" else 0
    bits |= 0o010 if execute != "NONE" else 0
    bits |= 0o004 if read == "ALL" or execute == "ALL" else 0
    bits |= 0o001 if execute == "ALL" else 0
    return bits
