"""The verb ``core``: its actions, its refusals, and a receipt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ggml_magic.core import client
from ggml_magic.deploy.cores import CoreJson, CoreReport, Restarted, StoppedCores
from ggml_magic.deploy.local import LocalDeployment
from ggml_magic.deploy.watch import Step
from ggml_magic.errors import CoreError, GrammarError
from ggml_magic.headless import receipts
from ggml_magic.verbs.cores import core
from ggml_magic.workspace import Workspace

A = "com.example.A"
RECIPE = f"""RecipeFormatVersion: 2020-01-25
ComponentName: {A}
ComponentVersion: 1.0.0
Manifests: [{{Platform: {{os: linux}}, Lifecycle: {{Run: exec sleep 600}}}}]
"""


def test_what_does_not_belong_to_an_action_is_refused(workspace: Workspace) -> None:
    for call, words in (
        (lambda: core("restart"), "needs the component's NAME"),
        (lambda: core("stop", recipes="r"), "takes no --recipes"),
        (lambda: core("deploy", json=True), "takes no --json"),
        (lambda: core("status", run_with={"a": "b"}), "takes no --run-with"),
        (lambda: core("dance"), "cannot be 'dance'"),
        (lambda: core("deploy", on_failure="pray"), "cannot be 'pray'"),
    ):
        with pytest.raises(GrammarError) as caught:
            call()
        assert words in str(caught.value)
        assert caught.value.remedy == "%ggml core --help"


def test_a_core_device_named_by_its_place_is_told_how_it_is_named(workspace: Workspace) -> None:
    for action in ("stop", "status", "deploy"):
        with pytest.raises(GrammarError, match="takes no name by its place") as caught:
            core(action, "lite-pi")
        assert caught.value.remedy == f"%ggml core {action} --thing lite-pi"


def test_what_python_gives_is_taken_or_refused_in_two_lines(workspace: Workspace) -> None:
    conf = {A: {"MERGE": {"x": 1}}}
    for component in ({A: "1.0.0"}, [f"{A}=1.0.0"], (f"{A}=1.0.0",), f"{A}=1.0.0"):
        for configuration in (conf, json.dumps(conf), Path("none.json")):
            # as far as the core device, of which there is none
            with pytest.raises(CoreError, match="no core device here"):
                core("deploy", component=component, configuration=configuration)
    for wrong in ("a", "=1", ["a=1", 2], [("a", "b")], {"a": 1}, {1: "a"}, 7, "a="):
        with pytest.raises(GrammarError, match="it takes a mapping") as caught:
            core("deploy", component=wrong)  # type: ignore[arg-type]  # that is the test
        assert len(str(caught.value).splitlines()) == 2
    for other in (7, ["a"], b"{}"):
        with pytest.raises(GrammarError, match="it takes a mapping, JSON"):
            core("deploy", configuration=other)  # type: ignore[arg-type]  # that is the test


def test_of_several_cores_the_next_line_is_the_whole_one(workspace: Workspace) -> None:
    for thing in ("pi", "roof"):
        workspace.folder("cores", thing)
    for call, line in (
        (lambda: core("status"), "%ggml core status"),
        (lambda: core("restart", A), f"%ggml core restart {A}"),
        (
            lambda: core("deploy", component=f"{A}=1.0.0", configuration={A: {"RESET": []}}),
            f"%ggml core deploy --component {A}=1.0.0 --configuration "
            f"""'{{"{A}": {{"RESET": []}}}}'""",
        ),
    ):
        with pytest.raises(CoreError) as caught:
            call()
        assert caught.value.remedy == f"{line} --thing pi"


def test_where_there_is_no_core(workspace: Workspace) -> None:
    for action in ("status", "deploy"):
        with pytest.raises(CoreError, match="no core device here") as caught:
            core(action, remove=[A] if action == "deploy" else ())
        assert caught.value.remedy == "%ggml sandbox core weather-pi"
    assert core("stop") == StoppedCores(())


@pytest.mark.real
def test_deployed_looked_at_restarted_and_ended(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "a.yaml").write_text(RECIPE)
    root = workspace.folder("cores", "pi")
    client.start(root, "pi", workspace.root / "sandbox" / "endpoint.json", 5)
    try:
        done = core("deploy", recipes=str(tmp_path / "recipes"), component=[f"{A}=1.0.0"])
        assert isinstance(done, LocalDeployment)
        said = capsys.readouterr().out
        assert "SUCCEEDED" in said
        assert f"pi  {A}  RUNNING  1.0.0" in said
        report = core("status")
        assert isinstance(report, CoreReport)
        assert A in str(report)
        structured = core("status", thing="pi", json=True)
        assert isinstance(structured, CoreJson)
        assert json.loads(str(structured))["components"][0]["state"] == "RUNNING"
        assert isinstance(core("restart", A), Restarted)
        steps: list[Step] = []
        core("deploy", remove=[A], on_step=steps.append)
        assert steps[-1].state == "SUCCEEDED"
    finally:
        ended = core("stop")
    assert ended == StoppedCores(("pi",))
    written = [receipt.verb for receipt in receipts.read(workspace)]
    assert set(written) == {"core"}
