"""The IPC operations of ``tokens``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OTHER, SOON, Core, client_of_own, core_with_two_components

from ggml_magic.core.operations.tokens import ASKS

__all__ = ["client_of_own", "core_with_two_components"]


def test_the_stream_manager_learns_whether_a_token_is_a_components(core: Core) -> None:
    core.add(ASKS, {})
    asking = core.client(ASKS)
    assert asking.validate_authorization_token(token=f"token {OTHER}").is_valid is True
    for wrong in ("wrong", "", f"token {OTHER} "):
        with pytest.raises(model.InvalidTokenError):
            asking.validate_authorization_token(token=wrong)
    asking.close().result(SOON)


def test_nobody_else_may_ask(client: GreengrassCoreIPCClientV2) -> None:
    with pytest.raises(model.UnauthorizedError) as caught:
        client.validate_authorization_token(token=f"token {OTHER}")
    assert "aws.greengrass#ValidateAuthorizationToken" in caught.value.message
