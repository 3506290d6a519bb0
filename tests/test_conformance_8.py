"""Interprocess communication, rule by rule (EDGE-CORE 8).

The operations are asked by the unmodified ``awsiotsdk`` where it can ask, else by frames.
"""

from __future__ import annotations

import asyncio
import base64
import json
import queue
import socket
import struct
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from awsiot.eventstreamrpc import AccessDeniedError
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from brokers import Running
from conforming import BLINK, SOON
from ipcs import OTHER, OWN, Core, client_of_own, core_with_two_components
from rules import rule

from ggml_magic.core import client as cores
from ggml_magic.core import wire
from ggml_magic.core.authorize import Policies
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Component, Contents, Inventory
from ggml_magic.core.lifecycle import State
from ggml_magic.core.logs import last_lines
from ggml_magic.core.rates import RequestRates
from ggml_magic.core.shadowsettings import ShadowSettings
from ggml_magic.core.wire import Frame, MessageType

__all__ = ["client_of_own", "core_with_two_components"]

Client = GreengrassCoreIPCClientV2
PUBSUB, MQTT = "aws.greengrass.ipc.pubsub", "aws.greengrass.ipc.mqttproxy"
SHADOWS = "aws.greengrass.ShadowManager"
BOTH = ["PublishToTopic", "SubscribeToTopic"]
PREFIX = "aws.greengrass#"


