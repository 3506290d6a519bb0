"""The sandbox's process as others see it: starting it, whether it is there, ending it."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import signal
import subprocess

from ggml_magic import child
from ggml_magic.errors import MissingExtraError
from ggml_magic.sandbox.endpoint import Places
from ggml_magic.workspace import Workspace

MODULE = "ggml_magic.sandbox.server"
NEEDED = ("moto", "amqtt", "flask", "flask_cors", "werkzeug")


def check_installed() -> None:
    """Raise ``MissingExtraError`` when a package of the extra is not there."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "the sandbox is not installed",
            f"there is no package {', '.join(missing)}; with conda, install it by pip as well",
            "pip install 'ggml-magic[sandbox]'",
        )


def spawn(workspace: Workspace, places: Places, idle_minutes: float) -> subprocess.Popen[bytes]:
    """The sandbox as a process that outlives this one and shares nothing with it."""
    environment = child.environment("AWS_", "MOTO_")
    # no page in a browser may read answers; buckets are paths, never host names
    environment["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    environment["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    log = os.open(places.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            child.command(
                MODULE, str(workspace.root.resolve()), "--idle-minutes", str(idle_minutes)
            ),
            cwd=child.FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def holder(places: Places) -> int | None:
    """The process that holds the workspace, by the lock that the system takes from the dead."""
    try:
        with places.lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read()
                return int(text) if text.isdigit() else 0
            return None
    except FileNotFoundError:
        return None


def end(workspace: Workspace, pid: int, number: signal.Signals) -> None:
    """Signal a sandbox, when the process really is this workspace's sandbox."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        command = process.cmdline()
        if MODULE in command and str(workspace.root.resolve()) in command:
            process.send_signal(number)
