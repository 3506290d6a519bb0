"""Settings, the sandbox and pipelines as verbs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ggml_magic.errors import GrammarError, PipelineError
from ggml_magic.verbs import around
from ggml_magic.workspace import Workspace


def test_settings_are_kept_in_the_workspace(workspace: Workspace) -> None:
    assert around.config("cloud=sandbox", "region=us-east-1").region == "us-east-1"
    assert around.config().region == "us-east-1"


@pytest.mark.parametrize("change", ["cloud", "=x", ""])
def test_a_setting_is_key_and_value(workspace: Workspace, change: str) -> None:
    with pytest.raises(GrammarError, match="a setting is given as KEY=VALUE"):
        around.config(change)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("core",), "core needs a NAME"), (("stop", "pi"), "stop takes no name")],
)
def test_only_a_core_has_a_name(workspace: Workspace, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(GrammarError, match=said):
        around.sandbox(*words)


def test_status_and_stop_start_nothing(workspace: Workspace) -> None:
    assert "not running" in str(around.sandbox("status"))
    assert "no sandbox was running" in str(around.sandbox("stop"))
    assert "not running" in str(around.sandbox("status"))


def test_exports_are_lines_for_a_shell() -> None:
    exports = around.Exports({"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    ran = subprocess.run(
        ["sh", "-c", f'{exports}\necho "$AWS_REGION $AWS_ENDPOINT_URL"'],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "eu-west-1 http://127.0.0.1:1\n"
    assert "sandbox" in exports._repr_html_()


def test_a_pipeline_that_is_not_there(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is no pipeline"):
        around.run(str(tmp_path / "gone.yaml"))


@pytest.fixture
def stopped(workspace: Workspace) -> Iterator[Workspace]:
    yield workspace
    around.sandbox("stop")


@pytest.mark.real
def test_the_sandbox_from_start_to_stop(stopped: Workspace) -> None:
    assert "http://127.0.0.1:" in str(around.sandbox("start"))
    assert "around-pi" in str(around.sandbox("core", "around-pi"))
    exports = around.sandbox("env")
    assert isinstance(exports, around.Exports)
    code = (
        "import boto3; print([c['coreDeviceThingName'] for c in"
        " boto3.client('greengrassv2').list_core_devices()['coreDevices']])"
    )
    ran = subprocess.run(
        ["sh", "-c", f'{exports}\npython -c "$CODE"'],
        env={**os.environ, "CODE": code},
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "['around-pi']\n"
    assert "around-pi" in str(around.sandbox("stop"))
    assert "not running" in str(around.sandbox("status"))
