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
from ggml_magic.core.logs import last_lines
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
    held = "of it the folder has 1.0.0, this device 1.0.0"
    assert f"3.0.0 is not among the recipes ({held})" in version.why
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
    far = bench.fails(DeploymentError, add={"com.example.Thermometer": "1.0.0"})
    assert far.remedy == f"ls {bench.recipes}"
    bad = bench.recipes / "bad.yaml"
    bad.write_text(f"ComponentName: {B}\nManifests: [\n")
    unreadable = bench.fails(DeploymentError, add={B: "1.0.0"})
    assert unreadable.why == (
        f"{bad} cannot be used: the recipe is neither JSON nor YAML: line 3, column 1: "
        "expected the node content, but found the end"
    )
    same = f"%ggml core deploy --thing pi {folders} --component {B}=1.0.0"
    assert unreadable.remedy == f"mend {bad}, then {same}"
    assert bench.states() == {A: "1.0.0 RUNNING"}
    # the step line does not tell the cause, which the error tells
    assert [step for step in bench.steps if step.state == "FAILED"]
    assert not any(step.detail for step in bench.steps if step.state == "FAILED")
    # and it blocks no other component
    passed = bench.deploy(add={A: "1.0.0"})
    assert f"passed over: {bad} cannot be used: " in str(passed)
    said = last_lines(bench.root / "core.log", 100, "WARN")
    assert any(f"passed over: {bad}" in line for line in said)


@real
def test_what_is_missing_is_said_with_the_place_or_the_line_to_mend_it(bench: Bench) -> None:
    bench.write(A, "1.0.0", STAYS, Artifacts=[{"URI": "s3://BUCKET/x"}])
    folders = f"--recipes {bench.recipes} --artifacts {bench.artifacts}"
    line = f"%ggml core deploy --thing pi {folders} --component {A}=1.0.0"
    artifact = bench.fails(DeploymentError, add={A: "1.0.0"})
    assert f"put it at {bench.artifacts / A / '1.0.0' / 'x'}" in artifact.why
    assert artifact.remedy == line
    error = bench.fails(DeploymentError, add={A: "1.0.0"}, artifacts=None)
    assert error.remedy == (
        f"%ggml core deploy --thing pi --recipes {bench.recipes} --component {A}=1.0.0"
        " --artifacts DIR"
    )
    swapped = bench.fails(GrammarError, add={A: "1.0.0"}, recipes=str(bench.artifacts),
                          artifacts=str(bench.recipes))  # fmt: skip
    assert swapped.what == f"no recipe is in {bench.artifacts}"
    assert swapped.remedy == line
    bench.write(A, "1.0.0", STAYS)
    bench.write(B, "1.0.0", STAYS)
    for name, other in ((A, B), (B, A)):
        file = bench.recipes / f"{name}-1.0.0.json"
        read = json.loads(file.read_text())
        read["ComponentDependencies"] = {other: {"VersionRequirement": "^1.0.0"}}
        file.write_text(json.dumps(read))
    # nobody answers for the cloud, and both are here
    circle = bench.fails(DeploymentError, add={A: "1.0.0", B: "1.0.0"})
    assert "depend on each other" in circle.why
    assert circle.remedy == f"ls {bench.recipes}"


@real
@pytest.mark.parametrize("run", ["exit 7", "sleep 1; echo gone >&2; exit 7"])
def test_what_ends_at_once_is_no_success(bench: Bench, run: str) -> None:
    bench.write(A, "1.0.0", {"Run": run})
    with pytest.raises(DeploymentError) as caught:
        bench.deploy(add={A: "1.0.0"})
    error = caught.value
    assert len(str(error).splitlines()) == 2
    assert A in str(error)
    assert "7" in error.why
    if "sleep" in run:  # else it may be BROKEN even before the deployment ends
        assert error.what.startswith(f"the deployment succeeded, but {A} 1.0.0 ")
        assert error.remedy == f"%ggml logs pi {A} --level WARN"


@real
def test_only_what_a_deployment_started_must_stay(bench: Bench) -> None:
    bench.write(A, "1.0.0", {"Run": "until test -e go; do sleep 0.05; done; exit 7"})
    bench.deploy(add={A: "1.0.0"})
    bench.write(B, "1.0.0", STAYS)

    def heard(step: Step) -> None:
        if step.state == "SUCCEEDED":
            (bench.root / "work" / A / "go").touch()

    # A breaks while B is watched, and it was not this deployment that started it
    wish = Wish(str(bench.recipes), add={B: "1.0.0"})
    done = local.deploy(bench.device, wish, on_step=heard, timeout_seconds=SOON)
    assert {each.name: each.state for each in done.components} == {A: "BROKEN", B: "RUNNING"}
    broken = next(each for each in cores.report(bench.device).components if each.name == A)
    assert "7" in broken.cause


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
def test_what_nucleus_lite_reads_otherwise_is_in_the_report(bench: Bench) -> None:
    endpoint = bench.workspace.root / "sandbox" / "endpoint.json"
    client.stop(bench.root)
    bench.device = client.start(bench.root, "pi", endpoint, 5, "lite")
    (bench.recipes / "a.yaml").write_text(f"""
RecipeFormatVersion: "2020-01-25"
ComponentName: {A}
ComponentVersion: 1.0.0
ComponentConfiguration: {{DefaultConfiguration: {{Interval: 3}}}}
Manifests: [{{Platform: {{os: linux, runtime: "*"}}, Lifecycle: {{run: exec sleep 600}}}}]
""")
    shown = bench.deploy(add={A: "1.0.0"}).card().notes
    assert [note.split(";")[0] for note in shown] == [
        f"{A} 1.0.0: the recipe: nucleus lite reads numbers, booleans and nulls of YAML as text"
    ]


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
