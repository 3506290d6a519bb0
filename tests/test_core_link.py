"""One connection: what it says when the other side is wrong, silent or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from brokers import CONNACK, HOST, PUBACK, READING, Running, run, running, until

from ggml_magic.core import link as links
from ggml_magic.core.link import Link
from ggml_magic.core.quotas import Message

__all__ = ["running"]
TURNS = 12
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def with_server(talk: Talk, test: Callable[[int], Awaitable[None]]) -> None:
    """A test against something that answers as ``talk`` does."""

    async def within() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
                while await reader.read(1024):
                    pass
            finally:
                writer.close()

        server = await asyncio.start_server(connected, HOST, 0)
        async with server:
            await test(server.sockets[0].getsockname()[1])

    run(within)


def ignore(message: Message) -> None:
    """What a test does not look at."""


async def opened(port: int) -> Link:
    return await Link.open(HOST, port, "pi", "me")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"\x20\x02\0\5", "rejected"),
        (b"HTTP/1.1 400 Bad Request\r\n" * 9, "Invalid"),
        (PUBACK, "Invalid"),
        (b"", "hangs up"),
    ],
)
def test_who_does_not_let_it_in_is_told(answer: bytes, why: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if not answer:
            writer.write_eof()

    async def test(port: int) -> None:
        with pytest.raises(ConnectionError, match=why):
            await opened(port)

    with_server(talk, test)


def test_who_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "CONNECT_SECONDS", 0.05)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)

    async def test(port: int) -> None:
        with pytest.raises(ConnectionError, match=r"within 0\.05 s"):
            await opened(port)

    with_server(talk, test)


def test_a_message_that_nobody_acknowledges_is_an_error_and_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "ANSWER_SECONDS", 0.05)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK)

    async def test(port: int) -> None:
        link = await opened(port)
        reading = asyncio.create_task(link.run(ignore))
        with pytest.raises(ConnectionError, match=r"within 0\.05 s"):
            await link.publish(Message("a", b"", 1))
        with pytest.raises(ConnectionError):
            await reading
        with pytest.raises(ConnectionError, match="closed"):
            await link.publish(Message("a", b"", 0))

    with_server(talk, test)


def test_who_hangs_up_at_any_moment_is_a_broken_connection_and_no_cancellation() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(CONNACK)
        writer.close()

    async def test(port: int) -> None:
        for turns in range(TURNS):
            link = await opened(port)
            for _ in range(turns):
                await asyncio.sleep(0)
            with pytest.raises(ConnectionError):
                await link.run(ignore)
            await link.close()

    with_server(talk, test)


def test_who_waits_for_an_answer_when_the_other_side_goes_is_told_at_once() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK)
        await reader.readuntil(b"last")
        writer.close()

    async def test(port: int) -> None:
        link = await opened(port)
        reading = asyncio.create_task(link.run(ignore))
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(link.publish(Message("a", b"last", 1)), 5.0)
        with pytest.raises(ConnectionError):
            await reading

    with_server(talk, test)


def test_a_side_that_falls_silent_is_held_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "PING_SECONDS", 0.05)
    monkeypatch.setattr(links, "ANSWER_SECONDS", 0.05)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK)

    async def test(port: int) -> None:
        link = await opened(port)
        with pytest.raises(ConnectionError):
            await link.run(ignore)

    with_server(talk, test)


def test_pings_keep_it_alive(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "PING_SECONDS", 0.01)
    monkeypatch.setattr(links, "ANSWER_SECONDS", 5.0)

    async def test() -> None:
        heard: list[Message] = []
        link = await running.link("pi", heard.append)
        await link.subscribe("a", 0)
        await asyncio.sleep(0.1)
        await link.publish(Message("a", b""))
        await until(lambda: heard)

    run(test)


def test_what_waits_for_an_answer_is_told_when_the_broker_goes(running: Running) -> None:
    async def test() -> None:
        link = await running.link("pi")
        await asyncio.to_thread(running.stop)
        await asyncio.wait([READING[link]])
        for attempt in (link.publish(Message("a", b"", 1)), link.subscribe("a", 1)):
            with pytest.raises(ConnectionError):
                await attempt

    run(test)
