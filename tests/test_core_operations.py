"""The IPC operations, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from awsiot.eventstreamrpc import AccessDeniedError
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Component, Contents, Inventory
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.lifecycle import Service, State, Supervisor
from ggml_magic.core.logs import Log
from ggml_magic.core.operations import Operations
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
        shadows = Shadows(self.layout.shadows)
        self.operations = Operations(self.held, self.engine, shadows)
        log = Log(self.layout.root / "core.log")
        server = Server(Serving(self.operations.table(), self.engine.component_of, log))
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


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = Core(tmp_path / "root")
    yield made
    made.stop()


@pytest.fixture
def client(core: Core) -> Iterator[GreengrassCoreIPCClientV2]:
    made = core.client()
    yield made
    made.close().result(SOON)


def test_a_wrong_token_is_told_so(core: Core) -> None:
    with pytest.raises(AccessDeniedError):
        connect(ipc_socket=str(core.socket), authtoken="wrong")


def test_configuration_is_read_whole_in_parts_and_of_others(
    client: GreengrassCoreIPCClientV2,
) -> None:
    whole = client.get_configuration()
    assert whole.component_name == OWN
    assert whole.value == {"Interval": 3, "Deep": {"Key": "x"}, "accessControl": SHADOWS}
    assert client.get_configuration(key_path=["interval"]).value == {"interval": 3}
    assert client.get_configuration(key_path=["Deep"]).value == {"Key": "x"}
    assert client.get_configuration(component_name=OTHER).value == {"theirs": True}
    for arguments in ({"key_path": ["absent"]}, {"component_name": "com.example.None"}):
        with pytest.raises(model.ResourceNotFoundError):
            client.get_configuration(**arguments)


def test_a_unary_streams_end_reaches_the_client(core: Core) -> None:
    """Without an answer to its TERMINATE the SDK's close futures never fire."""
    connection = connect(ipc_socket=str(core.socket), authtoken=f"token {OWN}")
    operation = connection.new_get_configuration()
    operation.activate(model.GetConfigurationRequest()).result(SOON)
    assert operation.get_response().result(SOON).component_name == OWN
    assert operation.close().result(SOON) is None
    connection.close().result(SOON)


def test_configuration_is_changed_kept_and_told(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    events: list[tuple[str, list[str]]] = []
    heard = threading.Event()

    def on_event(event: model.ConfigurationUpdateEvents) -> None:
        update = event.configuration_update_event
        events.append((update.component_name, update.key_path))
        if len(events) == 2:
            heard.set()

    _, stream = client.subscribe_to_configuration_update(
        key_path=["Deep"], on_stream_event=on_event, on_stream_error=lambda error: True,
        on_stream_closed=lambda: None,
    )  # fmt: skip
    now = datetime.now(timezone.utc)
    for value in ({"Key": "y", "New": {"a": 1}}, {"Key": "y"}):
        client.update_configuration(key_path=["deep"], timestamp=now, value_to_merge=value)
    client.update_configuration(timestamp=now, value_to_merge={"Interval": 4})
    assert heard.wait(SOON)
    assert events == [(OWN, ["Deep", "Key"]), (OWN, ["Deep", "New", "a"])]
    stream.close().result(SOON)
    kept = Inventory(core.layout.state_file).contents.components[OWN].configuration
    assert kept.read(("Interval",)) == 4
    assert kept.read(("Deep",)) == {"Key": "y", "New": {"a": 1}}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"value_to_merge": {"accessControl": {}}}, model.InvalidArgumentsError),
        ({"key_path": ["ACCESSCONTROL"], "value_to_merge": {"x": 1}}, model.InvalidArgumentsError),
        ({"key_path": ["Interval"], "value_to_merge": {"x": 1}}, model.InvalidArgumentsError),
        ({"value_to_merge": None}, model.InvalidArgumentsError),
        ({"timestamp": None, "value_to_merge": {"x": 1}}, model.InvalidArgumentsError),
        ({"timestamp": datetime.fromtimestamp(0, timezone.utc), "value_to_merge": {"x": 1}},
         model.FailedUpdateConditionCheckError),
    ],
)  # fmt: skip
def test_changes_that_may_not_be(
    core: Core, client: GreengrassCoreIPCClientV2, arguments: dict[str, Any], error: type[Exception]
) -> None:
    before = core.held.contents.dump()
    with pytest.raises(error):
        client.update_configuration(**{"timestamp": datetime.now(timezone.utc), **arguments})
    assert core.held.contents.dump() == before


