"""Zip files that come out the same, bit for bit, wherever and whenever they are written."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

OLDEST_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold
UNIX = 3
FILE_MODE = 0o100644
BLOCK = 1 << 20


def write_zip(path: Path, entries: Mapping[str, bytes | Path]) -> None:
    """Write a zip file of entries by name: sorted, with fixed times and permissions.

    Nothing is compressed: what deflate makes differs between builds of zlib, and the weights
    that fill an artifact hardly shrink.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            _write(archive, name, entries[name])


def _write(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    entry = zipfile.ZipInfo(name, OLDEST_TIME)
    entry.create_system = UNIX
    entry.external_attr = FILE_MODE << 16
    if isinstance(content, bytes):
        archive.writestr(entry, content)
        return
    entry.file_size = content.stat().st_size  # decides on zip64 before the first byte
    with content.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, BLOCK)
