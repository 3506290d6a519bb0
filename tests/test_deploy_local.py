"""Deployments from folders to a real core device, without a sandbox."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core import client
from ggml_magic.core.client import CoreDevice
from ggml_magic.deploy import cores, local
from ggml_magic.deploy.local import LocalDeployment, Wish
from ggml_magic.deploy.watch import Step
from ggml_magic.errors import (
    CoreError,
    DeploymentError,
    DeploymentTimeoutError,
    GgmlError,
    GrammarError,
)
from ggml_magic.workspace import Workspace

real = pytest.mark.real
A, B = "com.example.A", "com.example.B"
STAYS = {"Run": "echo '{configuration:/said}' > said; exec sleep 600"}
SOON = 30.0


class Bench:
    """A core device, and folders to deploy from."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder / ".ggml")
        self.root = self.workspace.folder("cores", "pi")
        self.recipes, self.artifacts = folder / "recipes", folder / "artifacts"
        self.recipes.mkdir()
        self.artifacts.mkdir()
        self.steps: list[Step] = []
        self.device = self.start()

    def start(self) -> CoreDevice:
        endpoint = self.workspace.root / "sandbox" / "endpoint.json"
        return client.start(self.root, "pi", endpoint, 5)

    def write(self, name: str, version: str, lifecycle: Mapping[str, str], **more: Any) -> None:
        recipe = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name,
            "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": {"said": version}},
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": lifecycle, **more}],
        }  # fmt: skip
        (self.recipes / f"{name}-{version}.json").write_text(json.dumps(recipe))

    def deploy(self, timeout: float = SOON, **wish: Any) -> LocalDeployment:
        folders = {"recipes": str(self.recipes), "artifacts": str(self.artifacts)}
        return local.deploy(
            self.device, Wish(**{**folders, **wish}), on_step=self.steps.append,
            timeout_seconds=timeout,
        )  # fmt: skip

    def fails(self, kind: type[GgmlError], **wish: Any) -> GgmlError:
        """The error, of two lines with the exact next command."""
        with pytest.raises(kind) as caught:
            self.deploy(**wish)
        assert len(str(caught.value).splitlines()) == 2
        return caught.value

    def states(self) -> dict[str, str]:
        return {each.name: f"{each.version} {each.state}" for each in cores.components(self.device)}


@pytest.fixture(name="bench")
def core_with_folders(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    client.stop(made.root)


def test_a_wish_is_what_the_core_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r").mkdir()
    (tmp_path / "c.json").write_text('{"a": {"RESET": [""]}}')
    asked = local.request(
        Wish(
            "r",
            "r",
            {"a": "1.0.0"},
            ("b",),
            "c.json",
            {"a": "me:us", "b:posixUser": "you", "b:cpus": "0.5", "b:memory": "1024"},
            "nothing",
        )
    )
    assert asked == {
        "recipeDirectoryPath": str(tmp_path / "r"),
        "artifactsDirectoryPath": str(tmp_path / "r"),
        "rootComponentVersionsToAdd": {"a": "1.0.0"},
        "rootComponentsToRemove": ["b"],
        "componentToConfiguration": {"a": {"RESET": [""]}},
        "componentToRunWithInfo": {
            "a": {"posixUser": "me:us"},
            "b": {"posixUser": "you", "systemResourceLimits": {"cpus": 0.5, "memory": 1024}},
        },
        "failureHandlingPolicy": "DO_NOTHING",
    }
    written = local.request(Wish(configuration=' {"a": {"MERGE": {"x": 1}}}'))
    assert written["componentToConfiguration"] == {"a": {"MERGE": {"x": 1}}}


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(), "nothing to do"),
        (Wish(recipes="/nowhere/at/all"), "--recipes /nowhere/at/all is no folder"),
        (Wish(artifacts="/etc/passwd"), "--artifacts /etc/passwd is no folder"),
        (Wish(configuration="none.json"), "No such file"),
        (Wish(configuration="{x"), "neither a file of JSON nor JSON"),
        (Wish(configuration="x" * 5000), "neither a file of JSON nor JSON"),
        (Wish(configuration="\0"), "neither a file of JSON nor JSON"),
        (Wish(run_with={"a:user": "me"}), "--run-with a:user=me is not understood"),
        (Wish(run_with={"a:cpus": "many"}), "NAME:cpus=NUMBER"),
    ],
)
def test_what_cannot_be_meant_is_said_before_the_core_is_asked(wish: Wish, words: str) -> None:
    with pytest.raises(GrammarError) as caught:
        local.request(wish)
    assert words in str(caught.value)
    assert caught.value.remedy
    assert len(str(caught.value).splitlines()) == 2


