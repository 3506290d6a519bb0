"""A deployment on a real core device: taken, kept, failed, lost and finished."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ggml_magic import workspace as ws
from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.cloud.deployments import DeployedComponent
from ggml_magic.component.bundle import Artifact, Bundle, Component
from ggml_magic.deploy import deploy as deployment
from ggml_magic.deploy.deploy import Deployment, deploy, latest, overall, status
from ggml_magic.deploy.plan import plan
from ggml_magic.deploy.target import parse
from ggml_magic.deploy.watch import DeviceState, Step
from ggml_magic.errors import (
    DeploymentError,
    DeploymentTimeoutError,
    NotYetError,
    UnreachableError,
)
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

STAYS = "echo started; exec sleep 600"
# the bound of DESIGN for a sandbox that was killed
SOON_SECONDS = 10.0


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        ((), "SUCCEEDED"),
        (("SUCCEEDED", "SUCCEEDED"), "SUCCEEDED"),
        (("SUCCEEDED", "QUEUED"), "QUEUED"),
        (("QUEUED", "IN_PROGRESS"), "IN_PROGRESS"),
        (("IN_PROGRESS", "FAILED", "SUCCEEDED"), "FAILED"),
    ],
)
def test_one_word_for_all_devices_is_the_worst(statuses: tuple[str, ...], word: str) -> None:
    assert overall(tuple(DeviceState("pi", status) for status in statuses)) == word


def made(**changes: Any) -> Deployment:
    given: dict[str, Any] = {
        "name": "rain",
        "deployment_id": "d-1",
        "target": "thing/pi",
        "cloud": "sandbox",
        "component": "com.example.Rain.Inference",
        "version": "1.0.0",
        "status": "SUCCEEDED",
        "created": True,
        "steps": (Step(0.5, "pi", "com.example.Rain.Inference", "RUNNING"),),
        "devices": (DeviceState("pi", "SUCCEEDED"),),
        "seconds": 1.25,
    }
    return Deployment(**{**given, **changes})


def test_a_card_names_the_target_the_cloud_and_the_outcome() -> None:
    first = str(made()).splitlines()[0]
    assert first == "rain → thing/pi on sandbox: SUCCEEDED in 1.2 s"
    assert "already deployed" in str(made(created=False))
    queued = made(created=False, steps=(), status="QUEUED")
    assert str(queued).splitlines()[0].endswith(": QUEUED")
    assert "com.example.Rain.Inference 1.0.0" in made()._repr_html_()
    assert "no devices yet" in str(made(devices=()))


def test_before_a_deployment_there_is_none(workspace: Workspace) -> None:
    with pytest.raises(NotYetError) as failed:
        latest(workspace, "rain")
    assert failed.value.remedy == "%ggml deploy rain --to thing/NAME"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose sandbox has a core device, ``pi``."""
    from ggml_magic.sandbox import client

    place = Workspace(tmp_path_factory.mktemp("deploy") / ".ggml")
    try:
        client.add_core(place, "pi", 30)
        yield place
    finally:
        client.stop(place)


@pytest.fixture(scope="module")
def cloud(place: Workspace) -> Cloud:
    return connect(Settings(), place)


