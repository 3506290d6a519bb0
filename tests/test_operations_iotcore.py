"""IoT Core's topics, asked by the unmodified ``awsiotsdk``, and end to end."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from brokers import Running
from ipcs import OWN, SOON, Core, core_with_two_components
from sandboxes import connected

from ggml_magic.core import mqtt as room
from ggml_magic.core.quotas import LARGEST_PAYLOAD
from ggml_magic.observe.messages import messages
from ggml_magic.sandbox import client as sandboxes
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

__all__ = ["core_with_two_components"]
MQTT = "aws.greengrass.ipc.mqttproxy"
BOTH = ["PublishToIoTCore", "SubscribeToIoTCore"]
QOS = model.QOS


@pytest.fixture
def broker(core: Core) -> Iterator[Running]:
    """What stands in the core's endpoint file."""
    made = Running(core.endpoint.parent)
    yield made
    made.stop()


@pytest.fixture
def ipc(core: Core) -> Iterator[GreengrassCoreIPCClientV2]:
    core.allow(MQTT, BOTH, "rain/*", "sun/+/state", "exact/${*}")
    made = core.client()
    yield made
    made.close().result(SOON)


class Heard:
    """What a subscription of the SDK's got."""

    def __init__(self, ipc: GreengrassCoreIPCClientV2, topic: str, qos: str = QOS.AT_LEAST_ONCE):
        self.items: list[tuple[str, bytes]] = []
        self._some = threading.Condition()
        _, self.operation = ipc.subscribe_to_iot_core(
            topic_name=topic, qos=qos, on_stream_event=self._take
        )

    def _take(self, event: model.IoTCoreMessage) -> None:
        with self._some:
            self.items.append((event.message.topic_name, event.message.payload))
            self._some.notify_all()

    def wait(self, count: int = 1) -> list[tuple[str, bytes]]:
        with self._some:
            assert self._some.wait_for(lambda: len(self.items) >= count, SOON)
        return self.items


def test_components_reach_the_broker_and_hear_it(
    core: Core, broker: Running, ipc: GreengrassCoreIPCClientV2
) -> None:
    heard = Heard(ipc, "rain/#")
    ipc.publish_to_iot_core(topic_name="rain/pi", qos=QOS.AT_LEAST_ONCE, payload=b"\x00\xff")
    ipc.publish_to_iot_core(topic_name="rain/none", qos=QOS.AT_MOST_ONCE)
    ipc.publish_to_iot_core(topic_name="rain/default", payload=b"no qos")
    wanted = [("rain/pi", b"\x00\xff"), ("rain/none", b""), ("rain/default", b"no qos")]
    assert heard.wait(3) == wanted
    heard.operation.close().result(SOON)
    until(lambda: not core.mqtt._wanted, "the core still subscribes for it")
    again = Heard(ipc, "rain/#")
    ipc.publish_to_iot_core(topic_name="rain/late", qos=QOS.AT_LEAST_ONCE, payload=b"1")
    again.wait()
    assert heard.items == wanted


def test_the_policy_decides_and_a_filter_is_matched_as_text(
    broker: Running, ipc: GreengrassCoreIPCClientV2
) -> None:
    refused = f"Principal {OWN} is not authorized to perform {MQTT}:aws.greengrass#"
    with pytest.raises(model.UnauthorizedError) as caught:
        ipc.publish_to_iot_core(topic_name="snow/a", qos=QOS.AT_LEAST_ONCE, payload=b"")
    assert caught.value.message == f"{refused}PublishToIoTCore on resource snow/a"
    for allowed in ("rain/#", "rain/+/x", "sun/+/state", "sun/a/state", "exact/*"):
        Heard(ipc, allowed)
    for other in ("#", "+/a", "$aws/things/pi/shadow/update/delta", "sun/a/b/state", "exact/a"):
        with pytest.raises(model.UnauthorizedError) as caught:
            Heard(ipc, other)
        assert caught.value.message == f"{refused}SubscribeToIoTCore on resource {other}"


def test_each_operation_needs_its_own_permission(core: Core, broker: Running) -> None:
    core.allow(MQTT, ["PublishToIoTCore"], "*")
    ipc = core.client()
    ipc.publish_to_iot_core(topic_name="a", qos=QOS.AT_LEAST_ONCE, payload=b"")
    with pytest.raises(model.UnauthorizedError):
        Heard(ipc, "a")
    ipc.close().result(SOON)


def test_wrong_requests_are_refused_by_name(
    core: Core, broker: Running, ipc: GreengrassCoreIPCClientV2
) -> None:
    for wrong in (
        {"topic_name": "", "qos": "1"},
        {"topic_name": None, "qos": "1"},
        {"topic_name": "rain/a", "qos": "2"},
        {"topic_name": "rain/a", "qos": "often"},
    ):
        with pytest.raises(model.InvalidArgumentsError):
            ipc.publish_to_iot_core(payload=b"", **wrong)
    for topic, payload, why in (
        ("rain/#", b"", "no + and no #"),
        ("rain/" + "a/" * 8, b"", "7 slashes"),
        ("rain/a", b"x" * (LARGEST_PAYLOAD + 1), "131072"),
    ):
        with pytest.raises(model.ServiceError) as caught:
            ipc.publish_to_iot_core(topic_name=topic, qos=QOS.AT_LEAST_ONCE, payload=payload)
        assert why in caught.value.message
    with pytest.raises(model.ServiceError) as caught:
        Heard(ipc, "rain/a+")
    assert "whole levels" in caught.value.message