class Peer:
    """A client that says what it likes, frame by frame."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SOON)
        self.socket.connect(str(path))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, headers: Mapping[str, wire.Value], value: Any = None) -> None:
        content = b"" if value is None else json.dumps(value).encode()
        self.socket.sendall(wire.encode(Frame(headers, content)))

    def bytes(self) -> bytes:
        """The next frame as it came; empty when the core has hung up."""
        prelude = self._exactly(12)
        return prelude and prelude + self._exactly(struct.unpack(">I", prelude[:4])[0] - 12)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size and (more := self.socket.recv(size - len(found))):
            found += more
        return found

    def receive(self) -> Frame:
        return wire.decode(self.bytes())

    def greet(self, token: str = f"token {OWN}", version: str = "0.1.0") -> Frame:
        head = {":message-type": 4, ":message-flags": 0, ":stream-id": 0, ":version": version}
        self.send(head, {"authToken": token})
        return self.receive()

    def ask(self, stream: int, operation: str, request: Any) -> Frame:
        """Send a request; the first frame that comes after it."""
        name = PREFIX + operation
        names = {"operation": name, "service-model-type": f"{name}Request"}
        head = {":message-type": 0, ":message-flags": 0, ":stream-id": stream}
        self.send({**head, **names, ":content-type": "application/json"}, request)
        return self.receive()

    def end(self, stream: int) -> None:
        self.send({":message-type": 0, ":message-flags": 2, ":stream-id": stream})


@pytest.fixture
def peer(core: Core) -> Iterator[Peer]:
    """Frames to and from a core that knows the component ``OWN``."""
    with Peer(core.socket) as made:
        yield made


@pytest.fixture
def greeted(peer: Peer) -> Peer:
    peer.greet()
    return peer


class Heard:
    """What a subscription brings."""

    def __init__(self) -> None:
        self._events: queue.Queue[Any] = queue.Queue()

    def __call__(self, event: Any) -> None:
        self._events.put(event)

    def next(self) -> Any:
        return self._events.get(timeout=SOON)

    def text(self) -> Any:
        """The next message: its topic, and what it says."""
        event = self.next()
        said = event.json_message or event.binary_message
        return said.context.topic, said.message


def listen(client: Client, topic: str, **more: Any) -> Heard:
    heard = Heard()
    client.subscribe_to_topic(topic=topic, on_stream_event=heard, **more)
    return heard


def say(client: Client, topic: str, **words: Any) -> None:
    message = model.PublishMessage(json_message=model.JsonMessage(message=words))
    client.publish_to_topic(topic=topic, publish_message=message)


@pytest.fixture
def talker(core: Core) -> Iterator[Client]:
    """A client of ``OWN``, which may publish and subscribe to everything."""
    core.allow(PUBSUB, BOTH, "*")
    made = core.client()
    yield made
    made.close().result(SOON)


# The wire


def by_hand(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    frame = prelude + headers + payload
    return frame + struct.pack(">I", zlib.crc32(frame))


def number(name: bytes, value: int) -> bytes:
    return bytes([len(name)]) + name + b"\x04" + struct.pack(">i", value)


HELLO = (
    number(b":message-type", 4) + number(b":message-flags", 0) + number(b":stream-id", 0)
    + b"\x08:version\x07\x00\x050.1.0"
)  # fmt: skip


@rule("8.01", "both", "A frame: its length, its headers' length, their CRC, headers, payload, CRC.")
def test_rule_8_01_frame(peer: Peer) -> None:
    peer.socket.sendall(by_hand(HELLO, json.dumps({"authToken": f"token {OWN}"}).encode()))
    answer = peer.bytes()
    total, headers, crc = struct.unpack(">III", answer[:12])
    assert (total, crc) == (len(answer), zlib.crc32(answer[:8]))
    assert answer == by_hand(answer[12 : 12 + headers], answer[12 + headers : -4])
    assert number(b":message-flags", 1) in answer


@rule("8.02", "both", "A header: the length of its name in a byte, the name, its type, its value.")
def test_rule_8_02_header() -> None:
    assert wire.decode(by_hand(b"\x04name\x07\x00\x05value")) == Frame({"name": "value"})
    assert wire.encode(Frame({"name": "value"})) == by_hand(b"\x04name\x07\x00\x05value")


@rule("8.03", "both", "Ten types of values, from true and false over integers to text and UUID.")
def test_rule_8_03_types() -> None:
    identifier = uuid.uuid4().bytes
    values = [
        (b"", True), (b"", False), (b"\xff", -1), (b"\xff\xfe", -2), (b"\xff\xff\xff\xfd", -3),
        (struct.pack(">q", -4), -4), (b"\x00\x02\x00\x01", b"\x00\x01"), (b"\x00\x02hi", "hi"),
        (struct.pack(">q", 1700), 1700), (identifier, identifier),
    ]  # fmt: skip
    for kind, (written, value) in enumerate(values):
        assert wire.decode(by_hand(b"\x01n" + bytes([kind]) + written)).headers == {"n": value}


@rule("8.04", "both", "The CRC is zlib's; a frame whose CRC is wrong ends the connection.")
@pytest.mark.parametrize("place", [8, -1], ids=["of the lengths", "of the frame"])
def test_rule_8_04_crc(core: Core, place: int) -> None:
    hello = bytearray(by_hand(HELLO, json.dumps({"authToken": f"token {OWN}"}).encode()))
    hello[place] ^= 1
    with Peer(core.socket) as peer:
        peer.socket.sendall(hello)
        assert peer.receive().number(":message-type") == MessageType.PROTOCOL_ERROR
        assert peer.bytes() == b""


@rule("8.05", "both", "Each message has :message-type, :message-flags and :stream-id as i32.")
def test_rule_8_05_three_headers(peer: Peer) -> None:
    peer.socket.sendall(by_hand(HELLO, json.dumps({"authToken": f"token {OWN}"}).encode()))
    for stream, kind, flags in ((0, 5, 1), (1, 0, 0)):
        answer = peer.bytes()
        for name, value in ((b"type", kind), (b"flags", flags)):
            assert number(b":message-" + name, value) in answer
        assert number(b":stream-id", stream) in answer
        if not stream:
            head = {":message-type": 0, ":message-flags": 0, ":stream-id": 1}
            peer.send({**head, "operation": f"{PREFIX}GetConfiguration"}, {})


@rule("8.06", "both", "The first message of a stream names its operation, with aws.greengrass#.")
def test_rule_8_06_operation(greeted: Peer) -> None:
    assert "value" in json.loads(greeted.ask(1, "GetConfiguration", {}).payload)
    greeted.send({":message-type": 0, ":message-flags": 0, ":stream-id": 2}, {})
    assert greeted.receive().number(":message-type") == MessageType.PROTOCOL_ERROR


@rule("8.07", "both", "A payload's message says application/json, and its content's shape.")
def test_rule_8_07_payload(greeted: Peer) -> None:
    answer = greeted.ask(1, "GetConfiguration", {})
    assert answer.headers[":content-type"] == "application/json"
    assert answer.headers["service-model-type"] == f"{PREFIX}GetConfigurationResponse"


@rule("8.08", "both", "Messages are of eight types, from 0 for an application's to 7.")
def test_rule_8_08_message_types(peer: Peer) -> None:
    assert [each.name for each in sorted(MessageType)] == [
        "APPLICATION_MESSAGE", "APPLICATION_ERROR", "PING", "PING_RESPONSE", "CONNECT",
        "CONNECT_ACK", "PROTOCOL_ERROR", "INTERNAL_ERROR",
    ]  # fmt: skip
    assert peer.greet().number(":message-type") == 5
    assert peer.ask(1, "GetConfiguration", {}).number(":message-type") == 0
    assert peer.ask(2, "GetConfiguration", {"keyPath": ["no"]}).number(":message-type") == 1
    peer.send({":message-type": 2, ":message-flags": 0, ":stream-id": 0})
    assert peer.receive().number(":message-type") == 3


@rule("8.09", "both", "Flag 1 says that a connection is accepted, flag 2 that a stream ends.")
def test_rule_8_09_flags(peer: Peer) -> None:
    assert peer.greet().number(":message-flags") == 1
    assert peer.ask(1, "GetConfiguration", {"keyPath": ["no"]}).number(":message-flags") == 2


@rule("8.10", "both", "A client connects with version 0.1.0 and the token of its component.")
def test_rule_8_10_handshake(core: Core, client: Client) -> None:
    assert client.get_configuration().component_name == OWN
    with Peer(core.socket) as peer:
        answer = peer.greet()
        assert (answer.number(":message-type"), answer.number(":message-flags")) == (5, 1)
    with Peer(core.socket) as peer:
        assert peer.greet(version="7.0.0").number(":message-flags") == 0


@rule("8.11", "both", "Who is refused is told so, and hangs up himself: the SDK then knows why.")
def test_rule_8_11_refused(core: Core, peer: Peer) -> None:
    assert peer.greet("of nobody").number(":message-flags") == 0
    peer.socket.settimeout(BLINK)
    with pytest.raises(TimeoutError):
        peer.bytes()
    with pytest.raises(AccessDeniedError):
        connect(ipc_socket=str(core.socket), authtoken="of nobody")


@rule("8.12", "both", "The client numbers its streams, each with a higher number than all before.")
def test_rule_8_12_stream_numbers(greeted: Peer) -> None:
    assert greeted.ask(3, "GetConfiguration", {}).number(":stream-id") == 3
    assert greeted.ask(2, "GetConfiguration", {}).number(":message-type") == 6


@rule("8.13", "both", "The first message back is the response, under the operation's name.")
def test_rule_8_13_response(core: Core, greeted: Peer) -> None:
    core.allow(PUBSUB, BOTH, "*")
    assert greeted.ask(1, "SubscribeToTopic", {"topic": "a"}).text("service-model-type") == (
        f"{PREFIX}SubscribeToTopicResponse"
    )


@rule("8.14", "both", "A client ends a stream by an empty TERMINATE, and gets one back.")
def test_rule_8_14_end(greeted: Peer) -> None:
    greeted.ask(1, "GetConfiguration", {})
    greeted.end(1)
    ended = greeted.receive()
    assert (ended.number(":stream-id"), ended.number(":message-flags")) == (1, 2)
    assert (ended.number(":message-type"), ended.payload) == (0, b"")


@rule("8.15", "classic", "Later messages of a stream are events; five operations have them.")
def test_rule_8_15_events(core: Core) -> None:
    core.add(OWN, {"accessControl": {
        PUBSUB: {"p": {"operations": ["*"], "resources": ["*"]}},
        MQTT: {"m": {"operations": ["*"], "resources": ["*"]}},
    }})  # fmt: skip
    broker, client, heard = Running(core.endpoint.parent), core.client(), Heard()
    try:
        client.subscribe_to_topic(topic="t", on_stream_event=heard)
        say(client, "t", x=1)
        assert isinstance(heard.next(), model.SubscriptionResponseMessage)
        client.subscribe_to_iot_core(topic_name="t", qos="1", on_stream_event=heard)
        client.publish_to_iot_core(topic_name="t", qos="1", payload=b"x")
        assert isinstance(heard.next(), model.IoTCoreMessage)
        client.subscribe_to_configuration_update(on_stream_event=heard)
        client.update_configuration(value_to_merge={"x": 1}, timestamp=now())
        assert isinstance(heard.next(), model.ConfigurationUpdateEvents)
        client.subscribe_to_validate_configuration_updates(on_stream_event=heard)
        on_loop(core, core.updates.validated("d", {OWN: {}}, SOON))
        assert isinstance(heard.next(), model.ValidateConfigurationUpdateEvents)
        client.subscribe_to_component_updates(on_stream_event=heard)
        on_loop(core, core.updates.agreed("d", [OWN], SOON))
        assert isinstance(heard.next(), model.ComponentUpdatePolicyEvents)
    finally:
        client.close().result(SOON)
        broker.stop()


def now() -> datetime:
    return datetime.now(timezone.utc)


def on_loop(core: Core, work: Any) -> None:
    """What the deployer does while it deploys."""
    asyncio.run_coroutine_threadsafe(work, core.loop)


@rule("8.16", "both", "An error ends its stream, has its shape's name, and says why in message.")
def test_rule_8_16_errors(greeted: Peer) -> None:
    answer = greeted.ask(1, "GetConfiguration", {"keyPath": ["no"]})
    assert (answer.number(":message-type"), answer.number(":message-flags")) == (1, 2)
    assert answer.text("service-model-type") == f"{PREFIX}ResourceNotFoundError"
    said = json.loads(answer.payload)
    assert said["message"] == said["_message"] != ""


@rule("8.17", "both", "Bytes are base64 in a payload.")
def test_rule_8_17_blobs(core: Core, talker: Client, greeted: Peer) -> None:
    greeted.ask(1, "SubscribeToTopic", {"topic": "t"})
    message = model.PublishMessage(binary_message=model.BinaryMessage(message=b"\x00\xff"))
    talker.publish_to_topic(topic="t", publish_message=message)
    event = json.loads(greeted.receive().payload)
    assert event["binaryMessage"]["message"] == base64.b64encode(b"\x00\xff").decode()


@rule("8.18", "both", "Times are seconds since 1970, with a fraction.")
def test_rule_8_18_times(core: Core, greeted: Peer) -> None:
    request = {"keyPath": [], "timestamp": 1700000000.125, "valueToMerge": {"new": 1}}
    greeted.ask(1, "UpdateConfiguration", request)
    leaf = core.held.contents.components[OWN].configuration.node(("new",))
    assert leaf.modified == 1_700_000_000_125


LITE = {
    "PublishToTopic", "SubscribeToTopic", "PublishToIoTCore", "SubscribeToIoTCore",
    "GetConfiguration", "UpdateConfiguration", "SubscribeToConfigurationUpdate", "UpdateState",
    "RestartComponent", "CreateLocalDeployment", "ValidateAuthorizationToken",
}  # fmt: skip
CLASSIC = LITE | {
    "SubscribeToValidateConfigurationUpdates", "SendConfigurationValidityReport",
    "SubscribeToComponentUpdates", "DeferComponentUpdate", "GetThingShadow", "UpdateThingShadow",
    "DeleteThingShadow", "ListNamedShadowsForThing", "GetSecretValue", "PutComponentMetric",
    "ListComponents", "GetComponentDetails", "StopComponent", "GetLocalDeploymentStatus",
    "ListLocalDeployments",
}  # fmt: skip


def served(peer: Peer) -> set[str]:
    """The operations that a core knows, whatever it answers to a request without members."""
    known = set()
    for at, operation in enumerate(sorted(CLASSIC)):
        answer = peer.ask(at + 1, operation, {})
        if b"is not served" in answer.payload:
            assert answer.text("service-model-type") == f"{PREFIX}ServiceError"
        else:
            known.add(operation)
    return known


@rule("8.19", "classic", "Components are served 26 operations, from messages to deployments.")
def test_rule_8_19_operations(greeted: Peer) -> None:
    assert served(greeted) == CLASSIC


class Lite:
    """A core of the dialect lite, in a process of its own, with one component."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "cores" / "pi")
        self.layout.make()
        steps = {"run": "echo $SVCUID > token; exec sleep 600"}
        held = Contents({}, {"a": Component("1.0.0", steps, (), Tree())})
        Inventory(self.layout.state_file).replace(held)
        endpoint = folder / "sandbox" / "endpoint.json"
        self.core = cores.start(self.layout.root, "pi", endpoint, 5, "lite")

    def greeted(self) -> Peer:
        """Frames to and from it, as its component."""
        token, deadline = self.layout.work("a") / "token", time.monotonic() + SOON
        while not (token.exists() and token.read_text().endswith("\n")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        made = Peer(self.core.socket)
        assert made.greet(token.read_text().strip()).number(":message-flags") == 1
        return made

    def stop(self) -> None:
        cores.stop(self.layout.root)


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lite]:
    made = Lite(tmp_path_factory.mktemp("lite"))
    yield made
    made.stop()


