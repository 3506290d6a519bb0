"""The workspace: ``.ggml/`` beside the notebook, where everything that must last is kept.

A kernel restart, another notebook or a papermill run goes on from here (DESIGN, rule 9). Files
appear whole or not at all: they are written aside and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ggml_magic.errors import DiskFullError

FOLDER = ".ggml"
PRIVATE_FOLDER = 0o700
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Workspace:
    """One notebook folder's state, at ``root``."""

    root: Path

    def folder(self, *parts: str) -> Path:
        """A folder of the workspace, made when it is not there."""
        path = self.root.joinpath(*parts)
        with telling_of_a_full_disk(path):
            make_private(path)
        return path

    def lock(self, name: str) -> FileLock:
        """A lock between processes that a crash releases."""
        return FileLock(self.folder("locks") / f"{name}.lock")


def make_private(path: Path) -> None:
    """Make a folder and what is missing above it, each for the owner only.

    A workspace may have to be passed through by others (``core.users``), so nothing in it relies
    on its own mode. The mode of mkdir is not that of the parents that it makes.
    """
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    path.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)


def find() -> Workspace:
    """The workspace of this process: ``GGML_WORKSPACE``, else ``.ggml`` in the current folder."""
    named = os.environ.get("GGML_WORKSPACE")
    root = Path(named) if named else Path.cwd() / FOLDER
    return Workspace(root.resolve())


@contextlib.contextmanager
def telling_of_a_full_disk(path: Path) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT into a ``DiskFullError`` that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise DiskFullError(
            f"could not write {path.name}",
            f"the disk of {path.parent} is full; nothing half-written was left",
            f"df -h {path.parent}",
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with telling_of_a_full_disk(path):
        make_private(path.parent)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON (sorted keys, one indent) whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON, or ``None`` where there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a folder aside; it takes its name only when the block ends well.

    A folder of that name is replaced.
    """
    with telling_of_a_full_disk(path):
        make_private(path.parent)
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield aside
            if path.exists():
                shutil.rmtree(path)
            aside.rename(path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
