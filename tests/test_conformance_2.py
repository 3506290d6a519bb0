"""Section 2: which version of which component a device shall have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from deploying import SOON, SUCCESSFUL, Scene, play
from rules import rule

from ggml_magic.core import causes, packages
from ggml_magic.core.cloud import Candidate
from ggml_magic.core.disk import Layout
from ggml_magic.core.lifecycle import State
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS
from ggml_magic.core.resolve import Resolution, ResolutionError, Resolver
from ggml_magic.core.versions import fits, highest
from ggml_magic.errors import CloudError, UnreachableError

LINUX = {"os": "linux"}
LITE = {"os": "linux", "runtime": "aws_nucleus_lite"}
THING, GROUP = "thing/pi", "thinggroup/g"


def written(name: str, version: str, soft: str = "", **needs: str) -> dict[str, Any]:
    """A recipe for either nucleus; all that it needs is HARD but for ``soft``."""
    return {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentDependencies": {
            each: {
                "VersionRequirement": wanted, "DependencyType": "SOFT" if each == soft else "HARD"
            }
            for each, wanted in needs.items()
        },
        "Manifests": [{"Platform": {"runtime": "*"}, "Lifecycle": {"run": "true"}}],
    }  # fmt: skip


class Device:
    """A device, and a cloud with some component versions that remembers what it was asked."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.published: dict[str, dict[str, bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers = True

    def publish(self, name: str, version: str, **needs: str) -> None:
        text = json.dumps(written(name, version, **needs)).encode()
        self.published.setdefault(name, {})[version] = text

    def store(self, name: str, *versions: str, **needs: str) -> None:
        for version in versions:
            packages.keep(self.layout, json.dumps(written(name, version, **needs)).encode())

    async def resolve(
        self, platform: Mapping[str, str], name: str, requirements: Mapping[str, str]
    ) -> Candidate:
        if not self.answers:
            raise UnreachableError("the cloud does not answer")
        self.asked.append((name, dict(requirements)))
        held = self.published.get(name, {})
        best = highest(each for each in held if fits(each, requirements.values()))
        if best is None:
            raise CloudError("ResolveComponentCandidates was refused", f"no version of {name}")
        return Candidate(name, best, held[best], f"arn:{name}:{best}")

    def resolved(
        self, platform: Mapping[str, str] = LINUX, running: Mapping[str, str] | None = None,
        **groups: Mapping[str, str],
    ) -> Resolution:  # fmt: skip
        """``thing``, ``group`` and ``local`` name the root components of each."""
        names = {"thing": THING, "group": GROUP, "local": LOCAL_DEPLOYMENTS}
        roots = {names[each]: components for each, components in groups.items()}
        return asyncio.run(Resolver(self.layout, self, platform, running or {}).resolve(roots))

    def versions(self, *how: Any, **groups: Any) -> dict[str, str]:
        found = self.resolved(*how, **groups)
        return {name: each.version for name, each in found.recipes.items()}


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "root")


# How it goes on


@rule(
    "2.01", "both", "A constraint is known by the component and by who asks: another, or a group."
)
def test_rule_2_01_constraints(device: Device) -> None:
    device.publish("a", "1.0.0", b="^1.0.0")
    device.publish("b", "1.2.0")
    found = device.resolved(thing={"a": "1.0.0"}, group={"b": ">=1.1.0"})
    assert found.constraints == {
        "a": {THING: "1.0.0"}, "b": {"a": "^1.0.0", GROUP: ">=1.1.0"}
    }  # fmt: skip