def test_one_component_cannot_change_another(core: Core) -> None:
    other = core.client(OTHER)
    later = datetime.now(timezone.utc) + timedelta(seconds=1)
    other.update_configuration(timestamp=later, value_to_merge={"Interval": 9})
    other.close().result(SOON)
    own, theirs = (core.held.contents.components[name].configuration for name in (OWN, OTHER))
    assert (own.read(("Interval",)), theirs.read(("Interval",))) == (3, 9)


def test_shadows_by_the_policy_of_the_caller(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    with pytest.raises(model.ResourceNotFoundError):
        client.get_thing_shadow(thing_name="pi")
    sent = json.dumps({"state": {"reported": {"p": 1}}}).encode()
    answer = json.loads(client.update_thing_shadow(thing_name="pi", payload=sent).payload)
    assert answer["version"] == 1
    found = json.loads(client.get_thing_shadow(thing_name="pi").payload)
    assert found["state"] == {"reported": {"p": 1}}
    stale = json.dumps({"state": {}, "version": 7}).encode()
    with pytest.raises(model.ConflictError):
        client.update_thing_shadow(thing_name="pi", payload=stale)
    with pytest.raises(model.InvalidArgumentsError):
        client.update_thing_shadow(thing_name="pi", payload=b"no json")
    refused = f"Principal {OWN} is not authorized to perform aws.greengrass.ShadowManager:"
    with pytest.raises(model.UnauthorizedError) as caught:
        client.delete_thing_shadow(thing_name="pi", shadow_name="")
    assert str(caught.value.message).startswith(refused)
    with pytest.raises(model.UnauthorizedError):
        client.get_thing_shadow(thing_name="other")
    with pytest.raises(model.UnauthorizedError):
        client.get_thing_shadow(thing_name="pi", shadow_name="named")
    other = core.client(OTHER)
    with pytest.raises(model.UnauthorizedError):
        other.get_thing_shadow(thing_name="pi")
    other.close().result(SOON)


def test_a_shadow_is_deleted_by_who_may(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    allowed = {"aws.greengrass.ShadowManager": {"p": {"operations": ["*"], "resources": ["*"]}}}
    tree = core.held.contents.components[OWN].configuration
    tree.merge((), {"accessControl": allowed}, 6)
    client.update_thing_shadow(thing_name="pi", payload=b'{"state": {"reported": {"p": 1}}}')
    assert json.loads(client.delete_thing_shadow(thing_name="pi").payload)["version"] == 1
    with pytest.raises(model.ResourceNotFoundError):
        client.get_thing_shadow(thing_name="pi")


def test_only_legal_reports_of_a_state_count(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    supervisor = core.engine.supervisors[OWN]
    client.update_state(state="RUNNING")
    assert supervisor._said is None
    supervisor.state = State.STARTING
    client.update_state(state="RUNNING")
    assert supervisor._said is State.RUNNING
    with pytest.raises(model.InvalidArgumentsError):
        client.update_state(state="FINISHED")


def test_an_operation_that_is_not_served_is_an_error_with_its_name(
    client: GreengrassCoreIPCClientV2,
) -> None:
    with pytest.raises(model.ServiceError) as caught:
        client.list_components()
    assert caught.value.message == "ListComponents is not served by this core"