@pytest.mark.real
@rule("8.20", "lite", "Eleven operations are served; any other is a ServiceError.")
def test_rule_8_20_operations_of_lite(lite: Lite) -> None:
    with lite.greeted() as peer:
        assert served(peer) == LITE


@pytest.mark.real
@rule("8.21", "lite", "A message of more than 10,000 bytes ends its connection.")
def test_rule_8_21_long_messages_of_lite(lite: Lite) -> None:
    request = {"timestamp": time.time(), "valueToMerge": {"x": "x" * 9_000}}
    with lite.greeted() as peer:
        assert peer.ask(1, "UpdateConfiguration", request).number(":message-type") == 0
        request["valueToMerge"] = {"x": "x" * 10_000}
        assert peer.ask(2, "UpdateConfiguration", request).number(":message-type") == 6
        assert peer.bytes() == b""


# Messages between components


@rule("8.22", "both", "Nobody publishes to a topic with +, # or *.")
@pytest.mark.parametrize("topic", ["a/+", "a/#", "a*"])
def test_rule_8_22_no_wildcards(talker: Client, topic: str) -> None:
    with pytest.raises(model.InvalidArgumentsError):
        say(talker, topic, x=1)


@rule("8.23", "both", "To publish where nobody listens is a success.")
def test_rule_8_23_nobody_listens(talker: Client) -> None:
    say(talker, "nowhere", x=1)


