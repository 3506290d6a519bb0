"""The IPC operations of ``states``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OWN, Core, client_of_own, core_with_two_components

from ggml_magic.core.lifecycle import State

__all__ = ["client_of_own", "core_with_two_components"]


def test_only_legal_reports_of_a_state_count(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    supervisor = core.engine.supervisors[OWN]
    client.update_state(state="RUNNING")
    assert supervisor._said is None
    supervisor.state = State.STARTING
    client.update_state(state="RUNNING")
    assert supervisor._said is State.RUNNING
    with pytest.raises(model.InvalidArgumentsError):
        client.update_state(state="FINISHED")
