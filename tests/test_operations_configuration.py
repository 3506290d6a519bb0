"""The IPC operations of ``configuration``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OTHER, OWN, SHADOWS, SOON, Core, client_of_own, core_with_two_components

from ggml_magic.core.inventory import Inventory

__all__ = ["client_of_own", "core_with_two_components"]


def test_configuration_is_read_whole_in_parts_and_of_others(
    client: GreengrassCoreIPCClientV2,
) -> None:
    whole = client.get_configuration()
    assert whole.component_name == OWN
    assert whole.value == {"Interval": 3, "Deep": {"Key": "x"}, "accessControl": SHADOWS}
    assert client.get_configuration(key_path=["interval"]).value == {"interval": 3}
    assert client.get_configuration(key_path=["Deep"]).value == {"Key": "x"}
    assert client.get_configuration(component_name=OTHER).value == {"theirs": True}
    for arguments in ({"key_path": ["absent"]}, {"component_name": "com.example.None"}):
        with pytest.raises(model.ResourceNotFoundError):
            client.get_configuration(**arguments)


def test_configuration_is_changed_kept_and_told(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    events: list[tuple[str, list[str]]] = []
    heard = threading.Event()

    def on_event(event: model.ConfigurationUpdateEvents) -> None:
        update = event.configuration_update_event
        events.append((update.component_name, update.key_path))
        if len(events) == 2:
            heard.set()

    _, stream = client.subscribe_to_configuration_update(
        key_path=["Deep"], on_stream_event=on_event, on_stream_error=lambda error: True,
        on_stream_closed=lambda: None,
    )  # fmt: skip
    now = datetime.now(timezone.utc)
    for value in ({"Key": "y", "New": {"a": 1}}, {"Key": "y"}):
        client.update_configuration(key_path=["deep"], timestamp=now, value_to_merge=value)
    client.update_configuration(timestamp=now, value_to_merge={"Interval": 4})
    assert heard.wait(SOON)
    assert events == [(OWN, ["Deep", "Key"]), (OWN, ["Deep", "New", "a"])]
    stream.close().result(SOON)
    kept = Inventory(core.layout.state_file).contents.components[OWN].configuration
    assert kept.read(("Interval",)) == 4
    assert kept.read(("Deep",)) == {"Key": "y", "New": {"a": 1}}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"value_to_merge": {"accessControl": {}}}, model.InvalidArgumentsError),
        ({"key_path": ["ACCESSCONTROL"], "value_to_merge": {"x": 1}}, model.InvalidArgumentsError),
        ({"key_path": ["Interval"], "value_to_merge": {"x": 1}}, model.InvalidArgumentsError),
        ({"value_to_merge": None}, model.InvalidArgumentsError),
        ({"timestamp": None, "value_to_merge": {"x": 1}}, model.InvalidArgumentsError),
        ({"timestamp": datetime.fromtimestamp(0, timezone.utc), "value_to_merge": {"x": 1}},
         model.FailedUpdateConditionCheckError),
    ],
)  # fmt: skip
def test_changes_that_may_not_be(
    core: Core, client: GreengrassCoreIPCClientV2, arguments: dict[str, Any], error: type[Exception]
) -> None:
    before = core.held.contents.dump()
    with pytest.raises(error):
        client.update_configuration(**{"timestamp": datetime.now(timezone.utc), **arguments})
    assert core.held.contents.dump() == before


def test_one_component_cannot_change_another(core: Core) -> None:
    other = core.client(OTHER)
    later = datetime.now(timezone.utc) + timedelta(seconds=1)
    other.update_configuration(timestamp=later, value_to_merge={"Interval": 9})
    other.close().result(SOON)
    own, theirs = (core.held.contents.components[name].configuration for name in (OWN, OTHER))
    assert (own.read(("Interval",)), theirs.read(("Interval",))) == (3, 9)
