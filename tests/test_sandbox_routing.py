"""The router's own rules: one copy a client, at the lower quality of service."""

from __future__ import annotations

import asyncio

from brokers import CONNACK, DISCONNECT, PUBACK, Running, connect, publish, run, running, until

from ggml_magic.core.quotas import Message

__all__ = ["running"]


def test_a_client_gets_one_copy_whatever_its_filters(running: Running) -> None:
    async def test() -> None:
        heard: list[Message] = []
        link = await running.link("x", heard.append)
        for topic_filter in ("a/#", "a/+", "+/b", "#", "a/b"):
            assert await link.subscribe(topic_filter, 1)
        for number in range(5):
            await link.publish(Message("a/b", b"%d" % number, 1))
        await link.publish(Message("end", b"", 1))
        await until(lambda: heard and heard[-1].topic == "end")
        assert [message.payload for message in heard[:-1]] == [b"%d" % n for n in range(5)]

    run(test)


def test_quality_is_the_lower_of_both(running: Running) -> None:
    async def test() -> None:
        heard: list[Message] = []
        careful = await running.link("careful", heard.append)
        casual: list[Message] = []
        other = await running.link("casual", casual.append)
        await careful.subscribe("a", 1)
        await other.subscribe("a", 0)
        for qos in (0, 1):
            await careful.publish(Message("a", b"", qos))
        await until(lambda: len(heard) == len(casual) == 2)
        assert [message.qos for message in heard] == [0, 1]
        assert [message.qos for message in casual] == [0, 0]

    run(test)


def test_filters_that_iot_core_takes_not_are_refused(running: Running) -> None:
    async def test() -> None:
        link = await running.link("x")
        for topic_filter in ("a/#/b", "a+", "/".join("a" * 9), "a" * 257):
            assert not await link.subscribe(topic_filter, 1)
        assert await link.subscribe("a/+/#", 1)

    run(test)


def test_who_publishes_and_leaves_at_once_was_heard(running: Running) -> None:
    async def test() -> None:
        heard: list[Message] = []
        link = await running.link("x", heard.append)
        await link.subscribe("#", 1)
        sent = [publish("a", b"%d" % number) for number in range(500)]
        reader, writer = await running.raw(connect())
        assert await reader.readexactly(len(CONNACK)) == CONNACK
        writer.write(b"".join([*sent, DISCONNECT]))
        await writer.drain()
        writer.close()
        await until(lambda: len(heard) == 500)
        assert [message.payload for message in heard] == [b"%d" % n for n in range(500)]

    run(test)


def test_what_is_acknowledged_was_taken(running: Running) -> None:
    async def test() -> None:
        heard: list[Message] = []
        link = await running.link("x", heard.append)
        await link.subscribe("#", 1)
        sent = [publish("a", b"%d" % number, 1) for number in range(500)]
        reader, writer = await running.raw(connect(), *sent)
        await reader.readexactly(len(CONNACK) + len(PUBACK) * 500)
        writer.transport.abort()
        await until(lambda: len(heard) == 500)
        assert [message.payload for message in heard] == [b"%d" % n for n in range(500)]

    run(test)


def test_topics_of_the_cloud_reach_no_wildcard(running: Running) -> None:
    async def test() -> None:
        heard: list[Message] = []
        link = await running.link("x", heard.append)
        await link.subscribe("#", 1)
        await link.subscribe("+/things/#", 1)
        await asyncio.to_thread(running.broker.publish, "$aws/things/pi", b"", 1)
        await asyncio.to_thread(running.broker.publish, "end", b"", 1)
        await until(lambda: heard)
        assert [message.topic for message in heard] == ["end"]

    run(test)
