"""Local deployments carried out on a device: real processes, a cloud that is made up."""

from __future__ import annotations

import asyncio
import json
import shutil
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deploying import BREAKS, SOON, STAYS, Scene

from ggml_magic.core import exchange, nucleus
from ggml_magic.core.cloud import Candidate
from ggml_magic.core.local_jobs import LocalJobs
from ggml_magic.core.local_queue import CANCELED, IN_PROGRESS, Entry, Queue
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS
from ggml_magic.core.platforms import device_platform
from ggml_magic.core.provided import NUCLEUS
from ggml_magic.errors import CloudError

pytestmark = pytest.mark.real
A, B = "com.example.A", "com.example.B"


class Desk:
    """A device's queue of local deployments, and folders to deploy from."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self.recipes, self.artifacts = folder / "recipes", folder / "artifacts"
        self.recipes.mkdir()
        self.open()

    def open(self, dialect: str = "classic") -> None:
        """What a core that starts makes of its disk."""
        at = self.scene
        self.queue = Queue(at.layout.deployments / "local")
        self.jobs = LocalJobs(
            at.layout, self.queue, at.deployer, at.held, at.log, device_platform(dialect=dialect)
        )  # fmt: skip
        self.jobs.recover()

    def write(
        self, name: str, version: str, lifecycle: dict[str, str], *files: str, **more: Any
    ) -> None:
        """A recipe in the folder."""
        recipe = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name,
            "ComponentVersion": version,
            "Manifests": [{
                "Platform": {"os": "linux"}, "Lifecycle": lifecycle,
                "Artifacts": [{"URI": f"s3://B/{file}"} for file in files],
            }], **more,
        }  # fmt: skip
        (self.recipes / f"{name}-{version}.json").write_text(json.dumps(recipe))

    def bring(self, name: str, version: str, file: str, text: str) -> None:
        """An artifact in the folder."""
        place = self.artifacts / name / version / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def ask(self, **request: Any) -> str:
        """Ask for a deployment of what the folders hold."""
        folders = {"recipeDirectoryPath": str(self.recipes)}
        if self.artifacts.exists():
            folders["artifactsDirectoryPath"] = str(self.artifacts)
        return self.queue.add({**folders, **request}).identifier

    async def deploy(self, components: dict[str, str], **request: Any) -> Entry:
        """Ask, and wait for the end."""
        identifier = self.ask(rootComponentVersionsToAdd=components, **request)
        await asyncio.wait_for(self.jobs.work(), SOON)
        return self.entry(identifier)

    def entry(self, identifier: str) -> Entry:
        found = self.queue.find(identifier)
        assert found is not None
        return found

    def packages(self) -> list[str]:
        """What the store holds: recipes, and artifacts."""
        layout = self.scene.layout
        files = [*layout.recipes.iterdir(), *layout.artifacts.glob("*/*/*")]
        return sorted(path.name for path in files)

    def aside(self) -> list[Path]:
        return [path for path in self.queue.folder.iterdir() if path.is_dir()]


def play(tmp_path: Path, act: Callable[[Scene, Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene(tmp_path / "root")
        # nobody answers: what a local deployment needs is here
        scene.cloud.away = True
        desk = Desk(scene, tmp_path)
        try:
            await act(scene, desk)
            assert desk.aside() == []
            assert {path.name for path in scene.layout.deployments.iterdir()} <= {"local"}
        finally:
            await scene.engine.stop(2)
            scene.log.close()

    asyncio.run(run())


def test_components_come_go_and_stay_without_a_cloud(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        says = {"Run": "cat {artifacts:path}/said.txt > said; exec sleep 600"}
        needs = {B: {"VersionRequirement": "^1.0.0"}}
        desk.write(A, "1.0.0", says, "said.txt", ComponentDependencies=needs)
        desk.write(B, "1.0.0", STAYS)
        desk.bring(A, "1.0.0", "said.txt", "first")
        done = await desk.deploy({A: "1.0.0"})
        assert (done.status, done.detail, done.cause) == ("SUCCEEDED", "SUCCESSFUL", "")
        assert at.running() == {A: "1.0.0 RUNNING", B: "1.0.0 RUNNING"}
        assert at.held.contents.groups[LOCAL_DEPLOYMENTS].roots == {A: "1.0.0"}
        # another root is added: what is there stays; and with a range
        desk.write("com.example.C", "1.5.0", STAYS)
        process = at.engine.supervisors[A]
        await desk.deploy({"com.example.C": "^1.0.0"})
        assert at.engine.supervisors[A] is process
        assert set(at.held.contents.groups[LOCAL_DEPLOYMENTS].roots) == {A, "com.example.C"}
        # what is removed goes, with what only it needed
        gone = await desk.deploy({}, rootComponentsToRemove=[A])
        assert gone.status == "SUCCEEDED"
        assert at.running() == {"com.example.C": "1.5.0 RUNNING"}
        assert desk.packages() == ["com.example.C-1.5.0.json"]

    play(tmp_path, act)


def test_local_and_cloud_roots_live_side_by_side(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        at.cloud.away = False
        at.cloud.add(B, "1.0.0", STAYS)
        await at.deploy({B: "1.0.0"})
        at.cloud.away = True
        desk.write(A, "1.0.0", STAYS)
        assert (await desk.deploy({A: "1.0.0"})).status == "SUCCEEDED"
        assert at.running() == {A: "1.0.0 RUNNING", B: "1.0.0 RUNNING"}
        # a local deployment removes only what local ones brought
        await desk.deploy({}, rootComponentsToRemove=[A, B])
        assert at.running() == {B: "1.0.0 RUNNING"}
        # with a group's name it is that group which it changes
        await desk.deploy({A: "1.0.0"}, groupName="roof")
        assert at.held.contents.groups["thinggroup/roof"].roots == {A: "1.0.0"}

    play(tmp_path, act)


def test_configuration_is_merged_and_reset(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        defaults = {"DefaultConfiguration": {"a": 1, "b": {"c": 2}}}
        desk.write(A, "1.0.0", STAYS, ComponentConfiguration=defaults)
        await desk.deploy({A: "1.0.0"}, componentToConfiguration={A: {"MERGE": {"a": 5, "n": 1}}})
        assert at.configuration(A) == {"a": 5, "b": {"c": 2}, "n": 1}
        # alone, for a root that is there
        update = {A: {"MERGE": {"b": {"d": 3}}, "RESET": ["/a"]}}
        await desk.deploy({}, componentToConfiguration=update)
        assert at.configuration(A) == {"a": 1, "b": {"c": 2, "d": 3}, "n": 1}
        refused = await desk.deploy({}, componentToConfiguration={B: {"MERGE": {"x": 1}}})
        assert refused.detail == "FAILED_NO_STATE_CHANGE"
        assert refused.cause == f"{B} is configured and is no root component of LOCAL_DEPLOYMENTS"

    play(tmp_path, act)


def test_a_broken_version_is_rolled_back_with_its_packages(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        desk.write(A, "1.0.0", STAYS, "x.txt")
        desk.bring(A, "1.0.0", "x.txt", "good")
        await desk.deploy({A: "1.0.0"})
        before = desk.packages()
        # the same version, changed on the way: both files come back
        desk.write(A, "1.0.0", BREAKS, "x.txt")
        desk.bring(A, "1.0.0", "x.txt", "bad")
        failed = await desk.deploy({A: "1.0.0"})
        assert (failed.status, failed.detail) == ("FAILED", "FAILED_ROLLBACK_COMPLETE")
        assert "no such module" in failed.cause
        assert "USER_COMPONENT_ERROR" in failed.types
        assert at.running() == {A: "1.0.0 RUNNING"}
        assert (at.layout.artifacts / A / "1.0.0" / "x.txt").read_text() == "good"
        assert "no such module" not in (at.layout.recipes / f"{A}-1.0.0.json").read_text()
        desk.write(A, "2.0.0", BREAKS)
        kept = await desk.deploy({A: "2.0.0"}, failureHandlingPolicy="DO_NOTHING")
        assert kept.detail == "FAILED_ROLLBACK_NOT_REQUESTED"
        assert at.running() == {A: "2.0.0 BROKEN"}
        assert before != desk.packages()
        # only a deployment mends it
        desk.write(A, "2.0.1", STAYS)
        assert (await desk.deploy({A: "2.0.1"})).status == "SUCCEEDED"

    play(tmp_path, act)


def test_what_cannot_be_done_changes_nothing_and_says_why(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        desk.write(A, "1.0.0", STAYS)
        await desk.deploy({A: "1.0.0"})
        before = desk.packages()
        missing = await desk.deploy({A: "9.0.0"})
        assert missing.cause == (
            f"{A} 9.0.0 is not among the recipes (of it the folder has 1.0.0, this device 1.0.0), "
            "and the cloud does not answer"
        )
        at.cloud.away = False
        asked = await desk.deploy({A: "9.0.0"})
        assert f"LOCAL_DEPLOYMENTS asks for {A} 9.0.0" in asked.cause

        async def refuse(platform: object, name: str, requirements: dict[str, str]) -> Candidate:
            what = f"no version of {name} for this platform meets {requirements}"
            raise CloudError("refused", f"{what}; deployable: 0.1.0, 0.2.0")

        at.cloud.resolve = refuse  # type: ignore[method-assign]  # as the sandbox says it
        desk.write(A, "10.0.0", STAYS)
        known = await desk.deploy({A: "9.0.0"})
        assert known.cause == (
            f"no version of {A} fits: LOCAL_DEPLOYMENTS asks for {A} 9.0.0 "
            "(of it the folder has 1.0.0, 10.0.0, this device 1.0.0, the cloud 0.1.0, 0.2.0)"
        )
        at.cloud.away = True
        desk.write(A, "2.0.0", STAYS, "model.zip")
        artifact = await desk.deploy({A: "2.0.0"})
        assert artifact.cause.startswith(f"{A} 2.0.0 needs the artifact model.zip")
        (desk.recipes / "x.yaml").write_text(f"ComponentName: {A}\n  x: [")
        unreadable = await desk.deploy({A: "1.0.0"})
        assert f"{desk.recipes / 'x.yaml'} cannot be used" in unreadable.cause
        (desk.recipes / "x.yaml").unlink()
        desk.write("com.example.Bad", "1.0.0", {"Run": [1]})  # type: ignore[dict-item]  # so it is
        refused = await desk.deploy({"com.example.Bad": "1.0.0"})
        assert refused.cause.startswith(
            f"{desk.recipes / 'com.example.Bad-1.0.0.json'} cannot be used: run of the lifecycle"
        )
        shutil.rmtree(desk.recipes)
        gone = await desk.deploy({A: "1.0.0"})
        assert "is no folder" in gone.cause
        for entry in (missing, asked, artifact, unreadable, gone):
            assert (entry.status, entry.detail) == ("FAILED", "FAILED_NO_STATE_CHANGE")
            assert len(entry.cause.splitlines()) == 1
        assert at.running() == {A: "1.0.0 RUNNING"}
        assert desk.packages() == before

    play(tmp_path, act)


def test_nucleus_lite_says_which_runtime_a_recipe_must_name(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        nucleus.dialect(at.layout, "lite")
        desk.open("lite")
        desk.write(A, "1.0.0", {"run": "exec sleep 600"})
        for requirement in ("1.0.0", "^1.0.0"):
            refused = await desk.deploy({A: requirement})
            assert refused.detail == "FAILED_NO_STATE_CHANGE"
            assert 'only what names runtime "*" or "aws_nucleus_lite"' in refused.cause

    play(tmp_path, act)


def test_what_nucleus_lite_reads_otherwise_is_told_with_the_outcome(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        nucleus.dialect(at.layout, "lite")
        desk.open("lite")
        (desk.recipes / "a.yaml").write_text(f"""
