"""The sandbox's process: ``python -m ggml_magic.sandbox.server WORKSPACE``."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import logging.handlers
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ggml_magic import workspace as ws
from ggml_magic.errors import GgmlError, SandboxError
from ggml_magic.sandbox import endpoint as ep

LOG = logging.getLogger("ggml_magic.sandbox")
LOG_BYTES = 1_000_000
# An instance that is ending needs this long to give its files back.
SUCCESSION_SECONDS = 15.0
SETTLE_SECONDS = 3.0
LOOK_SECONDS = 2.0
POLL_SECONDS = 0.05
BACKLOG = 128
# A client that stops in the middle of a request must not keep the sandbox awake.
STALLED_SECONDS = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one workspace until idle, stopped, or its folder is gone."""
    parser = argparse.ArgumentParser(prog="ggml_magic.sandbox.server")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--idle-minutes", type=float, default=30.0)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    workspace = ws.Workspace(options.workspace.resolve())
    places = ep.places(workspace)
    _log_to(places.log)
    try:
        serve(workspace, places, options.idle_minutes * 60, _alone(places))
    except (GgmlError, OSError) as error:
        LOG.error("%s", " ".join(str(error).split()))
        return 1
    return 0


def serve(
    workspace: ws.Workspace, places: ep.Places, idle_seconds: float, present: Callable[[], bool]
) -> None:
    """Serve until something ends it; the caller holds the workspace while ``present``."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    from ggml_magic.sandbox.application import Application
    from ggml_magic.sandbox.broker import Broker

    class Handler(MotoRequestHandler):
        """Answers without a log of its own (the door keeps one) and without Nagle's wait."""

        disable_nagle_algorithm = True
        timeout = STALLED_SECONDS

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing: the line would hold the query, and with it signatures."""

    ending = threading.Event()
    instance = uuid.uuid4().hex
    broker = Broker(_listen(places.mqtt_port))
    application = Application(places, instance, ending, broker)
    listener = _listen(places.port)
    port = listener.getsockname()[1]
    server = make_server(
        ep.HOST,
        port,
        application.front,
        threaded=True,
        request_handler=Handler,
        fd=listener.fileno(),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    broker.start(application.clock)
    ws.write_json(places.port, port)
    ws.write_json(places.mqtt_port, broker.port)
    url = f"http://{ep.HOST}:{port}"
    ep.write(places.endpoint, ep.Endpoint(url, os.getpid(), time.time(), instance, broker.address))
    LOG.info("serving at port %d, mqtt at %d, for %s", port, broker.port, workspace.root)
    with contextlib.ExitStack() as held:
        why = _wait(workspace, present, application, ending, idle_seconds, held)
        LOG.info("ending: %s", why)
        application.notices.end()
        broker.close()
        server.shutdown()
        application.clock.settle(SETTLE_SECONDS)
        server.server_close()
        listener.close()
        application.close()
        with contextlib.suppress(OSError):
            places.endpoint.unlink()


def _wait(
    workspace: ws.Workspace,
    present: Callable[[], bool],
    application: Any,
    ending: threading.Event,
    idle_seconds: float,
    held: contextlib.ExitStack,
) -> str:
    """Wait for the end and say why it came; when idle, the cores end first."""
    from filelock import Timeout

    look = min(LOOK_SECONDS, max(idle_seconds / 4, 0.05))
    while not ending.wait(look):
        if not present():
            return "the workspace is gone"
        if application.clock.idle_seconds() < idle_seconds:
            continue
        # whoever starts or looks for the sandbox holds this lock, or has just used the sandbox
        try:
            held.enter_context(workspace.lock("sandbox").acquire(timeout=0))
        except Timeout:
            continue
        if application.clock.idle_seconds() < idle_seconds:
            held.close()
            continue
        ending.set()
        _stop_cores(workspace)
        return f"idle for {idle_seconds / 60:g} minutes"
    return "asked to"


def _stop_cores(workspace: ws.Workspace) -> None:
    from ggml_magic.sandbox.client import stop_devices

    try:
        stop_devices(workspace)
    except GgmlError as error:
        LOG.warning("core devices: %s", " ".join(str(error).split()))


def _alone(places: ep.Places) -> Callable[[], bool]:
    """Hold the workspace; an instance that is just ending is waited for.

    What it gives says whether the workspace is still where it was.
    """
    # never closed: the system gives it back when the process is really gone
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + SUCCESSION_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SandboxError("another sandbox serves this workspace") from None
            time.sleep(POLL_SECONDS)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    held = os.fstat(descriptor).st_ino

    def present() -> bool:
        try:
            return places.lock.stat().st_ino == held
        except OSError:
            return False

    return present


def _listen(kept: Path) -> socket.socket:
    """A socket on 127.0.0.1, at the last port when a file keeps one and nobody took it."""
    wanted = _last_port(kept)
    for port in (wanted, 0) if wanted else (0,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ep.HOST, port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            if not port:
                raise
        else:
            return listener
    raise SandboxError("no port on 127.0.0.1 is free")


def _last_port(kept: Path) -> int:
    """The last port, when the file has one that needs no privilege."""
    try:
        port = ws.read_json(kept)
    except ValueError:
        return 0
    return port if isinstance(port, int) and 1024 <= port <= 65535 else 0  # unprivileged


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


if __name__ == "__main__":
    sys.exit(main())
