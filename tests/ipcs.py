"""An IPC server with components, in a thread of its own, for tests of the operations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from ggml_magic.core import access, policies
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Component, Contents, Inventory
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.lifecycle import Service, Supervisor
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
from ggml_magic.core.recipe import Lifecycle
from ggml_magic.core.secretstore import SecretStore
from ggml_magic.core.shadowmanager import ShadowManager, Surroundings
from ggml_magic.core.topics import Topics

OWN, OTHER = "com.example.Own", "com.example.Other"
SHADOWS = {"aws.greengrass.ShadowManager": {"p": {
    "operations": ["aws.greengrass#GetThingShadow", "aws.greengrass#UpdateThingShadow"],
    "resources": ["$aws/things/pi/shadow"]}}}  # fmt: skip
SOON = 10.0
REGION = "eu-west-1"


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
        self.endpoint = root / "endpoint.json"
        self.access = access.new(self.socket)
        self.local = Queue(self.layout.deployments / "local")
        self.refused: list[tuple[str, str]] = []
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
        self.configuration = Configuration(self.held)
        self.updates = Updates()
        self.topics = Topics()
        self.shadow_settings: dict[str, Any] = {}
        surroundings = Surroundings(
            lambda: {**self.shadow_settings}, self.topics.publish_text, print
        )
        # nobody works on its mirrors, so no cloud is asked
        manager = ShadowManager(
            "pi", self.layout.shadows, Cloud("pi", self.layout.root, ""), surroundings
        )
        self.mqtt = Mqtt("pi", self.endpoint, print)
        parts = (
            self.configuration,
            IoTCore(self.held, self.mqtt),
            States(self.engine),
            self.updates,
            PubSub(self.held, self.topics),
            Secrets(self.held, SecretStore(Cloud("pi", self.endpoint, REGION))),
            Metrics(self.held, self.engine),
            Tokens(self.engine.component_of),
            Cli(self.held, self.engine, self.local),
            ShadowOperations(
                self.held,
                manager.shadows,
                manager.topics,
                manager.rates,
            ),
        )
        operations = {name: each for part in parts for name, each in part.handlers().items()}
        log = Log(self.layout.root / "core.log")
        policies.log_to(self.held, log)
        whose = self.access.principal(self.engine.component_of)
        server = Server(Serving(operations, whose, log, refused=self._refused))
        await server.start(self.socket)
        self._started.set()
        await self._ended.wait()
        await server.stop()
        await self.mqtt.close()
        for name in self.held.contents.components:
            self.engine.log(name).close()
        log.close()

    def add(self, name: str, configuration: dict[str, Any]) -> None:
        """One more component, or another configuration of one, as a deployment would."""
        tree = Tree()
        tree.merge((), configuration, 5)
        components = {**self.held.contents.components, name: Component("1.0.0", {}, (), tree)}
        self.held.replace(Contents({}, components))
        if name not in self.engine.supervisors:
            service = Service(name, "1.0.0", Lifecycle())
            made = Supervisor(service, self.engine, f"token {name}")
            self.engine.supervisors[name] = made

    def allow(self, service: str, operations: list[str], *resources: str, name: str = OWN) -> None:
        """A component whose only policy this is."""
        prefixed = [f"aws.greengrass#{each}" for each in operations]
        entry = {"operations": prefixed, "resources": list(resources)}
        self.add(name, {"accessControl": {service: {f"{name}:1": entry}}})

    def _refused(self, component: str, why: str) -> None:
        self.refused.append((component, why))

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
