"""A core device: its parts put together, from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic import settings
from ggml_magic.core import guard, processes, recipe, socketpath
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.deployment import Deployer
from ggml_magic.core.disk import Layout, write_json
from ggml_magic.core.engine import Engine
from ggml_magic.core.environment import RUN, SOCKET, component_environment
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.jobs import Jobs
from ggml_magic.core.logs import Log
from ggml_magic.core.operations.configuration import Configuration
from ggml_magic.core.operations.shadows import ShadowOperations
from ggml_magic.core.operations.states import States
from ggml_magic.core.shadow import Shadows
from ggml_magic.core.status import FleetStatus
from ggml_magic.core.sync import Synchroniser
from ggml_magic.core.worker import FIRST_PAUSE, LONGEST_PAUSE, Worker
from ggml_magic.errors import CloudError
from ggml_magic.workspace import Workspace

# Seconds that all components together have to end when the core ends; it promises 5 for itself.
STOP_SECONDS = 4.0
# How often a core looks whether it is still needed, seconds.
LOOK_SECONDS = 1.0
MINUTE = 60.0
# Seconds that a killed core's leftovers have to end by themselves.
LEFTOVER_SECONDS = 1.0
SYNC_FILE = "sync.json"
RUN_BYTES = 8


@dataclass(frozen=True)
class Options:
    """What a core is started with."""

    root: Path
    thing: str
    endpoint_file: Path
    idle_minutes: float


class Device:
    """One core device of this process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._layout = Layout(options.root)
        self._layout.make()
        self._layout.sweep()
        self._identity = _identity(options.root)
        self._socket = socketpath.place(options.root)
        self._run = secrets.token_hex(RUN_BYTES)
        self._log = Log(options.root / "core.log")
        # the endpoint lies in a folder of the workspace, whose settings name the region
        region = settings.load(Workspace(options.endpoint_file.parent.parent)).region
        self._cloud = Cloud(options.thing, options.endpoint_file, region)
        self._held = Inventory(self._layout.state_file)
        environment = component_environment(
            os.environ, thing=options.thing, region=region, socket=self._socket, run=self._run
        )
        self._engine = Engine(self._layout, environment, self._state_changed)
        self._shadows = Shadows(self._layout.shadows)
        self._sync = Synchroniser(
            options.thing, self._shadows, self._cloud, self._layout.shadows / SYNC_FILE
        )
        configuration = Configuration(self._held)
        operations = {
            **configuration.handlers(),
            **States(self._engine).handlers(),
            **ShadowOperations(self._held, self._shadows).handlers(),
        }
        self._server = Server(Serving(operations, self._engine.component_of, self._log))
        platform = recipe.device_platform()
        self._status = FleetStatus(self._cloud, self._engine, self._held, platform)
        self._deployer = Deployer(
            self._layout, self._cloud, self._engine, self._held, self._log, configuration.configured
        )
        jobs = Jobs(self._cloud, self._deployer, self._deployed)
        self._telling = Worker("fleet status", self._status.work, self._log)
        self._syncing = Worker("shadow", self._sync.round, self._log)
        self._deploying = Worker("deployments", jobs.work, self._log)
        self._shadows.on_change.append(lambda thing, name: self._syncing.wake())

    async def run(self, ready: Callable[[], None], ended: asyncio.Event) -> None:
        """Live until ``ended`` is set, the root is gone, or no sandbox answered for too long.

        ``ready`` is called once everything listens.
        """
        # what a killed core left, where its guard was killed too
        await processes.end(set(), f"{SOCKET}={self._socket}", LEFTOVER_SECONDS)
        watchman = self._guard()
        try:
            self._deployer.recover()
            socketpath.make_folder(self._socket)
            await self._server.start(self._socket)
            self._write_record()
            self._log.info(f"core device {self._options.thing} started, process {os.getpid()}")
            ready()
            self._status.all_changed("NUCLEUS_LAUNCH")
            await self._engine.become(self._held.contents.services())
            work = (
                self._telling.run(),
                self._syncing.run(),
                self._deploying.run(),
                self._listen(),
                self._look(ended),
            )
            await _until(ended, work)
        finally:
            await self._end()
            assert watchman.stdin is not None  # noqa: S101  # it is a pipe
            watchman.stdin.close()
            watchman.wait()

    async def _listen(self) -> None:
        """Wait for the cloud's notices; after silence, everything may have changed."""
        after, pause, instance = 0, FIRST_PAUSE, ""
        while True:
            try:
                notices = await self._cloud.changes(after)
            except CloudError as error:
                if after or pause == FIRST_PAUSE:
                    self._log.warn(f"no notices from the cloud: {error}")
                after = 0
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            if not after:
                self._log.info("connected to the cloud")
                if self._cloud.instance != instance:
                    self._status.all_changed("RECONNECT" if instance else "NUCLEUS_LAUNCH")
                instance = self._cloud.instance
                self._telling.wake()
            if notices.shadow or not after:
                self._sync.cloud_changed()
                self._syncing.wake()
            if notices.jobs or not after:
                self._deploying.wake()
            after, pause = notices.sequence, FIRST_PAUSE

    async def _look(self, ended: asyncio.Event) -> None:
        """End when nobody needs this core any more."""
        limit = self._options.idle_minutes * MINUTE
        while not ended.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            if _identity(self._options.root) != self._identity:
                ended.set()
            elif time.monotonic() - self._cloud.last_answer > limit:
                self._log.info(f"no sandbox answered for {self._options.idle_minutes:g} minutes")
                ended.set()

    def _state_changed(self, component: str) -> None:
        self._status.changed(component)
        self._telling.wake()

    async def _deployed(self) -> None:
        """Before a deployment's end is told, the cloud must know all states."""
        self._status.all_changed("DEPLOYMENT")
        self._telling.wake()
        await self._telling.flush()

    def _guard(self) -> subprocess.Popen[bytes]:
        """The process that ends our components when we die without a chance to do it."""
        command = [sys.executable, "-I", "-S", guard.__file__, f"{RUN}={self._run}"]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env={},
        )  # fmt: skip

    def _write_record(self) -> None:
        record = {
            "thing": self._options.thing,
            "pid": os.getpid(),
            "socket": str(self._socket),
            "started": time.time(),
        }
        write_json(self._layout.record, record)

    async def _end(self) -> None:
        """Components first, so that their last words still reach someone."""
        self._log.info("ending")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._engine.stop(STOP_SECONDS / 2), STOP_SECONDS)
        processes.kill(set(), f"{RUN}={self._run}")
        await self._server.stop()
        self._cloud.close()
        socketpath.remove(self._socket, self._options.root)
        self._layout.record.unlink(missing_ok=True)
        self._log.info("ended")
        self._log.close()


async def _until(ended: asyncio.Event, work: tuple[Coroutine[Any, Any, None], ...]) -> None:
    """Work until the end is wanted; work that fails is the end too, with its error."""
    tasks = [asyncio.create_task(each) for each in (*work, _wait(ended))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    # what waits in a thread for the cloud's answer is not waited for
    for task in done:
        task.result()


async def _wait(ended: asyncio.Event) -> None:
    await ended.wait()


def _identity(root: Path) -> tuple[int, int] | None:
    """Which folder this is; ``None`` when there is none."""
    try:
        found = root.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
