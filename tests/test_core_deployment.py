"""Deployments on the device (EDGE-CORE 7), with real processes and a cloud that is made up."""

from __future__ import annotations

import asyncio
import shutil
import time
import unittest.mock
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from conforming import Ear, call
from deploying import BREAKS, SOON, STAYS, SUCCESSFUL, Cloud, Scene, play
from sandboxes import (
    REGION,
    Connect,
    component,
    core,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    unique,
)

from ggml_magic.core import journal, nucleus
from ggml_magic.core.cloud import Cloud as RealCloud
from ggml_magic.core.cloud import Execution
from ggml_magic.core.disk import write_json
from ggml_magic.core.inventory import Contents
from ggml_magic.core.jobs import Jobs
from ggml_magic.core.journal import Journal
from ggml_magic.core.operations.configuration import Configuration
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS, Document, Wanted
from ggml_magic.core.worker import Worker
from ggml_magic.errors import UnreachableError
from ggml_magic.sandbox.endpoint import Endpoint

pytestmark = pytest.mark.real
YEAR_SECONDS = 365 * 24 * 3600


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
        ({"a": "9.0.0"}, "no version of a fits: thing/pi asks for a 9.0.0"),
        ({"windows": "1.0.0"}, "no manifest of windows 1.0.0 fits"),
        ({"changed": "1.0.0"}, "its digest differs"),
        ({"strange": "1.0.0"}, "Artifacts[0] is no object"),
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
        await at.deploy({"a": "1.0.0"})
        before = at.held.contents.dump()
        supervisors = dict(at.engine.supervisors)
        result = await at.deploy(components)
        assert (result.status, result.detail) == ("FAILED", "FAILED_NO_STATE_CHANGE")
        assert why in result.cause
        assert at.held.contents.dump() == before
        assert at.engine.supervisors == supervisors

    play(tmp_path, scene)


def test_what_a_deployment_loaded_that_cannot_be_goes(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        for name in ("a", "fine", "changed"):
            at.cloud.add(name, "1.0.0", STAYS, artifacts={"f": name.encode()})
        at.cloud.objects["changed/1.0.0/f"] = b"something else"
        await at.deploy({"a": "1.0.0"})
        result = await at.deploy({"fine": "1.0.0", "changed": "1.0.0"})
        assert "its digest differs" in result.cause
        assert [path.name for path in at.layout.recipes.iterdir()] == ["a-1.0.0.json"]
        assert [path.name for path in at.layout.artifacts.iterdir()] == ["a"]

    play(tmp_path, scene)


WRITTEN_LATE = 10**12


def test_what_a_component_writes_while_it_defers_the_update_stays(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 0})
        await at.deploy({"a": "1.0.0"})
        configuration, answers = Configuration(at.held), [1, 0]

        async def writes(event: Any) -> None:
            if "preUpdateEvent" in event:
                value, name = {f"own{len(answers)}": 1}, event["preUpdateEvent"]["deploymentId"]
                await call(
                    configuration.update_configuration, "a",
                    keyPath=[], timestamp=WRITTEN_LATE, valueToMerge=value,
                )  # fmt: skip
                again = answers.pop(0)
                await call(at.updates.defer, "a", deploymentId=name, recheckAfterMs=again)

        await Ear(writes).subscribe(at.updates.subscribe_to_updates, "a")
        update = {"configurationUpdate": {"merge": {"x": 1}}}
        assert await at.deploy({"a": {"version": "1.0.0", **update}}) == SUCCESSFUL
        assert at.configuration("a") == {"x": 1, "own2": 1, "own1": 1}

    play(tmp_path, scene)