@rule("8.24", "both", "All who listen get the message as it came, json or binary, with its topic.")
def test_rule_8_24_all_hear(talker: Client) -> None:
    heard = [listen(talker, "t"), listen(talker, "t")]
    say(talker, "t", x=[1])
    binary = model.PublishMessage(binary_message=model.BinaryMessage(message=b"\x00"))
    talker.publish_to_topic(topic="t", publish_message=binary)
    for each in heard:
        assert [each.text(), each.text()] == [("t", {"x": [1]}), ("t", b"\x00")]


@rule("8.25", "both", "receiveMode: by default a component hears its own messages, too.")
def test_rule_8_25_all_messages(talker: Client) -> None:
    modes = [{}, {"receive_mode": model.ReceiveMode.RECEIVE_ALL_MESSAGES}]
    heard = [listen(talker, "t", **mode) for mode in modes]
    say(talker, "t", x=1)
    assert [each.text() for each in heard] == [("t", {"x": 1})] * 2


@rule("8.26", "both", "RECEIVE_MESSAGES_FROM_OTHERS: other components; not another own connection.")
def test_rule_8_26_messages_of_others(core: Core, talker: Client) -> None:
    core.allow(PUBSUB, BOTH, "*", name=OTHER)
    second, other = core.client(), core.client(OTHER)
    try:
        mode = model.ReceiveMode.RECEIVE_MESSAGES_FROM_OTHERS
        heard = listen(talker, "t", receive_mode=mode)
        for speaker, name in ((talker, "own"), (second, "own too"), (other, "other")):
            say(speaker, "t", of=name)
        assert heard.text() == ("t", {"of": "other"})
    finally:
        for each in (second, other):
            each.close().result(SOON)


@rule("8.27", "both", "Filters are MQTT's: + is one level, a last # all that follow.")
def test_rule_8_27_filters(talker: Client) -> None:
    one, many = listen(talker, "a/+/c"), listen(talker, "a/#")
    for topic in ("a/b/c", "a/b/d/c", "b", "a", "a/x/c"):
        say(talker, topic)
    assert [one.next().json_message.context.topic for _ in range(2)] == ["a/b/c", "a/x/c"]
    assert [many.next().json_message.context.topic for _ in range(4)] == [
        "a/b/c", "a/b/d/c", "a", "a/x/c",
    ]  # fmt: skip


# Configuration


@rule("8.28", "both", "GetConfiguration reads the caller's own, if it names no component.")
def test_rule_8_28_own_configuration(client: Client) -> None:
    answer = client.get_configuration(key_path=["Interval"])
    assert (answer.component_name, answer.value) == (OWN, {"Interval": 3})


