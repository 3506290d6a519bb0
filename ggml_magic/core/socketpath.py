"""Where a core's IPC socket lies: a Unix socket's path is short."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ggml_magic.core.disk import PRIVATE_FOLDER

NAME = "ipc.socket"
# sockaddr_un holds 108 bytes on Linux, the last of them a zero.
LONGEST = 107


def place(root: Path) -> Path:
    """The socket's path: in the root if it fits, else in a private folder of the temp folder."""
    path = root / NAME
    if len(os.fsencode(path)) <= LONGEST:
        return path
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"ggml-{os.getuid()}-{name}" / NAME


def make_folder(path: Path) -> None:
    """Make the socket's folder; raises ``OSError`` when someone else has made it before us."""
    path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    found = path.parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path.parent} is not a folder of this user")
    path.parent.chmod(PRIVATE_FOLDER)


def remove(path: Path, root: Path) -> None:
    """Remove the socket, and the folder that was made for it."""
    path.unlink(missing_ok=True)
    if path.parent != root and path.parent.exists():
        path.parent.rmdir()