@real
def test_a_component_is_deployed_changed_rolled_back_and_removed(bench: Bench) -> None:
    bench.write(A, "1.0.0", {"Install": "cp {artifacts:path}/x .", **STAYS},
                Artifacts=[{"URI": "s3://BUCKET/x"}])  # fmt: skip
    (bench.artifacts / A / "1.0.0").mkdir(parents=True)
    (bench.artifacts / A / "1.0.0" / "x").write_text("artifact")
    first = bench.deploy(add={A: "1.0.0"})
    assert first.status == "SUCCEEDED"
    assert [(each.name, each.version, each.role) for each in first.components] == [
        (A, "1.0.0", "root")
    ]
    assert (bench.root / "work" / A / "x").read_text() == "artifact"
    for said in ("local deployment to pi: SUCCEEDED", first.deployment_id, A, "RUNNING"):
        assert said in str(first)
        assert said in first._repr_html_()
    assert {step.state for step in bench.steps} >= {"SUCCEEDED", "RUNNING"}
    # another version, which another component needs too
    bench.write(A, "1.1.0", STAYS)
    update = json.dumps({A: {"MERGE": {"said": "merged"}}})
    bench.deploy(add={A: "1.1.0"}, configuration=update)
    assert bench.states() == {A: "1.1.0 RUNNING"}
    # one that breaks is rolled back, and its own last words are the cause
    bench.write(A, "2.0.0", {"Install": "echo 'no such module' >&2; exit 1"})
    error = bench.fails(DeploymentError, add={A: "2.0.0"})
    assert "FAILED_ROLLBACK_COMPLETE" in str(error)
    assert "no such module" in error.why
    assert error.remedy == f"%ggml logs pi {A}"
    assert bench.states() == {A: "1.1.0 RUNNING"}
    # what there is outlives the core
    client.stop(bench.root)
    bench.device = bench.start()
    report = cores.report(bench.device)
    assert [each.status for each in report.local_deployments] == [
        "FAILED", "SUCCEEDED", "SUCCEEDED"
    ]  # fmt: skip
    assert report.groups[0].roots == {A: "1.1.0"}
    assert cores.restart(bench.device, A).component.state == "RUNNING"
    assert (bench.root / "work" / A / "said").read_text() == "merged\n"
    assert bench.deploy(remove=(A,)).components == ()
    assert not any((bench.root / "packages" / "recipes").iterdir())


@real
def test_what_goes_wrong_is_two_lines_with_the_next_command(bench: Bench) -> None:
    bench.write(A, "1.0.0", STAYS)
    bench.deploy(add={A: "1.0.0"})
    version = bench.fails(DeploymentError, add={A: "3.0.0"})
    folders = f"--recipes {bench.recipes} --artifacts {bench.artifacts}"
    assert "3.0.0 is not among the recipes (of it there: 1.0.0)" in version.why
    assert version.remedy == f"%ggml core deploy --thing pi {folders} --component {A}=1.0.0"
    name = bench.fails(DeploymentError, add={"com.example.a": "1.0.0"})
    assert name.remedy.endswith(f"--component {A}=1.0.0")
    removed = bench.fails(DeploymentError, remove=("com.example.Aa",))
    assert f"did you mean {A}?" in removed.why
    assert removed.remedy == f"%ggml core deploy --thing pi --remove {A}"
    assert "local deployments brought" in bench.fails(DeploymentError, remove=("x",)).why
    refused = bench.fails(GrammarError, add={"a/b": "1.0.0"})
    assert refused.why == "'a/b' is no name of a component"
    configured = bench.fails(DeploymentError, configuration=json.dumps({B: {"MERGE": {}}}))
    assert "no root component" in configured.why
    with pytest.raises(CoreError, match="did you mean") as caught:
        cores.restart(bench.device, "com.example.Aa")
    assert caught.value.remedy == f"%ggml core restart {A} --thing pi"
    (bench.recipes / "bad.yaml").write_text("a: [")
    unreadable = bench.fails(DeploymentError, add={A: "1.0.0"})
    assert f"{bench.recipes / 'bad.yaml'} cannot be used" in unreadable.why
    assert unreadable.remedy == "%ggml core status --thing pi"
    assert bench.states() == {A: "1.0.0 RUNNING"}


@real
def test_one_that_takes_long_goes_on(bench: Bench) -> None:
    bench.write(A, "1.0.0", {"Install": "until test -e go; do sleep 0.05; done", **STAYS})
    error = bench.fails(DeploymentTimeoutError, add={A: "1.0.0"}, timeout=0.5)
    assert error.remedy == "%ggml core status --thing pi"
    # the next one waits for it
    (bench.root / "work" / A / "go").touch()
    bench.write(B, "1.0.0", STAYS)
    bench.deploy(add={B: "1.0.0"})
    assert bench.states() == {A: "1.0.0 RUNNING", B: "1.0.0 RUNNING"}


@real
def test_a_deployment_survives_the_death_of_its_core(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SILENCE_SECONDS", 0.2)
    bench.write(A, "1.0.0", {"Install": "touch here; until test -e go; do sleep 0.05; done",
                             **STAYS})  # fmt: skip
    caught: list[GgmlError] = []
    thread = threading.Thread(
        target=lambda: caught.append(bench.fails(CoreError, add={A: "1.0.0"}))
    )
    thread.start()
    work = bench.root / "work" / A
    while not (work / "here").exists():
        thread.join(0.01)
        assert thread.is_alive()
    os.kill(bench.device.pid, signal.SIGKILL)
    thread.join()
    assert caught[0].remedy == "%ggml sandbox core pi"
    (work / "go").touch()
    bench.device = bench.start()
    bench.write(B, "1.0.0", STAYS)
    # what comes after it ends after it
    bench.deploy(add={B: "1.0.0"})
    assert bench.states() == {A: "1.0.0 RUNNING", B: "1.0.0 RUNNING"}
    report = cores.report(bench.device)
    assert [each.status for each in report.local_deployments] == ["SUCCEEDED"] * 2