@rule("8.29", "both", "Any component's configuration can be read, without a policy.")
def test_rule_8_29_configuration_of_others(client: Client) -> None:
    assert client.get_configuration(component_name=OTHER).value == {"theirs": True}


@rule("8.30", "both", "An empty keyPath is everything.")
def test_rule_8_30_whole_configuration(client: Client) -> None:
    value = client.get_configuration(key_path=[]).value
    assert value.keys() == {"Interval", "Deep", "accessControl"}


@rule("8.31", "both", "A single value comes as an object with its key; an object as it is.")
def test_rule_8_31_leaf(client: Client) -> None:
    assert client.get_configuration(key_path=["Deep", "Key"]).value == {"Key": "x"}
    assert client.get_configuration(key_path=["Deep"]).value == {"Key": "x"}


@rule("8.32", "both", "What is not there is a ResourceNotFoundError.")
def test_rule_8_32_no_such_key(client: Client) -> None:
    for request in ({"key_path": ["no"]}, {"component_name": "com.example.No"}):
        with pytest.raises(model.ResourceNotFoundError):
            client.get_configuration(**request)


def change(client: Client, value: Any, path: Any = (), seconds: float | None = None) -> None:
    when = now() if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
    client.update_configuration(key_path=list(path), value_to_merge=value, timestamp=when)


@rule("8.33", "both", "UpdateConfiguration changes the caller's own; no other can be named.")
def test_rule_8_33_only_own(core: Core, client: Client, greeted: Peer) -> None:
    request = {"componentName": OTHER, "timestamp": time.time(), "valueToMerge": {"mine": 1}}
    greeted.ask(1, "UpdateConfiguration", request)
    assert client.get_configuration(component_name=OTHER).value == {"theirs": True}
    assert client.get_configuration(key_path=["mine"]).value == {"mine": 1}


@rule("8.34", "both", "It needs a timestamp and a valueToMerge.")
@pytest.mark.parametrize("missing", ["timestamp", "valueToMerge"])
def test_rule_8_34_needed(greeted: Peer, missing: str) -> None:
    request = {"timestamp": time.time(), "valueToMerge": {"x": 1}, "keyPath": []}
    request.pop(missing)
    answer = greeted.ask(1, "UpdateConfiguration", request)
    assert answer.text("service-model-type") == f"{PREFIX}InvalidArgumentsError"


@rule("8.35", "both", "Its keyPath names what holds keys.")
def test_rule_8_35_container(client: Client) -> None:
    change(client, {"New": 1}, ["Deep"])
    assert client.get_configuration(key_path=["Deep"]).value == {"Key": "x", "New": 1}
    with pytest.raises(model.InvalidArgumentsError):
        change(client, {"New": 1}, ["Interval"])


@rule("8.36", "classic", "It cannot touch accessControl, however that is spelt.")
@pytest.mark.parametrize(
    ("value", "path"), [({"accessControl": {}}, ()), ({"ACCESSCONTROL": {}}, ()),
                        ({"x": {}}, ("accesscontrol",))]
)  # fmt: skip
def test_rule_8_36_access_control(client: Client, value: Any, path: Any) -> None:
    with pytest.raises(model.InvalidArgumentsError):
        change(client, value, path)


@rule("8.37", "classic", "An older time than the value's is a FailedUpdateConditionCheckError.")
def test_rule_8_37_older(client: Client) -> None:
    change(client, {"Key": "new"}, ["Deep"], 2000)
    with pytest.raises(model.FailedUpdateConditionCheckError):
        change(client, {"Key": "old"}, ["Deep"], 1000)
    assert client.get_configuration(key_path=["Deep"]).value == {"Key": "new"}


@rule("8.38", "both", "Objects are merged key by key, at any depth.")
def test_rule_8_38_deep_merge(client: Client) -> None:
    change(client, {"Deep": {"New": {"a": 1}}})
    change(client, {"Deep": {"New": {"b": 2}}})
    assert client.get_configuration(key_path=["Deep", "New"]).value == {"a": 1, "b": 2}


def changes(client: Client) -> Heard:
    heard = Heard()
    client.subscribe_to_configuration_update(key_path=[], on_stream_event=heard)
    return heard


def path(heard: Heard) -> list[str]:
    """The key path of the next event."""
    found: list[str] = heard.next().configuration_update_event.key_path
    return found


@rule("8.39", "both", "Each changed value is one event, with its whole path.")
def test_rule_8_39_change_events(client: Client) -> None:
    heard = changes(client)
    change(client, {"x": 1, "new": {"a": 1}}, ["Deep"])
    assert sorted([path(heard), path(heard)]) == [["Deep", "new", "a"], ["Deep", "x"]]


@rule("8.40", "both", "An equal value is no event.")
def test_rule_8_40_no_change_no_event(client: Client) -> None:
    heard = changes(client)
    change(client, {"Interval": 3, "last": 1})
    assert path(heard) == ["last"]


# States


@rule("8.41", "both", "UpdateState says RUNNING or ERRORED, and nothing else.")
def test_rule_8_41_states(client: Client) -> None:
    for state in ("RUNNING", "ERRORED"):
        client.update_state(state=state)
    with pytest.raises(model.InvalidArgumentsError):
        client.update_state(state="FINISHED")


