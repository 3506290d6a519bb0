"""The IPC server: the protocol, and clients that do wrong."""

from __future__ import annotations

import asyncio
import json
import stat
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core import ipc, wire
from ggml_magic.core.ipc import Call, IpcError, Server, Serving
from ggml_magic.core.logs import Log
from ggml_magic.core.wire import Frame, MessageType

CONNECT = {":message-type": 4, ":message-flags": 0, ":stream-id": 0, ":version": "0.1.0"}


class Client:
    """A client that speaks frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, headers: dict[str, wire.Value], value: Any = None) -> None:
        payload = b"" if value is None else json.dumps(value).encode()
        self.writer.write(wire.encode(Frame(headers, payload)))

    def ask(self, number: int, operation: str, value: Any) -> None:
        self.send(
            {
                ":message-type": 0,
                ":message-flags": 0,
                ":stream-id": number,
                "operation": f"aws.greengrass#{operation}",
                "service-model-type": f"aws.greengrass#{operation}Request",
            },
            value,
        )

    def end(self, number: int) -> None:
        self.send({":message-type": 0, ":message-flags": 2, ":stream-id": number})

    async def receive(self) -> Frame | None:
        return await asyncio.wait_for(wire.read(self.reader), 10)

    async def greet(self) -> Frame | None:
        self.send(CONNECT, {"authToken": "good"})
        return await self.receive()


async def echo(call: Call) -> dict[str, Any]:
    if call.request.get("refuse"):
        raise IpcError("ConflictError", "refused", context={"a": 1})
    if call.request.get("full"):
        raise OSError(28, "No space left on device")
    return {"component": call.component, **call.request}


class Watching:
    def __init__(self) -> None:
        self.streams: list[ipc.Stream] = []
        self.closed = 0

    async def watch(self, call: Call) -> dict[str, Any]:
        self.streams.append(call.stream)
        call.stream.closed.append(self.close)
        return {}

    def close(self) -> None:
        self.closed += 1


def play(tmp_path: Path, scene: Callable[[Callable[[], Awaitable[Client]], Watching], Any]) -> None:
    async def run() -> None:
        watching = Watching()
        log = Log(tmp_path / "core.log")
        operations = {"Echo": echo, "Watch": watching.watch}
        server = Server(Serving(operations, {"good": "com.example.A"}.get, log))
        path = tmp_path / "ipc.socket"
        await server.start(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        writers = []

        async def client() -> Client:
            reader, writer = await asyncio.open_unix_connection(str(path))
            writers.append(writer)
            return Client(reader, writer)

        try:
            await scene(client, watching)
        finally:
            for writer in writers:
                writer.close()
            await server.stop()
            log.close()

    asyncio.run(run())


def test_a_request_is_answered_and_its_stream_ended_by_both(tmp_path: Path) -> None:
    async def scene(connect: Any, _: Any) -> None:
        client = await connect()
        accepted = await client.greet()
        assert accepted.number(":message-type") == MessageType.CONNECT_ACK
        assert accepted.number(":message-flags") == wire.CONNECTION_ACCEPTED
        client.ask(1, "Echo", {"x": 1})
        answer = await client.receive()
        assert json.loads(answer.payload) == {"component": "com.example.A", "x": 1}
        assert answer.headers == {
            ":message-type": 0, ":message-flags": 0, ":stream-id": 1,
            ":content-type": "application/json",
            "service-model-type": "aws.greengrass#EchoResponse",
        }  # fmt: skip
        client.end(1)
        ended = await client.receive()
        assert ended == Frame({":message-type": 0, ":message-flags": 2, ":stream-id": 1})

    play(tmp_path, scene)


def test_errors_are_typed_and_end_their_stream_only(tmp_path: Path) -> None:
    async def scene(connect: Any, _: Any) -> None:
        client = await connect()
        await client.greet()
        client.ask(1, "Echo", {"refuse": True})
        client.ask(2, "Fly", {})
        client.ask(3, "Echo", [1])
        client.ask(4, "Echo", {"full": True})
        client.ask(5, "Echo", {})
        frames = [await client.receive() for _ in range(5)]
        shapes = [frame.text("service-model-type").partition("#")[2] for frame in frames]
        assert shapes == ["ConflictError", "ServiceError", "InvalidArgumentsError", "ServiceError",
                          "EchoResponse"]  # fmt: skip
        assert [frame.number(":message-type") for frame in frames] == [1, 1, 1, 1, 0]
        assert [frame.number(":message-flags") for frame in frames] == [2, 2, 2, 2, 0]
        refused = json.loads(frames[0].payload)
        assert refused == {"message": "refused", "_message": "refused", "context": {"a": 1}}
        assert json.loads(frames[1].payload)["message"] == "Fly is not served by this core"

    play(tmp_path, scene)


def test_events_come_until_the_stream_ends(tmp_path: Path) -> None:
    async def scene(connect: Any, watching: Watching) -> None:
        client = await connect()
        await client.greet()
        client.ask(1, "Watch", {})
        await client.receive()
        watching.streams[0].send("Event", {"n": 1})
        event = await client.receive()
        assert event.text("service-model-type") == "aws.greengrass#Event"
        client.end(1)
        await client.receive()
        assert watching.closed == 1
        client.ask(2, "Watch", {})
        await client.receive()
        client.writer.close()
        while watching.closed < 2:
            await asyncio.sleep(0.005)

    play(tmp_path, scene)


@pytest.mark.parametrize("greeting", [{"authToken": "wrong"}, {}, [], "text"])
def test_a_wrong_token_is_refused_and_the_client_hangs_up(tmp_path: Path, greeting: Any) -> None:
    async def scene(connect: Any, _: Any) -> None:
        client = await connect()
        client.send(CONNECT, greeting)
        refused = await client.receive()
        assert refused.number(":message-type") == MessageType.CONNECT_ACK
        assert refused.number(":message-flags") == 0
        client.ask(1, "Echo", {})
        assert await client.receive() is None

    play(tmp_path, scene)


def test_another_protocol_version_is_refused(tmp_path: Path) -> None:
    async def scene(connect: Any, _: Any) -> None:
        client = await connect()
        client.send({**CONNECT, ":version": "9.0.0"}, {"authToken": "good"})
        assert (await client.receive()).number(":message-flags") == 0

    play(tmp_path, scene)


def prelude(total: int, headers: int = 0) -> bytes:
    content = struct.pack(">II", total, headers)
    return content + struct.pack(">I", zlib.crc32(content))


def damaged(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])


WRONG = {
    "noise": b"\x00" * 64,
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "oversized": prelude(wire.MAX_FRAME + 1),
    "too short": prelude(3),
    "headers beyond the frame": prelude(100, 200),
    "wrong checksum": damaged(wire.encode(Frame({":message-type": 2}, b"x"))),
    "a stream without an operation": wire.encode(Frame({":message-type": 0, ":stream-id": 1})),
    "a server's message": wire.encode(Frame({":message-type": 5, ":stream-id": 0})),
    "a message on stream 0": wire.encode(Frame({":message-type": 0, ":stream-id": 0})),
}


@pytest.mark.parametrize("greeted", [True, False])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_frame_closes_that_connection_only(
    tmp_path: Path, wrong: bytes, greeted: bool
) -> None:
    async def scene(connect: Any, _: Any) -> None:
        good, bad = await connect(), await connect()
        await good.greet()
        if greeted:
            await bad.greet()
        bad.writer.write(wrong)
        complaint = await bad.receive()
        assert complaint.number(":message-type") == MessageType.PROTOCOL_ERROR
        assert await bad.receive() is None
        good.ask(1, "Echo", {})
        assert (await good.receive()).number(":stream-id") == 1

    play(tmp_path, scene)


def test_a_stranger_may_not_send_much(tmp_path: Path) -> None:
    async def scene(connect: Any, _: Any) -> None:
        client = await connect()
        client.writer.write(prelude(ipc.GREETING_BYTES + 1))
        assert (await client.receive()).number(":message-type") == MessageType.PROTOCOL_ERROR

    play(tmp_path, scene)


def test_a_ping_is_answered_and_late_words_on_an_ended_stream_are_ignored(tmp_path: Path) -> None:
    async def scene(connect: Any, _: Any) -> None:
        client = await connect()
        await client.greet()
        client.writer.write(wire.encode(Frame({":message-type": 2, ":stream-id": 0}, b"hi")))
        pong = await client.receive()
        assert (pong.number(":message-type"), pong.payload) == (MessageType.PING_RESPONSE, b"hi")
        client.ask(1, "Echo", {"refuse": True})
        await client.receive()
        client.end(1)
        client.ask(2, "Echo", {})
        assert (await client.receive()).number(":stream-id") == 2

    play(tmp_path, scene)


def test_a_thousand_streams_and_a_hundred_clients(tmp_path: Path) -> None:
    async def scene(connect: Any, watching: Watching) -> None:
        client = await connect()
        await client.greet()
        for number in range(1, 1001):
            client.ask(number, "Watch", {})
        answers = [await client.receive() for _ in range(1000)]
        assert [frame.number(":stream-id") for frame in answers] == list(range(1, 1001))
        others = [await connect() for _ in range(100)]
        for other in others:
            await other.greet()
            other.ask(1, "Echo", {})
            assert (await other.receive()).number(":message-type") == 0

    play(tmp_path, scene)
