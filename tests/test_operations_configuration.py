"""The IPC operations of ``configuration``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import errno
import queue
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
    assert client.get_configuration(key_path=["interval"]).value == {"Interval": 3}
    assert client.get_configuration(key_path=["Deep"]).value == {"Key": "x"}
    assert client.get_configuration(component_name=OTHER).value == {"theirs": True}
    assert client.get_configuration(key_path=[]).value == whole.value
    for arguments in (
        {"key_path": ["absent"]},
        {"key_path": ["absent", "more"]},
        {"key_path": ["Interval", "more"]},
        {"component_name": "com.example.None"},
    ):
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
        ({"value_to_merge": {"x": 1, "aCCESScONTROL": None}}, model.InvalidArgumentsError),
        ({"key_path": ["accessControl", "s", "p"], "value_to_merge": {"operations": ["*"]}},
         model.InvalidArgumentsError),
        ({"key_path": ["Interval", "x"], "value_to_merge": {"x": 1}}, model.InvalidArgumentsError),
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


class Changes:
    """The key paths of a subscription's events."""

    def __init__(self, client: GreengrassCoreIPCClientV2, **arguments: Any) -> None:
        self.paths: queue.Queue[list[str]] = queue.Queue()
        _, self.stream = client.subscribe_to_configuration_update(
            on_stream_event=self._heard, on_stream_error=lambda error: True,
            on_stream_closed=lambda: None, **arguments,
        )  # fmt: skip

    def _heard(self, event: model.ConfigurationUpdateEvents) -> None:
        self.paths.put(event.configuration_update_event.key_path)

    def next(self) -> list[str]:
        return self.paths.get(timeout=SOON)

    def close(self) -> None:
        self.stream.close().result(SOON)


def test_each_changed_leaf_is_one_event_and_a_list_is_one_leaf(
    client: GreengrassCoreIPCClientV2,
) -> None:
    changes = Changes(client)
    now = datetime.now(timezone.utc)
    value = {"List": [1, {"a": 2}], "Deep": {"Key": "x", "More": {"b": None, "c": 1}}}
    client.update_configuration(timestamp=now, value_to_merge=value)
    assert [changes.next() for _ in range(3)] == [
        ["List"], ["Deep", "More", "b"], ["Deep", "More", "c"]]  # fmt: skip
    # what is equal is no event, whatever its time; then one that shows that none came
    later = now + timedelta(seconds=1)
    client.update_configuration(timestamp=later, value_to_merge=value)
    client.update_configuration(timestamp=later, value_to_merge={"List": [1, {"a": 3}]})
    client.update_configuration(key_path=["DEEP", "more"], timestamp=later, value_to_merge={"C": 2})
    assert [changes.next() for _ in range(2)] == [["List"], ["Deep", "More", "c"]]
    assert changes.paths.empty()
    found = client.get_configuration(key_path=["deep"]).value
    assert found == {"Key": "x", "More": {"b": None, "c": 2}}
    changes.close()


def test_changes_of_another_component_are_told_too(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    changes = Changes(client, component_name=OTHER, key_path=["THEIRS"])
    other = core.client(OTHER)
    now = datetime.now(timezone.utc)
    client.update_configuration(timestamp=now, value_to_merge={"theirs": 1})
    other.update_configuration(timestamp=now, value_to_merge={"else": 1, "theirs": 2})
    assert changes.next() == ["theirs"]
    assert changes.paths.empty()
    changes.close()
    other.close().result(SOON)


def test_subscriptions_that_end_leave_nothing(core: Core) -> None:
    first, second = core.client(), core.client()
    Changes(first, key_path=["a"])
    Changes(first).close()
    first.close().result(SOON)
    configuration = core.configuration
    while configuration._subscribers:
        second.get_configuration()
    second.close().result(SOON)


def test_what_is_kept_survives_a_kill_once_it_is_answered(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    now = datetime.now(timezone.utc)
    for number in range(20):
        client.update_configuration(timestamp=now, value_to_merge={"Interval": number})
        kept = Inventory(core.layout.state_file).contents.components[OWN].configuration
        assert kept.read(("Interval",)) == number


def test_what_a_full_disk_did_not_take_is_kept_by_the_next_update(
    core: Core, client: GreengrassCoreIPCClientV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    changes = Changes(client)
    update = {"timestamp": datetime.now(timezone.utc), "value_to_merge": {"Interval": 7}}
    monkeypatch.setattr(core.held, "save", full)
    with pytest.raises(model.ServiceError):
        client.update_configuration(**update)
    assert changes.next() == ["Interval"]
    with pytest.raises(model.ServiceError):
        client.update_configuration(**update)
    monkeypatch.undo()
    client.update_configuration(**update)
    kept = Inventory(core.layout.state_file).contents.components[OWN].configuration
    assert kept.read(("Interval",)) == 7
    changes.close()
