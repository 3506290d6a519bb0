"""Archives from outside, unpacked without trusting a name or a size in them.

``core/artifacts.py`` unpacks what the cloud published, with permissions and stamps of its own;
here an archive may come from anywhere, and nothing but plain files comes out of it.
"""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.workspace import make_private

SUFFIXES = (".zip", ".tar.gz", ".tgz")
BLOCK_BYTES = 1 << 20
# A tar's header that says it is longer than this is read whole by Python, and is no name.
LARGEST_READ_BYTES = 4 << 20
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # an encrypted entry
    UnicodeError,
    ValueError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
)


@dataclass(frozen=True)
class Bounds:
    """How much an archive may hold, unpacked: ``files`` and folders in it, and bytes."""

    files: int = 10_000
    size: int = 2 << 30  # what fits a device is far smaller; a bomb would fill the disk


def is_archive(path: Path) -> bool:
    """Whether the name says that it is an archive of a kind that is unpacked here."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(path: Path, folder: Path, bounds: Bounds | None = None) -> Path:
    """Unpack a .zip, .tar.gz or .tgz into a new folder inside ``folder``, all or nothing.

    The folder has the archive's name without its suffix. Raises ``UnsupportedStageError`` for
    what is broken or larger than ``bounds`` (``Bounds()`` unless given), and for an entry that
    leaves the folder or is neither file nor folder.
    """
    make_private(folder)
    aside = Path(tempfile.mkdtemp(prefix="unpacked-", dir=folder))
    target = aside / _stem(path.name)
    try:
        target.mkdir()
        _Unpacking(path, target, bounds or Bounds()).run()
    except BaseException:
        shutil.rmtree(aside)
        raise
    return target


def _stem(name: str) -> str:
    """The archive's name without its suffix, which is what messages and cards call the model."""
    suffix = next(s for s in SUFFIXES if name.lower().endswith(s))
    return name[: -len(suffix)] or "model"


class _Unpacking:
    def __init__(self, path: Path, target: Path, bounds: Bounds) -> None:
        self._path = path
        self._target = target
        self._bounds = bounds
        self._files = 0
        self._size = 0

    def run(self) -> None:
        with self._told():
            if self._path.name.lower().endswith(".zip"):
                self._zip()
            else:
                self._tar()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one sentence what Python's modules raise; a full disk stays what it is."""
        try:
            yield
        except BROKEN as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise self._refused(f"it is broken or no archive: {reason}") from error

    def _refused(self, why: str) -> UnsupportedStageError:
        return UnsupportedStageError(
            f"{self._path.name} cannot be unpacked", why, "pack the model's folder again"
        )

    def _zip(self) -> None:
        with zipfile.ZipFile(self._path) as archive:
            for entry in archive.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir():
                    self._folder(entry.filename)
                elif kind not in (0, stat.S_IFREG):
                    raise self._refused(f"it holds {entry.filename!r}, which is no plain file")
                else:
                    inside = self._place(entry.filename)
                    with archive.open(entry) as content:
                        self._write(content, inside)

    def _tar(self) -> None:
        with (
            gzip.GzipFile(self._path) as plain,
            tarfile.open(None, "r:", _Metered(plain, self._bounds)) as archive,
        ):
            for member in archive:
                if member.isdir():
                    self._folder(member.name)
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise self._refused(f"it holds {member.name!r}, which is no plain file")
                with content:
                    self._write(content, self._place(member.name))

    def _folder(self, name: str) -> None:
        self._place(name).mkdir(parents=True, exist_ok=True)

    def _place(self, name: str) -> Path:
        """Where an entry goes; nothing is created for a name that leads elsewhere."""
        self._files += 1
        if self._files > self._bounds.files:
            raise self._refused(f"it holds more than {self._bounds.files:,} files")
        parts = PurePosixPath(name).parts
        if not name or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise self._refused(f"it holds {name!r}, which leaves its folder")
        return self._target.joinpath(*parts)

    def _write(self, content: IO[bytes], inside: Path) -> None:
        inside.parent.mkdir(parents=True, exist_ok=True)
        with inside.open("xb") as file:  # a second entry of the same name replaces nothing
            while block := content.read(BLOCK_BYTES):
                self._size += len(block)  # counted, since what a header says may be a lie
                if self._size > self._bounds.size:
                    raise self._refused(f"it holds more than {self._bounds.size:,} bytes")
                file.write(block)


class _Metered(io.RawIOBase):
    """What a tar is read through: no longer than allowed, and in small pieces."""

    def __init__(self, plain: gzip.GzipFile, bounds: Bounds) -> None:
        self._plain = plain
        # a header and the padding of each file come on top of their contents
        self._end = bounds.size + bounds.files * 4 * tarfile.BLOCKSIZE

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._plain.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self._plain.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_READ_BYTES:
            raise tarfile.ReadError("a header in it is far too long")
        self._check(self._plain.tell() + size)
        return self._plain.read(size)

    def _check(self, end: int) -> None:
        if end > self._end:
            raise tarfile.ReadError("it holds more than is allowed")
