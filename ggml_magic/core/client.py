"""Starting, finding and ending core devices from a notebook or from the sandbox."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic import child
from ggml_magic.core import identity, launch
from ggml_magic.core.daemon import ALREADY_RUNNING
from ggml_magic.core.disk import Layout, read_json
from ggml_magic.core.logs import last_lines
from ggml_magic.errors import CoreError
from ggml_magic.presentation import Card, Presented

MODULE = "ggml_magic.core.daemon"
POLL_SECONDS = 0.02
LOG_LINES = 5


@dataclass(frozen=True)
class CoreDevice(Presented):
    """A running core device; ``root`` holds its packages, logs and work folders."""

    thing: str
    root: Path
    pid: int
    socket: Path
    dialect: str = "classic"

    def card(self) -> Card:
        """Thing, process and folder."""
        facts = [
            ("thing", self.thing),
            ("process", str(self.pid)),
            ("folder", str(self.root)),
        ]
        if self.dialect != "classic":
            facts.append(("dialect", f"nucleus {self.dialect}"))
        note = "a development core on this machine, no real device"
        return Card(
            f"core device {self.thing} on the sandbox: running", tuple(facts), notes=(note,)
        )


def start(
    root: Path, thing: str, endpoint_file: Path, idle_minutes: float, dialect: str = ""
) -> CoreDevice:
    """Start a core device in a process of its own, or find the one that runs.

    ``endpoint_file`` says where the sandbox is, also after it came back elsewhere; ``dialect``
    is ``classic`` or ``lite``, empty for what this root was before; a core that runs as another
    starts again. Raises ``CoreError`` with the last lines of its log.
    """
    found = running(root)
    if found is not None:
        if dialect in ("", found.dialect):
            return found
        launch.end(found.pid)
    command = child.command(
        MODULE,
        *("--root", str(root.resolve())),
        *("--thing", thing),
        *("--endpoint-file", str(endpoint_file.resolve())),
        *("--idle-minutes", str(idle_minutes), "--dialect", dialect),
    )
    code = launch.first_process(command)
    deadline = time.monotonic() + launch.START_SECONDS
    found = running(root)
    # another was quicker, and is not ready yet
    while found is None and code == ALREADY_RUNNING and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        found = running(root)
    if found is None:
        tail = (*last_lines(root / "core.err", LOG_LINES), *last_lines(root / "core.log", 1))
        why = " ".join(tail[-LOG_LINES:]) or "it said nothing"
        what = f"the core device {thing} did not start"
        raise CoreError(what, why, f"%ggml sandbox core {thing}")
    return found


def running(root: Path) -> CoreDevice | None:
    """The core device that runs at a root, if one does."""
    try:
        record: Any = read_json(Layout(root).record)
        found = CoreDevice(
            record["thing"], root, int(record["pid"]), Path(record["socket"]), record["dialect"]
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    # a process id may be someone else's by now
    return found if record.get("born") and identity.born(found.pid) == record["born"] else None


def stop(root: Path) -> bool:
    """End the core device of a root with all its components; false when none ran."""
    found = running(root)
    if found is None:
        return False
    launch.end(found.pid)
    return True
