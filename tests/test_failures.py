"""Failures as a scheduler sees them: a notebook under papermill, its exit code, its last words.

Each must end the run with a non-zero exit, say one clean sentence and the next command, and
leave nothing half-done.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ggml_magic.sandbox import client
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real

PATIENCE_SECONDS = 120
LOAD = "%load_ext ggml_magic"
NETWORK = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras, numpy as np
X = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
"""
MODEL = "%ggml model rain network --features a,b,c --inputs X"
DEPLOY = "%ggml deploy rain --to thing/pi"


@dataclass(frozen=True)
class Failure:
    """What a failed run left in its notebook."""

    kind: str
    lines: tuple[str, ...]


@pytest.fixture
def own(workspace: Workspace) -> Iterator[Workspace]:
    yield workspace
    client.stop(workspace)


def write(folder: Path, cells: tuple[str, ...]) -> Path:
    path = folder / "in.ipynb"
    made = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": source,
            "execution_count": None,
            "outputs": [],
        }
        for number, source in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(document))
    return path


def papermill(folder: Path, *cells: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    source = write(folder, cells)
    command = [
        *prefix,
        *(sys.executable, "-m", "papermill", str(source), str(folder / "out.ipynb")),
        "--no-progress-bar",
    ]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def fails(folder: Path, *cells: str, prefix: tuple[str, ...] = ()) -> Failure:
    return failure(papermill(folder, *cells, prefix=prefix), folder)


def failure(run: subprocess.Popen[str], folder: Path) -> Failure:
    printed, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode != 0, printed
    outputs = [
        output
        for cell in json.loads((folder / "out.ipynb").read_text())["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
    assert len(outputs) == 1, printed
    lines = tuple("\n".join(outputs[0]["traceback"]).splitlines())
    assert 1 <= len(lines) <= 2, lines
    assert "Traceback" not in "".join(lines)
    return Failure(outputs[0]["ename"], lines)


def passes(folder: Path, *cells: str) -> None:
    run = papermill(folder, *cells)
    printed, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 0, printed


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("%ggml deplyo rain", "GrammarError", "deploy"),
        ("%ggml convert rain --quantise auto", "GrammarError", "--quantize"),
        ("%ggml validate rain --inputs X_tset", "UnknownNameError", "X_tset"),
    ],
)
def test_a_slip_of_the_pen(own: Workspace, tmp_path: Path, line: str, kind: str, said: str) -> None:
    failed = fails(tmp_path, LOAD, line)
    assert failed.kind == kind
    assert said in failed.lines[0]
    assert failed.lines[1].startswith("Next: ")


def test_features_of_another_number(own: Workspace, tmp_path: Path) -> None:
    failed = fails(tmp_path, LOAD, NETWORK, "%ggml model rain network --features a,b --inputs X")
    assert failed.kind == "FeatureMismatchError"
    assert "2" in failed.lines[0]
    assert "3" in failed.lines[0]
    assert not (own.root / "models").exists()


def test_a_network_of_another_width(own: Workspace, tmp_path: Path) -> None:
    two = "Y = X[:, :2]"
    failed = fails(
        tmp_path, LOAD, NETWORK, two, "%ggml model rain network --features a,b --inputs Y"
    )
    assert failed.kind == "FeatureMismatchError"
    assert not (own.root / "models").exists()


def test_nan_in_the_data(own: Workspace, tmp_path: Path) -> None:
    failed = fails(tmp_path, LOAD, NETWORK, "X[7, 1] = np.nan", MODEL)
    assert failed.kind == "MissingValuesError"
    assert "b" in failed.lines[0]
    assert "7" in failed.lines[0]
    assert not (own.root / "models").exists()


def test_validate_before_convert(own: Workspace, tmp_path: Path) -> None:
    failed = fails(tmp_path, LOAD, NETWORK, MODEL, "%ggml validate rain --inputs X")
    assert failed.kind == "NotYetError"
    assert failed.lines[1] == "Next: %ggml convert rain"


def test_deploy_before_the_proof(proven: Workspace, tmp_path: Path) -> None:
    """A model that is not proven, though its bundle is there, goes nowhere."""
    (report,) = proven.root.glob("models/rain/*/reports/*.native.json")
    values = json.loads(report.read_text())
    cells = (LOAD, "%ggml sandbox core pi", "%ggml package rain")
    passes(tmp_path, *cells)
    report.write_text(json.dumps({**values, "passed": False, "reasons": ["3 decisions flip"]}))
    failed = fails(tmp_path, LOAD, DEPLOY)
    assert failed.kind == "GateError"
    assert deployments(proven) == 0


def test_a_target_that_does_not_exist(proven: Workspace, tmp_path: Path) -> None:
    failed = fails(tmp_path, LOAD, "%ggml package rain", "%ggml deploy rain --to thing/attic-pi")
    assert failed.kind == "TargetNotFoundError"
    assert "attic-pi" in failed.lines[0]
    assert failed.lines[1] == "Next: %ggml sandbox core attic-pi"
    assert deployments(proven) == 0


def test_the_sandbox_killed_while_deploying(proven: Workspace, tmp_path: Path) -> None:
    cells = (LOAD, "%ggml sandbox core pi", "%ggml package rain", f"{DEPLOY} --watch")
    run = papermill(tmp_path, *cells)
    logs = proven.root / "cores" / "pi" / "logs"
    wait_for(lambda: any(logs.glob("com.example.Rain*.log")))  # the device is installing
    endpoint = client.running(proven)
    assert endpoint is not None
    os.kill(endpoint.pid, signal.SIGKILL)
    failed = failure(run, tmp_path)
    assert failed.kind == "UnreachableError"
    assert "deploy" in failed.lines[1]

    passes(tmp_path, LOAD, DEPLOY)
    assert deployments(proven) == 1


def test_a_full_disk_while_packaging(proven: Workspace, tmp_path: Path) -> None:
    """A file system of its own for the bundles, with room for nothing."""
    bundles = proven.folder("bundles")
    small = (
        *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
        f'mount -t tmpfs -o size=4k none "{bundles}" && exec "$@"',
        "sh",
    )
    failed = fails(tmp_path, LOAD, "%ggml package rain", prefix=small)
    assert failed.kind == "DiskFullError"
    assert failed.lines[1].startswith("Next: df -h")
    assert not list(bundles.iterdir())
    passes(tmp_path, LOAD, "%ggml package rain")


def deployments(workspace: Workspace) -> int:
    """How many deployments the sandbox has for the device."""
    from ggml_magic import settings
    from ggml_magic.cloud.connect import connect

    cloud = connect(settings.load(workspace), workspace)
    arn = cloud.things.thing_arn("pi")
    return 0 if arn is None or cloud.deployments.latest(arn) is None else 1