@rule(
    "2.02", "both",
    "It begins with what the deployment names and the roots of all other groups it is still in.",
)  # fmt: skip
def test_rule_2_02_roots(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        for name in "ab":
            at.cloud.add(name, "1.0.0", {})
        await at.deploy({"a": "1.0.0"}, group=GROUP)
        assert await at.deploy({"b": "1.0.0"}, group=THING) == SUCCESSFUL
        assert set(at.running()) == {"a", "b"}
        at.cloud.member_of = frozenset({"another"})
        assert await at.deploy({"b": "1.0.0"}, group=THING) == SUCCESSFUL
        assert set(at.running()) == {"b"}

    play(tmp_path, scene)


@rule("2.03", "both", "A component is resolved under all constraints that are known by then.")
def test_rule_2_03_all_constraints(device: Device) -> None:
    device.publish("a", "1.0.0", c="<3.0.0")
    device.publish("b", "1.0.0", c=">=1.5.0")
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        device.publish("c", version)
    assert device.versions(thing={"a": "1.0.0", "b": "1.0.0"})["c"] == "2.0.0"
    assert device.asked[-1] == ("c", {"a": "<3.0.0", "b": ">=1.5.0"})


@rule("2.04", "both", "It goes breadth first: all roots, then what those ask for, then the next.")
def test_rule_2_04_breadth_first(device: Device) -> None:
    device.publish("a", "1.0.0", deep="*")
    device.publish("deep", "1.0.0", deeper="*")
    device.publish("deeper", "1.0.0")
    device.publish("b", "1.0.0")
    device.resolved(thing={"a": "1.0.0", "b": "1.0.0"})
    assert [name for name, _ in device.asked] == ["a", "b", "deep", "deeper"]


@rule("2.05", "both", "When another version is chosen, what the one before asked for is forgotten.")
def test_rule_2_05_another_version(device: Device) -> None:
    device.publish("a", "1.0.0", c="*")
    device.publish("b", "1.0.0", later="*")
    device.publish("later", "1.0.0", c="<2.0.0")
    device.publish("c", "2.0.0", only="*", common=">=2.0.0")
    device.publish("c", "1.0.0", common="*")
    device.publish("only", "1.0.0")
    for version in ("1.0.0", "2.0.0"):
        device.publish("common", version)
    found = device.resolved(thing={"a": "1.0.0", "b": "1.0.0"})
    assert found.recipes["c"].version == "1.0.0"
    assert "only" not in found.recipes
    assert found.constraints["common"] == {"c": "*"}


@rule("2.06", "both", "What stays at its version is not gone into again.")
def test_rule_2_06_same_version(device: Device) -> None:
    device.publish("a", "1.0.0", c="*")
    device.publish("b", "1.0.0", later="*")
    device.publish("later", "1.0.0", c="*")
    device.publish("c", "1.0.0", deep="*")
    device.publish("deep", "1.0.0")
    device.resolved(thing={"a": "1.0.0", "b": "1.0.0"})
    names = [name for name, _ in device.asked]
    assert (names.count("c"), names.count("deep")) == (2, 1)


@rule("2.07", "both", "Components that need each other in a circle fail the deployment.")
def test_rule_2_07_circle(device: Device) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        device.publish(name, "1.0.0", **{other: "*"})
    with pytest.raises(ResolutionError, match="depend on each other") as caught:
        device.resolved(thing={"a": "1.0.0"})
    assert causes.unchanged(caught.value).detail == "FAILED_NO_STATE_CHANGE"


@rule("2.08", "both", "Requirements that no version meets end in NO_AVAILABLE_COMPONENT_VERSION.")
def test_rule_2_08_no_version(device: Device) -> None:
    device.publish("a", "1.0.0", c="^1.0.0")
    device.publish("b", "1.0.0", c="^2.0.0")
    for version in ("1.0.0", "2.0.0"):
        device.publish("c", version)
    with pytest.raises(ResolutionError, match="no version of c fits") as caught:
        device.resolved(thing={"a": "1.0.0", "b": "1.0.0"})
    assert "NO_AVAILABLE_COMPONENT_VERSION" in causes.unchanged(caught.value).errors


# Where a version comes from


@rule("2.09", "classic", "The device's own candidate is the version that runs, if that will do.")
def test_rule_2_09_running_version(device: Device) -> None:
    device.store("a", "1.0.0", "1.1.0", "1.2.0")
    device.answers = False
    running = {"a": "1.1.0"}
    assert device.versions(LINUX, running, thing={"a": "^1.0.0"}) == {"a": "1.1.0"}
    assert device.versions(LINUX, running, thing={"a": "<1.1.0"}) == {"a": "1.0.0"}


@rule("2.10", "classic", "Else it is the highest of the local store that will do.")
def test_rule_2_10_highest_of_the_store(device: Device) -> None:
    device.store("a", "1.9.0", "1.10.0", "2.0.0")
    device.answers = False
    assert device.versions(thing={"a": "^1.0.0"}) == {"a": "1.10.0"}


@rule("2.11", "classic", "What a local deployment names is taken from here, and no cloud is asked.")
def test_rule_2_11_local_deployment(device: Device) -> None:
    device.store("a", "1.0.0")
    device.publish("a", "1.1.0")
    assert device.versions(local={"a": "^1.0.0"}) == {"a": "1.0.0"}
    assert device.asked == []


@rule("2.12", "classic", "Without the cloud the local candidate is taken.")
def test_rule_2_12_offline(device: Device) -> None:
    device.store("a", "1.0.0")
    device.publish("a", "1.1.0")
    device.answers = False
    assert device.versions(thing={"a": "^1.0.0"}) == {"a": "1.0.0"}


@rule("2.13", "classic", "Without the cloud and without a local candidate it cannot be resolved.")
def test_rule_2_13_offline_without_candidate(device: Device) -> None:
    device.store("a", "1.0.0")
    device.answers = False
    with pytest.raises(UnreachableError):
        device.resolved(thing={"a": "^2.0.0"})


@rule("2.14", "classic", "With the cloud its choice counts, also against a version that runs.")
def test_rule_2_14_the_cloud_chooses(device: Device) -> None:
    device.store("a", "1.0.0")
    device.publish("a", "1.1.0")
    assert device.versions(LINUX, {"a": "1.0.0"}, thing={"a": "^1.0.0"}) == {"a": "1.1.0"}
    assert device.asked == [("a", {THING: "^1.0.0"})]


@rule("2.15", "classic", "When the cloud refuses, the local candidate is taken, if there is one.")
def test_rule_2_15_refusal(device: Device) -> None:
    device.store("a", "1.0.0")
    assert device.versions(thing={"a": "^1.0.0"}) == {"a": "1.0.0"}
    with pytest.raises(ResolutionError):
        device.resolved(thing={"a": "^2.0.0"})
    assert len(device.asked) == 2


@rule("2.16", "lite", "A local deployment takes every local version that fits, dependencies too.")
def test_rule_2_16_local_deployment_of_lite(device: Device) -> None:
    device.store("a", "1.0.0", b="*")
    device.store("b", "1.0.0")
    device.publish("b", "2.0.0")
    assert device.versions(LITE, local={"a": "1.0.0"}) == {"a": "1.0.0", "b": "1.0.0"}
    assert device.asked == []


@rule("2.17", "lite", "For the rest the cloud is asked, one component at a time.")
def test_rule_2_17_the_cloud_on_lite(device: Device) -> None:
    device.store("a", "1.0.0")
    device.publish("a", "1.1.0", b="*")
    device.publish("b", "2.0.0")
    assert device.versions(LITE, thing={"a": "^1.0.0"}) == {"a": "1.1.0", "b": "2.0.0"}
    assert [name for name, _ in device.asked] == ["a", "b"]


# HARD and SOFT


@rule("2.18", "both", "HARD or SOFT, a dependency is resolved and brought to the device alike.")
def test_rule_2_18_both_kinds_are_resolved(device: Device) -> None:
    device.publish("a", "1.0.0", soft="weak", weak="^1.0.0", firm="^1.0.0")
    for name in ("weak", "firm"):
        device.publish(name, "1.0.0")
        device.publish(name, "2.0.0")
    for platform in (LINUX, LITE):
        found = device.versions(platform, thing={"a": "1.0.0"})
        assert found == {"a": "1.0.0", "weak": "1.0.0", "firm": "1.0.0"}


def depending(
    at: Scene, dependency: Mapping[str, Any], soft: str = "", install: str = "true"
) -> None:
    """``app`` needs ``dep`` and writes each of its starts down."""
    document = written("app", "1.0.0", soft, dep="*")
    run = "echo >> {kernel:rootPath}/starts; exec sleep 600"
    document["Manifests"] = [{"Lifecycle": {"install": install, "run": run}}]
    at.cloud.recipes["app"] = {"1.0.0": document}
    at.cloud.add("dep", "1.0.0", dependency)


async def until(at: Scene, name: str, *states: State) -> None:
    reached = at.engine.pulse.until(lambda: at.engine.state_of(name) in states)
    await asyncio.wait_for(reached, SOON)


def until_there(file: Path) -> str:
    """A script that ends when a file is there."""
    return f"until test -e {file}; do sleep 0.01; done"


def starts(at: Scene) -> int:
    file = at.layout.root / "starts"
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.real
@rule("2.19", "classic", "A dependent starts once its HARD dependency runs or is finished.")
@pytest.mark.parametrize("step", ["startup", "run", "install"])
def test_rule_2_19_hard_waits(tmp_path: Path, step: str) -> None:
    gate = tmp_path / "gate"
    waits = until_there(gate)
    # the dependency comes up, starts or is finished only when the gate is there
    lifecycle = {"startup": {"startup": waits}, "run": {"install": waits, "run": "sleep 600"}}
    dependency = {**lifecycle, "install": {"install": waits}}[step]

    async def scene(at: Scene) -> None:
        depending(at, dependency)
        deployment = asyncio.create_task(at.deploy({"app": "1.0.0"}))
        await until(at, "dep", State.STARTING if step == "startup" else State.NEW)
        await until(at, "app", State.INSTALLED)
        assert starts(at) == 0
        gate.touch()
        assert await deployment == SUCCESSFUL
        settled = "FINISHED" if step == "install" else "RUNNING"
        assert at.running() == {"app": "1.0.0 RUNNING", "dep": f"1.0.0 {settled}"}

    play(tmp_path, scene)


@pytest.mark.real
@rule("2.20", "classic", "A HARD dependency that stops will do too, unless its startup failed.")
@pytest.mark.parametrize("step", ["run", "startup"])
def test_rule_2_20_hard_stops(tmp_path: Path, step: str) -> None:
    gate, stopped = tmp_path / "gate", tmp_path / "stopped"
    main = {"run": "true", "startup": "exit 1"}[step]

    async def scene(at: Scene) -> None:
        dependency = {step: main, "shutdown": until_there(stopped)}
        depending(at, dependency, install=until_there(gate))
        deployment = asyncio.create_task(
            at.deploy({"app": "1.0.0"}, failureHandlingPolicy="DO_NOTHING")
        )
        await until(at, "dep", State.STOPPING)
        gate.touch()
        if step == "run":
            await until(at, "app", State.RUNNING)
            assert at.engine.state_of("dep") is State.STOPPING
        else:
            await until(at, "app", State.INSTALLED)
        stopped.touch()
        await deployment
        started = "state: STARTING" in at.layout.log("app").read_text()
        assert started is (step == "run")

    play(tmp_path, scene)


@pytest.mark.real
@rule("2.21", "classic", "A dependent starts again when its HARD dependency fails.")
def test_rule_2_21_hard_is_lost(tmp_path: Path) -> None:
    fails = tmp_path / "fails"
    once = f"{until_there(fails)}; rm {fails}; exit 1"

    async def scene(at: Scene) -> None:
        depending(at, {"run": once})
        assert await at.deploy({"app": "1.0.0"}) == SUCCESSFUL
        before = at.engine.support_of("app")
        fails.touch()
        lives = at.engine.pulse.until(lambda: at.engine.support_of("app") not in (before, None))
        await asyncio.wait_for(lives, SOON)
        assert at.running() == {"app": "1.0.0 RUNNING", "dep": "1.0.0 RUNNING"}

    play(tmp_path, scene)


@pytest.mark.real
@rule("2.22", "classic", "A SOFT dependency may be in any state, even broken.")
def test_rule_2_22_soft(tmp_path: Path) -> None:
    fails = tmp_path / "fails"

    async def scene(at: Scene) -> None:
        depending(at, {"startup": f"{until_there(fails)}; exit 1"}, soft="dep")
        deployment = asyncio.create_task(
            at.deploy({"app": "1.0.0"}, failureHandlingPolicy="DO_NOTHING")
        )
        await until(at, "app", State.RUNNING)
        assert at.engine.state_of("dep") is State.STARTING
        before = at.engine.support_of("app")
        fails.touch()
        await until(at, "dep", State.BROKEN)
        await deployment
        assert at.engine.support_of("app") is before
        assert at.engine.state_of("app") is State.RUNNING

    play(tmp_path, scene)