def test_offline_qos_1_is_kept_and_qos_0_is_not(
    broker: Running, ipc: GreengrassCoreIPCClientV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(ipc, "rain/#")
    broker.stop()
    monkeypatch.setattr(room, "SUBSCRIBE_SECONDS", 0.1)
    with pytest.raises(model.ServiceError) as caught:
        while True:  # the broken connection is noticed at once, but not by this thread
            ipc.publish_to_iot_core(topic_name="rain/0", qos=QOS.AT_MOST_ONCE, payload=b"")
    assert "offline" in caught.value.message
    with pytest.raises(model.ServiceError) as caught:
        Heard(ipc, "rain/b")
    assert "nobody answers" in caught.value.message
    ipc.publish_to_iot_core(topic_name="rain/1", qos=QOS.AT_LEAST_ONCE, payload=b"kept")
    broker.start()
    assert heard.wait()[-1] == ("rain/1", b"kept")


REGION, THING = "eu-west-1", "weather-pi"
TALKER, LISTENER = "com.example.Talker", "com.example.Listener"
TALK = """
import itertools, json, time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
ipc = GreengrassCoreIPCClientV2()
for number in itertools.count():
    payload = json.dumps({"number": number}).encode()
    ipc.publish_to_iot_core(topic_name="rain/talk", qos="1", payload=payload)
    time.sleep(0.05)
"""
# answers each command, so that the notebook hears that it came
LISTEN = """
import time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
ipc = GreengrassCoreIPCClientV2()
def take(event):
    payload = b'{"heard": "' + event.message.payload + b'"}'
    ipc.publish_to_iot_core_async(topic_name="rain/heard", qos="1", payload=payload)
ipc.subscribe_to_iot_core(topic_name="rain/command", qos="1", on_stream_event=take)
time.sleep(1000)
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


@pytest.mark.real
def test_notebook_cloud_and_components_speak_with_each_other(tmp_path: Path) -> None:
    workspace, settings = Workspace(tmp_path / ".ggml"), Settings()
    try:
        _end_to_end(workspace, settings)
    finally:
        sandboxes.stop(workspace)


def _end_to_end(workspace: Workspace, settings: Settings) -> None:
    core = sandboxes.add_core(workspace, THING, 5)
    aws = connected(sandboxes.ensure(workspace, 5))
    _deploy(aws, {TALKER: TALK, LISTENER: LISTEN}, core.root / "logs")
    found = messages(workspace, settings, "rain/talk", count=3, seconds=30)
    numbers = [item.payload["number"] for item in found]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert _answered(workspace, settings, aws, "one")
    # the sandbox dies without a word, and comes back
    endpoint = ep.read(ep.places(workspace).endpoint)
    assert endpoint is not None
    os.kill(endpoint.pid, signal.SIGKILL)
    aws = connected(sandboxes.ensure(workspace, 5))
    assert _answered(workspace, settings, aws, "two")
    later = messages(workspace, settings, "rain/talk", count=2, seconds=30)
    assert all(item.payload["number"] > numbers[-1] for item in later)


def _answered(workspace: Workspace, settings: Settings, aws: Any, command: str) -> bool:
    """Whether the listener hears what boto3 publishes, and the notebook what it says to that."""
    heard = threading.Event()

    def publish() -> None:
        # until it is heard: a core that is just coming back may miss the first
        while not heard.wait(0.2):
            aws("iot-data").publish(topic="rain/command", qos=1, payload=command.encode())

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        found = messages(workspace, settings, "rain/heard", count=1, seconds=30)
    finally:
        heard.set()
        thread.join()
    return bool(found.items[0].payload == {"heard": command})


def _deploy(aws: Any, programs: dict[str, str], logs: Path) -> None:
    greengrass = aws("greengrassv2")
    for name, program in programs.items():
        policy = {"operations": [f"aws.greengrass#{each}" for each in BOTH], "resources": ["*"]}
        command = f"{sys.executable} -c {shlex.quote(program)}"
        recipe = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name,
            "ComponentVersion": "1.0.0",
            "ComponentConfiguration": {"DefaultConfiguration": {
                "accessControl": {MQTT: {f"{name}:1": policy}}}},
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"},
                           "Lifecycle": {"run": command}}],
        }  # fmt: skip
        greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())
    made = greengrass.create_deployment(
        targetArn=f"arn:aws:iot:{REGION}:123456789012:thing/{THING}",
        components={name: {"componentVersion": "1.0.0"} for name in programs},
    )

    def ended() -> str:
        answer = greengrass.list_effective_deployments(coreDeviceThingName=THING)
        for each in answer["effectiveDeployments"]:
            if each["deploymentId"] == made["deploymentId"]:
                status = str(each["coreDeviceExecutionStatus"])
                return status if status not in ("QUEUED", "IN_PROGRESS") else ""
        return ""

    told = {path.name: path.read_text()[-2000:] for path in logs.glob("*")}
    assert until(ended, "the deployment never ended") == "SUCCEEDED", told