@rule("8.42", "both", "Only what can follow from its state counts; anything else is logged.")
def test_rule_8_42_legal_states(core: Core, client: Client) -> None:
    counted = set()
    life = core.engine.supervisors[OWN]
    for state in State:
        for said in ("RUNNING", "ERRORED"):
            life.state, life._steps.said = state, None
            client.update_state(state=said)
            if life._steps.said is not None:
                counted.add((state.value, said))
            elif state.value != said:
                last = last_lines(core.layout.log(OWN), 1)[0]
                assert last.endswith(f"that is ignored: it is {state.value}")
    assert counted == {("STARTING", "RUNNING"), ("NEW", "ERRORED"), ("STARTING", "ERRORED"),
                       ("RUNNING", "ERRORED"), ("STOPPING", "ERRORED")}  # fmt: skip


# Shadows


@pytest.fixture
def device(core: Core) -> Iterator[Client]:
    """A client of ``OWN``, which may do everything with shadows, and hear of it."""
    operations = {SHADOWS: ["*"], PUBSUB: ["*"]}
    core.add(OWN, {"accessControl": {
        service: {"1": {"operations": names, "resources": ["*"]}}
        for service, names in operations.items()
    }})  # fmt: skip
    made = core.client()
    yield made
    made.close().result(SOON)


def update(client: Client, state: Any, name: str = "", **more: Any) -> Any:
    payload = json.dumps({"state": state, **more}).encode()
    answer = client.update_thing_shadow(thing_name="pi", shadow_name=name, payload=payload)
    return json.loads(answer.payload)


def get(client: Client, name: str = "") -> Any:
    return json.loads(client.get_thing_shadow(thing_name="pi", shadow_name=name).payload)


@rule("8.43", "classic", "state is an object of desired and reported, and nothing else.")
@pytest.mark.parametrize("state", [None, [], "x", {"wished": {}}, {"desired": 1}])
def test_rule_8_43_shadow_state(device: Client, state: Any) -> None:
    update(device, {"desired": {}, "reported": {"x": 1}})
    with pytest.raises(model.InvalidArgumentsError):
        update(device, state)


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}


@rule("8.44", "classic", "Neither has more than six levels.")
def test_rule_8_44_shadow_depth(device: Client) -> None:
    update(device, {"desired": nested(6), "reported": nested(6)})
    with pytest.raises(model.InvalidArgumentsError):
        update(device, {"reported": nested(7)})


def filled(size: int) -> Any:
    """A state of so many bytes."""
    half = size // 2
    return {
        "desired": {"x": "x" * (half - len('{"x":""}'))},
        "reported": {"x": "x" * (size - half - len('{"x":""}'))},
    }


@rule("8.45", "classic", "Both together have 8 KiB.")
def test_rule_8_45_shadow_size(device: Client) -> None:
    update(device, filled(8 * 1024))
    with pytest.raises(model.InvalidArgumentsError):
        update(device, filled(8 * 1024 + 1))


@rule("8.46", "classic", "A configuration can allow up to 30 KiB.")
def test_rule_8_46_shadow_largest_size(core: Core, device: Client) -> None:
    core.shadow_settings["shadowDocumentSizeLimitBytes"] = 30 * 1024
    update(device, filled(30 * 1024))
    with pytest.raises(model.InvalidArgumentsError):
        update(device, filled(30 * 1024 + 1))
    core.shadow_settings["shadowDocumentSizeLimitBytes"] = 30 * 1024 + 1
    with pytest.raises(model.InvalidArgumentsError):
        update(device, filled(30 * 1024 + 1))


@rule("8.47", "classic", "A delta that a client sends is dropped.")
def test_rule_8_47_shadow_delta(device: Client) -> None:
    update(device, {"desired": {"x": 1}, "delta": {"y": 1}})
    assert get(device)["state"] == {"desired": {"x": 1}, "delta": {"x": 1}}


@rule("8.48", "classic", "A version that is given must be the present one, else: ConflictError.")
def test_rule_8_48_shadow_version(device: Client) -> None:
    present = update(device, {"desired": {"x": 1}})["version"]
    assert update(device, {"desired": {"x": 2}}, version=present)["version"] == present + 1
    with pytest.raises(model.ConflictError):
        update(device, {"desired": {"x": 3}}, version=present)


@rule("8.49", "classic", "null deletes a key.")
def test_rule_8_49_shadow_null(device: Client) -> None:
    update(device, {"reported": {"x": 1, "y": 1}})
    update(device, {"reported": {"x": None}})
    assert get(device)["state"] == {"reported": {"y": 1}}


@rule("8.50", "classic", "The answer: version, timestamp, metadata, the state as sent, the token.")
def test_rule_8_50_shadow_answer(device: Client) -> None:
    answer = update(device, {"reported": {"x": 1, "gone": None}}, clientToken="me")
    assert abs(answer["timestamp"] - time.time()) < SOON
    assert answer == {
        "version": 1, "timestamp": answer["timestamp"], "clientToken": "me",
        "state": {"reported": {"x": 1, "gone": None}}, "metadata": answer["metadata"],
    }  # fmt: skip
    assert answer["metadata"]["reported"]["x"] == {"timestamp": answer["timestamp"]}
    assert "clientToken" not in update(device, {"reported": {"x": 2}})


@rule("8.51", "classic", "A shadow is read with desired, reported, and a delta where they differ.")
def test_rule_8_51_shadow_read(device: Client) -> None:
    update(device, {"desired": {"x": 1, "y": 1}, "reported": {"y": 1}})
    found = get(device)
    assert found.keys() == {"state", "metadata", "version", "timestamp"}
    assert found["state"] == {
        "desired": {"x": 1, "y": 1}, "reported": {"y": 1}, "delta": {"x": 1}
    }  # fmt: skip
    update(device, {"reported": {"x": 1}})
    assert "delta" not in get(device)["state"]


