"""What goes out: once a turn, bounded, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ggml_magic.core.outbox import FLUSH_BYTES, Outbox


class Wire(asyncio.Transport):
    """A transport that keeps what it is given; a real one's writes cannot be counted."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closing


def play(scene: Callable[[Wire, Outbox, list[int]], Awaitable[None]]) -> None:
    async def run() -> None:
        transport, grown = Wire(), []  # type: ignore[var-annotated]
        outbox = Outbox(transport, lambda: grown.append(outbox.held))
        await scene(transport, outbox, grown)

    asyncio.run(run())


def test_what_one_turn_sends_is_written_once() -> None:
    async def scene(transport: Wire, outbox: Outbox, _: list[int]) -> None:
        for message in (b"a", b"b", b"c"):
            outbox.send(message)
        assert transport.written == []
        await asyncio.sleep(0)
        assert transport.written == [b"abc"]
        outbox.send(b"d")
        await asyncio.sleep(0)
        assert transport.written == [b"abc", b"d"]

    play(scene)


def test_a_turn_of_the_connections_own_ends_with_its_flush() -> None:
    async def scene(transport: Wire, outbox: Outbox, _: list[int]) -> None:
        outbox.turn = True
        outbox.send(b"a")
        await asyncio.sleep(0)
        assert transport.written == []
        outbox.flush()
        outbox.flush()
        assert transport.written == [b"a"]

    play(scene)


def test_much_is_written_before_the_turn_ends() -> None:
    async def scene(transport: Wire, outbox: Outbox, grown: list[int]) -> None:
        outbox.send(bytes(FLUSH_BYTES + 1))
        assert len(transport.written) == len(grown) == 1

    play(scene)


def test_what_a_slow_client_leaves_waits_and_is_counted() -> None:
    async def scene(transport: Wire, outbox: Outbox, grown: list[int]) -> None:
        outbox.send(b"12345")
        outbox.flush()
        assert outbox.held == 0
        outbox.full = True
        assert outbox.held == 5
        outbox.send(b"678")
        await asyncio.sleep(0)
        assert transport.written == [b"12345"]
        assert outbox.held == 8
        outbox.send(bytes(FLUSH_BYTES))
        assert grown == [8 + FLUSH_BYTES]
        outbox.resume()
        assert transport.written[1] == b"678" + bytes(FLUSH_BYTES)
        assert outbox.held == 0

    play(scene)


def test_nothing_is_written_to_who_is_gone_nor_kept() -> None:
    async def scene(transport: Wire, outbox: Outbox, _: list[int]) -> None:
        transport.closing = True
        outbox.send(b"a")
        await asyncio.sleep(0)
        assert transport.written == []
        outbox.clear()
        assert outbox.held == 0

    play(scene)
