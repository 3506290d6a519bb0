"""Fleet status."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core.causes import BROKEN, SUCCESSFUL, Result
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Component, Contents, Group, Inventory
from ggml_magic.core.lifecycle import Service, State, Supervisor
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS, Document
from ggml_magic.core.recipe import Lifecycle
from ggml_magic.core.status import BLOCK, FleetStatus, Numbers
from ggml_magic.errors import CloudError, UnreachableError


class Cloud:
    thing = "pi"

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.away = False
        self.refuses = False

    async def publish_status(self, message: Mapping[str, Any]) -> None:
        if self.away:
            raise UnreachableError("away")
        if self.refuses:
            raise CloudError("refused")
        self.sent.append(dict(message))


class Scene:
    def __init__(self, root: Path) -> None:
        layout = Layout(root)
        layout.make()
        self.cloud = Cloud()
        self.held = Inventory(layout.state_file)
        group = Group({"a": "1.0.0"}, 1, "d", 3, "arn:3")
        components = {name: Component("1.0.0", {}, (), Tree()) for name in "ab"}
        self.held.replace(Contents({"thing/pi": group}, components))
        self.engine = Engine(layout, {}, lambda name: None)
        for name in "ab":
            service = Service(name, "1.0.0", Lifecycle())
            self.engine.supervisors[name] = Supervisor(service, self.engine)
        self.platform = platform = {"os": "linux", "architecture": "amd64"}
        self.status = FleetStatus(
            self.cloud, self.engine, self.held, platform,  # type: ignore[arg-type]
            layout.state_file.with_name("status.json"),
        )  # fmt: skip

    def work(self) -> None:
        asyncio.run(self.status.work())


@pytest.fixture
def at(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "root")


def test_the_first_message_says_everything(at: Scene) -> None:
    at.status.all_changed("NUCLEUS_LAUNCH")
    at.engine.supervisors["a"].state = State.BROKEN
    at.engine.supervisors["a"].reason = "why"
    at.engine.supervisors["a"].codes = ("RUN_ERROR",)
    at.work()
    message = at.cloud.sent[0]
    assert message["messageType"] == "COMPLETE"
    assert message["trigger"] == "NUCLEUS_LAUNCH"
    assert message["overallDeviceStatus"] == "UNHEALTHY"
    assert (message["thing"], message["platform"]) == ("pi", "linux")
    assert message["runtime"] == "ggml_magic core"
    assert message["components"] == [
        {"componentName": "a", "version": "1.0.0", "status": "BROKEN", "isRoot": True,
         "fleetConfigArns": ["arn:3"],
         "statusDetails": {"statusCodes": ["RUN_ERROR"], "statusReason": "why"}},
        {"componentName": "b", "version": "1.0.0", "status": "NEW", "isRoot": False,
         "fleetConfigArns": [],
         "statusDetails": {"statusCodes": [], "statusReason": ""}},
    ]  # fmt: skip


def test_a_core_of_nucleus_lites_dialect_says_so(at: Scene) -> None:
    at.platform["runtime"] = "aws_nucleus_lite"
    at.status.all_changed("NUCLEUS_LAUNCH")
    at.work()
    assert at.cloud.sent[0]["runtime"] == "ggml_magic core, lite"


def test_later_ones_say_what_changed_and_nothing_twice(at: Scene) -> None:
    at.status.changed("b")
    at.status.changed("b")
    at.work()
    at.work()
    (message,) = at.cloud.sent
    assert (message["messageType"], message["overallDeviceStatus"]) == ("PARTIAL", "HEALTHY")
    assert [each["componentName"] for each in message["components"]] == ["b"]


def test_an_error_is_told_though_the_component_runs_again(at: Scene) -> None:
    supervisor = at.engine.supervisors["a"]
    for state in (State.RUNNING, State.ERRORED, State.STARTING, State.RUNNING):
        supervisor.state = state
        at.status.changed("a")
    at.cloud.away = True
    with pytest.raises(UnreachableError):
        at.work()
    at.cloud.away = False
    at.work()
    at.work()
    told = [each["status"] for message in at.cloud.sent for each in message["components"]]
    assert told == ["ERRORED", "RUNNING"]


def test_an_error_that_the_cloud_refuses_holds_up_nothing(at: Scene) -> None:
    supervisor = at.engine.supervisors["a"]
    for state in (State.ERRORED, State.RUNNING):
        supervisor.state = state
        at.status.changed("a")
    at.cloud.refuses = True
    with pytest.raises(CloudError):
        at.work()
    at.cloud.refuses = False
    at.work()
    (message,) = at.cloud.sent
    assert [each["status"] for each in message["components"]] == ["RUNNING"]


def test_what_could_not_be_said_is_said_later_in_growing_order(at: Scene) -> None:
    at.cloud.away = True
    at.status.changed("a")
    with pytest.raises(UnreachableError):
        at.work()
    at.status.all_changed("RECONNECT")
    with pytest.raises(UnreachableError):
        at.work()
    at.cloud.away = False
    at.work()
    at.work()
    at.status.changed("a")
    at.work()
    assert [each["messageType"] for each in at.cloud.sent] == ["COMPLETE", "PARTIAL"]
    numbers = [each["sequenceNumber"] for each in at.cloud.sent]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    ("group", "trigger"),
    [
        ("thing/pi", "THING_DEPLOYMENT"),
        ("thinggroup/g", "THING_GROUP_DEPLOYMENT"),
        (LOCAL_DEPLOYMENTS, "LOCAL_DEPLOYMENT"),
    ],
)
def test_the_end_of_a_deployment_is_told_with_everything(
    at: Scene, group: str, trigger: str
) -> None:
    at.status.deployed(Document("d", group, 1, {}, arn="arn:3"), SUCCESSFUL)
    at.cloud.away = True
    with pytest.raises(UnreachableError):
        at.work()
    at.cloud.away = False
    at.work()
    at.status.all_changed("RECONNECT")
    at.work()
    first, second = at.cloud.sent
    assert (first["messageType"], first["trigger"]) == ("COMPLETE", trigger)
    assert first["deploymentInformation"] == {
        "deploymentId": "d", "fleetConfigurationArnForStatus": "arn:3", "status": "SUCCEEDED",
        "statusDetails": {"detailedStatus": "SUCCESSFUL"},
    }  # fmt: skip
    assert "deploymentInformation" not in second


def test_a_failure_is_told_with_its_cause(at: Scene) -> None:
    result = Result("FAILED", "FAILED_ROLLBACK_COMPLETE", "why", BROKEN)
    at.status.deployed(Document("d", "thing/pi", 1, {}), result)
    at.work()
    (message,) = at.cloud.sent
    assert message["deploymentInformation"]["statusDetails"] == {
        "detailedStatus": "FAILED_ROLLBACK_COMPLETE", "failureCause": "why",
        "errorStack": list(BROKEN), "errorTypes": ["USER_COMPONENT_ERROR"],
    }  # fmt: skip


def test_numbers_grow_over_restarts_whatever_the_clock_does(tmp_path: Path) -> None:
    file, told = tmp_path / "status.json", []
    for _ in range(3):
        numbers = Numbers(file)
        told += [numbers.next() for _ in range(BLOCK + 5)]
    assert told == sorted(set(told))


def test_a_disk_that_is_full_stops_no_number(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "not there" / "status.json")
    assert [numbers.next() for _ in range(3)] == [1, 2, 3]
