"""A core device's process: ``python -m ggml_magic.core.daemon``.

It leaves its parent at once and says over stdout ``ready`` when everything listens; the parent
waits for that word.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

READY, OTHER = b"ready", b"other"
LOCK = "core.lock"
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
NOT_READY, ALREADY_RUNNING = 1, 3
# Lives in the process, writes ``READY`` to the pipe given; returns the exit code.
Serve = Callable[[argparse.Namespace, int], int]


def main(arguments: list[str]) -> int:
    """Start a core device in a process of its own; returns when it is ready, or has failed."""
    parser = argparse.ArgumentParser("python -m ggml_magic.core.daemon")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--thing", required=True)
    parser.add_argument("--endpoint-file", type=Path, required=True)
    parser.add_argument("--idle-minutes", type=float, required=True)
    # empty: what this root was before; a new one is classic
    parser.add_argument("--dialect", choices=("", "classic", "lite"), default="")
    return outcome(spawn(parser.parse_args(arguments)))


def spawn(options: argparse.Namespace, serve: Serve | None = None) -> int:
    """Start a core device as a process on its own feet; returns a pipe that says how it went.

    ``options`` has ``root``, ``thing``, ``endpoint_file``, ``idle_minutes`` and ``dialect``;
    ``serve`` is what lives in that process, a core device when it is left out.
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return reader
    os.close(reader)
    code = NOT_READY
    try:
        code = _live(options, writer, serve or _serve)
    finally:
        # threads that still wait for an answer of the cloud must not hold up the end
        os._exit(code)


def outcome(reader: int) -> int:
    """Wait until a core device is ready or has failed: the exit code that says which."""
    with os.fdopen(reader, "rb") as said:
        return {READY: 0, OTHER: ALREADY_RUNNING}.get(said.read(len(READY)), NOT_READY)


def _live(options: argparse.Namespace, writer: int, serve: Serve) -> int:
    """The process's whole life; returns its exit code."""
    os.setsid()
    options.root.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    lock = os.open(options.root / LOCK, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        # held until this process ends in any way
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(writer, OTHER)
        return ALREADY_RUNNING
    _detach(options.root)
    return serve(options, writer)


def _detach(root: Path) -> None:
    """Stand on one's own feet: no terminal, no parent's pipes; crashes are written down."""
    nothing = os.open(os.devnull, os.O_RDWR)
    crashes = os.open(root / "core.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    for number, target in ((0, nothing), (1, nothing), (2, crashes)):
        os.dup2(target, number)
    os.close(nothing)
    os.close(crashes)


def _serve(options: argparse.Namespace, writer: int) -> int:
    # imported after the fork: the parent only waits
    from ggml_magic.core.device import Device, Options, RestartRequested

    waiting = [writer]

    def ready() -> None:
        while waiting:  # a core that starts again has told already
            os.write(waiting[0], READY)
            os.close(waiting.pop())

    async def live() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, ended.set)
        device = Device(
            Options(
                options.root.resolve(),
                options.thing,
                options.endpoint_file,
                options.idle_minutes,
                options.dialect,
            )
        )
        await device.run(ready, ended)

    def live_again() -> None:
        """Live; and from the beginning, with all that is on the disk, where it is asked for."""
        while True:
            try:
                return asyncio.run(live())
            except RestartRequested:
                continue

    try:
        live_again()
    except Exception:  # noqa: BLE001  # a process's last words: written down, then it ends
        traceback.print_exc()
        sys.stderr.flush()
        return NOT_READY
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
