"""Pipelines: what a file may say, what is refused before anything runs, and real runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.errors import PipelineError
from ggml_magic.headless import pipeline, receipts
from ggml_magic.workspace import Workspace

ROOT = Path(__file__).parents[1]
RAIN = ROOT / "pipelines" / "rain.yaml"


def notebook(path: Path, *cells: str) -> Path:
    """A notebook whose first cell holds its parameters."""
    document = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {} if number else {"tags": ["parameters"]},
                "source": cell,
                "execution_count": None,
                "outputs": [],
            }
            for number, cell in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"display_name": "p", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(document))
    return path


def declare(folder: Path, text: str) -> pipeline.Pipeline:
    (folder / "p.yaml").write_text(text)
    return pipeline.read(folder / "p.yaml")


def run(declared: pipeline.Pipeline, folder: Path, **changes: Any) -> pipeline.PipelineRun:
    return pipeline.run(declared, changes, folder / "out", on_step=lambda line: None)


def test_the_rain_pipeline_is_whole() -> None:
    declared = pipeline.read(RAIN)
    assert declared.name == "rain"
    assert declared.parameters["target"] == "thing/weather-pi"
    assert [step.notebook.resolve() for step in declared.steps] == [
        ROOT / "notebooks" / "rain_train.ipynb",
        ROOT / "notebooks" / "rain_deploy.ipynb",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("steps: [", "while parsing"),
        ("- 1", "the file is not a mapping"),
        ("name: x", "it has no steps"),
        ("steps: []", "it has no steps"),
        ("stpes: []", "the file has no 'stpes'; did you mean steps?"),
        ("name: a/b\nsteps: [{notebook: a.ipynb}]", "the name 'a/b' is not of letters"),
        ("steps: [{notebok: a.ipynb}]", "a step has no 'notebok'; did you mean notebook?"),
        ("steps: [{parameters: {}}]", "a step has no notebook"),
        ("steps: [{notebook: a.ipynb, parameters: 3}]", "a step's parameters is not a mapping"),
        ("steps: [{notebook: a.ipynb, output: ../b.ipynb}]", "the output '../b.ipynb'"),
        ("steps: [{notebook: a.ipynb}, 3]", "a step is not a mapping"),
        ("parameters: [a]\nsteps: [{notebook: a.ipynb}]", "parameters is not a mapping"),
    ],
)
def test_a_file_that_is_no_pipeline_says_why(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(PipelineError) as caught:
        declare(tmp_path, text)
    assert why in caught.value.why
    assert caught.value.remedy == f"mend {tmp_path / 'p.yaml'}"


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is no pipeline"):
        pipeline.read(tmp_path / "gone.yaml")


DECLARED = """
parameters: {target: thing/pi, rows: 3, fast: false}
steps: [{notebook: a.ipynb, parameters: {where: "${target}", text: "to ${target}!"}}]
"""


def filled(declared: pipeline.Pipeline, **changes: Any) -> dict[str, Any]:
    values = pipeline._parameters(declared, changes)
    return pipeline._filled(declared, declared.steps[0], values)


def test_parameters_are_put_in_by_name(tmp_path: Path) -> None:
    declared = declare(tmp_path, DECLARED)
    assert filled(declared) == {"where": "thing/pi", "text": "to thing/pi!"}
    assert filled(declared, target="thing/x")["text"] == "to thing/x!"


def test_one_that_stands_alone_keeps_its_type(tmp_path: Path) -> None:
    text = DECLARED.replace('"to ${target}!"', '"${rows}", fast: "${fast}", more: 7')
    declared = declare(tmp_path, text)
    assert filled(declared, rows="12", fast="True") == {
        "where": "thing/pi",
        "text": 12,
        "fast": True,
        "more": 7,
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"traget": "x"}, "has no parameter 'traget'; did you mean target?"),
        ({"zz": "x"}, "has no parameter 'zz'; there is target, rows, fast"),
        ({"rows": "many"}, "parameter rows of pipeline p cannot be 'many'"),
        ({"fast": "perhaps"}, "parameter fast of pipeline p cannot be 'perhaps'"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(PipelineError) as caught:
        run(declare(tmp_path, DECLARED), tmp_path, **changes)
    assert said in caught.value.what


def test_an_undeclared_reference_is_refused(tmp_path: Path) -> None:
    declared = declare(tmp_path, DECLARED.replace("${target}!", "${tagret}"))
    with pytest.raises(PipelineError, match="declares no parameter 'tagret'; did you mean target"):
        run(declared, tmp_path)


def test_nothing_runs_when_a_later_notebook_is_missing(tmp_path: Path) -> None:
    notebook(tmp_path / "a.ipynb", "x = 1")
    declared = declare(tmp_path, "steps: [{notebook: a.ipynb}, {notebook: b.ipynb}]")
    with pytest.raises(PipelineError, match=r"there is no notebook .*b\.ipynb"):
        run(declared, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_parameter_that_the_notebook_lacks_is_refused(tmp_path: Path) -> None:
    notebook(tmp_path / "a.ipynb", "target = 'x'")
    declared = declare(tmp_path, "steps: [{notebook: a.ipynb, parameters: {traget: 1}}]")
    with pytest.raises(PipelineError, match=r"a\.ipynb has no parameter 'traget'; did you mean"):
        run(declared, tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.real
def test_steps_run_in_order_in_one_workspace(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    use = "import ggml_magic\nprefix = ggml_magic.config().prefix"
    notebook(
        tmp_path / "a.ipynb", "prefix = ''", "%load_ext ggml_magic", "%ggml config prefix={prefix}"
    )
    notebook(tmp_path / "b.ipynb", "times = 0", use, "print(prefix * times)")
    declared = declare(
        tmp_path,
        "name: two\nparameters: {prefix: org.x, times: 2}\nsteps:\n"
        "  - {notebook: a.ipynb, parameters: {prefix: '${prefix}'}}\n"
        "  - {notebook: b.ipynb, parameters: {times: '${times}'}, output: c.ipynb}\n",
    )
    lines: list[str] = []
    done = pipeline.run(declared, {"times": "3"}, tmp_path / "out", on_step=lines.append)
    assert lines == ["1 of 2  a.ipynb", "2 of 2  b.ipynb"]
    assert [step.output.name for step in done.steps] == ["a.ipynb", "c.ipynb"]
    assert "org.xorg.xorg.x" in (tmp_path / "out" / "c.ipynb").read_text()
    assert "pipeline two: 2 of 2 notebooks ran" in str(done)


@pytest.mark.real
def test_the_first_failure_ends_the_run(tmp_path: Path, workspace: Workspace) -> None:
    notebook(tmp_path / "a.ipynb", "x = 1", "%load_ext ggml_magic", "%ggml convert rain")
    notebook(tmp_path / "b.ipynb", "x = 1")
    (tmp_path / "p.yaml").write_text("steps: [{notebook: a.ipynb}, {notebook: b.ipynb}]")
    ran = subprocess.run(
        [sys.executable, "-m", "ggml_magic.command", "run", "p.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert ran.stdout.splitlines() == ["1 of 2  a.ipynb"]
    first, second = ran.stderr.strip().splitlines()[-2:]
    assert first.startswith("pipeline p, step 1 (a.ipynb) failed in cell [")
    assert "NotYetError: there is no model 'rain' in this workspace" in first
    assert second.startswith("Next: ggml model rain STAGE…")
    assert not (tmp_path / "build" / "p" / "b.ipynb").exists()
    last = receipts.read(workspace)[-1]
    assert (last.verb, last.name, last.status) == ("run", "p.yaml", "failed")
    assert last.error == "PipelineError"


@pytest.mark.real
def test_a_dead_kernel_is_a_failed_step(tmp_path: Path, workspace: Workspace) -> None:
    notebook(
        tmp_path / "a.ipynb", "x = 1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(PipelineError, match=r"step 1 \(a\.ipynb\): Kernel died"):
        run(declare(tmp_path, "steps: [{notebook: a.ipynb}]"), tmp_path)


@pytest.fixture
def stopped(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace whose sandbox ends with the test."""
    from ggml_magic.sandbox import client

    yield workspace
    client.stop(workspace)


@pytest.mark.real
def test_the_rain_pipeline_trains_proves_and_deploys(tmp_path: Path, stopped: Workspace) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "ggml_magic.command", "run", str(RAIN)),
            *("--set", "target=thing/roof-pi", "--set", "epochs=1", "--output", "out"),
        ],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "pipeline rain: 2 of 2 notebooks ran" in ran.stdout
    executed = json.loads((tmp_path / "out" / "rain_deploy.ipynb").read_text())
    kinds = {
        kind
        for cell in executed["cells"]
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    }
    assert kinds <= {"text/plain", "text/html"}
    assert "rain → thing/roof-pi on sandbox: SUCCEEDED" in json.dumps(executed, ensure_ascii=False)
    done = [each for each in receipts.read(stopped) if each.verb == "deploy"]
    assert [(each.name, each.status, each.cloud) for each in done] == [("rain", "ok", "sandbox")]