@rule("8.52", "classic", "A shadow that is not there is a ResourceNotFoundError.")
def test_rule_8_52_no_shadow(device: Client) -> None:
    with pytest.raises(model.ResourceNotFoundError):
        get(device)


@rule("8.53", "classic", "What becomes of an update is said on the device's own shadow topics.")
@pytest.mark.parametrize("name", ["", "config"])
def test_rule_8_53_shadow_topics(device: Client, name: str) -> None:
    shadow = "$aws/things/pi/shadow" + (f"/name/{name}" if name else "")
    heard = listen(device, f"{shadow}/#")
    update(device, {"desired": {"x": 1}}, name)
    told = dict(heard.text() for _ in range(3))
    assert told.keys() == {f"{shadow}/update/{kind}" for kind in ("accepted", "delta", "documents")}
    assert json.loads(told[f"{shadow}/update/delta"])["state"] == {"x": 1}
    with pytest.raises(model.ConflictError):
        update(device, {"desired": {"x": 2}}, name, version=7)
    topic, content = heard.text()
    assert (topic, json.loads(content)["code"]) == (f"{shadow}/update/rejected", 409)


def admitted(things: list[str]) -> int:
    """How many requests for these things pass within no time."""
    settings = ShadowSettings()
    rates = RequestRates(lambda: (settings.total_rate, settings.thing_rate), lambda: 0.0)
    return sum(rates.admit(thing) for thing in things)


@rule("8.54", "classic", "Of one thing's shadows there are 20 requests a second.")
def test_rule_8_54_shadow_rate(device: Client) -> None:
    assert admitted(["pi"] * 100) == 20
    with pytest.raises(model.ServiceError):
        for at in range(1000):
            update(device, {"reported": {"x": at}})


@rule("8.55", "classic", "Of all together there are 200.")
def test_rule_8_55_all_shadows_rate() -> None:
    assert admitted([f"pi{at % 50}" for at in range(1000)]) == 200


@rule("8.56", "classic", "Names: things' to 128, shadows' to 64 of letters, digits, : _ and -.")
def test_rule_8_56_shadow_names(device: Client) -> None:
    good = ("a" * 128, "b" * 64), ("aA0:_-", "aA0:_-")
    bad = ("a" * 129, ""), ("", ""), ("a", "b" * 65), ("a.b", ""), ("a", "b/c")
    for thing, name in good:
        device.update_thing_shadow(thing_name=thing, shadow_name=name, payload=b'{"state":{}}')
    for thing, name in bad:
        with pytest.raises(model.InvalidArgumentsError):
            device.update_thing_shadow(thing_name=thing, shadow_name=name, payload=b'{"state":{}}')


# Authorization


def policies(**services: Any) -> Policies:
    """The loaded policies of ``OWN``; a service's name has its dots as ``__``."""
    written = {name.replace("__", "."): {"own:1": policy} for name, policy in services.items()}
    tree = Tree()
    tree.merge((), {"accessControl": written}, 5)
    return Policies({OWN: tree})


def loaded(service: str, operations: list[str], *resources: str) -> Policies:
    policy = {"operations": operations, "resources": list(resources)}
    return policies(**{service.replace(".", "__"): policy})


def covers(pattern: str, resource: str, service: str = PUBSUB) -> bool:
    """Whether a policy with this resource allows all operations on that one."""
    return loaded(service, ["*"], pattern).allows(OWN, service, "SubscribeToTopic", resource)


@rule("8.57", "both", "accessControl: by service and id operations and resources, its carrier's.")
def test_rule_8_57_access_control_of_its_carrier(core: Core, talker: Client) -> None:
    say(talker, "t", x=1)
    other = core.client(OTHER)
    try:
        with pytest.raises(model.UnauthorizedError):
            say(other, "t", x=1)
    finally:
        other.close().result(SOON)


@rule("8.58", "both", "What no policy allows is denied.")
def test_rule_8_58_default_deny(core: Core) -> None:
    core.allow(PUBSUB, ["PublishToTopic"], "rain/*")
    client = core.client()
    try:
        say(client, "rain/now", x=1)
        with pytest.raises(model.UnauthorizedError):
            say(client, "sun/now", x=1)
        with pytest.raises(model.UnauthorizedError):
            listen(client, "rain/now")
    finally:
        client.close().result(SOON)


OF_SERVICES = {
    PUBSUB: BOTH,
    MQTT: ["PublishToIoTCore", "SubscribeToIoTCore"],
    SHADOWS: [
        "GetThingShadow",
        "UpdateThingShadow",
        "DeleteThingShadow",
        "ListNamedShadowsForThing",
    ],
    "aws.greengrass.SecretManager": ["GetSecretValue"],
    "aws.greengrass.ipc.lifecycle": ["PauseComponent", "ResumeComponent"],
    "aws.greengrass.Cli": ["ListComponents", "GetComponentDetails", "RestartComponent"],
    "aws.greengrass.clientdevices.Auth": ["VerifyClientDeviceIdentity"],
    "aws.greengrass.ipc.componentmetric": ["PutComponentMetric"],
}


