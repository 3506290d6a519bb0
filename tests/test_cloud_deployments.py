"""Deployments go to the service and come back as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.cloud.deployments import (
    DeployedComponent,
    DeploymentDocument,
    _deployed,
    _reason,
    _told,
)
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

components = st.builds(
    DeployedComponent,
    name=st.just("a"),
    version=st.sampled_from(["1.0.0", "2.1.3"]),
    merge=st.sampled_from(["", "{}", '{"a": 1}']),
    reset=st.lists(st.sampled_from(["", "/a", "/b/c"]), unique=True).map(tuple),
    run_with=st.sampled_from([{}, {"posixUser": "u:g"}, {"systemResourceLimits": {"cpus": 1.5}}]),
)


@given(components)
@settings(deadline=None)
def test_a_component_is_read_as_it_was_written(component: DeployedComponent) -> None:
    assert _deployed(component.name, _told(component)) == component


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"reason": "FAILED: no\nspace"}, "FAILED: no space"),
        ({"statusDetails": {"errorStack": ["A_ERROR", "B_ERROR"]}}, "A_ERROR, B_ERROR"),
        ({}, ""),
    ],
)
def test_a_reason_is_one_line(item: dict[str, object], reason: str) -> None:
    assert _reason(item) == reason


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("deployments") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


def publish(cloud: Cloud, name: str) -> None:
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": "1.0.0",
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Run": "sleep 1"}}],
    }
    cloud.components.create(json.dumps(recipe).encode(), "", {})
    cloud.components.wait_deployable(name, "1.0.0")


@pytest.mark.real
def test_the_latest_deployment_of_a_target_comes_back_whole(cloud: Cloud) -> None:
    publish(cloud, "com.other.Whole")
    arn = cloud.things.iot.call("CreateThing", thingName="whole")["thingArn"]
    assert cloud.deployments.latest(arn) is None
    document = DeploymentDocument(
        name="somebody's",
        target_arn=arn,
        components=(
            DeployedComponent(
                "com.other.Whole",
                "1.0.0",
                merge='{"interval": 5}',
                reset=("/old",),
                run_with={"posixUser": "pi:pi"},
            ),
        ),
        policies={"failureHandlingPolicy": "DO_NOTHING"},
        job={"timeoutConfig": {"inProgressTimeoutInMinutes": 7}},
        tags={"team": "weather"},
    )
    identifier = cloud.deployments.create(document)
    found = cloud.deployments.latest(arn)
    assert found is not None
    assert (found.id, found.name, found.status) == (identifier, "somebody's", "ACTIVE")
    assert found.components == document.components
    assert found.policies["failureHandlingPolicy"] == "DO_NOTHING"
    assert found.job == document.job
    assert found.tags == document.tags
    second = cloud.deployments.create(document)
    latest = cloud.deployments.latest(arn)
    assert latest is not None
    assert latest.id == second


@pytest.mark.real
def test_what_never_reported_has_nothing(cloud: Cloud) -> None:
    assert cloud.deployments.get("00000000-0000-0000-0000-000000000000") is None
    assert cloud.deployments.core("nobody") is None
    assert cloud.deployments.effective("nobody") == ()
    assert cloud.deployments.installed("nobody") == ()
    assert cloud.deployments.cores() == ()