@pytest.mark.parametrize("code", [0, 100, 3])
def test_what_a_component_writes_while_bootstrap_steps_run_stays(tmp_path: Path, code: int) -> None:
    async def scene(at: Scene) -> None:
        script = f"touch begun; while [ ! -e go ]; do sleep 0.005; done; exit {code}"
        at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 0})
        at.cloud.add("a", "1.1.0", STAYS, defaults={"x": 0, "y": 0})
        at.cloud.add("boots", "1.0.0", {"Bootstrap": script, **STAYS})
        await at.deploy({"a": "1.0.0"})
        text = at.document({"a": "1.1.0", "boots": "1.0.0"})
        task, work = asyncio.create_task(at.deployer.deploy(text)), at.layout.work("boots")
        while not (work / "begun").exists():
            assert not task.done()
            await asyncio.sleep(0.002)
        await call(
            Configuration(at.held).update_configuration, "a",
            keyPath=[], timestamp=WRITTEN_LATE, valueToMerge={"own": 1},
        )  # fmt: skip
        (work / "go").touch()
        if code == 100:
            while not at.restarts:
                await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.wait([task])
            await at.reborn()
            task = asyncio.create_task(at.deployer.deploy(text))
        result = await asyncio.wait_for(task, SOON)
        at.deployer.told("d2")
        if code == 3:
            assert result.detail == "FAILED_ROLLBACK_COMPLETE"
            assert at.configuration("a") == {"x": 0, "own": 1}
        else:
            assert result == SUCCESSFUL
            assert at.configuration("a") == {"x": 0, "y": 0, "own": 1}

    play(tmp_path, scene)


def test_what_a_component_wrote_before_the_merge_is_there_after_a_rollback(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        script = "touch begun; while [ ! -e go ]; do sleep 0.005; done"
        at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 0})
        at.cloud.add("boots", "1.0.0", {"Bootstrap": script, **BREAKS})
        await at.deploy({"a": "1.0.0"})
        deploying = asyncio.create_task(at.deploy({"a": "1.0.0", "boots": "1.0.0"}))
        while not (at.layout.work("boots") / "begun").exists():
            assert not deploying.done()
            await asyncio.sleep(0.002)
        await call(
            Configuration(at.held).update_configuration, "a",
            keyPath=[], timestamp=WRITTEN_LATE, valueToMerge={"own": 1},
        )  # fmt: skip
        (at.layout.work("boots") / "go").touch()
        assert (await deploying).detail == "FAILED_ROLLBACK_COMPLETE"
        assert at.configuration("a") == {"x": 0, "own": 1}

    play(tmp_path, scene)