@rule("8.60", "classic", "Eight services take policies, each for its own operations.")
@pytest.mark.parametrize("service", OF_SERVICES)
def test_rule_8_60_services(service: str) -> None:
    named = [PREFIX + each for each in OF_SERVICES[service]]
    found = loaded(service, named, "r")
    assert found.refusals == []
    assert all(found.allows(OWN, service, each, "r") for each in OF_SERVICES[service])


@rule("8.63", "both", "Operations are written aws.greengrass#Name, or * for all of the service.")
def test_rule_8_63_operations_of_a_policy() -> None:
    name = "PublishToTopic"
    for written, allowed in ((PREFIX + name, True), ("*", True), (name, False)):
        found = loaded(PUBSUB, [written], "t")
        assert found.allows(OWN, PUBSUB, name, "t") is allowed
        assert bool(found.refusals) is not allowed


@rule("8.64", "classic", "A policy with an unknown operation or service is not loaded.")
def test_rule_8_64_unknown(core: Core) -> None:
    good = f"{PREFIX}PublishToTopic"
    assert loaded(PUBSUB, [good, f"{PREFIX}FlyAway"], "*").refusals
    assert loaded("com.example.Service", [good], "*").refusals
    core.allow(PUBSUB, ["PublishToTopic", "FlyAway"], "*")
    client = core.client()
    try:
        with pytest.raises(model.UnauthorizedError):
            say(client, "t", x=1)
    finally:
        client.close().result(SOON)


@rule("8.65", "both", "Configuration, UpdateState and updates of components need no policy.")
def test_rule_8_65_no_policy_needed(core: Core, greeted: Peer) -> None:
    core.add(OWN, {})
    free = ("GetConfiguration", "UpdateConfiguration", "SubscribeToConfigurationUpdate",
            "SubscribeToValidateConfigurationUpdates", "SendConfigurationValidityReport",
            "UpdateState", "SubscribeToComponentUpdates", "DeferComponentUpdate")  # fmt: skip
    for at, operation in enumerate(free):
        answer = greeted.ask(at + 1, operation, {})
        assert answer.text("service-model-type") != f"{PREFIX}UnauthorizedError", operation


@rule("8.66", "classic", "In a resource * is any run of characters, / too.")
def test_rule_8_66_star() -> None:
    assert covers("a/*/z", "a/b/c/z")
    assert covers("*", "a/b")
    assert not covers("a*", "b")


@rule("8.67", "classic", "${c} is the character c itself, of * ? $ + #.")
@pytest.mark.parametrize("character", "*?$+#")
def test_rule_8_67_escapes(character: str) -> None:
    assert covers(f"a/${{{character}}}", f"a/{character}")
    assert not covers(f"a/${{{character}}}", "a/b")


@rule("8.68", "classic", "A bare ? is reserved: such a policy is not loaded.")
def test_rule_8_68_question_mark() -> None:
    assert not covers("a?c", "abc")
    assert loaded(PUBSUB, ["*"], "a?c").refusals


@rule("8.69", "classic", "For topics + is one level and # the rest, where each is a whole level.")
@pytest.mark.parametrize("service", [PUBSUB, MQTT])
def test_rule_8_69_topics(service: str) -> None:
    assert covers("a/+/c", "a/b/c", service)
    assert not covers("a/+/c", "a/b/b/c", service)
    assert covers("a/#", "a/b/c", service)
    assert not covers("a/b+", "a/bc", service)
    assert not loaded(SHADOWS, ["*"], "a/+").allows(OWN, SHADOWS, "GetThingShadow", "a/b")


@rule("8.70", "classic", "A filter is matched as text: its # passes only where a policy covers it.")
def test_rule_8_70_filter_is_text(core: Core) -> None:
    core.allow(PUBSUB, BOTH, "a/+", "b/*")
    client = core.client()
    try:
        listen(client, "b/#")
        with pytest.raises(model.UnauthorizedError):
            listen(client, "a/b/#")
        with pytest.raises(model.UnauthorizedError):
            listen(client, "#")
    finally:
        client.close().result(SOON)


@rule("8.71", "classic", "A shadow is $aws/things/T/shadow, a named one …/shadow/name/N.")
def test_rule_8_71_shadow_resources(core: Core) -> None:
    shadow = "$aws/things/pi/shadow"
    core.allow(SHADOWS, ["UpdateThingShadow"], shadow, f"{shadow}/name/open")
    client = core.client()
    try:
        for name in ("", "open"):
            update(client, {"reported": {"x": 1}}, name)
        with pytest.raises(model.UnauthorizedError):
            update(client, {"reported": {"x": 1}}, "closed")
    finally:
        client.close().result(SOON)


@rule("8.72", "both", "UnauthorizedError names principal, service, operation and resource.")
def test_rule_8_72_words(client: Client) -> None:
    with pytest.raises(model.UnauthorizedError) as refused:
        say(client, "t", x=1)
    assert refused.value.message == (
        f"Principal {OWN} is not authorized to perform {PUBSUB}:{PREFIX}PublishToTopic"
        " on resource t"
    )


@rule("8.73", "both", "A deployment that changes accessControl counts from its end on.")
def test_rule_8_73_reload(core: Core, client: Client) -> None:
    for resources, allowed in ((["t"], True), (["s"], False), (["t"], True)):
        core.allow(PUBSUB, BOTH, *resources)
        if allowed:
            say(client, "t", x=1)
        else:
            with pytest.raises(model.UnauthorizedError):
                say(client, "t", x=1)
