"""The core's way to the broker: lazy, patient, bounded."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from brokers import Running, run, running, until

from ggml_magic.core import mqtt as room
from ggml_magic.core.mqtt import Mqtt, MqttError, Subscription
from ggml_magic.core.quotas import LARGEST_PAYLOAD, Message
from ggml_magic.core.spool import MOST_BYTES

__all__ = ["running"]


def with_core(running: Running, test: Callable[[Mqtt, list[str]], Awaitable[None]]) -> None:
    """A test with the MQTT of a core called pi, and what it told."""

    async def within() -> None:
        told: list[str] = []
        mqtt = Mqtt("pi", running.file, told.append)
        try:
            await test(mqtt, told)
        finally:
            await mqtt.close()

    run(within)


async def heard_by(mqtt: Mqtt, topic_filter: str, qos: int = 1) -> list[Message]:
    heard: list[Message] = []
    await mqtt.subscribe(Subscription(topic_filter, qos, heard.append))
    return heard


def test_nothing_connects_before_something_is_wanted(running: Running) -> None:
    async def test(mqtt: Mqtt, told: list[str]) -> None:
        assert mqtt._work is None
        heard = await heard_by(mqtt, "a/+")
        await mqtt.publish(Message("a/b", b"1", 0))
        await mqtt.publish(Message("a/c", b"2", 1))
        await until(lambda: len(heard) == 2)
        assert [message.payload for message in heard] == [b"1", b"2"]
        assert told == ["connected to the MQTT broker"]

    with_core(running, test)


@pytest.mark.real
def test_a_core_that_uses_no_mqtt_pays_nothing_for_it() -> None:
    code = "import sys, ggml_magic.core.daemon; sys.exit('amqtt' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_subscription_gets_a_message_once_also_where_filters_overlap(
    running: Running,
) -> None:
    async def test(mqtt: Mqtt, told: list[str]) -> None:
        lists = [await heard_by(mqtt, each) for each in ("a/#", "a/+", "+/b", "#", "a/#")]
        for number in range(20):
            await mqtt.publish(Message("a/b", b"%d" % number, 1))
        await until(lambda: all(len(heard) >= 20 for heard in lists))
        wanted = [b"%d" % number for number in range(20)]
        assert all([message.payload for message in heard] == wanted for heard in lists)

    with_core(running, test)


def test_an_ended_subscription_hears_nothing_more_and_its_twin_goes_on(running: Running) -> None:
    async def test(mqtt: Mqtt, told: list[str]) -> None:
        ended: list[Message] = []
        first = Subscription("a", 1, ended.append)
        await mqtt.subscribe(first)
        heard = await heard_by(mqtt, "a")
        mqtt.unsubscribe(first)
        mqtt.unsubscribe(first)
        await heard_by(mqtt, "z")  # by its answer, the broker has read what came before
        await mqtt.publish(Message("a", b"", 1))
        await until(lambda: heard)
        assert not ended

    with_core(running, test)


def test_it_comes_back_to_a_broker_at_another_port_and_sends_what_waited(
    running: Running,
) -> None:
    async def test(mqtt: Mqtt, told: list[str]) -> None:
        heard = await heard_by(mqtt, "a/#")
        for round_ in range(2):
            await asyncio.to_thread(running.stop)
            await until(lambda: not mqtt._up.is_set())
            for number in range(10):
                await mqtt.publish(Message(f"a/{round_}", b"%d" % number, 1))
            with pytest.raises(MqttError, match="offline"):
                await mqtt.publish(Message("a/lost", b"", 0))
            running.start()
            await until(lambda: len(heard) == 10)
            assert [message.payload for message in heard] == [b"%d" % n for n in range(10)]
            heard.clear()

    with_core(running, test)


def test_the_first_word_before_any_broker_is_kept_with_qos_1(running: Running) -> None:
    running.stop()
    running.file.unlink()

    async def test(mqtt: Mqtt, told: list[str]) -> None:
        with pytest.raises(MqttError, match="offline"):
            await mqtt.publish(Message("a", b"0", 0))
        await mqtt.publish(Message("a", b"1", 1))
        running.start()
        heard: list[Message] = []
        link = await running.link("other", heard.append)
        await link.subscribe("a", 1)
        await until(lambda: heard)
        assert [message.payload for message in heard] == [b"1"]

    # a core that connects before the other has subscribed would make this test say nothing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "FIRST_PAUSE", 0.4)
        with_core(running, test)


def test_the_spool_is_bounded_and_says_so(running: Running) -> None:
    running.stop()

    async def test(mqtt: Mqtt, told: list[str]) -> None:
        large = b"x" * (LARGEST_PAYLOAD - 1)
        for _ in range(MOST_BYTES // LARGEST_PAYLOAD):
            await mqtt.publish(Message("a", large, 1))
        with pytest.raises(MqttError, match="spool is full"):
            await mqtt.publish(Message("a", large, 1))

    with_core(running, test)


def test_what_iot_core_takes_not_is_refused_here(running: Running) -> None:
    async def test(mqtt: Mqtt, told: list[str]) -> None:
        for message in (
            Message("a/#", b""), Message("", b""), Message("a", b"x" * (LARGEST_PAYLOAD + 1)),
            Message("a/b/c/d/e/f/g/h/i", b""),
        ):  # fmt: skip
            with pytest.raises(MqttError):
                await mqtt.publish(message)
        for topic_filter in ("a/#/b", "a+", "", "/".join("a" * 9)):
            with pytest.raises(MqttError):
                await heard_by(mqtt, topic_filter)
        assert mqtt._work is None

    with_core(running, test)


def test_a_subscription_that_nobody_confirms_fails_in_time_and_leaves_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.stop()
    monkeypatch.setattr(room, "SUBSCRIBE_SECONDS", 0.1)

    async def test(mqtt: Mqtt, told: list[str]) -> None:
        with pytest.raises(MqttError, match=r"within 0\.1 s"):
            await heard_by(mqtt, "a")
        assert not mqtt._wanted

    with_core(running, test)


def test_nobody_there_is_asked_rarely_and_told_once(running: Running) -> None:
    running.stop()

    async def test(mqtt: Mqtt, told: list[str]) -> None:
        asked = 0
        read = mqtt._address

        def count() -> tuple[str, int]:
            nonlocal asked
            asked += 1
            return read()

        mqtt._address = count  # type: ignore[method-assign]
        await mqtt.publish(Message("a", b"", 1))
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(0.6)
        # 0.05 + 0.1 + 0.2 + 0.4 + 0.8 s
        assert asked <= 6
        assert len(told) == 1
        assert time.process_time() - cpu < 0.5 * (time.monotonic() - began)

    with_core(running, test)


def test_a_broker_that_drops_every_connection_is_not_asked_in_a_loop(running: Running) -> None:
    async def within() -> None:
        count = 0

        async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            await reader.read(100)
            writer.write(b"\x20\x02\x00\x00")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(drop, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            running.file.write_text(json.dumps({"mqtt": f"mqtt://127.0.0.1:{port}"}))
            mqtt = Mqtt("pi", running.file, lambda line: None)
            await mqtt.publish(Message("a", b"", 1))
            await asyncio.sleep(0.6)
            await mqtt.close()
        assert 2 <= count <= 6

    run(within)


def test_last_words_are_sent_before_the_end(running: Running) -> None:
    async def within() -> None:
        heard: list[Message] = []
        link = await running.link("other", heard.append)
        await link.subscribe("a", 1)
        mqtt = Mqtt("pi", running.file, lambda line: None)
        for number in range(50):
            await mqtt.publish(Message("a", b"%d" % number, 1))
        await mqtt.close()
        await until(lambda: len(heard) == 50)

    run(within)
