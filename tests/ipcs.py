"""An IPC server with components, in a thread of its own, for tests of the operations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Component, Contents, Inventory
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.lifecycle import Service, Supervisor
from ggml_magic.core.logs import Log
from ggml_magic.core.operations.configuration import Configuration
from ggml_magic.core.operations.shadows import ShadowOperations
from ggml_magic.core.operations.states import States
from ggml_magic.core.recipe import Lifecycle
from ggml_magic.core.shadow import Shadows

OWN, OTHER = "com.example.Own", "com.example.Other"
SHADOWS = {"aws.greengrass.ShadowManager": {"p": {
    "operations": ["aws.greengrass#GetThingShadow", "aws.greengrass#UpdateThingShadow"],
    "resources": ["$aws/things/pi/shadow"]}}}  # fmt: skip
SOON = 10.0


class Core:
    """The server with two components, in a thread of its own."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.held = Inventory(self.layout.state_file)
        trees = {name: Tree() for name in (OWN, OTHER)}
        trees[OWN].merge((), {"Interval": 3, "Deep": {"Key": "x"}, "accessControl": SHADOWS}, 5)
        trees[OTHER].merge((), {"theirs": True}, 5)
        components = {name: Component("1.0.0", {}, (), tree) for name, tree in trees.items()}
        self.held.replace(Contents({}, components))
        self.socket = root / "ipc.socket"
        self._started = threading.Event()
        self._ended: asyncio.Event
        self.loop: asyncio.AbstractEventLoop
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()
        assert self._started.wait(SOON)

    async def _run(self) -> None:
        self.loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self.engine = Engine(self.layout, {}, lambda name: None)
        for name in (OWN, OTHER):
            service = Service(name, "1.0.0", Lifecycle())
            self.engine.supervisors[name] = Supervisor(service, self.engine, f"token {name}")
        self.shadows = shadows = Shadows(self.layout.shadows)
        parts = (
            Configuration(self.held),
            States(self.engine),
            ShadowOperations(self.held, shadows),
        )
        operations = {name: each for part in parts for name, each in part.handlers().items()}
        log = Log(self.layout.root / "core.log")
        server = Server(Serving(operations, self.engine.component_of, log))
        await server.start(self.socket)
        self._started.set()
        await self._ended.wait()
        await server.stop()
        self.engine.log(OWN).close()
        log.close()

    def client(self, name: str = OWN) -> GreengrassCoreIPCClientV2:
        token = f"token {name}"
        return GreengrassCoreIPCClientV2(connect(ipc_socket=str(self.socket), authtoken=token))

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._ended.set)
        self.thread.join()


@pytest.fixture(name="core")
def core_with_two_components(tmp_path: Path) -> Iterator[Core]:
    """Ended after the test."""
    made = Core(tmp_path / "root")
    yield made
    made.stop()


@pytest.fixture(name="client")
def client_of_own(core: Core) -> Iterator[GreengrassCoreIPCClientV2]:
    """The SDK's client of the component ``OWN``."""
    made = core.client()
    yield made
    made.close().result(SOON)
