"""The IPC operations of ``requests``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import pytest
from awsiot.eventstreamrpc import AccessDeniedError
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OWN, SOON, Core, client_of_own, core_with_two_components

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
        client.list_components()
    assert caught.value.message == "ListComponents is not served by this core"