RecipeFormatVersion: "2020-01-25"
ComponentName: {A}
ComponentVersion: 1.0.0
ComponentConfiguration: {{DefaultConfiguration: {{Interval: 3}}}}
Manifests: [{{Platform: {{os: linux, runtime: "*"}}, Lifecycle: {{run: exec sleep 600}}}}]
""")
        done = await desk.deploy({A: "1.0.0"})
        assert (done.detail, len(done.warnings)) == ("SUCCESSFUL", 1)
        assert done.warnings[0].startswith(f"{A} 1.0.0: the recipe: nucleus lite reads numbers")
        assert Queue(desk.queue.folder).find(done.identifier) == done

    play(tmp_path, act)


def test_room_is_made_before_there_is_none_by_the_limit_of_the_nucleus(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        limit = {NUCLEUS: {"MERGE": {"componentStoreMaxSizeBytes": 5000}}}
        await desk.deploy({NUCLEUS: "*"}, componentToConfiguration=limit)
        left = at.layout.artifacts / B / "1.0.0" / "of-nobody"
        left.parent.mkdir(parents=True)
        left.write_bytes(bytes(4000))
        desk.write(A, "1.0.0", STAYS, "data")
        desk.bring(A, "1.0.0", "data", "x" * 3000)
        done = await desk.deploy({A: "1.0.0"})
        assert (done.detail, done.cause) == ("SUCCESSFUL", "")
        assert not left.exists()
        desk.write(A, "1.1.0", STAYS, "data")
        desk.bring(A, "1.1.0", "data", "x" * 6000)
        full = await desk.deploy({A: "1.1.0"})
        assert full.detail == "FAILED_NO_STATE_CHANGE"
        assert "of at most 5000 bytes" in full.cause
        assert at.running()[A] == "1.0.0 RUNNING"

    play(tmp_path, act)


def test_an_archive_is_unpacked_without_a_digest_and_anew_when_it_changed(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        listed = {"URI": "s3://B/data.zip", "Unarchive": "ZIP"}
        manifest = {"Platform": {"os": "linux"}, "Lifecycle": STAYS, "Artifacts": [listed]}
        desk.write(A, "1.0.0", STAYS, Manifests=[manifest])
        inner = at.layout.unarchived / A / "1.0.0" / "data" / "inner.txt"
        for text in ("first", "other"):
            desk.bring(A, "1.0.0", "data.zip", "")
            with zipfile.ZipFile(desk.artifacts / A / "1.0.0" / "data.zip", "w") as archive:
                archive.writestr("inner.txt", text)
            assert (await desk.deploy({A: "1.0.0"})).cause == ""
            assert inner.read_text() == text
        with zipfile.ZipFile(desk.artifacts / A / "1.0.0" / "data.zip", "w") as archive:
            archive.writestr("../../out.txt", "x")
        failed = await desk.deploy({A: "1.0.0"})
        assert failed.detail == "FAILED_NO_STATE_CHANGE"
        assert "leaves its folder" in failed.cause
        assert inner.read_text() == "other"

    play(tmp_path, act)


def test_a_cancelled_one_is_never_begun(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        desk.write(A, "1.0.0", STAYS)
        identifier = desk.ask(rootComponentVersionsToAdd={A: "1.0.0"})
        desk.queue.cancel(identifier)
        await desk.jobs.work()
        assert desk.entry(identifier).status == CANCELED
        assert at.running() == {}

    play(tmp_path, act)


@pytest.mark.parametrize("begun", ["queued", "in progress", "staged", "published"])
def test_a_core_after_a_killed_one_takes_it_up(tmp_path: Path, begun: str) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        desk.write(A, "1.0.0", STAYS, "x.txt")
        desk.bring(A, "1.0.0", "x.txt", "x")
        identifier = desk.ask(rootComponentVersionsToAdd={A: "1.0.0"})
        entry = desk.entry(identifier)
        if begun != "queued":
            aside = desk.jobs._aside(entry)
            if begun != "in progress":
                from ggml_magic.core import local

                await desk.jobs._staged(local.parse(entry.request), aside)
                # what was brought is copied: the folder is not needed any more
                shutil.rmtree(desk.artifacts)
            desk.queue.put(replace(entry, status=IN_PROGRESS))
            if begun == "published":
                exchange.publish(at.layout, aside)
        await at.reborn()
        desk.open()
        await asyncio.wait_for(desk.jobs.work(), SOON)
        assert desk.entry(identifier).status == "SUCCEEDED"
        assert at.running() == {A: "1.0.0 RUNNING"}

    play(tmp_path, act)


def test_a_core_that_is_killed_within_goes_on_with_what_was_brought(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        slow = {"Install": "touch begun; test -e go || sleep 600", **STAYS}
        desk.write(A, "1.0.0", slow, "x.txt")
        desk.bring(A, "1.0.0", "x.txt", "x")
        identifier = desk.ask(rootComponentVersionsToAdd={A: "1.0.0"})
        work = asyncio.create_task(desk.jobs.work())
        begun = at.layout.work(A) / "begun"
        while not begun.exists():
            await asyncio.sleep(0.01)
        work.cancel()
        await asyncio.wait([work])
        assert desk.entry(identifier).status == IN_PROGRESS
        (at.layout.work(A) / "go").touch()
        shutil.rmtree(desk.recipes)
        shutil.rmtree(desk.artifacts)
        await at.reborn()
        desk.open()
        await asyncio.wait_for(desk.jobs.work(), SOON)
        assert desk.entry(identifier).status == "SUCCEEDED"
        assert at.running() == {A: "1.0.0 RUNNING"}

    play(tmp_path, act)


def test_a_deployment_of_the_cloud_in_between_does_not_tidy_what_was_brought(
    tmp_path: Path,
) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        at.cloud.away = False
        at.cloud.add(B, "1.0.0", {"Install": "sleep 1", **STAYS})
        desk.write(A, "1.0.0", STAYS)
        identifier = desk.ask(rootComponentVersionsToAdd={A: "1.0.0"})
        await asyncio.gather(at.deploy({B: "1.0.0"}), desk.jobs.work())
        assert desk.entry(identifier).status == "SUCCEEDED"
        assert at.running() == {A: "1.0.0 RUNNING", B: "1.0.0 RUNNING"}

    play(tmp_path, act)


def test_a_clock_that_went_back_rejects_nothing(tmp_path: Path) -> None:
    async def act(at: Scene, desk: Desk) -> None:
        desk.write(A, "1.0.0", STAYS)
        entry = desk.queue.add(
            {"recipeDirectoryPath": str(desk.recipes), "rootComponentVersionsToAdd": {A: "1.0.0"}},
            after=10**14,
        )
        await asyncio.wait_for(desk.jobs.work(), SOON)
        assert desk.entry(entry.identifier).status == "SUCCEEDED"
        assert (await desk.deploy({}, rootComponentsToRemove=[A])).status == "SUCCEEDED"
        assert at.running() == {}

    play(tmp_path, act)
