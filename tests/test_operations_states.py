"""The IPC operations of ``states``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OWN, Core, client_of_own, core_with_two_components

from ggml_magic.core.lifecycle import State

__all__ = ["client_of_own", "core_with_two_components"]


def test_only_legal_reports_of_a_state_count(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    supervisor, log = core.engine.supervisors[OWN], core.layout.log(OWN)
    for state, said, counts in (
        (State.NEW, State.RUNNING, False),
        (State.FINISHED, State.ERRORED, False),
        (State.BROKEN, State.RUNNING, False),
        (State.NEW, State.ERRORED, True),
        (State.STARTING, State.RUNNING, True),
        (State.STARTING, State.ERRORED, True),
        (State.RUNNING, State.ERRORED, True),
        (State.STOPPING, State.ERRORED, True),
    ):
        supervisor.state = state
        before = len(log.read_text().splitlines()) if log.exists() else 0
        client.update_state(state=said.value)
        told = log.read_text().splitlines()[before:]
        assert f"it reports {said.value}" in told[0]
        assert [f"ignored: it is {state.value}" in line for line in told[1:]] == (
            [] if counts else [True]
        )


def test_what_is_no_state_that_a_component_can_say(client: GreengrassCoreIPCClientV2) -> None:
    for state in ("FINISHED", "running", "", None):
        with pytest.raises(model.InvalidArgumentsError):
            client.update_state(state=state)
