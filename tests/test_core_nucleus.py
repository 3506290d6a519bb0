"""What the nucleus's configuration says to the core (EDGE-CORE 1, 3, 4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from edge import wait_for
from sandboxes import own_workspace  # noqa: F401  # pytest finds fixtures by their names

from ggml_magic.core import client as cores
from ggml_magic.core import nucleus
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Component, Contents
from ggml_magic.core.packages import STORE_BYTES
from ggml_magic.core.platforms import device_platform
from ggml_magic.sandbox import client as sandboxes
from ggml_magic.workspace import Workspace


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.make()
    return made


def configured(**written: Any) -> Contents:
    tree = Tree()
    tree.merge((), written, 1)
    return Contents({}, {"aws.greengrass.Nucleus": Component("2.18.0", {}, (), tree)})


def test_without_any_configuration(layout: Layout) -> None:
    found = nucleus.read(layout, Contents())
    assert found == nucleus.Nucleus("classic", device_platform(), False, STORE_BYTES)


def test_platform_interpolation_and_the_stores_size(layout: Layout) -> None:
    held = configured(
        PlatformOverride={"os": "windows", "site": "roof"},
        interpolatecomponentconfiguration="True",
        componentStoreMaxSizeBytes="5000",
    )  # fmt: skip
    found = nucleus.read(layout, held)
    assert found.platform == {**device_platform(), "os": "windows", "site": "roof"}
    assert found.interpolates
    assert found.store_bytes == 5000


@pytest.mark.parametrize("size", ["much", -1, None, "²", 1.5])
def test_what_is_no_size_leaves_the_default(layout: Layout, size: object) -> None:
    held = configured(componentStoreMaxSizeBytes=size, platformOverride="x")
    found = nucleus.read(layout, held)
    assert (found.store_bytes, found.platform) == (STORE_BYTES, device_platform())


def test_the_dialect_outlives_a_restart(layout: Layout) -> None:
    assert nucleus.dialect(layout) == "classic"
    assert nucleus.dialect(layout, "lite") == "lite"
    assert nucleus.read(layout, Contents()).platform["runtime"] == "aws_nucleus_lite"


THING, NAME = "lite-pi", "com.example.Hello"
ARN = f"arn:aws:iot:eu-west-1:123456789012:thing/{THING}"


class Service:
    """Greengrass of a sandbox, as far as deployments to one core device go."""

    def __init__(self, url: str) -> None:
        self.greengrass = boto3.client(
            "greengrassv2", endpoint_url=url, region_name="eu-west-1",
            aws_access_key_id="x", aws_secret_access_key="y", config=Config(proxies={}),
        )  # fmt: skip

    def publish(self, version: str, platform: dict[str, str], script: str, **more: Any) -> None:
        recipe = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": NAME,
            "ComponentVersion": version,
            "Manifests": [{"Platform": platform, "Lifecycle": {"run": script}}], **more,
        }  # fmt: skip
        self.greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())

    def deploy(self, **components: dict[str, Any]) -> dict[str, Any]:
        """How a deployment to the core ended."""
        named = {name.replace("__", "."): each for name, each in components.items()}
        made = self.greengrass.create_deployment(targetArn=ARN, components=named)

        def ended() -> Any:
            found = self.greengrass.list_effective_deployments(coreDeviceThingName=THING)
            for each in found["effectiveDeployments"]:
                done = each["coreDeviceExecutionStatus"] not in ("QUEUED", "IN_PROGRESS")
                if each["deploymentId"] == made["deploymentId"] and done:
                    return each
            return None

        return dict(wait_for(ended, 30))


@pytest.mark.real
def test_a_lite_core_refuses_with_the_reason_and_stays_lite(workspace: Workspace) -> None:
    core = sandboxes.add_core(workspace, THING, 5, "lite")
    service = Service(sandboxes.ensure(workspace, 5).url)
    service.publish("1.0.0", {"os": "linux"}, "sleep 1000")
    ended = service.deploy(com__example__Hello={"componentVersion": "1.0.0"})
    assert ended["coreDeviceExecutionStatus"] == "FAILED"
    assert ended["statusDetails"]["errorStack"][0] == "DEPLOYMENT_FAILURE"
    assert "nucleus lite takes only what names runtime" in ended["reason"]
    assert "FAILED_NO_STATE_CHANGE" in ended["reason"]
    cores.stop(core.root)
    # a restart that does not say what it is
    sandboxes.ensure(workspace, 5)
    service.publish("2.0.0", {"runtime": "aws_nucleus_lite"}, "echo {work:path}x > told; sleep 99")
    ended = service.deploy(com__example__Hello={"componentVersion": "2.0.0"})
    assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED"
    told = core.root / "work" / NAME / "told"
    assert wait_for(lambda: told.exists() and told.read_text().strip()) == f"{told.parent}/x"


@pytest.mark.real
def test_a_deployment_configures_the_nucleus(workspace: Workspace) -> None:
    core = sandboxes.add_core(workspace, THING, 5)
    service = Service(sandboxes.ensure(workspace, 5).url)
    merge = {"platformOverride": {"site": "roof"}, "interpolateComponentConfiguration": True}
    nucleus = {
        "componentVersion": "2.18.0",
        "configurationUpdate": {"merge": json.dumps(merge)},
    }
    ended = service.deploy(aws__greengrass__Nucleus=nucleus)
    assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED"
    defaults = {"where": "{iot:thingName}", "kept": "{configuration:/where}"}
    service.publish(
        "1.0.0", {"site": "roof"},
        "echo '{configuration:/where} {configuration:/kept}' > told; sleep 99",
        ComponentConfiguration={"DefaultConfiguration": defaults},
    )  # fmt: skip
    ended = service.deploy(
        com__example__Hello={"componentVersion": "1.0.0"}, aws__greengrass__Nucleus=nucleus
    )
    assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED"
    told = core.root / "work" / NAME / "told"
    said = wait_for(lambda: told.exists() and told.read_text().strip())
    assert said == f"{THING} {{configuration:/where}}"
    found = service.greengrass.list_installed_components(
        coreDeviceThingName=THING, topologyFilter="ALL"
    )["installedComponents"]
    states = {each["componentName"]: each["lifecycleState"] for each in found}
    assert states == {NAME: "RUNNING", "aws.greengrass.Nucleus": "FINISHED"}
