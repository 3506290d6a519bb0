"""What every test shares: a clean environment, and a look at what was left running."""

from __future__ import annotations

import os
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
