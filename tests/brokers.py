"""A sandbox's broker in a thread of this process, and clients of it, for tests."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ggml_magic.core.link import Link
from ggml_magic.core.quotas import Message
from ggml_magic.sandbox.broker import Broker
from ggml_magic.sandbox.lifetime import Clock

HOST = "127.0.0.1"
SOON = 10.0
# a test's connections, closed before their loop is
WRITERS: list[asyncio.StreamWriter] = []
READING: dict[Link, asyncio.Task[None]] = {}
CONNACK, PUBACK, DISCONNECT = b"\x20\x02\x00\x00", b"\x40\x02\x00\x01", b"\xe0\x00"
Value = TypeVar("Value")


class Running:
    """A broker and the endpoint file that names it; it can go and come back elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "endpoint.json"
        self.clock = Clock()
        self.broker: Broker
        self.start()

    def start(self) -> None:
        listener = socket.create_server((HOST, 0))
        self.broker = Broker(listener)
        self.broker.start(self.clock)
        self.file.write_text(json.dumps({"mqtt": self.broker.address}))

    def stop(self) -> None:
        self.broker.close()

    async def link(
        self,
        name: str,
        received: Callable[[Message], None] = lambda message: None,
        user: str = "me",
    ) -> Link:
        """A client, which reads until the test ends."""
        made = await Link.open(HOST, self.broker.port, name, user)
        READING[made] = asyncio.create_task(made.run(received))
        return made

    async def raw(self, *sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that says anything."""
        reader, writer = await asyncio.open_connection(HOST, self.broker.port)
        WRITERS.append(writer)
        writer.write(b"".join(sent))
        return reader, writer


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Ended after the test."""
    made = Running(tmp_path)
    yield made
    made.stop()


async def until(condition: Callable[[], Value], what: str = "") -> Value:
    """What a condition gives once it gives something."""
    deadline = time.monotonic() + SOON
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.002)
    return found


def run(test: Callable[[], Awaitable[Any]]) -> None:
    """One test's coroutine in a loop of its own, which leaves nothing behind."""

    async def within() -> None:
        try:
            await asyncio.wait_for(test(), SOON * 3)
        finally:
            while WRITERS:
                writer = WRITERS.pop()
                writer.transport.abort()
            for link, reading in READING.items():
                reading.cancel()
                await link.close()
            await asyncio.gather(*READING.values(), return_exceptions=True)
            READING.clear()

    asyncio.run(within())


def connect(name: str = "raw", user: str = "me") -> bytes:
    """A CONNECT with a clean session."""
    head = _text("MQTT") + struct.pack(">BBH", 4, 0x82, 60)
    return _packet(0x10, head + _text(name) + _text(user))


def publish(topic: str, payload: bytes = b"x", qos: int = 0, flags: int = 0) -> bytes:
    """A PUBLISH that may break rules; its number is 1."""
    number = struct.pack(">H", 1) if qos else b""
    return _packet(0x30 | qos << 1 | flags, _text(topic) + number + payload)


def subscribe(topic_filter: str, qos: int) -> bytes:
    """A SUBSCRIBE; its number is 1."""
    return _packet(0x82, struct.pack(">H", 1) + _text(topic_filter) + bytes([qos]))


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _packet(first: int, body: bytes) -> bytes:
    """Its length in three bytes, which is allowed to be long."""
    size = len(body)
    length = [size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]
    return bytes([first, *length]) + body


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the broker hangs up on it, soon."""
    try:
        while await asyncio.wait_for(reader.read(65536), SOON):
            pass
    except ConnectionError:
        return True
    return True
