"""A core device: its parts put together, from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ggml_magic import settings
from ggml_magic.core import (
    access,
    dialects,
    guard,
    identity,
    nucleus,
    policies,
    processes,
    socketpath,
)
from ggml_magic.core.causes import Result
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.deployment import Deployer, Hooks
from ggml_magic.core.disk import SHADOW_MANAGER, Layout, read_json, write_json
from ggml_magic.core.doors import Doors
from ggml_magic.core.engine import Engine
from ggml_magic.core.environment import RUN, SOCKET, component_environment
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.jobs import Jobs
from ggml_magic.core.local_jobs import LocalJobs
from ggml_magic.core.local_queue import Queue
from ggml_magic.core.logs import Log
from ggml_magic.core.mqtt import Mqtt
from ggml_magic.core.operations.cli import Cli
from ggml_magic.core.operations.configuration import Configuration
from ggml_magic.core.operations.iotcore import IoTCore
from ggml_magic.core.operations.metrics import Metrics
from ggml_magic.core.operations.pubsub import PubSub
from ggml_magic.core.operations.secrets import Secrets
from ggml_magic.core.operations.shadows import ShadowOperations
from ggml_magic.core.operations.states import States
from ggml_magic.core.operations.tokens import Tokens
from ggml_magic.core.operations.updates import Updates
from ggml_magic.core.orders import Document
from ggml_magic.core.processes import Mark
from ggml_magic.core.secretstore import SecretStore
from ggml_magic.core.shadowmanager import ShadowManager, Surroundings
from ggml_magic.core.status import FleetStatus
from ggml_magic.core.topics import Topics
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
STATUS_FILE = "status.json"
LOCAL = "local"
# The folder of a workspace that holds the roots of its cores.
CORES = "cores"
RUN_BYTES = 8


@dataclass(frozen=True)
class Options:
    """What a core is started with."""

    root: Path
    thing: str
    endpoint_file: Path
    idle_minutes: float
    # "classic" or "lite"; empty: what this root was before, a new one is classic
    dialect: str = ""


class RestartRequested(Exception):  # noqa: N818  # no error: what a deployment asked for
    """The core has ended to start again at once: a bootstrap step asked for it."""


class Device:
    """One core device of this process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        # the endpoint lies in a folder of the workspace, which has settings and holds all cores
        workspace = Workspace(options.endpoint_file.parent.parent)
        ours = options.root.parent == workspace.root / CORES
        self._layout = Layout(options.root, workspace.root if ours else None)
        self._layout.make()
        self._layout.sweep()
        dialect = nucleus.dialect(self._layout, options.dialect)
        self._identity = identity.folder(options.root)
        self._socket = socketpath.place(options.root)
        self._run = secrets.token_hex(RUN_BYTES)
        self._log = Log(options.root / "core.log")
        region = settings.load(workspace).region
        self._cloud = Cloud(options.thing, options.endpoint_file, region)
        self._held = Inventory(self._layout.state_file)
        environment = component_environment(
            os.environ, thing=options.thing, region=region, socket=self._socket, run=self._run
        )
        # for components of other users: the same service at sockets of their own
        doors = Doors(self._socket, lambda: Server(self._server.serving))
        self._engine = Engine(self._layout, environment, self._state_changed, self._log.warn, doors)
        self._topics = Topics()
        self._manager = ShadowManager(
            options.thing, self._layout.shadows, self._cloud,
            Surroundings(self._shadow_settings, self._topics.publish_text, self._log.warn),
        )  # fmt: skip
        configuration = Configuration(self._held)
        policies.log_to(self._held, self._log)
        self._mqtt = Mqtt(options.thing, options.endpoint_file, self._log.info)
        updates = Updates()
        self._restarting = asyncio.Event()
        self._last_use = time.monotonic()
        self._access = access.new(self._socket)
        local = Queue(self._layout.deployments / LOCAL)
        operations = {
            **configuration.handlers(),
            **States(self._engine).handlers(),
            **PubSub(self._held, self._topics).handlers(),
            **Secrets(self._held, SecretStore(self._cloud)).handlers(),
            **Metrics(self._held, self._engine).handlers(),
            **Tokens(self._engine.component_of).handlers(),
            **IoTCore(self._held, self._mqtt).handlers(),
            **updates.handlers(),
            **Cli(self._held, self._engine, local).handlers(),
            **ShadowOperations(
                self._held, self._manager.shadows, self._manager.topics, self._manager.rates
            ).handlers(),
        }
        whose = self._access.principal(self._engine.component_of)
        served = dialects.served(operations, dialect)
        longest = partial(dialects.longest, dialect)
        self._server = Server(Serving(served, whose, self._log, longest, self._refused))
        platform = nucleus.read(self._layout, self._held.contents).platform
        self._status = FleetStatus(
            self._cloud, self._engine, self._held, platform,
            self._layout.state_file.with_name(STATUS_FILE),
        )  # fmt: skip
        self._deployer = Deployer(
            self._layout, self._cloud, self._engine, self._held, self._log,
            Hooks(configuration.configured, updates, self._restarting.set),
        )  # fmt: skip
        self._deployer.on_end.append(self._deployment_ended)
        self._local = LocalJobs(
            self._layout, local, self._deployer, self._held, self._log, platform
        )  # fmt: skip
        jobs = Jobs(self._cloud, self._deployer, self._deployed)
        self._telling = Worker("fleet status", self._status.work, self._log)
        self._syncing = Worker("shadow", self._manager.mirrors.work, self._log)
        self._deploying = Worker("deployments", jobs.work, self._log)
        self._deploying_local = Worker("local deployments", self._local.work, self._log)
        local.on_change += [self._deploying_local.wake, self._used]
        self._manager.on_work.append(self._syncing.wake)

    async def run(self, ready: Callable[[], None], ended: asyncio.Event) -> None:
        """Live until ``ended`` is set, the root is gone, or no sandbox answered for too long.

        ``ready`` is called once everything listens. Raises ``RestartRequested`` after the end.
        """
        await self._end_leftovers()
        self._watchman = self._guard()
        try:
            self._deployer.recover()
            policies.load(self._held)
            self._local.recover()
            socketpath.make_folder(self._socket)
            await self._server.start(self._socket)
            access.grant(self._options.root, self._access)
            self._write_record()
            self._log.info(f"core device {self._options.thing} started, process {os.getpid()}")
            ready()
            self._status.all_changed("NUCLEUS_LAUNCH")
            await self._engine.become(self._held.contents.services())
            # a deployment that was interrupted goes on, with or without the cloud
            self._deploying.wake()
            self._deploying_local.wake()
            work = (
                self._restart(),
                self._telling.run(),
                self._syncing.run(),
                self._deploying.run(),
                self._deploying_local.run(),
                self._listen(),
                self._look(ended),
            )
            await _until(ended, work)
        finally:
            await self._end()
            _dismiss(self._watchman)

    async def _restart(self) -> None:
        """End, to start again, when a deployment wants it."""
        await self._restarting.wait()
        raise RestartRequested

    async def _listen(self) -> None:
        """Wait for the cloud's notices; after silence, everything may have changed."""
        after, pause, instance = 0, FIRST_PAUSE, ""
        while True:
            try:
                others = self._manager.mirrors.others
                notices = await self._cloud.changes(after, others)
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
            # of a thing that is followed only since the question was asked, nothing was told
            known = after and self._manager.mirrors.others <= others
            self._manager.noticed(notices.shadows if known else None)
            if notices.jobs or not after:
                self._deploying.wake()
            after, pause = notices.sequence, FIRST_PAUSE

    async def _look(self, ended: asyncio.Event) -> None:
        """End when nobody needs this core any more."""
        limit = self._options.idle_minutes * MINUTE
        while not ended.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            self._keep_guarded()
            if identity.folder(self._options.root) != self._identity:
                ended.set()
            elif time.monotonic() - max(self._cloud.last_answer, self._last_use) > limit:
                self._log.info(f"no sandbox answered for {self._options.idle_minutes:g} minutes")
                ended.set()

    def _refused(self, component: str, why: str) -> None:
        """A component may not do what it asked for: its own log says so."""
        known = component in self._engine.supervisors
        (self._engine.log(component) if known else self._log).warn(why)

    def _used(self) -> None:
        """Someone on this machine deploys: the core is needed, with or without a sandbox."""
        self._last_use = time.monotonic()

    def _state_changed(self, component: str) -> None:
        self._status.changed(component)
        self._telling.wake()

    def _shadow_settings(self) -> Mapping[str, Any]:
        """The configuration of the shadow manager, where a deployment names it."""
        found = self._held.contents.components.get(SHADOW_MANAGER)
        return {} if found is None else dict(found.configuration.read(()))

    def _deployment_ended(self, document: Document, result: Result) -> None:
        self._status.deployed(document, result)
        self._telling.wake()
        self._manager.configured()
        policies.load(self._held)

    async def _deployed(self) -> None:
        """Before a deployment's end is told, the cloud must know all states."""
        await self._telling.flush()

    def _guard(self) -> subprocess.Popen[bytes]:
        """The process that ends our components when we die without a chance to do it."""
        command = [sys.executable, "-I", "-S", guard.__file__, f"{RUN}={self._run}"]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env={},
        )  # fmt: skip

    def _keep_guarded(self) -> None:
        """Have another guard where ours was killed, so that no component outlives this core."""
        if self._watchman.poll() is None:
            return
        try:
            another = self._guard()
        except OSError as error:  # no memory or no processes now; looked at again soon
            self._log.warn(f"the guard of this core has ended, and another cannot start: {error}")
            return
        _dismiss(self._watchman)
        self._watchman = another
        self._log.warn(f"the guard of this core has ended; process {another.pid} guards now")

    async def _end_leftovers(self) -> None:
        """End what a killed core left, where its guard was killed too."""
        left = read_json(self._layout.record) or {}
        marks = (Mark(f"{SOCKET}={self._socket}"), processes.run_mark(str(left.get("run", ""))))
        for mark in marks:
            await processes.end(set(), mark, LEFTOVER_SECONDS)

    def _write_record(self) -> None:
        record = {
            "thing": self._options.thing,
            "pid": os.getpid(),
            "run": self._run,
            "born": identity.born(os.getpid()),
            "dialect": nucleus.dialect(self._layout),
            "socket": str(self._socket),
            "started": time.time(),
        }
        write_json(self._layout.record, record)

    async def _end(self) -> None:
        """Components first, so that their last words still reach someone."""
        self._log.info("ending")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._engine.stop(STOP_SECONDS / 2), STOP_SECONDS)
        processes.kill(set(), processes.run_mark(self._run))
        await self._server.stop()
        await self._mqtt.close()
        self._cloud.close()
        socketpath.remove(self._socket, self._options.root)
        access.revoke(self._options.root)
        self._layout.record.unlink(missing_ok=True)
        self._log.info("ended")
        self._log.close()


def _dismiss(watchman: subprocess.Popen[bytes]) -> None:
    """Let a guard do its work once more, and end."""
    assert watchman.stdin is not None  # noqa: S101  # it is a pipe
    watchman.stdin.close()
    watchman.wait()


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