def bundle(folder: Path, name: str, version: str, run: str) -> Bundle:
    """A component of one shell script and one artifact."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.txt"
    path.write_text(run)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    component = f"com.example.{name}"
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": component,
        "ComponentVersion": version,
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Lifecycle": {"Run": run},
                "Artifacts": [{"Uri": f"{{artifact:{path.name}}}"}],
            }
        ],
    }
    artifact = Artifact(path, sha256, path.stat().st_size)
    made = Component(component, version, recipe, (artifact,), sha256)
    return Bundle(name, (made,), "m", "ai-edge-litert", "2.3.0", new=True)


def run(
    cloud: Cloud, place: Workspace, ours: Bundle, to: str = "thing/pi", **options: Any
) -> Deployment:
    options = {"on_step": lambda step: None, "timeout_seconds": 60, **options}
    made = plan(cloud, ours, parse(to))
    return deploy(cloud, place, Settings(), ours, made, **options)


@pytest.mark.real
def test_a_component_arrives_runs_and_the_steps_tell_it(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    ours, seen = bundle(tmp_path, "arrives", "1.0.0", STAYS), list[Step]()
    done = run(cloud, place, ours, on_step=seen.append)
    assert (done.status, done.created, done.cloud) == ("SUCCEEDED", True, "sandbox")
    assert done.devices == (DeviceState("pi", "SUCCEEDED"),)
    assert done.steps == tuple(seen)
    told = [(step.device, step.component, step.state) for step in seen]
    assert told[:2] == [("", "com.example.arrives", "PUBLISHED"), ("", "", "CREATED")]
    assert {("pi", "", "SUCCEEDED"), ("pi", "com.example.arrives", "RUNNING")} <= set(told[2:])
    assert len(set(told)) == len(told)
    assert [step.seconds for step in seen] == sorted(step.seconds for step in seen)
    running = cloud.deployments.installed("pi")
    assert ("com.example.arrives", "RUNNING") in [(c.name, c.state) for c in running]


@pytest.mark.real
def test_a_second_time_no_call_changes_anything(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    ours = bundle(tmp_path, "twice", "1.0.0", STAYS)
    first = run(cloud, place, ours)
    made: list[str] = []
    clients = [cloud.storage.s3.client, cloud.components.greengrass.client]
    for client in clients:
        client.meta.events.register("before-call", lambda model, **_: made.append(model.name))
    second = run(cloud, place, ours)
    assert second.deployment_id == first.deployment_id
    assert not second.created
    assert "already deployed" in str(second)
    assert made
    assert all(name.startswith(("Get", "List", "Describe", "Head")) for name in made)


@pytest.mark.real
def test_the_others_on_the_device_stay(cloud: Cloud, place: Workspace, tmp_path: Path) -> None:
    run(cloud, place, bundle(tmp_path, "stays", "1.0.0", STAYS))
    done = run(cloud, place, bundle(tmp_path, "joins", "1.0.0", STAYS))
    document = cloud.deployments.get(done.deployment_id)
    assert document is not None
    assert {"com.example.stays", "com.example.joins"} <= {c.name for c in document.components}
    states = {c.name: c.state for c in cloud.deployments.installed("pi")}
    assert (states["com.example.stays"], states["com.example.joins"]) == ("RUNNING", "RUNNING")


@pytest.mark.real
def test_a_version_that_breaks_fails_with_its_own_words_and_the_next_one_mends_it(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    broken = bundle(tmp_path, "breaks", "1.0.0", "echo the sensor is not plugged in >&2; exit 3")
    with pytest.raises(DeploymentError, match="exit code 3") as failed:
        run(cloud, place, broken)
    assert "the sensor is not plugged in" in failed.value.why
    assert failed.value.remedy == "%ggml logs pi com.example.breaks"
    assert len(str(failed.value).splitlines()) == 2
    assert status(cloud, place, "breaks").status == "FAILED"
    again = plan(cloud, broken, parse("thing/pi"))
    assert again.empty
    with pytest.raises(DeploymentError):  # tried again, not taken for deployed
        deploy(
            cloud, place, Settings(), broken, again, on_step=lambda step: None, timeout_seconds=60
        )
    assert latest(place, "breaks").deployment_id != failed.value.deployment_id
    assert run(cloud, place, bundle(tmp_path, "breaks", "1.0.1", STAYS)).status == "SUCCEEDED"
    assert status(cloud, place, "breaks").status == "SUCCEEDED"


@pytest.mark.real
@pytest.mark.parametrize("seconds", ["0.25", "0.45", "0.7"])
def test_a_component_that_ends_soon_after_its_start_is_no_success(
    cloud: Cloud, place: Workspace, tmp_path: Path, seconds: str
) -> None:
    """Started again at once, it seems to run at every look (the core tries three times).

    Each life is well below the second that a state must have lasted (``watch.SETTLED``): what the
    system takes to start a process on a busy machine counts as life too.
    """
    name = f"dies-{seconds.replace('.', '-')}"
    with pytest.raises(DeploymentError, match="exit code 5"):
        run(cloud, place, bundle(tmp_path, name, "1.0.0", f"sleep {seconds}; exit 5"))
    run(cloud, place, bundle(tmp_path, name, "1.0.1", STAYS))


@pytest.mark.real
def test_a_plan_that_is_not_true_any_more_is_refused(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    ours = bundle(tmp_path, "late", "1.0.0", STAYS)
    shown = plan(cloud, ours, parse("thing/pi"))
    somebody = cloud.deployments.create(
        replace(shown.document, components=shown.document.components[:0])
    )
    with pytest.raises(DeploymentError, match="is not what the plan started from") as failed:
        deploy(cloud, place, Settings(), ours, shown, on_step=lambda step: None, timeout_seconds=60)
    assert failed.value.remedy == "%ggml plan late --to thing/pi"
    assert cloud.components.describe("com.example.late", "1.0.0") is None
    now = cloud.deployments.latest(shown.document.target_arn)
    assert now is not None
    assert now.id == somebody


@pytest.mark.real
def test_a_thing_without_a_core_is_queued_and_says_what_starts_one(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    cloud.things.iot.call("CreateThing", thingName="nobody")
    ours = bundle(tmp_path, "queued", "1.0.0", STAYS)
    with pytest.raises(DeploymentTimeoutError, match="nobody is QUEUED") as failed:
        run(cloud, place, ours, to="thing/nobody", timeout_seconds=0.2)
    assert failed.value.remedy == "%ggml sandbox core nobody"
    assert status(cloud, place, "queued").status == "QUEUED"


@pytest.mark.real
def test_a_group_reaches_its_cores_and_keeps_the_rest_queued(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    iot = cloud.things.iot
    iot.call("CreateThing", thingName="sensor")
    iot.call("CreateThingGroup", thingGroupName="stations")
    for name in ("pi", "sensor"):
        iot.call("AddThingToThingGroup", thingGroupName="stations", thingName=name)
    ours = bundle(tmp_path, "group", "1.0.0", STAYS)
    done = run(cloud, place, ours, to="thinggroup/stations")
    assert {d.device: d.status for d in done.devices} == {"pi": "SUCCEEDED", "sensor": "QUEUED"}


@pytest.mark.real
def test_an_empty_group_keeps_the_deployment_for_who_joins(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    cloud.things.iot.call("CreateThingGroup", thingGroupName="nobody-yet")
    ours = bundle(tmp_path, "empty", "1.0.0", STAYS)
    done = run(cloud, place, ours, to="thinggroup/nobody-yet")
    assert done.devices == ()
    assert "no devices yet" in str(done)


@pytest.mark.real
def test_the_status_belongs_to_the_cloud_that_it_was_deployed_to(
    cloud: Cloud, place: Workspace, tmp_path: Path
) -> None:
    run(cloud, place, bundle(tmp_path, "known", "1.0.0", STAYS))
    with pytest.raises(NotYetError, match="has not been deployed to aws") as failed:
        status(replace(cloud, name="aws"), place, "known")
    assert failed.value.remedy == "%ggml config cloud=sandbox"
    file = place.root / deployment.FOLDER / "known.json"
    ws.write_json(file, {**ws.read_json(file), "deployment_id": "0" * 36})
    with pytest.raises(NotYetError, match="does not know the deployment") as failed:
        status(cloud, place, "known")
    assert failed.value.remedy == "%ggml deploy known --to thing/pi"


@pytest.mark.real
@pytest.mark.parametrize("moment", ["PUBLISHED", "CREATED", "RUNNING"])
def test_a_sandbox_killed_on_the_way_is_one_sentence_and_the_next_run_finishes(
    tmp_path: Path, moment: str
) -> None:
    from ggml_magic.sandbox import client

    place = Workspace(tmp_path / ".ggml")
    killed = []

    def kill(step: Step) -> None:
        endpoint = client.running(place)
        if step.state == moment and endpoint is not None:
            os.kill(endpoint.pid, signal.SIGKILL)
            killed.append(time.monotonic())

    try:
        client.add_core(place, "pi", 30)
        ours = bundle(tmp_path, "rain", "1.0.0", STAYS)
        cloud = connect(Settings(), place)
        with pytest.raises(UnreachableError, match="the sandbox was lost while deploying") as lost:
            run(cloud, place, ours, on_step=kill)
        assert time.monotonic() - killed[0] < SOON_SECONDS
        assert lost.value.remedy == "%ggml deploy rain --to thing/pi"
        assert len(str(lost.value).splitlines()) == 2
        again = connect(Settings(), place)
        done = run(again, place, ours)
        assert done.status == "SUCCEEDED"
        assert done.created == (moment == "PUBLISHED")  # what was created is found, not repeated
        assert status(again, place, "rain").status == "SUCCEEDED"
        document = again.deployments.get(done.deployment_id)
        assert document is not None
        assert document.components == (DeployedComponent("com.example.rain", "1.0.0"),)
    finally:
        client.stop(place)
