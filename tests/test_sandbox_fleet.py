"""Fleets of core devices on one machine: real ones and simulated ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandboxes import (
    REGION,
    component,
    connected,
    own_workspace,  # noqa: F401  # pytest finds fixtures by their names
    until,
)

from ggml_magic import settings
from ggml_magic.core import client as core
from ggml_magic.errors import CoreError, GrammarError, NotYetError
from ggml_magic.observe import logs
from ggml_magic.sandbox import client, fleet
from ggml_magic.workspace import Workspace

TARGET = f"arn:aws:iot:{REGION}:123456789012:thinggroup/"


@pytest.mark.parametrize(
    ("count", "group", "said"),
    [
        (0, "weather", "a fleet has 1 to 200 core devices, not 0"),
        (-3, "weather", "not -3"),
        (201, "weather", "not 201"),
        (5, "a/b", "a thing group cannot be called 'a/b'"),
        (5, "", "cannot be called ''"),
        (5, "-x", "begins with a letter or digit"),
        (5, "n" * 127, "at most 128"),
    ],
)
def test_what_is_no_fleet(workspace: Workspace, count: int, group: str, said: str) -> None:
    with pytest.raises(GrammarError) as caught:
        fleet.add(workspace, count, group, 5)
    assert said in " ".join(str(caught.value).split())
    assert client.running(workspace) is None


@pytest.mark.real
def test_a_fleet_of_real_cores_runs_its_components(workspace: Workspace) -> None:
    made = fleet.add(workspace, 3, "weather", 5)
    assert made.things == ("weather-01", "weather-02", "weather-03")
    roots = client.core_roots(workspace)
    pids = _pids(workspace)
    assert len(pids) == 3
    endpoint = client.running(workspace)
    assert endpoint is not None
    aws = connected(endpoint)
    members = aws("iot").list_things_in_thing_group(thingGroupName="weather")["things"]
    assert sorted(members) == sorted(made.things)
    _deploy(aws, "weather", run="echo it runs; exec sleep 100")
    for thing in made.things:
        until(lambda thing=thing: _states(aws, thing) == ["RUNNING"], 20)
        log = workspace.root / "cores" / thing / "logs"
        assert any("it runs" in file.read_text() for file in log.glob("*.log"))
    # one is killed: it comes back with the next use, the others stay what they are
    first = core.running(roots[0])
    assert first is not None
    psutil.Process(first.pid).kill()
    until(lambda: core.running(roots[0]) is None, 5)
    client.ensure(workspace, 5)
    again = _pids(workspace)
    assert len(again) == 3
    assert len(again & pids) == 2
    # grown, not made anew
    assert len(fleet.add(workspace, 4, "weather", 5).things) == 4
    assert again <= {
        device.pid for device in map(core.running, client.core_roots(workspace)) if device
    }
    with pytest.raises(CoreError, match="is real"):
        fleet.add(workspace, 4, "weather", 5, simulate="failure=1")
    stopped = client.stop(workspace)
    assert len(stopped.cores) == 4
    assert "4 core devices: weather-01" in str(stopped)


@pytest.mark.real
def test_simulated_devices_answer_by_their_script(workspace: Workspace) -> None:
    made = fleet.add(workspace, 8, "sim", 5, "failure=2,offline=1,delay=1:0.5")
    assert made.answers == {"success": 4, "failure": 2, "offline": 1, "delay:0.5": 1}
    assert "simulated" in str(made)
    endpoint = client.running(workspace)
    assert endpoint is not None
    aws = connected(endpoint)
    shown = {thing: aws("greengrassv2").get_core_device(coreDeviceThingName=thing)
             for thing in made.things}  # fmt: skip
    assert Counter(each["status"] for each in shown.values()) == {"HEALTHY": 7, "UNHEALTHY": 1}
    assert {each.get("runtime") for each in shown.values()} == {"ggml_magic simulated", None}
    first = _deploy(aws, "sim", run="exec sleep 100")
    until(lambda: _ends(aws, made.things) == {"SUCCEEDED": 5, "FAILED": 2, "QUEUED": 1}, 20)
    failed = [
        thing
        for thing in made.things
        if _execution(aws, thing)["coreDeviceExecutionStatus"] == "FAILED"
    ]
    reason = _execution(aws, failed[0])
    assert f"{first} 1.0.1: run failed with exit code 1 (simulated)" in json.dumps(
        reason, default=str
    )
    assert _states(aws, failed[0]) == []
    good = [thing for thing in made.things if _states(aws, thing) == ["RUNNING"]]
    assert len(good) == 5
    # what they hold is known after a restart of all
    assert client.stop(workspace).fleets == ("sim",)
    endpoint = client.ensure(workspace, 5)
    aws = connected(endpoint)
    until(lambda: [t for t in made.things if _states(aws, t) == ["RUNNING"]] == good, 10)
    # another script for the same devices
    again = fleet.add(workspace, 8, "sim", 5, "")
    assert again.answers == {"success": 8}
    _deploy(aws, "sim", run="exec sleep 100")
    until(lambda: _ends(aws, made.things) == {"SUCCEEDED": 8}, 20)
    with pytest.raises(CoreError, match="is simulated"):
        fleet.add(workspace, 8, "sim", 5)
    assert "sim: 8 devices" in str(client.status(workspace))


def _pids(workspace: Workspace) -> set[int]:
    devices = map(core.running, client.core_roots(workspace))
    return {device.pid for device in devices if device is not None}


def _deploy(aws: Any, group: str, run: str) -> str:
    name = component(aws)
    aws("greengrassv2").create_component_version(
        inlineRecipe=json.dumps(
            {
                "RecipeFormatVersion": "2020-01-25",
                "ComponentName": name,
                "ComponentVersion": "1.0.1",
                "Manifests": [{"Platform": {"runtime": "*"}, "Lifecycle": {"Run": run}}],
            }
        ).encode()
    )
    aws("greengrassv2").create_deployment(
        targetArn=f"{TARGET}{group}", components={name: {"componentVersion": "1.0.1"}}
    )
    return name


def _states(aws: Any, thing: str) -> list[str]:
    found = aws("greengrassv2").list_installed_components(coreDeviceThingName=thing)
    return [each["lifecycleState"] for each in found["installedComponents"]]


def _execution(aws: Any, thing: str) -> dict[str, Any]:
    found = aws("greengrassv2").list_effective_deployments(coreDeviceThingName=thing)
    return dict(found["effectiveDeployments"][0])


def _ends(aws: Any, things: tuple[str, ...]) -> Counter[str]:
    return Counter(_execution(aws, thing)["coreDeviceExecutionStatus"] for thing in things)


@pytest.mark.real
def test_a_fleet_that_is_asked_for_again_with_less_is_what_it_was(workspace: Workspace) -> None:
    assert len(fleet.add(workspace, 3, "few", 5).things) == 3
    assert len(fleet.add(workspace, 1, "few", 5).things) == 3
    pids = _pids(workspace)
    # another dialect: each starts again as that
    fleet.add(workspace, 3, "few", 5, dialect="lite")
    assert not pids & _pids(workspace)
    assert {_dialect(root) for root in client.core_roots(workspace)} == {"lite"}


@pytest.mark.real
def test_no_real_device_takes_the_name_of_a_simulated_one(workspace: Workspace) -> None:
    fleet.add(workspace, 2, "sim", 5, "")
    with pytest.raises(CoreError, match="is a simulated device of the fleet sim"):
        client.add_core(workspace, "sim-01", 5)
    with pytest.raises(NotYetError, match="no component runs on it"):
        logs.tail(workspace, settings.load(workspace), "sim-01", "core")


def _dialect(root: Path) -> str:
    device = core.running(root)
    assert device is not None
    return device.dialect
