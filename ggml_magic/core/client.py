"""Starting, finding and ending core devices from a notebook or from the sandbox."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic import child
from ggml_magic.core.daemon import ALREADY_RUNNING, NOT_READY
from ggml_magic.core.disk import Layout, read_json
from ggml_magic.core.logs import last_lines
from ggml_magic.errors import CoreError
from ggml_magic.presentation import Card, Presented

MODULE = "ggml_magic.core.daemon"
# Starting takes a third of a second; a machine under load may need much more.
START_SECONDS = 30.0
# A core ends its components within 5 s; past this it is killed, and its guard ends them.
STOP_SECONDS = 8.0
POLL_SECONDS = 0.02
LOG_LINES = 5


@dataclass(frozen=True)
class CoreDevice(Presented):
    """A running core device; ``root`` holds its packages, logs and work folders."""

    thing: str
    root: Path
    pid: int
    socket: Path

    def card(self) -> Card:
        """Thing, process and folder."""
        facts = (("thing", self.thing), ("process", str(self.pid)), ("folder", str(self.root)))
        note = "a development core on this machine, no real device"
        return Card(f"core device {self.thing} on the sandbox: running", facts, notes=(note,))


def start(root: Path, thing: str, endpoint_file: Path, idle_minutes: float) -> CoreDevice:
    """Start a core device in a process of its own, or find the one that runs.

    ``endpoint_file`` says where the sandbox is, also after it came back elsewhere. Raises
    ``CoreError`` with the last lines of its log.
    """
    found = running(root)
    if found is not None:
        return found
    command = child.command(
        MODULE,
        *("--root", str(root.resolve())),
        *("--thing", thing),
        *("--endpoint-file", str(endpoint_file.resolve())),
        *("--idle-minutes", str(idle_minutes)),
    )
    # nobody's credentials are a core's business, nor its components'
    code = _run(command, child.environment("AWS_"))
    deadline = time.monotonic() + START_SECONDS
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


def _run(command: list[str], environment: dict[str, str]) -> int:
    """The daemon's first process, which ends when the core is ready or has failed."""
    try:
        return subprocess.run(
            command,
            cwd=child.FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return NOT_READY


def running(root: Path) -> CoreDevice | None:
    """The core device that runs at a root, if one does."""
    try:
        record: Any = read_json(Layout(root).record)
        found = CoreDevice(record["thing"], root, int(record["pid"]), Path(record["socket"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if _is_core(found.pid, root) else None


def _is_core(pid: int, root: Path) -> bool:
    """Whether a process is the core of this root: a process id may be someone else's by now."""
    try:
        words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return MODULE.encode() in words and os.fsencode(root.resolve()) in words


def stop(root: Path) -> bool:
    """End the core device of a root with all its components; false when none ran."""
    found = running(root)
    if found is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(found.pid)
        try:
            for kind in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(descriptor, kind)
                if select.select([descriptor], [], [], STOP_SECONDS)[0]:
                    break
        finally:
            os.close(descriptor)
    return True
