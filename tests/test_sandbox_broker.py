"""The sandbox's door for MQTT: what it takes is what IoT Core takes, and nothing makes it hang."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from brokers import (
    CONNACK,
    PUBACK,
    READING,
    Running,
    connect,
    ended,
    publish,
    run,
    running,
    subscribe,
    until,
)

from ggml_magic.core.mqtt import DEVICE_USER
from ggml_magic.core.quotas import LARGEST_PAYLOAD, Message
from ggml_magic.sandbox import routing
from ggml_magic.sandbox.broker import Broker

__all__ = ["running"]
CONNECT = connect()


def test_messages_reach_those_who_subscribed_and_nobody_else(running: Running) -> None:
    async def test() -> None:
        heard: list[Message] = []
        here = await running.link("here", heard.append)
        elsewhere: list[Message] = []
        other = await running.link("other", elsewhere.append)
        assert await here.subscribe("rain/+/state", 1)
        assert await other.subscribe("sun/#", 1)
        await other.publish(Message("rain/pi/state", b"\x00wet", 1))
        await until(lambda: heard)
        assert heard == [Message("rain/pi/state", b"\x00wet", 1)]
        await here.unsubscribe("rain/+/state")
        await here.publish(Message("rain/pi/state", b"again", 1))
        await here.publish(Message("sun/x", b"last", 1))
        await until(lambda: elsewhere)
        assert len(heard) == 1

    run(test)


def test_the_sandbox_publishes_from_any_thread(running: Running) -> None:
    async def test() -> None:
        running.broker.publish("a", b"before anyone came")
        heard: list[Message] = []
        link = await running.link("x", heard.append)
        await link.subscribe("$aws/things/pi/#", 1)
        await link.subscribe("a", 1)
        await asyncio.to_thread(running.broker.publish, "$aws/things/pi/x", b"1", 1)
        await asyncio.to_thread(running.broker.publish, "a", b"2", 0)
        await until(lambda: len(heard) == 2)
        assert heard == [Message("$aws/things/pi/x", b"1", 1), Message("a", b"2", 0)]

    run(test)


def test_nothing_is_retained(running: Running) -> None:
    async def test() -> None:
        reader, _ = await running.raw(CONNECT, publish("kept", flags=1, qos=1))
        assert await reader.readexactly(8) == CONNACK + PUBACK
        heard: list[Message] = []
        link = await running.link("late", heard.append)
        await link.subscribe("#", 1)
        await link.publish(Message("now", b"", 1))
        await until(lambda: heard)
        assert [message.topic for message in heard] == ["now"]

    run(test)


async def _harms_nobody(running: Running, sent: bytes) -> asyncio.StreamReader:
    """Say something; another client goes on, and hears nothing of it."""
    heard: list[Message] = []
    link = await running.link("well-behaved", heard.append)
    await link.subscribe("#", 1)
    reader, writer = await running.raw(CONNECT)
    assert await reader.readexactly(len(CONNACK)) == CONNACK
    writer.write(sent)
    await link.publish(Message("still", b"here", 1))
    await until(lambda: heard)
    assert [message.topic for message in heard] == ["still"]
    return reader


@pytest.mark.parametrize(
    "sent",
    [
        publish("a", b"x" * (LARGEST_PAYLOAD + 1)),
        publish("a", b"x" * (LARGEST_PAYLOAD + 1))[:1000],  # the rest need not come
        publish("a" * 257),
        publish("a/b/c/d/e/f/g/h/i"),
        publish("a", qos=2),
        publish(""),
        b"\xf0\x00",
    ],
)
def test_what_iot_core_takes_not_ends_the_connection_and_no_other(
    running: Running, sent: bytes
) -> None:
    async def test() -> None:
        assert await ended(await _harms_nobody(running, sent))

    run(test)


@pytest.mark.parametrize(
    "sent",
    [
        publish("a/#"),
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\xff\xff\xff\x7f" + b"x" * 1000,
        b"\x00" * 64,
    ],
)
def test_what_is_no_packet_harms_nobody(running: Running, sent: bytes) -> None:
    """amqtt does not always hang up on it."""

    async def test() -> None:
        await _harms_nobody(running, sent)

    run(test)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\r\n",
        b"\x10\x00",
        publish("a"),
        b"\x10\xff\xff\xff\x7f",
        b"",
    ],
)
def test_who_is_no_mqtt_client_is_hung_up_on(
    running: Running, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "GREETING_SECONDS", 0.3)

    async def test() -> None:
        reader, _ = await running.raw(sent)
        assert await ended(reader)

    run(test)


def test_the_largest_message_and_topic_pass(running: Running) -> None:
    async def test() -> None:
        heard: list[Message] = []
        link = await running.link("x", heard.append)
        await link.subscribe("#", 1)
        large = Message("a" * 242 + "/b" * 7, b"x" * LARGEST_PAYLOAD, 1)
        assert len(large.topic) == 256
        await link.publish(large)
        await until(lambda: heard)
        assert heard == [large]

    run(test)


def test_an_older_client_of_the_same_name_goes(running: Running) -> None:
    async def test() -> None:
        first, heard = await running.link("pi"), list[Message]()
        second = await running.link("pi", heard.append)
        await asyncio.wait([READING[first]])
        await second.subscribe("a", 1)
        await second.publish(Message("a", b"1", 1))
        await until(lambda: heard)

    run(test)


def test_who_does_not_read_is_hung_up_on(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routing, "MOST_UNREAD_BYTES", LARGEST_PAYLOAD)

    async def test() -> None:
        lazy, writer = await running.raw(CONNECT, subscribe("#", 0))
        await lazy.readexactly(9)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        link = await running.link("x")
        payload = b"x" * LARGEST_PAYLOAD
        for _ in range(200):
            await link.publish(Message("a", payload, 1))
            if "does not read" in caplog.text:
                break
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await ended(lazy)

    with caplog.at_level(logging.WARNING, "ggml_magic.sandbox"):
        run(test)


def test_a_person_who_listens_keeps_the_sandbox_awake_and_a_device_does_not(
    running: Running,
) -> None:
    async def test() -> None:
        device = await running.link("pi", user=DEVICE_USER)
        await device.subscribe("a", 1)
        await asyncio.sleep(0.05)
        idle = running.clock.idle_seconds()
        assert idle > 0.05
        person = await running.link("me")
        await until(lambda: running.clock.idle_seconds() == 0.0)
        await person.close()
        await until(lambda: running.clock.idle_seconds() > 0.0)

    run(test)


def test_who_leaves_at_once_is_not_held_to_be_there(running: Running) -> None:
    async def test() -> None:
        for number in range(20):
            _, writer = await running.raw(connect(f"brief-{number}"))
            await asyncio.sleep(number / 2000)  # in the middle of whatever the broker does then
            writer.transport.abort()
        await until(lambda: running.broker._router and not running.broker._clients)
        assert running.clock.idle_seconds() > 0.0

    run(test)


def test_an_unmodified_client_of_another_make_speaks_with_it(running: Running) -> None:
    """awscrt's client of MQTT 3.1.1, which the AWS device SDK uses."""
    from awscrt import io, mqtt

    async def test() -> None:
        bootstrap = io.ClientBootstrap.get_or_create_static_default()
        connection = mqtt.Connection(
            mqtt.Client(bootstrap),
            host_name="127.0.0.1",
            port=running.broker.port,
            client_id="crt",
            use_websockets=False,
        )
        heard: list[tuple[str, bytes]] = []
        await asyncio.wrap_future(connection.connect())
        future, _ = connection.subscribe(
            "rain/#",
            mqtt.QoS.AT_LEAST_ONCE,
            lambda topic, payload, **_: heard.append((topic, payload)),
        )
        await asyncio.wrap_future(future)
        future, _ = connection.publish("rain/a", json.dumps({"a": 1}), mqtt.QoS.AT_LEAST_ONCE)
        await asyncio.wrap_future(future)
        assert (await until(lambda: heard))[0] == ("rain/a", b'{"a": 1}')
        await asyncio.wrap_future(connection.disconnect())

    run(test)


def test_it_ends_with_clients_connected_and_can_end_before_anyone_came(running: Running) -> None:
    async def test() -> None:
        link = await running.link("x")
        await asyncio.to_thread(running.stop)
        await asyncio.wait([READING[link]])

    run(test)
    assert not running.broker._thread.is_alive()
    import socket

    never_started = Broker(socket.create_server(("127.0.0.1", 0)))
    never_started.close()
