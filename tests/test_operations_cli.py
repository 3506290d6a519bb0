"""The IPC operations of ``cli``, asked by both generations of the unmodified ``awsiotsdk``."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import client as v1
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OTHER, OWN, SOON, Core, client_of_own, core_with_two_components

from ggml_magic.core.lifecycle import State
from ggml_magic.core.local_queue import MOST_WAITING
from ggml_magic.core.operations.cli import SERVICE
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS

__all__ = ["client_of_own", "core_with_two_components"]
NO_ONE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(name="terminal")
def client_of_the_terminal(core: Core) -> Iterator[GreengrassCoreIPCClientV2]:
    """The SDK's client with the token that the core gives to terminals."""
    token = core.access.token
    made = GreengrassCoreIPCClientV2(connect(ipc_socket=str(core.socket), authtoken=token))
    yield made
    made.close().result(SOON)


def create(client: GreengrassCoreIPCClientV2, **request: Any) -> str:
    return str(client.create_local_deployment(**request).deployment_id)


@contextlib.contextmanager
def refused(kind: type[Exception], words: str) -> Iterator[None]:
    """The SDK's errors have their text in a member of their own."""
    with pytest.raises(kind) as caught:
        yield
    assert words in caught.value.message  # type: ignore[attr-defined]  # all of the model's have


def test_components_with_version_state_and_configuration(
    core: Core, terminal: GreengrassCoreIPCClientV2
) -> None:
    listed = {each.component_name: each for each in terminal.list_components().components}
    assert set(listed) == {OWN, OTHER}
    assert (listed[OTHER].version, listed[OTHER].state) == ("1.0.0", model.LifecycleState.NEW)
    assert listed[OTHER].configuration == {"theirs": True}
    core.engine.supervisors[OWN].state = State.RUNNING
    found = terminal.get_component_details(component_name=OWN).component_details
    assert (found.component_name, found.state) == (OWN, model.LifecycleState.RUNNING)
    assert found.configuration["Deep"] == {"Key": "x"}


def test_a_component_that_is_not_there(terminal: GreengrassCoreIPCClientV2) -> None:
    for ask in (
        terminal.get_component_details,
        terminal.restart_component,
        terminal.stop_component,
    ):
        with pytest.raises(model.ResourceNotFoundError) as caught:
            ask(component_name="com.example.None")
        assert caught.value.resource_name == "com.example.None"
        with pytest.raises(model.InvalidArgumentsError):
            ask(component_name="")


def test_a_component_is_stopped_and_started_again(
    core: Core, terminal: GreengrassCoreIPCClientV2
) -> None:
    assert terminal.stop_component(component_name=OTHER).stop_status == "SUCCEEDED"
    # answered once it is done: a look after it sees it
    details = terminal.get_component_details(component_name=OTHER).component_details
    assert details.state == model.LifecycleState.FINISHED
    before = core.engine.supervisors[OTHER]._task
    assert terminal.restart_component(component_name=OTHER).restart_status == "SUCCEEDED"
    assert core.engine.supervisors[OTHER]._task is not before


def test_a_broken_component_is_not_restarted_and_it_says_why(
    core: Core, terminal: GreengrassCoreIPCClientV2
) -> None:
    supervisor = core.engine.supervisors[OWN]
    supervisor.state, supervisor.reason = State.BROKEN, "its script fails"
    answer = terminal.restart_component(component_name=OWN)
    assert answer.restart_status == "FAILED"
    assert answer.message == f"{OWN} is BROKEN; only a deployment mends it: its script fails"
    assert terminal.stop_component(component_name=OWN).stop_status == "FAILED"
    supervisor.state = State.NEW


def test_a_local_deployment_is_asked_for_listed_and_told(
    core: Core, terminal: GreengrassCoreIPCClientV2, tmp_path: Path
) -> None:
    limits = model.SystemResourceLimits(memory=1024, cpus=0.5)
    first = create(
        terminal,
        root_component_versions_to_add={OWN: "1.0.0"},
        root_components_to_remove=[OTHER],
        component_to_configuration={OWN: {"MERGE": {"x": 1}, "RESET": ["/y"]}},
        component_to_run_with_info={
            OWN: model.RunWithInfo(posix_user="me", system_resource_limits=limits)
        },
        recipe_directory_path=str(tmp_path),
        artifacts_directory_path=str(tmp_path / "root" / "work"),
        failure_handling_policy=model.FailureHandlingPolicy.DO_NOTHING,
    )
    second = create(terminal, group_name="roof")
    told = terminal.get_local_deployment_status(deployment_id=first).deployment
    assert (told.deployment_id, told.status) == (first, model.DeploymentStatus.QUEUED)
    assert told.deployment_status_details is None
    assert len(told.created_on.split("/")) == 3
    listed = terminal.list_local_deployments().local_deployments
    assert [each.deployment_id for each in listed] == [second, first]
    # as it will be read when it is carried out, also by a core after this one
    entry = core.local.find(first)
    assert entry is not None
    assert entry.request["componentToConfiguration"] == {OWN: {"MERGE": {"x": 1}, "RESET": ["/y"]}}
    failed = replace(
        entry, status="FAILED", detail="FAILED_NO_STATE_CHANGE", cause="no such version",
        errors=("DEPLOYMENT_FAILURE", "X"), types=("REQUEST_ERROR",),
    )  # fmt: skip
    core.local.put(failed)
    told = terminal.get_local_deployment_status(deployment_id=first).deployment
    assert told.status == model.DeploymentStatus.FAILED
    details = told.deployment_status_details
    assert details.detailed_deployment_status == "FAILED_NO_STATE_CHANGE"
    assert details.deployment_failure_cause == "no such version"
    assert details.deployment_error_stack == ["DEPLOYMENT_FAILURE", "X"]
    assert details.deployment_error_types == ["REQUEST_ERROR"]


