"""Deployments on the device (EDGE-CORE 7), with real processes and a cloud that is made up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from nodesemver import max_satisfying

from ggml_magic.core.cloud import Candidate
from ggml_magic.core.deployment import Deployer, DocumentError, Result, parse
from ggml_magic.core.disk import Layout, write_json
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.logs import Log
from ggml_magic.core.resolve import fits
from ggml_magic.errors import CloudError, UnreachableError

SOON = 30.0
STAYS = {"Run": "exec sleep 600"}
BREAKS = {"Install": "echo 'no such module' >&2; exit 1", **STAYS}
ARN = "arn:aws:greengrass:eu-west-1:1:configuration:{group}:1"


class Cloud:
    """Component versions, and what they download."""

    thing = "pi"

    def __init__(self) -> None:
        self.recipes: dict[str, dict[str, dict[str, Any]]] = {}
        self.objects: dict[str, bytes] = {}
        self.away = False

    def add(
        self, name: str, version: str, lifecycle: Mapping[str, Any], *,
        defaults: Mapping[str, Any] | None = None, needs: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        written = []
        for file, content in (artifacts or {}).items():
            key = f"{name}/{version}/{file}"
            self.objects[key] = content
            digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
            written.append({"Uri": f"s3://b/{key}", "Digest": digest, "Algorithm": "SHA-256"})
        self.recipes.setdefault(name, {})[version] = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name,
            "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": defaults or {}},
            "ComponentDependencies": {
                dependency: {"VersionRequirement": requirement}
                for dependency, requirement in (needs or {}).items()
            },
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": lifecycle,
                           "Artifacts": written}],
        }  # fmt: skip

    async def resolve(
        self, platform: Mapping[str, str], name: str, requirements: Mapping[str, str]
    ) -> Candidate:
        if self.away:
            raise UnreachableError("away")
        held = self.recipes.get(name, {})
        fitting = [version for version in held if fits(version, requirements.values())]
        if not fitting:
            raise CloudError("refused", f"there is no such version of {name}")
        best = max_satisfying(fitting, "*", loose=False)
        return Candidate(name, best, json.dumps(held[best]).encode())

    async def download(self, bucket: str, key: str, target: Path) -> str:
        target.write_bytes(self.objects[key])
        return base64.b64encode(hashlib.sha256(self.objects[key]).digest()).decode()


class Scene:
    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.cloud = Cloud()
        self.configured: list[tuple[str, list[tuple[str, ...]]]] = []
        self.time = 0
        self.log = Log(root / "core.log")
        self.engine = Engine(self.layout, {"PATH": os.environ["PATH"]}, lambda name: None)
        self.restart()

    def restart(self) -> None:
        """What a core that starts makes of its disk."""
        self.held = Inventory(self.layout.state_file)
        self.deployer = Deployer(
            self.layout, self.cloud, self.engine, self.held, self.log,  # type: ignore[arg-type]
            lambda name, paths: self.configured.append((name, paths)),
        )  # fmt: skip

    def document(self, components: Mapping[str, Any], **changes: Any) -> str:
        self.time += 1
        group = changes.pop("group", "thing/pi")
        return json.dumps({
            "deploymentId": f"d{self.time}", "configurationArn": ARN.format(group=group),
            "creationTimestamp": self.time * 1000,
            "components": {
                name: wanted if isinstance(wanted, dict) else {"version": wanted}
                for name, wanted in components.items()
            },
            **changes,
        })  # fmt: skip

    async def deploy(self, components: Mapping[str, Any], **changes: Any) -> Result:
        text = self.document(components, **changes)
        return await asyncio.wait_for(self.deployer.deploy(text), SOON)

    def running(self) -> dict[str, str]:
        return {
            name: f"{each.service.version} {each.state.value}"
            for name, each in self.engine.supervisors.items()
        }

    def configuration(self, name: str) -> Any:
        return self.held.contents.components[name].configuration.read(())

    def ongoing(self) -> bool:
        return any(self.layout.deployments.iterdir())


def play(tmp_path: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        made = Scene(tmp_path / "root")
        try:
            await scene(made)
            assert not made.ongoing()
        finally:
            await made.engine.stop(2)
            made.log.close()

    asyncio.run(run())


pytestmark = pytest.mark.real
SUCCESSFUL = Result("SUCCEEDED", "SUCCESSFUL")


def test_components_come_with_artifacts_dependencies_and_variables(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("model", "1.2.0", {"Install": "true"}, artifacts={"m.bin": b"model"})
        install = (
            "cp {model:artifacts:path}/m.bin {artifacts:path}/own.txt . && "
            "printf '{configuration:/text} {iot:thingName} {stranger:work:path}' > said"
        )
        at.cloud.add(
            "app",
            "1.0.0",
            {"Install": install, **STAYS},
            defaults={"text": "hello"},
            needs={"model": "^1.0.0"},
            artifacts={"own.txt": b"own"},
        )
        assert await at.deploy({"app": "1.0.0"}) == SUCCESSFUL
        assert at.running() == {"app": "1.0.0 RUNNING", "model": "1.2.0 FINISHED"}
        work = at.layout.work("app")
        assert (work / "m.bin").read_bytes() == b"model"
        assert (work / "own.txt").read_bytes() == b"own"
        assert (work / "said").read_text() == "hello pi {stranger:work:path}"
        assert "{stranger:work:path} stays" in at.log.path.read_text()
        assert at.held.contents.roots == {"app"}

    play(tmp_path, scene)


def test_what_is_no_longer_named_goes_with_its_configuration_and_packages(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1}, artifacts={"f": b"1"})
        at.cloud.add("b", "1.0.0", STAYS)
        await at.deploy({"a": "1.0.0", "b": "1.0.0"})
        assert await at.deploy({"b": "1.0.0"}) == SUCCESSFUL
        assert at.running() == {"b": "1.0.0 RUNNING"}
        assert set(at.held.contents.components) == {"b"}
        assert not list(at.layout.artifacts.glob("a*"))
        assert [file.name for file in at.layout.recipes.iterdir()] == ["b-1.0.0.json"]
        assert at.layout.work("a").is_dir()

    play(tmp_path, scene)


def test_each_group_has_its_own_roots(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        for name in "abc":
            at.cloud.add(name, "1.0.0", STAYS)
        await at.deploy({"a": "1.0.0"}, group="thinggroup/g")
        await at.deploy({"b": "1.0.0"})
        await at.deploy({"c": "1.0.0"})
        assert set(at.running()) == {"a", "c"}

    play(tmp_path, scene)


def test_configuration_is_reset_then_filled_then_merged(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS, defaults={"keep": 1, "back": 1, "deep": {"x": 1}})
        at.cloud.add("a", "1.1.0", STAYS, defaults={"keep": 2, "back": 2, "new": 2})
        update = {"merge": {"keep": "mine", "BACK": "mine", "deep": {"y": [1]}}}
        await at.deploy({"a": {"version": "1.0.0", "configurationUpdate": update}})
        assert at.configuration("a") == {"keep": "mine", "back": "mine", "deep": {"x": 1, "y": [1]}}
        update = {"reset": ["/back", "/deep/y/0"], "merge": {"deep": {"x": 5}}}
        await at.deploy({"a": {"version": "1.1.0", "configurationUpdate": update}})
        wanted = {"keep": "mine", "back": 2, "deep": {"x": 5, "y": [1]}, "new": 2}
        assert at.configuration("a") == wanted
        assert "reset is skipped" in at.log.path.read_text()
        assert {path for _, paths in at.configured for path in paths} == {
            ("back",), ("deep", "x"), ("new",)
        }  # fmt: skip

    play(tmp_path, scene)


def test_a_change_of_configuration_alone_restarts_only_whose_script_it_changes(
    tmp_path: Path,
) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("quiet", "1.0.0", STAYS, defaults={"x": 1})
        at.cloud.add("loud", "1.0.0", {"Run": "exec sleep 60{configuration:/x}"}, defaults={"x": 1})
        both = {"quiet": "1.0.0", "loud": "1.0.0"}
        await at.deploy(both)
        before = dict(at.engine.supervisors)
        update = {"configurationUpdate": {"merge": {"x": 2}}}
        await at.deploy({name: {"version": "1.0.0", **update} for name in both})
        assert at.engine.supervisors["quiet"] is before["quiet"]
        assert at.engine.supervisors["loud"] is not before["loud"]

    play(tmp_path, scene)


def test_a_broken_version_is_rolled_back_with_its_own_last_words(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1}, artifacts={"f": b"1"})
        at.cloud.add("a", "1.1.0", BREAKS, artifacts={"f": b"2"})
        at.cloud.add("b", "1.0.0", STAYS)
        await at.deploy({"a": "1.0.0"})
        before = at.held.contents.dump()
        update = {"merge": {"x": 2}}
        wanted = {"a": {"version": "1.1.0", "configurationUpdate": update}, "b": "1.0.0"}
        result = await at.deploy(wanted)
        assert (result.status, result.detail) == ("FAILED", "FAILED_ROLLBACK_COMPLETE")
        assert result.cause == "a 1.1.0: install failed with exit code 1: no such module"
        assert at.running() == {"a": "1.0.0 RUNNING"}
        assert at.held.contents.dump() == before
        assert [path.name for path in at.layout.artifacts.glob("a/*")] == ["1.0.0"]

    play(tmp_path, scene)


def test_the_first_deployment_that_breaks_leaves_an_empty_device(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", BREAKS)
        result = await at.deploy({"a": "1.0.0"})
        assert result.detail == "FAILED_ROLLBACK_COMPLETE"
        assert at.running() == {}
        assert at.held.contents.groups == {}

    play(tmp_path, scene)


def test_do_nothing_leaves_the_broken_one_and_the_next_deployment_mends_it(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", BREAKS)
        at.cloud.add("a", "1.0.1", STAYS)
        result = await at.deploy({"a": "1.0.0"}, failureHandlingPolicy="DO_NOTHING")
        assert result.detail == "FAILED_ROLLBACK_NOT_REQUESTED"
        assert at.running() == {"a": "1.0.0 BROKEN"}
        assert await at.deploy({"a": "1.0.1"}) == SUCCESSFUL

    play(tmp_path, scene)


def test_a_rollback_that_fails_too_says_both(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", {"Install": "[ ! -e worse ]", **STAYS})
        at.cloud.add("a", "1.1.0", {"Install": "touch worse; exit 2"})
        await at.deploy({"a": "1.0.0"})
        result = await at.deploy({"a": "1.1.0"})
        assert result.detail == "FAILED_UNABLE_TO_ROLLBACK"
        assert "a 1.1.0: install failed with exit code 2; and the rollback failed: a 1.0.0" in (
            result.cause
        )

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("components", "why"),
    [
        ({"a": "9.0.0"}, "no version of a fits: thing/pi asks for 9.0.0"),
        ({"windows": "1.0.0"}, "no manifest of windows 1.0.0 fits"),
        ({"changed": "1.0.0"}, "its digest differs"),
        ({"strange": "1.0.0"}, "a recipe cannot be read"),
        ({"boot": "1.0.0"}, "Bootstrap"),
        ({"a": {"version": "1.0.0", "configurationUpdate": {"merge": "text"}}}, "no object"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    tmp_path: Path, components: dict[str, Any], why: str
) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("windows", "1.0.0", STAYS)
        at.cloud.recipes["windows"]["1.0.0"]["Manifests"][0]["Platform"] = {"os": "windows"}
        at.cloud.add("changed", "1.0.0", STAYS, artifacts={"f": b"published"})
        at.cloud.objects["changed/1.0.0/f"] = b"something else"
        at.cloud.add("strange", "1.0.0", STAYS)
        at.cloud.recipes["strange"]["1.0.0"]["Manifests"][0]["Artifacts"] = ["text"]
        at.cloud.add("boot", "1.0.0", {"Bootstrap": "true", **STAYS})
        await at.deploy({"a": "1.0.0"})
        before = at.held.contents.dump()
        supervisors = dict(at.engine.supervisors)
        result = await at.deploy(components)
        assert (result.status, result.detail) == ("FAILED", "FAILED_NO_STATE_CHANGE")
        assert why in result.cause
        assert at.held.contents.dump() == before
        assert at.engine.supervisors == supervisors

    play(tmp_path, scene)


def test_an_older_deployment_is_rejected_the_same_again_is_not(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        old, new = at.document({"a": "1.0.0"}), at.document({"a": "1.0.0"})
        assert await at.deployer.deploy(new) == SUCCESSFUL
        result = await at.deployer.deploy(old)
        assert (result.status, result.detail) == ("REJECTED", "REJECTED")
        before = dict(at.engine.supervisors)
        assert await at.deployer.deploy(new) == SUCCESSFUL
        assert at.engine.supervisors == before

    play(tmp_path, scene)


def test_a_cloud_that_is_away_is_waited_for_by_others(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.away = True
        with pytest.raises(UnreachableError):
            await at.deploy({"a": "1.0.0"})
        assert at.held.contents.groups == {}

    play(tmp_path, scene)


def test_a_core_killed_in_the_middle_goes_back_and_can_deploy_again(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", {"Install": "while [ ! -e go ]; do sleep 0.01; done", **STAYS})
        await at.deploy({"a": "1.0.0"})
        before = at.held.contents.dump()
        text = at.document({"a": "1.1.0"})
        task = asyncio.create_task(at.deployer.deploy(text))
        while "1.1.0 NEW" not in at.running().values():
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])
        assert at.ongoing()
        at.restart()
        assert at.held.contents.components["a"].version == "1.1.0"
        at.deployer.recover()
        assert at.held.contents.dump() == before
        assert not at.ongoing()
        (at.layout.work("a") / "go").touch()
        assert await asyncio.wait_for(at.deployer.deploy(text), SOON) == SUCCESSFUL
        assert at.running() == {"a": "1.1.0 RUNNING"}

    play(tmp_path, scene)


def test_a_state_that_cannot_be_written_is_a_failure_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)

        def full(path: Path, value: Any) -> None:
            if path == at.layout.deployments / "ongoing.json":
                raise OSError(28, "No space left on device")
            write_json(path, value)

        monkeypatch.setattr("ggml_magic.core.deployment.write_json", full)
        result = await at.deploy({"a": "1.0.0"})
        assert result.detail == "FAILED_NO_STATE_CHANGE"
        assert "No space left" in result.cause
        assert at.running() == {}

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"deploymentId": "x", "configurationArn": "y"}', "null"]
)
def test_documents_that_cannot_be_read(text: str) -> None:
    with pytest.raises(DocumentError):
        parse(text)


def test_a_document_is_read() -> None:
    text = json.dumps({
        "deploymentId": "d", "configurationArn": ARN.format(group="thinggroup/stations"),
        "creationTimestamp": 5, "failureHandlingPolicy": "DO_NOTHING",
        "components": {"a": {"version": "1.0.0", "runWith": {"posixUser": "me"},
                             "configurationUpdate": {"reset": [""], "merge": {"x": 1}}}},
    })  # fmt: skip
    found = parse(text)
    assert (found.identifier, found.group, found.timestamp) == ("d", "thinggroup/stations", 5)
    assert not found.rolls_back
    wanted = found.components["a"]
    assert (wanted.version, wanted.reset, wanted.merge) == ("1.0.0", ("",), {"x": 1})
    assert wanted.run_with == "me"
