"""What a process id or a path means now, and whether it still means the same later."""

from __future__ import annotations

from pathlib import Path

# Of /proc/N/stat, counted after the command, which may hold anything.
STATE_FIELD, STARTED_FIELD = 0, 19
# Ended, and only not yet taken notice of by its parent.
ENDED = (b"Z", b"X")


def born(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine's start; ``None`` when it is no more.

    A process id is used again; with this it means one process only.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[STATE_FIELD] in ENDED else int(fields[STARTED_FIELD])


def folder(path: Path) -> tuple[int, int] | None:
    """Which folder this is; ``None`` when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
