"""Deployments, rule by rule (EDGE-CORE 7), with real shells and a cloud that is made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from conforming import BLINK, SOON, Ear, alive, call, on_cloud
from deploying import ARN, BREAKS, STAYS, SUCCESSFUL, Scene
from rules import rule
from sandboxes import (
    Connect,
    component,
    core,
    deploy,
    effective,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing_arn,
)

from ggml_magic.core import nucleus, orders
from ggml_magic.core.cloud import Execution
from ggml_magic.core.jobs import Jobs
from ggml_magic.core.lifecycle import State
from ggml_magic.core.local_jobs import LocalJobs
from ggml_magic.core.local_queue import Queue
from ggml_magic.core.platforms import device_platform
from ggml_magic.sandbox import endpoint as ep

pytestmark = pytest.mark.real
STARTING = {"startup": "exec sleep 600"}


def update(version: str = "1.0.0", *reset: str, **merge: Any) -> dict[str, Any]:
    return {"version": version, "configurationUpdate": {"reset": list(reset), "merge": merge}}


# The document


@rule("7.01", "both", "A deployment has an id, under which its end is told.")
@on_cloud
async def test_rule_7_01_identifier(at: Scene) -> None:
    told: list[str] = []
    at.deployer.on_end.append(lambda document, result: told.append(document.identifier))
    await at.deploy({})
    assert told == ["d1"]


@rule("7.02", "both", "configurationArn names a thing or a thing group, and a revision.")
@pytest.mark.parametrize("target", ["thing/pi", "thinggroup/garden"])
def test_rule_7_02_target(target: str) -> None:
    arn = ARN.format(group=target, revision=7)
    text = {"deploymentId": "d", "creationTimestamp": 1, "configurationArn": arn, "components": {}}
    document = orders.parse(json.dumps(text))
    assert (document.group, document.revision) == (target, 7)


@rule("7.03", "both", "creationTimestamp is its time, in milliseconds.")
@on_cloud
async def test_rule_7_03_time(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS)
    await at.deploy({"a": update(x=1)}, creationTimestamp=1_700_000_000_123)
    assert at.held.contents.groups["thing/pi"].timestamp == 1_700_000_000_123
    leaf = at.held.contents.components["a"].configuration.node(("x",))
    assert leaf.modified == 1_700_000_000_123


@rule("7.04", "both", "components names root components, each with its version.")
@on_cloud
async def test_rule_7_04_components(at: Scene) -> None:
    for version in ("1.0.0", "1.1.0"):
        at.cloud.add("a", version, STAYS, needs={"b": "*"})
    at.cloud.add("b", "1.0.0", STAYS)
    assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
    assert at.running() == {"a": "1.0.0 RUNNING", "b": "1.0.0 RUNNING"}
    assert at.held.contents.roots == {"a"}


@rule("7.05", "both", "runWith.posixUser says whom a component runs as.")
@on_cloud
async def test_rule_7_05_run_with(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS)
    await at.deploy({"a": {"version": "1.0.0", "runWith": {"posixUser": "root"}}})
    assert at.engine.supervisors["a"].service.user == "root"


@rule("7.07", "both", "configurationUpdate has JSON pointers to reset and an object to merge.")
@on_cloud
async def test_rule_7_07_configuration(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1, "deep": {"y": 1}})
    await at.deploy({"a": update(x=2, deep={"y": 2, "z": 2})})
    await at.deploy({"a": update("1.0.0", "/deep/y", new=[1])})
    assert at.configuration("a") == {"x": 2, "deep": {"y": 1, "z": 2}, "new": [1]}


@rule("7.08", "both", "failureHandlingPolicy is ROLLBACK or DO_NOTHING, and ROLLBACK by default.")
@pytest.mark.parametrize(
    ("policy", "runs"),
    [
        ({}, "1.0.0 RUNNING"),
        ({"failureHandlingPolicy": "ROLLBACK"}, "1.0.0 RUNNING"),
        ({"failureHandlingPolicy": "DO_NOTHING"}, "1.1.0 BROKEN"),
    ],
    ids=["none", "ROLLBACK", "DO_NOTHING"],
)
def test_rule_7_08_failure_policy(tmp_path: Any, policy: Mapping[str, str], runs: str) -> None:
    @on_cloud
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", BREAKS)
        await at.deploy({"a": "1.0.0"})
        await at.deploy({"a": "1.1.0"}, **policy)
        assert at.running() == {"a": runs}

    scene(tmp_path)


def asked(at: Scene, *answers: int) -> Ear:
    """A component that answers each question before an update, in milliseconds."""
    left = list(answers)

    async def answer(event: Any) -> None:
        if "preUpdateEvent" in event:
            identifier = event["preUpdateEvent"]["deploymentId"]
            wait = left.pop(0) if left else 0
            await call(at.updates.defer, "a", deploymentId=identifier, recheckAfterMs=wait)

    return Ear(answer)


@rule("7.09", "classic", "componentUpdatePolicy: components are asked, for 60 s, or they are not.")
@on_cloud
async def test_rule_7_09_update_policy(at: Scene) -> None:
    assert orders.parse(at.document({})).notify_seconds == 60
    at.cloud.add("a", "1.0.0", STAYS)
    ear = asked(at)
    await ear.subscribe(at.updates.subscribe_to_updates, "a")
    await at.deploy({"a": "1.0.0"}, componentUpdatePolicy={"action": "SKIP_NOTIFY_COMPONENTS"})
    assert not [each for each in ear.heard if "preUpdateEvent" in each]
    await at.deploy({"a": update(x=1)}, componentUpdatePolicy={"action": "NOTIFY_COMPONENTS"})
    await at.deploy({"a": update(x=2)})
    assert [each for each in ear.heard if "preUpdateEvent" in each] == [
        {"preUpdateEvent": {"deploymentId": name, "isGgcRestarting": False}}
        for name in ("d3", "d4")
    ]


@rule("7.10", "classic", "configurationValidationPolicy gives components 60 s, or another time.")
@on_cloud
async def test_rule_7_10_validation_policy(at: Scene) -> None:
    assert orders.parse(at.document({})).validate_seconds == 60
    at.cloud.add("a", "1.0.0", STAYS)
    await at.deploy({"a": "1.0.0"})
    await Ear().subscribe(at.updates.subscribe_to_validation, "a")  # which says nothing
    result = await at.deploy({"a": update(x=1)}, configurationValidationPolicy={"timeout": 0.05})
    assert "did not say within 0.05 s" in result.cause


@rule("7.11", "classic", "A device that lacks one of requiredCapabilities does not begin.")
@on_cloud
async def test_rule_7_11_capabilities(at: Scene) -> None:
    known = await at.deploy({}, requiredCapabilities=["LARGE_CONFIGURATION"])
    unknown = await at.deploy({}, requiredCapabilities=["FLYING"])
    assert known == SUCCESSFUL
    assert (unknown.detail, "FLYING" in unknown.cause) == ("FAILED_NO_STATE_CHANGE", True)


@rule("7.12", "both", "The string that CreateDeployment takes to merge is an object here.")
def test_rule_7_12_merge_is_an_object(aws: Connect, endpoint: ep.Endpoint) -> None:
    name, device, jobs = component(aws), core(endpoint), aws("iot-jobs-data")
    deploy(aws, thing_arn(device), name, configurationUpdate={"merge": '{"Interval": 2}'})
    execution = jobs.start_next_pending_job_execution(thingName=device)["execution"]
    document = orders.parse(execution["jobDocument"])
    assert document.components[name].merge == {"Interval": 2}


# Groups


def three(at: Scene) -> None:
    for name in "abc":
        at.cloud.add(name, "1.0.0", STAYS)


@rule("7.13", "both", "Each target has root components of its own on a device.")
@on_cloud
async def test_rule_7_13_own_roots(at: Scene) -> None:
    three(at)
    await at.deploy({"a": "1.0.0"}, group="thinggroup/g")
    await at.deploy({"a": "1.0.0", "b": "1.0.0"})
    roots = {name: set(group.roots) for name, group in at.held.contents.groups.items()}
    assert roots == {"thinggroup/g": {"a"}, "thing/pi": {"a", "b"}}


@rule("7.14", "both", "The device holds what any of its targets names.")
@on_cloud
async def test_rule_7_14_union(at: Scene) -> None:
    three(at)
    await at.deploy({"a": "1.0.0", "b": "1.0.0"}, group="thinggroup/g")
    await at.deploy({"b": "1.0.0", "c": "1.0.0"})
    assert set(at.running()) == {"a", "b", "c"}
    await at.deploy({}, group="thinggroup/g")
    assert set(at.running()) == {"b", "c"}


@rule("7.15", "both", "A deployment replaces what its target named before.")
@on_cloud
async def test_rule_7_15_replaced(at: Scene) -> None:
    three(at)
    await at.deploy({"a": "1.0.0", "b": "1.0.0"})
    await at.deploy({"b": "1.0.0", "c": "1.0.0"})
    assert set(at.running()) == {"b", "c"}


async def deploy_here(at: Scene, *add: str, remove: tuple[str, ...] = ()) -> None:
    """What ``greengrass-cli deployment create`` asks of a core."""
    queue = Queue(at.layout.deployments / "local")
    jobs = LocalJobs(at.layout, queue, at.deployer, at.held, at.log, device_platform())
    request = {
        "rootComponentVersionsToAdd": dict.fromkeys(add, "1.0.0"),
        "rootComponentsToRemove": list(remove),
    }
    entry = queue.add(request, at.time * 1000)
    await asyncio.wait_for(jobs.work(), SOON)
    ended = queue.find(entry.identifier)
    assert ended is not None
    assert ended.detail == "SUCCESSFUL"


@rule("7.16", "both", "Local deployments have a target of their own, LOCAL_DEPLOYMENTS.")
@on_cloud
async def test_rule_7_16_local_group(at: Scene) -> None:
    three(at)
    await at.deploy({"a": "1.0.0"})
    await deploy_here(at, "b")
    assert set(at.held.contents.groups["LOCAL_DEPLOYMENTS"].roots) == {"b"}
    assert set(at.running()) == {"a", "b"}


@rule("7.17", "both", "They are increments: what is there stays, but what they remove.")
@on_cloud
async def test_rule_7_17_local_increments(at: Scene) -> None:
    three(at)
    await deploy_here(at, "a", "b")
    await deploy_here(at, "c", remove=("a",))
    assert set(at.running()) == {"b", "c"}


@rule("7.18", "classic", "They ask no component whether it may be updated.")
@on_cloud
async def test_rule_7_18_local_asks_nobody(at: Scene) -> None:
    three(at)
    ear = asked(at)
    await ear.subscribe(at.updates.subscribe_to_updates, "a")
    await deploy_here(at, "b")
    assert not [each for each in ear.heard if "preUpdateEvent" in each]


@rule("7.19", "classic", "A deployment older than its target's last one is REJECTED.")
@on_cloud
async def test_rule_7_19_older_is_rejected(at: Scene) -> None:
    three(at)
    old, new = at.document({"a": "1.0.0"}), at.document({"b": "1.0.0"})
    await at.handed(new)
    result = await at.handed(old)
    assert (result.status, result.detail) == ("REJECTED", "REJECTED")
    assert set(at.running()) == {"b"}


# The order of things


@rule("7.20", "classic", "First resolve, then download, ask, validate, and only then change.")
@on_cloud
async def test_rule_7_20_order(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"install": "echo {configuration:/x} >> x", **STAYS})
    await at.deploy({"a": update(x=1)})
    order: list[str] = []
    x = at.layout.work("a") / "x"

    async def agree(event: Any) -> None:
        order.append(next(iter(event)))
        if "preUpdateEvent" in event:
            await call(at.updates.defer, "a", deploymentId="d2", recheckAfterMs=0)

    async def accept(event: Any) -> None:
        order.append("validate")
        assert x.read_text() == "1\n"
        report = {"status": "ACCEPTED", "deploymentId": "d2"}
        await call(at.updates.report, "a", configurationValidityReport=report)

    await Ear(agree).subscribe(at.updates.subscribe_to_updates, "a")
    await Ear(accept).subscribe(at.updates.subscribe_to_validation, "a")
    document = orders.parse(at.document({"a": update(x=2)}))
    assert await at.deployer.carry_out(document, order.append) == SUCCESSFUL
    assert [each for each in order if each != "asking components"] == [
        "resolving", "downloading", "preUpdateEvent", "validate", "merging", "postUpdateEvent",
    ]  # fmt: skip
    assert x.read_text() == "1\n2\n"


@rule("7.21", "classic", "A subscriber is told before and after, and may defer the change.")
@on_cloud
async def test_rule_7_21_defer(at: Scene) -> None:
    three(at)
    ear = asked(at, 50, 0)
    await ear.subscribe(at.updates.subscribe_to_updates, "a")
    assert await at.deploy({"b": "1.0.0"}) == SUCCESSFUL
    kinds = [next(iter(event)) for event in await ear.until(3)]
    assert kinds == ["preUpdateEvent", "preUpdateEvent", "postUpdateEvent"]


def judged(at: Scene, status: str) -> Ear:
    """A component that says whether it can live with a configuration."""

    async def answer(event: Any) -> None:
        asked = event["validateConfigurationUpdateEvent"]
        report = {"status": status, "message": "no", "deploymentId": asked["deploymentId"]}
        await call(at.updates.report, "a", configurationValidityReport=report)

    return Ear(answer)


@rule("7.22", "classic", "A subscriber is shown its new configuration before it holds.")
@on_cloud
async def test_rule_7_22_validated(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1, "y": 1})
    await at.deploy({"a": "1.0.0"})
    ear = judged(at, "ACCEPTED")
    await ear.subscribe(at.updates.subscribe_to_validation, "a")
    assert await at.deploy({"a": update(x=2)}) == SUCCESSFUL
    (event,) = ear.heard
    assert event["validateConfigurationUpdateEvent"]["configuration"] == {"x": 2, "y": 1}


@rule("7.23", "classic", "One that answers REJECTED ends the deployment before anything changed.")
@on_cloud
async def test_rule_7_23_rejected(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1})
    await at.deploy({"a": "1.0.0"})
    await judged(at, "REJECTED").subscribe(at.updates.subscribe_to_validation, "a")
    result = await at.deploy({"a": update(x=2)})
    assert (result.status, result.detail) == ("FAILED", "FAILED_NO_STATE_CHANGE")
    assert at.configuration("a") == {"x": 1}


@rule("7.24", "both", "Then what is new is started.")
@on_cloud
async def test_rule_7_24_new_is_started(at: Scene) -> None:
    three(at)
    await at.deploy({"a": "1.0.0"})
    before = at.engine.supervisors["a"]
    assert await at.deploy({"a": "1.0.0", "b": "1.0.0"}) == SUCCESSFUL
    assert at.running() == {"a": "1.0.0 RUNNING", "b": "1.0.0 RUNNING"}
    assert at.engine.supervisors["a"] is before


@rule("7.25", "classic", "What was BROKEN is installed again, even when nothing of it changed.")
@on_cloud
async def test_rule_7_25_broken_again(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"install": "test -e fixed", **STAYS})
    await at.deploy({"a": "1.0.0"}, failureHandlingPolicy="DO_NOTHING")
    assert at.running() == {"a": "1.0.0 BROKEN"}
    (at.layout.work("a") / "fixed").touch()
    assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL


@rule("7.26", "classic", "A deployment lasts until all that it started is RUNNING or FINISHED.")
@on_cloud
async def test_rule_7_26_waits(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STARTING)
    at.cloud.add("b", "1.0.0", {"install": "true"})
    deployment = asyncio.create_task(at.deploy({"a": "1.0.0", "b": "1.0.0"}))
    pulse = at.engine.pulse
    assert await pulse.until(lambda: at.running().get("a") == "1.0.0 STARTING", SOON)
    await asyncio.wait([deployment], timeout=BLINK)
    assert not deployment.done()
    at.engine.supervisors["a"].report(State.RUNNING)
    assert await deployment == SUCCESSFUL
    assert at.running() == {"a": "1.0.0 RUNNING", "b": "1.0.0 FINISHED"}


@rule("7.27", "classic", "At last what nobody names any more is shut down and uninstalled.")
@on_cloud
async def test_rule_7_27_obsolete_at_last(at: Scene) -> None:
    said = "echo {} >> {{kernel:rootPath}}/order"
    goes = {"shutdown": said.format("shutdown"), "uninstall": said.format("uninstall")}
    at.cloud.add("old", "1.0.0", {"startup": "true", **goes})
    at.cloud.add("new", "1.0.0", {"startup": said.format("new")})
    await at.deploy({"old": "1.0.0"})
    await at.deploy({"new": "1.0.0"})
    assert (at.layout.root / "order").read_text().split() == ["new", "shutdown", "uninstall"]


@rule("7.28", "classic", "A component that is BROKEN after the change makes the deployment fail.")
@on_cloud
async def test_rule_7_28_broken_is_a_failure(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", BREAKS)
    result = await at.deploy({"a": "1.0.0"})
    assert result.status == "FAILED"
    assert result.cause == "a 1.0.0: install failed with exit code 1: no such module"


# How it ends


@rule("7.29", "both", "SUCCESSFUL: the device is as the deployment wants it.")
@on_cloud
async def test_rule_7_29_successful(at: Scene) -> None:
    three(at)
    result = await at.deploy({"a": "1.0.0"})
    assert (result.detail, at.running()) == ("SUCCESSFUL", {"a": "1.0.0 RUNNING"})


@rule("7.30", "classic", "FAILED_NO_STATE_CHANGE: it failed before anything was changed.")
@on_cloud
async def test_rule_7_30_no_state_change(at: Scene) -> None:
    three(at)
    await at.deploy({"a": "1.0.0"})
    result = await at.deploy({"a": "1.0.0", "unknown": "1.0.0"})
    assert (result.status, result.detail) == ("FAILED", "FAILED_NO_STATE_CHANGE")
    assert at.running() == {"a": "1.0.0 RUNNING"}


@rule("7.31", "classic", "FAILED_ROLLBACK_NOT_REQUESTED: it failed, and is left as it is.")
@on_cloud
async def test_rule_7_31_not_requested(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", BREAKS)
    result = await at.deploy({"a": "1.0.0"}, failureHandlingPolicy="DO_NOTHING")
    assert result.detail == "FAILED_ROLLBACK_NOT_REQUESTED"
    assert at.running() == {"a": "1.0.0 BROKEN"}


@rule("7.32", "classic", "FAILED_ROLLBACK_COMPLETE: it failed, and the device is as it was.")
@on_cloud
async def test_rule_7_32_rolled_back(at: Scene) -> None:
    three(at)
    at.cloud.add("a", "1.1.0", BREAKS)
    await at.deploy({"a": "1.0.0"})
    result = await at.deploy({"a": "1.1.0"})
    assert (result.detail, at.running()) == ("FAILED_ROLLBACK_COMPLETE", {"a": "1.0.0 RUNNING"})


@rule("7.33", "classic", "FAILED_UNABLE_TO_ROLLBACK: it failed, and so did the way back.")
@on_cloud
async def test_rule_7_33_unable(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"startup": "test ! -e spoilt"})
    at.cloud.add("a", "1.1.0", {"startup": "touch spoilt; exit 1"})
    await at.deploy({"a": "1.0.0"})
    assert (await at.deploy({"a": "1.1.0"})).detail == "FAILED_UNABLE_TO_ROLLBACK"


class JobCloud:
    """Hands out jobs, as IoT does, and keeps what it is told of their ends."""

    def __init__(self, *documents: str) -> None:
        self.waiting = [Execution(f"job{at}", text) for at, text in enumerate(documents)]
        self.told: list[str] = []

    async def next_job(self) -> Execution | None:
        return self.waiting[0] if self.waiting else None

    async def finish_job(self, job: str, status: str, details: Mapping[str, str]) -> None:
        assert job == self.waiting.pop(0).job
        self.told.append(f"{status} {details['detailed-deployment-status']}")


@rule("7.34", "both", "The job of a deployment ends as SUCCEEDED, FAILED or REJECTED.")
@on_cloud
async def test_rule_7_34_job_status(at: Scene) -> None:
    three(at)
    old = at.document({"a": "1.0.0"})
    cloud = JobCloud(at.document({"a": "1.0.0"}), at.document({"no": "1.0.0"}), old)

    async def published() -> None:
        """The states of all components are known."""

    await Jobs(cloud, at.deployer, published).work()  # type: ignore[arg-type]
    assert cloud.told == ["SUCCEEDED SUCCESSFUL", "FAILED FAILED_NO_STATE_CHANGE",
                          "REJECTED REJECTED"]  # fmt: skip


@rule("7.35", "both", "While a device works at it, it is IN_PROGRESS.")
def test_rule_7_35_in_progress(aws: Connect, endpoint: ep.Endpoint) -> None:
    device = core(endpoint)
    deploy(aws, thing_arn(device), component(aws))
    aws("iot-jobs-data").start_next_pending_job_execution(thingName=device)
    assert effective(aws, device)[0]["coreDeviceExecutionStatus"] == "IN_PROGRESS"


@rule("7.36", "classic", "The way back: configurations as they were, what came goes again.")
@on_cloud
async def test_rule_7_36_the_way_back(at: Scene) -> None:
    three(at)
    at.cloud.add("bad", "1.0.0", {**BREAKS, "uninstall": "touch {kernel:rootPath}/uninstalled"})
    await at.deploy({"a": update(x=1), "b": "1.0.0"})
    before = at.held.contents.dump()
    await at.deploy({"a": update(x=2), "c": "1.0.0", "bad": "1.0.0"})
    assert at.held.contents.dump() == before
    assert at.running() == {"a": "1.0.0 RUNNING", "b": "1.0.0 RUNNING"}
    assert (at.layout.root / "uninstalled").exists()


# Nucleus lite


def portable(at: Scene, name: str, lifecycle: Mapping[str, Any]) -> None:
    nucleus.dialect(at.layout, "lite")
    at.cloud.add(name, "1.0.0", lifecycle)
    at.cloud.recipes[name]["1.0.0"]["Manifests"][0]["Platform"] = {"runtime": "*"}


@rule("7.38", "lite", "A component with neither run nor startup makes its deployment fail.")
@on_cloud
async def test_rule_7_38_lite_needs_a_report(at: Scene) -> None:
    portable(at, "a", {"install": "true"})
    portable(at, "b", {"run": "true"})
    result = await at.deploy({"a": "1.0.0"})
    assert (result.status, "never hears that it is done" in result.cause) == ("FAILED", True)
    assert await at.deploy({"b": "1.0.0"}) == SUCCESSFUL


@rule("7.39", "lite", "A component with an empty lifecycle is refused at once.")
@on_cloud
async def test_rule_7_39_lite_needs_a_phase(at: Scene) -> None:
    portable(at, "a", {})
    result = await at.deploy({"a": "1.0.0"})
    assert result.detail == "FAILED_NO_STATE_CHANGE"
    assert "no lifecycle without a phase" in result.cause


# What goes


@rule("7.41", "both", "A removed component's processes are ended.")
@on_cloud
async def test_rule_7_41_processes_end(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"startup": "sleep 600 & echo $! > pid"})
    await at.deploy({"a": "1.0.0"})
    pid = (at.layout.work("a") / "pid").read_text().strip()
    assert alive(pid)
    await at.deploy({})
    assert not alive(pid)


@rule("7.42", "both", "Its configuration is forgotten.")
@on_cloud
async def test_rule_7_42_configuration_goes(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1})
    await at.deploy({"a": update(x=2)})
    await at.deploy({})
    assert "a" not in at.held.contents.components
    await at.deploy({"a": "1.0.0"})
    assert at.configuration("a") == {"x": 1}


@rule("7.43", "both", "Its artifacts are removed from the disk.")
@on_cloud
async def test_rule_7_43_artifacts_go(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, artifacts={"model.bin": b"1"})
    await at.deploy({"a": "1.0.0"})
    assert list(at.layout.artifacts.glob("a/1.0.0/model.bin"))
    await at.deploy({})
    assert not list(at.layout.artifacts.glob("a/**/*"))


@rule("7.44", "lite", "Its work folder stays.")
@on_cloud
async def test_rule_7_44_work_stays(at: Scene) -> None:
    portable(at, "a", {"startup": "echo mine > file"})
    assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
    await at.deploy({})
    assert (at.layout.work("a") / "file").read_text() == "mine\n"