def test_nucleus_lite_says_which_runtime_a_recipe_of_the_cloud_must_name(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        nucleus.dialect(at.layout, "lite")
        at.cloud.add("a", "1.0.0", STAYS)
        result = await at.deploy({"a": "1.0.0"})
        assert result.detail == "FAILED_NO_STATE_CHANGE"
        assert 'only what names runtime "*" or "aws_nucleus_lite"' in result.cause

    play(tmp_path, scene)


def test_an_older_deployment_is_rejected_the_same_again_is_not(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        old, new = at.document({"a": "1.0.0"}), at.document({"a": "1.0.0"})
        assert await at.handed(new) == SUCCESSFUL
        at.deployer.told("d2")
        result = await at.handed(old)
        assert (result.status, result.detail) == ("REJECTED", "REJECTED")
        assert "deployment d2, which is newer" in result.cause
        before = dict(at.engine.supervisors)
        assert await at.handed(new) == SUCCESSFUL
        at.deployer.told("d2")
        assert at.engine.supervisors == before

    play(tmp_path, scene)


def test_a_clock_put_back_a_year_rejects_no_later_revision(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 0})
        at.time = YEAR_SECONDS
        await at.deploy({"a": {"version": "1.0.0", "configurationUpdate": {"merge": {"x": 1}}}})
        # a component wrote while the clock was ahead of the one that is now
        tree = at.held.contents.components["a"].configuration
        ahead = int(time.time() + YEAR_SECONDS) * 1000
        tree.merge((), {"x": 2}, ahead)
        at.time = 5
        wanted = {"a": {"version": "1.0.0", "configurationUpdate": {"merge": {"x": 3}}}}
        assert (await at.deploy(wanted)).detail == "REJECTED"
        assert await at.deploy(wanted, revision=2) == SUCCESSFUL
        assert at.configuration("a") == {"x": 3}

    play(tmp_path, scene)


def test_a_result_that_was_not_told_is_given_again_after_a_restart(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", BREAKS)
        text = at.document({"a": "1.0.0"})
        result = await at.handed(text)
        await at.reborn()
        at.cloud.recipes.clear()
        assert await at.handed(text) == result
        at.deployer.told("d1")
        assert (await at.handed(text)).detail == "FAILED_NO_STATE_CHANGE"
        at.deployer.told("d1")

    play(tmp_path, scene)


def test_a_cloud_that_is_away_is_waited_for_by_others(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.away = True
        with pytest.raises(UnreachableError):
            await at.deploy({"a": "1.0.0"})
        assert at.held.contents.groups == {}

    play(tmp_path, scene)


async def interrupted(at: Scene, text: str) -> None:
    """The core dies while the new version is being installed, and comes back."""
    task = asyncio.create_task(at.deployer.deploy(text))
    while not (at.layout.work("a") / "installing").exists():
        assert not task.done()
        await asyncio.sleep(0.002)
    (at.layout.work("a") / "installing").unlink()
    with unittest.mock.patch.object(Journal, "pause"):  # a killed core writes nothing
        task.cancel()
        await asyncio.wait([task])
    await at.reborn()


WAITS = {"Install": "touch installing; while [ ! -e go ]; do sleep 0.005; done", **STAYS}


def test_a_core_killed_in_the_middle_goes_on(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", WAITS)
        await at.deploy({"a": "1.0.0"})
        text = at.document({"a": "1.1.0"})
        await interrupted(at, text)
        assert at.held.contents.components["a"].version == "1.1.0"
        (at.layout.work("a") / "go").touch()
        at.cloud.away = True  # it is not needed for what was begun
        assert await asyncio.wait_for(at.deployer.deploy(text), SOON) == SUCCESSFUL
        at.deployer.told("d2")
        assert at.running() == {"a": "1.1.0 RUNNING"}

    play(tmp_path, scene)


def test_a_core_that_dies_of_a_deployment_three_times_goes_back(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", WAITS)
        await at.deploy({"a": "1.0.0"})
        before = at.held.contents.dump()
        text = at.document({"a": "1.1.0"})
        for _ in range(journal.MOST_INTERRUPTIONS):
            await interrupted(at, text)
        result = await at.handed(text)
        assert result.detail == "FAILED_ROLLBACK_COMPLETE"
        assert result.cause == "the core was interrupted 3 times while it was deploying"
        assert "DEPLOYMENT_INTERRUPTED" in result.errors
        assert at.held.contents.dump() == before
        assert at.running() == {"a": "1.0.0 RUNNING"}
        at.deployer.told("d2")

    play(tmp_path, scene)


def test_a_core_that_dies_of_preparing_three_times_gives_up(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        never, begun = asyncio.Event(), asyncio.Event()

        async def hangs(*question: Any) -> Any:
            begun.set()
            await never.wait()

        at.cloud.add("a", "1.0.0", STAYS)
        text = at.document({"a": "1.0.0"})
        with unittest.mock.patch.object(at.cloud, "resolve", hangs):
            for _ in range(journal.MOST_INTERRUPTIONS):
                begun.clear()
                task = asyncio.create_task(at.deployer.deploy(text))
                await begun.wait()
                with unittest.mock.patch.object(Journal, "pause"):
                    task.cancel()
                    await asyncio.wait([task])
                await at.reborn()
        result = await at.handed(text)
        assert result.detail == "FAILED_NO_STATE_CHANGE"
        assert result.cause == "the core was interrupted 3 times while it was deploying"
        at.deployer.told("d1")

    play(tmp_path, scene)


def test_what_a_killed_core_was_removing_is_uninstalled_by_the_next(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("old", "1.0.0", {**STAYS, "Uninstall": "echo >> goodbye"})
        at.cloud.add("a", "1.0.0", WAITS)
        await at.deploy({"old": "1.0.0"})
        text = at.document({"a": "1.0.0"})
        await interrupted(at, text)
        assert at.running() == {"a": "1.0.0 NEW"}
        (at.layout.work("a") / "go").touch()
        assert await at.handed(text) == SUCCESSFUL
        assert (at.layout.work("old") / "goodbye").read_text() == "\n"
        assert at.running() == {"a": "1.0.0 RUNNING"}
        at.deployer.told("d2")

    play(tmp_path, scene)


def test_a_core_that_ends_on_purpose_is_not_interrupted(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.1.0", WAITS)
        text = at.document({"a": "1.1.0"})
        for _ in range(journal.MOST_INTERRUPTIONS + 1):
            task = asyncio.create_task(at.deployer.deploy(text))
            while not (at.layout.work("a") / "installing").exists():
                await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.wait([task])
            (at.layout.work("a") / "installing").unlink()
            await at.reborn()
        (at.layout.work("a") / "go").touch()
        assert await at.handed(text) == SUCCESSFUL
        at.deployer.told("d1")

    play(tmp_path, scene)


@pytest.mark.parametrize("name", ["ongoing.json", "before.json"])
def test_a_journal_that_cannot_be_written_is_a_failure_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)

        def full(path: Path, value: Any) -> None:
            if path == at.layout.deployments / name:
                raise OSError(28, "No space left on device")
            write_json(path, value)

        monkeypatch.setattr(journal, "write_json", full)
        result = await at.deploy({"a": "1.0.0"})
        assert result.detail == "FAILED_NO_STATE_CHANGE"
        assert "No space left" in result.cause
        assert at.running() == {}

    play(tmp_path, scene)


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_disk_that_is_full_at_the_merge_leaves_what_was_there(
    tmp_path: Path, full_at: int
) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", STAYS)
        await at.deploy({"a": "1.0.0"})
        before, replace, times = at.held.contents.dump(), at.held.replace, 0

        def full(contents: Contents) -> None:
            nonlocal times
            times += 1
            if times <= full_at:
                raise OSError(28, "No space left on device")
            replace(contents)

        with unittest.mock.patch.object(at.held, "replace", full):
            result = await at.deploy({"a": "1.1.0"})
        ends = {1: "FAILED_ROLLBACK_COMPLETE", 2: "FAILED_UNABLE_TO_ROLLBACK"}
        assert (result.detail, result.errors[-1]) == (ends[full_at], "IO_WRITE_ERROR")
        assert "No space left" in result.cause
        assert at.held.contents.dump() == before
        assert at.running() == {"a": "1.0.0 RUNNING"}

    play(tmp_path, scene)


def test_a_run_that_exits_at_once_is_rolled_back(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1})
        at.cloud.add("a", "1.1.0", {"Run": "echo 'no model' >&2; exit 3"}, defaults={"y": 1})
        await at.deploy({"a": "1.0.0"})
        before = at.held.contents.dump()
        result = await at.deploy({"a": "1.1.0"})
        assert result.detail == "FAILED_ROLLBACK_COMPLETE"
        assert result.cause == "a 1.1.0: run failed with exit code 3: no model"
        assert at.held.contents.dump() == before
        assert at.running() == {"a": "1.0.0 RUNNING"}

    play(tmp_path, scene)


@pytest.mark.parametrize("step", ["Install", "Startup"])
def test_what_never_settles_is_rolled_back_after_its_time(tmp_path: Path, step: str) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        slow = {step: {"Script": "echo waiting >&2; exec sleep 600", "Timeout": "0.1"}}
        at.cloud.add("a", "1.1.0", slow)
        await at.deploy({"a": "1.0.0"})
        result = await at.deploy({"a": "1.1.0"})
        assert result.detail == "FAILED_ROLLBACK_COMPLETE"
        assert result.cause == f"a 1.1.0: {step.lower()} took longer than 0.1 s: waiting"
        assert at.running() == {"a": "1.0.0 RUNNING"}

    play(tmp_path, scene)


def test_a_broken_dependency_is_named_with_who_needs_it(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", STAYS, needs={"b": "1.0.0"})
        at.cloud.add("b", "1.0.0", {"Startup": "echo 'no camera' >&2; exit 1"})
        await at.deploy({"a": "1.0.0"})
        result = await at.deploy({"a": "1.1.0"})
        assert result.detail == "FAILED_ROLLBACK_COMPLETE"
        said = "b 1.0.0: startup failed with exit code 1: no camera (needed by a)"
        assert result.cause == said
        assert at.running() == {"a": "1.0.0 RUNNING"}
        assert not list(at.layout.artifacts.glob("b*"))

    play(tmp_path, scene)


def test_the_processes_of_the_version_before_run_again_after_a_rollback(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", {"Run": "echo $$ > pid; exec sleep 600"})
        at.cloud.add("a", "1.1.0", {"Run": "exit 1"})
        await at.deploy({"a": "1.0.0"})
        (at.layout.work("a") / "pid").unlink()
        await at.deploy({"a": "1.1.0"})
        pid = int((at.layout.work("a") / "pid").read_text())
        assert Path(f"/proc/{pid}").exists()

    play(tmp_path, scene)


def test_a_removed_component_says_goodbye(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        goodbye = {"Shutdown": "echo shutdown >> last", "Uninstall": "echo uninstall >> last"}
        at.cloud.add("a", "1.0.0", {**STAYS, **goodbye})
        await at.deploy({"a": "1.0.0"})
        assert await at.deploy({}) == SUCCESSFUL
        assert at.running() == {}
        assert at.held.contents.components == {}
        assert (at.layout.work("a") / "last").read_text().split() == ["shutdown", "uninstall"]

    play(tmp_path, scene)


def test_a_component_that_two_groups_name_stays_until_both_drop_it(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", STAYS)
        at.cloud.add("b", "1.0.0", STAYS, needs={"a": "^1.0.0"})
        await at.deploy({"a": "^1.0.0"}, group="thinggroup/g")
        await at.deploy({"b": "1.0.0"})
        assert at.running() == {"a": "1.1.0 RUNNING", "b": "1.0.0 RUNNING"}
        result = await at.deploy({"a": "1.0.0", "b": "1.0.0"})
        assert at.running() == {"a": "1.0.0 RUNNING", "b": "1.0.0 RUNNING"}, result
        await at.deploy({"b": "1.0.0"})
        await at.deploy({}, group="thinggroup/g")
        assert set(at.running()) == {"a", "b"}
        await at.deploy({})
        assert at.running() == {}

    play(tmp_path, scene)


def test_what_a_thing_group_brought_goes_when_the_thing_has_left_it(
    tmp_path: Path, aws: Connect, endpoint: Endpoint
) -> None:
    async def scene(at: Scene) -> None:
        thing, group, iot = core(endpoint), unique("group"), aws("iot")
        iot.create_thing_group(thingGroupName=group)
        iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
        of_group, own = component(aws), component(aws)
        write_json(tmp_path / "endpoint.json", {"url": endpoint.url})
        # the sandbox's registry itself, not what stands for it elsewhere
        at.cloud = RealCloud(thing, tmp_path / "endpoint.json", REGION)  # type: ignore[assignment]
        at.restart()
        assert await at.deploy({of_group: "1.0.0"}, group=f"thinggroup/{group}") == SUCCESSFUL
        assert await at.deploy({own: "1.0.0"}, group=f"thing/{thing}") == SUCCESSFUL
        assert set(at.running()) == {of_group, own}
        iot.remove_thing_from_thing_group(thingName=thing, thingGroupName=group)
        assert await at.deploy({own: "1.0.0"}, group=f"thing/{thing}") == SUCCESSFUL
        assert set(at.running()) == {own}
        assert set(at.held.contents.groups) == {f"thing/{thing}"}

    play(tmp_path, scene)


def test_what_the_device_cannot_do_is_named(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        result = await at.deploy({}, requiredCapabilities=["FLYING"])
        assert result.detail == "FAILED_NO_STATE_CHANGE"
        assert "FLYING" in result.cause
        assert "NUCLEUS_MISSING_REQUIRED_CAPABILITIES" in result.errors

    play(tmp_path, scene)


def test_one_deployment_at_a_time(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", WAITS)
        at.cloud.add("b", "1.0.0", STAYS)
        first = asyncio.create_task(at.deployer.deploy(at.document({"a": "1.0.0"})))
        while not (at.layout.work("a") / "installing").exists():
            await asyncio.sleep(0.002)
        local = Document("local", LOCAL_DEPLOYMENTS, 1, {"b": Wanted("1.0.0")}, notify=False)
        stages: list[str] = []
        second = asyncio.create_task(at.deployer.carry_out(local, stages.append))
        for _ in range(100):  # as often as it would need to begin
            await asyncio.sleep(0)
        assert stages == []
        (at.layout.work("a") / "go").touch()
        assert await first == await second == SUCCESSFUL
        assert stages[0] == "resolving"
        assert at.running() == {"a": "1.0.0 RUNNING", "b": "1.0.0 RUNNING"}
        for name in ("d1", "local"):
            at.deployer.told(name)

    play(tmp_path, scene)


def test_who_wants_to_hear_of_the_end_hears_once(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        heard: list[tuple[str, str]] = []
        at.deployer.on_end.append(
            lambda document, result: heard.append((document.identifier, result.detail))
        )
        at.cloud.add("a", "1.0.0", STAYS)
        old = at.document({"a": "1.0.0"})
        await at.deploy({"a": "1.0.0"})
        await at.deploy({"b": "1.0.0"})
        await at.handed(old)
        assert heard == [
            ("d2", "SUCCESSFUL"), ("d3", "FAILED_NO_STATE_CHANGE"), ("d1", "REJECTED")
        ]  # fmt: skip

    play(tmp_path, scene)


def test_nothing_to_do_is_decided_at_once(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS, artifacts={"f": b"1" * 100_000})
        await at.deploy({"a": "1.0.0"})
        started = time.monotonic()
        assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
        # the limit, from the cloud's notice on; here without the cloud
        assert time.monotonic() - started < 0.3

    play(tmp_path, scene)


class Vanishing(Cloud):
    """Hands out one job, and is away at its n-th question: before it is done, or after it."""

    def __init__(self, document: str, away_at: int, *, done: bool) -> None:
        super().__init__()
        self.document = document
        self.told: list[str] = []
        self._left = away_at
        self._done = done

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        self._left -= 1
        found = await answer if self._left or self._done else answer.close()  # type: ignore[attr-defined]
        if not self._left:
            raise UnreachableError("away")
        return found

    @property
    def came(self) -> bool:
        """Whether it was away."""
        return self._left <= 0

    async def resolve(self, *question: Any) -> Any:
        return await self._ask(super().resolve(*question))

    async def download(self, *question: Any) -> Any:
        return await self._ask(super().download(*question))

    async def next_job(self) -> Execution | None:
        return cast("Execution | None", await self._ask(self._next()))

    async def _next(self) -> Execution | None:
        return None if self.told else Execution("job", self.document)

    async def finish_job(self, job: str, status: str, details: Mapping[str, str]) -> None:
        await self._ask(self._finish(status))

    async def _finish(self, status: str) -> None:
        self.told.append(status)


@pytest.mark.parametrize("done", [False, True])
def test_a_cloud_that_vanishes_at_any_question_is_told_once(tmp_path: Path, done: bool) -> None:
    async def round_of(at: Scene, number: int) -> bool:
        cloud = Vanishing(at.document({"a": "1.0.0"}), number, done=done)
        cloud.add("a", "1.0.0", {"Install": "echo >> installed", **STAYS}, artifacts={"f": b"1"})
        at.cloud = cloud
        at.restart()

        async def published() -> None:
            return

        jobs = Jobs(cloud, at.deployer, published)  # type: ignore[arg-type]
        worker = Worker("deployments", jobs.work, at.log)
        worker.wake()
        task = asyncio.create_task(worker.run())
        while not cloud.told or worker.wanted:
            assert not task.done()
            await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.wait([task])
        assert cloud.told == ["SUCCEEDED"]
        assert at.running() == {"a": "1.0.0 RUNNING"}
        assert (at.layout.work("a") / "installed").read_text() == "\n"
        assert not at.ongoing()
        await at.engine.stop(2)
        return cloud.came

    async def scene(at: Scene) -> None:
        number = 1
        while await round_of(at, number):
            number += 1
            shutil.rmtree(at.layout.root)
            at.layout.make()
        assert number > 4

    play(tmp_path, scene)