def test_a_deployment_is_newer_than_its_group_s_last(
    core: Core, terminal: GreengrassCoreIPCClientV2
) -> None:
    from ggml_magic.core.inventory import Contents, Group

    far = 10**14
    group = Group({}, far, "before")
    core.held.replace(Contents({LOCAL_DEPLOYMENTS: group}, core.held.contents.components))
    entry = core.local.find(create(terminal))
    assert entry is not None
    assert entry.created == far + 1


def test_requests_that_cannot_be(terminal: GreengrassCoreIPCClientV2, tmp_path: Path) -> None:
    with pytest.raises(model.InvalidRecipeDirectoryPathError):
        create(terminal, recipe_directory_path="recipes")
    with pytest.raises(model.InvalidArtifactsDirectoryPathError):
        create(terminal, artifacts_directory_path=str(tmp_path / "none"))
    with refused(model.InvalidArgumentsError, "no name of a component"):
        create(terminal, root_component_versions_to_add={"../x": "1.0.0"})
    with refused(model.InvalidArgumentsError, "no UUID"):
        terminal.get_local_deployment_status(deployment_id="mine")
    with pytest.raises(model.ResourceNotFoundError) as caught:
        terminal.get_local_deployment_status(deployment_id=NO_ONE)
    assert caught.value.resource_type == "LocalDeployment"


def test_what_waits_is_cancelled_and_what_ended_is_not(
    core: Core, terminal: GreengrassCoreIPCClientV2
) -> None:
    identifier = create(terminal)
    assert identifier in terminal.cancel_local_deployment(deployment_id=identifier).message
    told = terminal.get_local_deployment_status(deployment_id=identifier).deployment
    assert told.status == model.DeploymentStatus.CANCELED
    with refused(model.InvalidArgumentsError, "is CANCELED"):
        terminal.cancel_local_deployment(deployment_id=identifier)


def test_the_queue_has_an_end(terminal: GreengrassCoreIPCClientV2) -> None:
    for _ in range(MOST_WAITING):
        create(terminal)
    with refused(model.ServiceError, "wait already"):
        create(terminal)


def calls(client: GreengrassCoreIPCClientV2) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Every operation, with the resource that a policy for it names."""
    return {
        "ListComponents": ("*", client.list_components),
        "GetComponentDetails": (OTHER, lambda: client.get_component_details(component_name=OTHER)),
        "RestartComponent": (OTHER, lambda: client.restart_component(component_name=OTHER)),
        "StopComponent": (OTHER, lambda: client.stop_component(component_name=OTHER)),
        "CreateLocalDeployment": ("*", client.create_local_deployment),
        "ListLocalDeployments": ("*", client.list_local_deployments),
    }


def test_a_component_may_only_what_its_policy_grants(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    for name, (resource, call) in calls(client).items():
        with refused(model.UnauthorizedError, f"{SERVICE}:aws.greengrass#{name}"):
            call()
        core.allow(SERVICE, [name], resource)
        call()
        core.allow(SERVICE, [name], "another")
        with pytest.raises(model.UnauthorizedError):
            call()
    with pytest.raises(model.UnauthorizedError):
        client.get_local_deployment_status(deployment_id=NO_ONE)


def test_who_may_not_learns_not_what_is_there(client: GreengrassCoreIPCClientV2) -> None:
    for name in (OTHER, "com.example.None"):
        with pytest.raises(model.UnauthorizedError):
            client.get_component_details(component_name=name)


def test_a_component_that_restarts_itself_gets_its_answer(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    core.allow(SERVICE, ["RestartComponent"], OWN)
    assert client.restart_component(component_name=OWN).restart_status == "SUCCEEDED"


def test_the_first_generation_of_the_sdk(core: Core) -> None:
    connection = connect(ipc_socket=str(core.socket), authtoken=core.access.token)
    client: Any = connection
    assert isinstance(client, v1.GreengrassCoreIPCClient)
    operations: dict[str, tuple[Any, Any]] = {
        "list": (client.new_list_components(), model.ListComponentsRequest()),
        "create": (
            client.new_create_local_deployment(),
            model.CreateLocalDeploymentRequest(root_component_versions_to_add={OWN: "1.0.0"}),
        ),
        "deployments": (
            client.new_list_local_deployments(),
            model.ListLocalDeploymentsRequest(),
        ),
        "stop": (client.new_stop_component(), model.StopComponentRequest(component_name=OTHER)),
    }
    answers: dict[str, Any] = {}
    for name, (operation, request) in operations.items():
        operation.activate(request).result(SOON)
        future: concurrent.futures.Future[Any] = operation.get_response()
        answers[name] = future.result(SOON)
    assert len(answers["list"].components) == 2
    listed = answers["deployments"].local_deployments
    assert [each.deployment_id for each in listed] == [answers["create"].deployment_id]
    assert answers["stop"].stop_status == "SUCCEEDED"
    client.close().result(SOON)
