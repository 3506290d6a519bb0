"""Cores that kill themselves within a deployment: ``python -m tests.killing``, for test_kills.

Reads from stdin one JSON object a line, ``root``, ``thing``, ``endpoint`` and ``at``, and forks a
core for each; says its process id, and its exit status once it has ended, as JSON lines. From
the moment a deployment is first written down, each thing that a core does to its disk, to a
process or to the cloud is counted, and before the ``at``-th of them it kills itself; with 0 never.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ggml_magic.core import deployment
from ggml_magic.core.device import Device, Options

IDLE_MINUTES = 5.0
# What a test of ten seconds may not spend on seeing that a shell goes on sleeping.
STEADY_SECONDS = 0.02
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
PROCESSES = {"subprocess.Popen", "os.kill", "socket.connect"}


class Death:
    """Counts what changes something, and kills this process before the one that is wanted."""

    def __init__(self, root: Path, at: int) -> None:
        self._root = str(root) + os.sep
        self._begin = str(root / "deployments" / ".ongoing.json.part")
        self._at = at
        self._count = 0
        self._begun = False

    def hook(self, event: str, details: tuple[Any, ...]) -> None:
        if not self._changes(event, details):
            return
        self._begun = self._begun or str(details[0]) == self._begin
        self._count += self._begun
        if self._count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _changes(self, event: str, details: tuple[Any, ...]) -> bool:
        if event in PROCESSES:
            return True
        if event not in CHANGES and not (event == "open" and details[2] & WRITING):
            return False
        return str(details[0]).startswith(self._root)


def live(order: dict[str, Any]) -> None:
    """A core's whole life, as the daemon has it."""
    root = Path(order["root"])
    os.setsid()
    errors = os.open(root.parent / f"{root.name}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    if order["at"]:
        sys.addaudithook(Death(root, order["at"]).hook)

    async def run() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        options = Options(root, order["thing"], Path(order["endpoint"]), IDLE_MINUTES)
        await Device(options).run(lambda: None, ended)

    asyncio.run(run())


def main() -> None:
    deployment.STEADY_SECONDS = STEADY_SECONDS
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(0)
                os.dup2(os.open(os.devnull, os.O_RDWR), 1)
                live(order)
                code = 0
            finally:
                sys.stderr.flush()
                if code:
                    sys.excepthook(*sys.exc_info())
                os._exit(code)
        print(json.dumps({"pid": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
