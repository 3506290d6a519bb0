"""Processes that outlive who starts them: waiting until they are ready, and ending them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Sequence

from ggml_magic import child
from ggml_magic.core.daemon import NOT_READY

# Starting takes a third of a second; a machine under load may need much more.
START_SECONDS = 30.0
# A core ends its components within 5 s; past this it is killed, and its guard ends them.
STOP_SECONDS = 8.0


def first_process(command: Sequence[str], seconds: float = START_SECONDS) -> int:
    """Run a daemon's first process, which ends when what it starts is ready or has failed.

    Returns its exit code; ``NOT_READY`` when it takes longer than that many seconds.
    """
    try:
        return subprocess.run(
            command,
            cwd=child.FOLDER,
            # nobody's credentials are a core's business, nor its components'
            env=child.environment("AWS_"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return NOT_READY


def end(pid: int) -> None:
    """End a process: SIGTERM, and SIGKILL when it takes too long. Waits until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            for kind in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(descriptor, kind)
                if select.select([descriptor], [], [], STOP_SECONDS)[0]:
                    break
        finally:
            os.close(descriptor)
