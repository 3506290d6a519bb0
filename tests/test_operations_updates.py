"""Components that are asked before a deployment, with the unmodified SDK."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import pytest
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import (
    ConfigurationValidityReport,
    InvalidArgumentsError,
    ServiceError,
)
from ipcs import OTHER, OWN, SOON, Core, client_of_own, core_with_two_components

from ggml_magic.core.causes import InvalidConfigurationError

__all__ = ["client_of_own", "core_with_two_components"]
LONG = 60.0
BRIEF = 0.05


def ask(core: Core, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
    """What the deployer would wait for, on the server's loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, core.loop)


def agreement(core: Core, within: float = LONG, **more: Any) -> Future[None]:
    return ask(core, core.updates.agreed("d1", ["a"], within, **more))


def validation(core: Core, within: float = LONG) -> Future[None]:
    proposals = {OWN: {"x": 1}, "com.example.Silent": {"y": 2}}
    return ask(core, core.updates.validated("d1", proposals, within))


def watching(client: GreengrassCoreIPCClientV2) -> queue.Queue[Any]:
    events: queue.Queue[Any] = queue.Queue()
    client.subscribe_to_component_updates(on_stream_event=events.put)
    return events


def validating(client: GreengrassCoreIPCClientV2) -> queue.Queue[Any]:
    events: queue.Queue[Any] = queue.Queue()
    client.subscribe_to_validate_configuration_updates(on_stream_event=events.put)
    return events


def report(client: GreengrassCoreIPCClientV2, status: str, message: str = "") -> None:
    client.send_configuration_validity_report(
        configuration_validity_report=ConfigurationValidityReport(
            status=status, deployment_id="d1", message=message
        )
    )


def test_with_nobody_to_ask_nothing_is_waited_for(core: Core) -> None:
    agreement(core).result(SOON)
    validation(core).result(SOON)


def test_a_subscriber_is_asked_and_agrees(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    events = watching(client)
    asked = agreement(core, restarts=True)
    event = events.get(timeout=SOON).pre_update_event
    assert (event.deployment_id, event.is_ggc_restarting) == ("d1", True)
    assert not asked.done()
    client.defer_component_update(deployment_id="d1", recheck_after_ms=0)
    asked.result(SOON)
    core.loop.call_soon_threadsafe(core.updates.updated, "d1")
    assert events.get(timeout=SOON).post_update_event.deployment_id == "d1"


def test_a_deferral_is_asked_again_after_its_time(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    events = watching(client)
    asked = agreement(core)
    for milliseconds in (30, 20):
        events.get(timeout=SOON)
        client.defer_component_update(
            deployment_id="d1", message="busy", recheck_after_ms=milliseconds
        )
    events.get(timeout=SOON)
    assert not asked.done()
    client.defer_component_update(deployment_id="d1", recheck_after_ms=0)
    asked.result(SOON)


def test_all_subscribers_are_waited_for(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    other = core.client(OTHER)
    queues = (watching(client), watching(other))
    asked = agreement(core)
    for events in queues:
        events.get(timeout=SOON)
    client.defer_component_update(deployment_id="d1", recheck_after_ms=0)
    assert not asked.done()
    other.defer_component_update(deployment_id="d1", recheck_after_ms=0)
    asked.result(SOON)
    other.close().result(SOON)


def test_silence_is_agreement(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    events = watching(client)
    agreement(core, BRIEF).result(SOON)
    assert events.get(timeout=SOON).pre_update_event is not None
    with pytest.raises(ServiceError) as caught:
        client.defer_component_update(deployment_id="d1", recheck_after_ms=1000)
    assert "not any more" in caught.value.message


def test_a_deployment_that_changes_nothing_asks_nobody(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    events = watching(client)
    ask(core, core.updates.agreed("d1", [], LONG)).result(SOON)
    assert events.empty()


def test_an_answer_about_another_deployment_holds_nothing_up(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    events = watching(client)
    asked = agreement(core)
    events.get(timeout=SOON)
    client.defer_component_update(deployment_id="d0", recheck_after_ms=3_600_000)
    asked.result(SOON)


def test_a_subscriber_that_goes_is_not_waited_for(core: Core) -> None:
    other = core.client(OTHER)
    events, proposals = watching(other), validating(other)
    asked = agreement(core)
    checked = ask(core, core.updates.validated("d1", {OTHER: {}}, LONG))
    events.get(timeout=SOON)
    proposals.get(timeout=SOON)
    other.close().result(SOON)
    asked.result(SOON)
    checked.result(SOON)


def test_deferring_without_having_subscribed_is_refused(client: GreengrassCoreIPCClientV2) -> None:
    for wait, why in ((1, "has not subscribed"), (-1, "no number of milliseconds")):
        with pytest.raises(InvalidArgumentsError) as caught:
            client.defer_component_update(deployment_id="d1", recheck_after_ms=wait)
        assert why in caught.value.message


def test_a_configuration_is_shown_and_accepted(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    events = validating(client)
    asked = validation(core)
    event = events.get(timeout=SOON).validate_configuration_update_event
    assert (event.deployment_id, event.configuration) == ("d1", {"x": 1})
    assert not asked.done()
    report(client, "ACCEPTED")
    asked.result(SOON)


def test_a_configuration_is_rejected_with_its_reason(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    events = validating(client)
    asked = validation(core)
    events.get(timeout=SOON)
    report(client, "REJECTED", "x is too small")
    with pytest.raises(InvalidConfigurationError, match=f"{OWN} rejects .*: x is too small"):
        asked.result(SOON)


def test_silence_about_a_configuration_is_a_failure_as_in_the_nucleus(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    validating(client)
    with pytest.raises(InvalidConfigurationError, match=r"did not say within 0\.05 s"):
        validation(core, BRIEF).result(SOON)


@pytest.mark.parametrize(
    "send",
    [
        lambda client: report(client, "ACCEPTED"),
        lambda client: report(client, "MAYBE"),
        lambda client: client.send_configuration_validity_report(),
    ],
)
def test_a_report_that_nobody_asked_for_is_refused(
    client: GreengrassCoreIPCClientV2, send: Callable[[GreengrassCoreIPCClientV2], None]
) -> None:
    with pytest.raises(InvalidArgumentsError):
        send(client)
