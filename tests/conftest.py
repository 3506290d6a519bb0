"""What every test shares: a clean environment, and a look at what was left running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ggml_magic.workspace import Workspace

OURS = ("ggml_magic.sandbox", "ggml_magic.core", "ggml_magic.convert")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own AWS profile or GGML settings must not reach a test."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GGML_")) and name != "GGML_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace that this process's verbs would find."""
    workspace = Workspace(tmp_path / ".ggml")
    monkeypatch.setenv("GGML_WORKSPACE", str(workspace.root))
    return workspace


# Weights from a seed: no training, and the same model in each run.
PROVEN = """
import numpy as np, keras
import ggml_magic
random = np.random.default_rng(1)
rows = random.normal([1013, 12, 65], [8, 9, 20], (600, 3)).astype("float32")
scaler = keras.layers.Normalization(mean=[1013, 12, 65], variance=[64, 81, 400])
scaler.build((None, 3))
network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu"),
                            keras.layers.Dense(1, activation="sigmoid")])
for layer in network.layers:
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
ggml_magic.model("rain", scaler, network, features="pressure:hPa,temperature:degC,humidity:%",
                 inputs=rows, decide=">= 0.5")
ggml_magic.convert("rain")
ggml_magic.validate("rain", inputs=rows)
"""


@pytest.fixture(scope="session")
def proven_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A described, converted and proven model, made once in a process of its own."""
    root = tmp_path_factory.mktemp("proven") / ".ggml"
    made = subprocess.run(
        [sys.executable, "-c", PROVEN],
        env={**os.environ, "GGML_WORKSPACE": str(root), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return root


@pytest.fixture
def proven(proven_once: Path, workspace: Workspace) -> Iterator[Workspace]:
    """A workspace of one's own with the proven model; its sandbox ends with the test."""
    from ggml_magic.sandbox import client

    shutil.copytree(proven_once, workspace.root)
    yield workspace
    client.stop(workspace)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each test ends what it started: looked at once all are done."""
    yield
    here = str(tmp_path_factory.getbasetemp())
    left = [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"]
        and any(name in " ".join(process.info["cmdline"]) for name in OURS)
        and here in " ".join(process.info["cmdline"])
    ]
    assert not left, f"still running after the tests: {left}"
