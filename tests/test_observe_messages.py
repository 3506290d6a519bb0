"""What a notebook hears of its sandbox's MQTT."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sandboxes import Connect, connected

from ggml_magic.errors import CloudError, GrammarError, NotYetError, SandboxError
from ggml_magic.observe import messages as room
from ggml_magic.observe.messages import Messages, Received, messages
from ggml_magic.sandbox import client
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

AT = "2026-01-02T03:04:05.678901+00:00"


@contextmanager
def speaking(aws: Connect, *said: tuple[str, bytes]) -> Iterator[None]:
    """Somebody who says the same again and again, as nobody knows when the notebook listens."""
    ended = threading.Event()
    data = aws("iot-data")

    def speak() -> None:
        while not ended.wait(0.02):
            for topic, payload in said:
                data.publish(topic=topic, payload=payload)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def aws(workspace: Workspace) -> Iterator[Connect]:
    """The workspace's own sandbox."""
    yield connected(client.ensure(workspace, 5))
    client.stop(workspace)


@pytest.mark.real
def test_messages_are_heard_as_they_are_meant(workspace: Workspace, aws: Connect) -> None:
    said = (("rain/a", b'{"p": 1}'), ("rain/b", b"wet"), ("rain/c", b"\xff"))
    with speaking(aws, *said):
        found = messages(workspace, Settings(), "rain/#", count=6)
        assert len(found) == 6
        assert {(item.topic, repr(item.payload)) for item in found} == {
            ("rain/a", "{'p': 1}"), ("rain/b", "'wet'"), ("rain/c", r"b'\xff'"),
        }  # fmt: skip
        assert [item.at for item in found] == sorted(item.at for item in found)
        assert list(found.to_df().columns) == ["at", "topic", "payload"]

        async def in_a_running_loop() -> Messages:
            return messages(workspace, Settings(), "rain/+")

        assert len(asyncio.run(in_a_running_loop())) == 1


@pytest.mark.real
def test_fewer_are_a_result_and_none_is_an_error(workspace: Workspace, aws: Connect) -> None:
    with speaking(aws, ("rain/a", b"1")):
        found = messages(workspace, Settings(), "rain/a", count=100_000, seconds=0.3)
    assert 0 < len(found) < 100_000
    assert str(found).splitlines()[-1].strip() == f"{len(found)} of 100000 came within 0.3 s"
    with pytest.raises(NotYetError, match="no message of rain/a came within") as failed:
        messages(workspace, Settings(), "rain/a", seconds=0.1)
    assert failed.value.remedy == '%ggml messages "#" --seconds 0.1'
    with pytest.raises(NotYetError) as failed:
        messages(workspace, Settings(), "#", seconds=0.1)
    assert failed.value.remedy == "%ggml sandbox status"


@pytest.mark.real
def test_an_interrupted_cell_stops_listening(
    workspace: Workspace, aws: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = threading.Thread.join

    def interrupt(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "messages" and timeout is not None:
            raise KeyboardInterrupt
        joined(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupt)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        messages(workspace, Settings(), "a", seconds=60)
    assert time.monotonic() - began < 20
    assert not [each for each in threading.enumerate() if each.name == "messages"]


@pytest.mark.real
def test_a_broker_that_is_not_there_is_told_with_the_next_command(
    workspace: Workspace, aws: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ggml_magic.core import mqtt

    monkeypatch.setattr(mqtt, "SUBSCRIBE_SECONDS", 0.2)
    places = ep.places(workspace)
    found = ep.read(places.endpoint)
    assert found is not None
    ep.write(places.endpoint, ep.Endpoint(found.url, found.pid, found.started, found.instance))
    with pytest.raises(SandboxError, match=r"within 0\.2 s"):
        messages(workspace, Settings(), "a")


@pytest.mark.parametrize("wrong", ["", "a/#/b", "a+", "a/b/c/d/e/f/g/h/i", "a" * 257])
def test_what_is_no_filter_is_refused_before_anything_starts(
    workspace: Workspace, wrong: str
) -> None:
    with pytest.raises(GrammarError, match="no topic filter"):
        messages(workspace, Settings(), wrong)
    assert not workspace.root.exists()


@pytest.mark.parametrize(("count", "seconds"), [(0, 30.0), (1, 0.0), (1, float("nan"))])
def test_waiting_for_nothing_is_refused(workspace: Workspace, count: int, seconds: float) -> None:
    with pytest.raises(GrammarError, match="nothing to wait for"):
        messages(workspace, Settings(), "a", count, seconds)


def test_on_aws_it_says_where_to_look(workspace: Workspace) -> None:
    with pytest.raises(CloudError, match="MQTT test client of the AWS IoT console"):
        messages(workspace, Settings(cloud="aws"), "a")


def made(*payloads: Any, wanted: int = 1) -> Messages:
    items = tuple(Received(AT, f"rain/{at}", payload) for at, payload in enumerate(payloads))
    return Messages("rain/#", items, "sandbox", wanted, 30.0)


def test_a_card_shows_the_last_of_them_shortened() -> None:
    lines = str(made({"a": "ä"}, "x" * 1000)).splitlines()
    assert lines[0] == "2 messages of rain/# on sandbox"
    assert '{"a": "ä"}' in lines[-2]
    assert lines[-1].rstrip().endswith("xx…")
    assert len(lines[-1]) < 200
    many = made(*range(100))
    assert f"the last {room.SHOWN} are shown" in str(many)
    assert "rain/79" not in str(many)
    assert "rain/80" in str(many)
