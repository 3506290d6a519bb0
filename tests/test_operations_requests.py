"""The IPC operations of ``requests``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

from typing import Any, cast

import pytest
from awsiot.eventstreamrpc import AccessDeniedError
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OWN, SOON, Core, client_of_own, core_with_two_components

from ggml_magic.core import ipc
from ggml_magic.core.ipc import Call, IpcError, Stream
from ggml_magic.core.operations import requests

__all__ = ["client_of_own", "core_with_two_components"]


def test_a_wrong_token_is_told_so(core: Core) -> None:
    with pytest.raises(AccessDeniedError):
        connect(ipc_socket=str(core.socket), authtoken="wrong")


def test_a_unary_streams_end_reaches_the_client(core: Core) -> None:
    """Without an answer to its TERMINATE the SDK's close futures never fire."""
    connection = connect(ipc_socket=str(core.socket), authtoken=f"token {OWN}")
    operation = connection.new_get_configuration()
    operation.activate(model.GetConfigurationRequest()).result(SOON)
    assert operation.get_response().result(SOON).component_name == OWN
    assert operation.close().result(SOON) is None
    connection.close().result(SOON)


def test_an_operation_that_is_not_served_is_an_error_with_its_name(
    client: GreengrassCoreIPCClientV2,
) -> None:
    with pytest.raises(model.ServiceError) as caught:
        client.pause_component(component_name=OWN)
    assert caught.value.message == "PauseComponent is not served by this core"


@pytest.mark.parametrize("seconds", [1.001, 0.29, 1795248542.123, 7])
def test_a_time_is_its_nearest_millisecond(seconds: float) -> None:
    """Seconds are a float on the wire; cut off, some times would be one millisecond older."""
    assert requests.milliseconds(asked(timestamp=seconds)) == round(seconds * 1000)


@pytest.mark.parametrize("seconds", [None, True, "7", float("nan"), float("inf")])
def test_what_is_no_time(seconds: Any) -> None:
    with pytest.raises(IpcError):
        requests.milliseconds(asked(timestamp=seconds))


@pytest.mark.parametrize("path", ["a", ["a", 1], {"a": 1}])
def test_what_is_no_key_path(path: Any) -> None:
    with pytest.raises(IpcError):
        requests.key_path(asked(keyPath=path))


def test_no_key_path_is_all() -> None:
    assert requests.key_path(asked()) == requests.key_path(asked(keyPath=None)) == ()


def asked(**request: Any) -> Call:
    return Call(OWN, "Any", request, Stream(1, cast("Any", None)))


@pytest.mark.real
def test_a_client_that_never_ends_its_answered_streams_goes_on_for_ever(
    client: GreengrassCoreIPCClientV2,
) -> None:
    """The SDK's V2 client does not; a component calls more than once a second for months."""
    for _ in range(ipc.MOST_STREAMS + 2):
        assert client.get_configuration(key_path=["Interval"]).value == {"Interval": 3}


def test_what_a_component_may_not_do_is_told_once_of_the_same(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    for _ in range(3):
        with pytest.raises(model.UnauthorizedError):
            client.publish_to_topic(topic="no/policy", publish_message=model.PublishMessage())
    assert core.refused == [
        (OWN, f"UnauthorizedError: Principal {OWN} is not authorized to perform "
         "aws.greengrass.ipc.pubsub:aws.greengrass#PublishToTopic on resource no/policy")
    ]  # fmt: skip
