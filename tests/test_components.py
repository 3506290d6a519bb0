"""Components as others write them: for the first IPC client, and in nothing but shell."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_core_device import ARN, Place, alive, until

from ggml_magic.sandbox import client as sandboxes
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real

COMPONENTS = Path(__file__).parent / "data" / "components"
UNKNOWN = {"aws.greengrass.ipc.pubsub": {"unknown:1": {
    "operations": ["aws.greengrass#Fly"], "resources": ["*"]}}}  # fmt: skip
FIRST, SHELL = "com.example.FirstGeneration", "com.example.Shell"


@pytest.fixture(name="place")
def place_with_both_components(tmp_path: Path) -> Iterator[Place]:
    workspace = Workspace(tmp_path / ".ggml")
    try:
        place = Place(tmp_path)
        for folder in COMPONENTS.iterdir():
            publish(place, folder)
        yield place
    finally:
        sandboxes.stop(workspace)


def publish(place: Place, folder: Path) -> None:
    """What is beside a recipe is its artifacts."""
    (recipe,) = folder.glob("recipe.*")
    for file in folder.iterdir():
        if file != recipe:
            place.s3.put_object(
                Bucket="bucket", Key=f"{folder.name}/{file.name}", Body=file.read_bytes()
            )
    place.greengrass.create_component_version(inlineRecipe=recipe.read_bytes())


def deploy(place: Place, *names: str) -> None:
    merge = {"Python": sys.executable, "accessControl": UNKNOWN}
    python = {"merge": json.dumps(merge)}
    components = {name: {"componentVersion": "1.0.0"} for name in names}
    if FIRST in names:
        components[FIRST]["configurationUpdate"] = python  # type: ignore[assignment]
    made = place.greengrass.create_deployment(targetArn=ARN, components=components)
    found = place.ended(made["deploymentId"])
    assert found["coreDeviceExecutionStatus"] == "SUCCEEDED", found


def test_components_of_the_first_ipc_client_and_in_shell_run_unchanged(place: Place) -> None:
    deploy(place, FIRST, SHELL)
    states = {FIRST: "1.0.0 RUNNING", SHELL: "1.0.0 RUNNING"}
    until(lambda: place.installed() == states, "they do not run")

    # configuration, subscription, publishing, the refusal of what no policy covers, the state
    heard = json.loads((place.core.root / "work" / FIRST / "heard.json").read_text())
    assert heard == [["weather/pressure", p] for p in (1013.2, 1009.5, 998.0)]
    first = read_log(place, FIRST)
    assert "all heard" in first
    assert "stream closed" in first
    assert "stream error" not in first
    assert "PublishToTopic on resource else/where" in first
    assert "it reports RUNNING" in first

    refusal = f"{FIRST}: policy unknown:1 of aws.greengrass.ipc.pubsub is not loaded"
    assert (place.core.root / "core.log").read_text().count(refusal) == 1

    # Skipif, Setenv of the lifecycle and of the step, both streams, and the process it leaves
    shell = read_log(place, SHELL)
    assert "install is skipped: exists /" in shell
    assert "good morning from the hill" in shell
    assert "the sensor warms up" in shell
    background = int((place.core.root / "work" / SHELL / "pid").read_text())
    assert alive(background)

    deploy(place, FIRST)
    until(lambda: place.installed() == {FIRST: "1.0.0 RUNNING"}, "the shell one stays")
    assert "good night" in read_log(place, SHELL)
    until(lambda: not alive(background), "its process outlives it")


def read_log(place: Place, component: str) -> str:
    return (place.core.root / "logs" / f"{component}.log").read_text()


def test_the_scripts_are_what_their_recipes_name() -> None:
    for folder in COMPONENTS.iterdir():
        (recipe,) = folder.glob("recipe.*")
        text = recipe.read_text()
        for file in folder.iterdir():
            assert file == recipe or f"s3://bucket/{folder.name}/{file.name}" in text
            assert os.access(file, os.R_OK)
