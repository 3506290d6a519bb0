"""The IPC server: the protocol, and clients that do wrong."""

from __future__ import annotations

import asyncio
import json
import queue
import stat
import struct
import zlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from awsiot.eventstreamrpc import AccessDeniedError
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.client import SubscribeToConfigurationUpdateStreamHandler
from ipcs import OWN, Core, core_with_two_components

from ggml_magic.core import ipc, wire
from ggml_magic.core.ipc import Call, IpcError, Server, Serving
from ggml_magic.core.logs import Log
from ggml_magic.core.wire import Frame, MessageType

SOON = 10.0
GOOD = "good"
__all__ = ["core_with_two_components"]
CONNECT = {":message-type": 4, ":message-flags": 0, ":stream-id": 0, ":version": "0.1.0"}


def request(number: int, operation: str) -> bytes:
    headers = {":message-type": 0, ":stream-id": number, "operation": f"aws.greengrass#{operation}"}
    return wire.encode(Frame(headers, b"{}"))


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
        return await asyncio.wait_for(self._receive(), SOON)

    async def _receive(self) -> Frame | None:
        try:
            prelude = await self.reader.readexactly(wire.PRELUDE.size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        total, _ = wire.lengths(prelude, wire.MAX_FRAME)
        return wire.decode(prelude + await self.reader.readexactly(total - len(prelude)))

    async def greet(self) -> Frame | None:
        self.send(CONNECT, {"authToken": "good"})
        return await self.receive()


async def echo(call: Call) -> dict[str, Any]:
    if call.request.get("refuse"):
        raise IpcError("ConflictError", "refused", context={"a": 1})
    if call.request.get("full"):
        raise OSError(28, "No space left on device")
    return {"component": call.component, **call.request}


async def fall(call: Call) -> dict[str, Any]:
    raise KeyError("a bug")


class Watching:
    def __init__(self) -> None:
        self.streams: list[ipc.Stream] = []
        self.closed = 0
        self.gate = asyncio.Event()
        self.waiting = 0

    async def watch(self, call: Call) -> dict[str, Any]:
        self.streams.append(call.stream)
        call.stream.closed.append(self.close)
        for number in range(call.request.get("early", 0)):
            call.stream.send("Event", {"n": number})
        return {}

    async def wait(self, call: Call) -> dict[str, Any]:
        self.waiting += 1
        await self.watch(call)
        await asyncio.wait_for(self.gate.wait(), SOON)
        call.stream.closed.append(self.close)
        return {"waited": True}

    async def flood(self, call: Call) -> dict[str, Any]:
        return {"text": "x" * call.request["size"]}

    def close(self) -> None:
        self.closed += 1


class Scene:
    """A live server and clients of it."""

    def __init__(self, path: Path, server: Server, watching: Watching) -> None:
        self.path, self.server, self.watching = path, server, watching
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        self.writers.append(writer)
        return Client(reader, writer)

    async def greeted(self, token: str = GOOD) -> Client:
        client = await self.connect()
        client.send(CONNECT, {"authToken": token})
        accepted = await client.receive()
        assert accepted is not None
        assert accepted.number(":message-flags") == wire.CONNECTION_ACCEPTED
        return client

    async def lives(self) -> None:
        """A new client and its call are served."""
        client = await self.greeted("other")
        client.ask(1, "Echo", {"x": 1})
        answer = await client.receive()
        assert answer is not None
        assert json.loads(answer.payload)["x"] == 1


async def until(condition: Callable[[], bool]) -> None:
    async def met() -> None:
        while not condition():
            await asyncio.sleep(0.002)

    await asyncio.wait_for(met(), SOON)


def live(tmp_path: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        watching = Watching()
        log = Log(tmp_path / "core.log")
        operations = {"Echo": echo, "Fall": fall, "Watch": watching.watch, "Wait": watching.wait,
                      "Flood": watching.flood}  # fmt: skip
        tokens = {"good": "com.example.A", "other": "com.example.B"}
        server = Server(Serving(operations, tokens.get, log))
        path = tmp_path / "ipc.socket"
        await server.start(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        here = Scene(path, server, watching)
        try:
            await scene(here)
        finally:
            await server.stop()
            assert not server.connections
            assert len(asyncio.all_tasks()) == 1
            for writer in here.writers:
                writer.close()
            log.close()

    asyncio.run(run())


def play(tmp_path: Path, scene: Callable[[Callable[[], Awaitable[Client]], Watching], Any]) -> None:
    async def whole(here: Scene) -> None:
        await scene(here.connect, here.watching)

    live(tmp_path, whole)


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
    "a request on stream -1": wire.encode(
        Frame({":message-type": 0, ":stream-id": -1, "operation": "aws.greengrass#Echo"})
    ),
    "a wrong checksum of the prelude": damaged(prelude(40)),
    "no type": wire.encode(Frame({":stream-id": 1})),
    "an unknown type of header": wire.encode(Frame({"a": True})).replace(b"a\x00", b"a\x0b"),
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


async def refused(client: Client) -> str:
    """What a client is told before it is hung up on."""
    told = await client.receive()
    assert told is not None
    assert told.number(":message-type") == MessageType.PROTOCOL_ERROR
    assert await client.receive() is None
    return str(json.loads(told.payload)["message"])


def test_a_second_handshake_and_a_used_stream_are_refused(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        twice = await here.greeted()
        twice.send(CONNECT, {"authToken": "good"})
        assert "type 4" in await refused(twice)
        for again in ("Echo", "Watch"):
            client = await here.greeted()
            client.ask(3, "Watch", {})
            await client.receive()
            client.ask(3, again, {})
            assert await refused(client) == "stream 3 was used already"
        await until(lambda: here.watching.closed == 2)
        await here.lives()

    live(tmp_path, scene)


def test_the_end_of_an_unknown_stream_is_nothing(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        for number in (7, 2**31 - 1):
            client.end(number)
        client.ask(1, "Echo", {})
        answer = await client.receive()
        assert answer is not None
        assert answer.number(":stream-id") == 1

    live(tmp_path, scene)


def test_what_is_cut_off_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        good = await here.greeted()
        whole = wire.encode(Frame(CONNECT, b'{"authToken": "good"}'))
        for cut in (1, 11, 12, len(whole) - 1):
            client = await here.connect()
            client.writer.write(whole[:cut])
            client.writer.write_eof()
            assert await refused(client) == "the connection ended within a frame"
        silent = await here.connect()
        silent.writer.write_eof()
        assert await silent.receive() is None
        good.ask(1, "Echo", {})
        assert await good.receive() is not None

    live(tmp_path, scene)


def test_who_says_nothing_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "GREETING_SECONDS", 0.01)
    monkeypatch.setattr(ipc, "REFUSED_SECONDS", 0.01)

    async def scene(here: Scene) -> None:
        silent = await here.connect()
        assert await silent.receive() is None
        stays = await here.connect()
        stays.send(CONNECT, {"authToken": "wrong"})
        assert await stays.receive() is not None
        assert await stays.receive() is None

    live(tmp_path, scene)


def test_an_operation_that_waits_holds_up_nobody(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        client.ask(1, "Wait", {})
        client.ask(2, "Echo", {})
        quick = await client.receive()
        assert quick is not None
        assert quick.number(":stream-id") == 2
        await here.lives()
        here.watching.gate.set()
        slow = await client.receive()
        assert slow is not None
        assert (slow.number(":stream-id"), slow.payload) == (1, b'{"waited":true}')

    live(tmp_path, scene)


@pytest.mark.parametrize("operation", ["Watch", "Wait"])
def test_the_response_goes_before_the_events_of_its_stream(tmp_path: Path, operation: str) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        client.ask(1, operation, {"early": 3})
        await until(lambda: bool(here.watching.streams))
        here.watching.streams[0].send("Event", {"n": 3})
        here.watching.gate.set()
        frames = [await client.receive() for _ in range(5)]
        assert [f and f.text("service-model-type").partition("#")[2] for f in frames] == [
            f"{operation}Response", *["Event"] * 4]  # fmt: skip
        assert [f and f.payload for f in frames[1:]] == [b'{"n":%d}' % n for n in range(4)]

    live(tmp_path, scene)


def test_a_stream_that_is_ended_before_its_response_is_answered_by_its_end_only(
    tmp_path: Path,
) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        client.ask(1, "Wait", {"early": 2})
        client.end(1)
        ended = await client.receive()
        assert ended == Frame({":message-type": 0, ":message-flags": 2, ":stream-id": 1})
        assert here.watching.closed == 1
        here.watching.gate.set()
        # what it appended after the end is told, too
        await until(lambda: here.watching.closed == 2)
        client.ask(2, "Echo", {})
        answer = await client.receive()
        assert answer is not None
        assert answer.number(":stream-id") == 2

    live(tmp_path, scene)


def test_a_bug_in_one_operation_is_an_error_of_that_call(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        client.ask(1, "Fall", {})
        failed = await client.receive()
        assert failed is not None
        assert failed.text("service-model-type") == "aws.greengrass#ServiceError"
        assert json.loads(failed.payload)["message"] == "Fall failed within the core"
        assert "KeyError('a bug')" in (tmp_path / "core.log").read_text()
        client.ask(2, "Echo", {})
        answer = await client.receive()
        assert answer is not None
        assert answer.number(":stream-id") == 2

    live(tmp_path, scene)


@pytest.mark.parametrize("bomb", [b"[" * 4_000_000, b'{"a":' * 1_000_000,
                                  b'{"a":[' + b"[]," * 1_500_000 + b"1]}", b'{"a":NaN}'],
                         ids=["lists", "objects", "many", "no number"])  # fmt: skip
def test_a_bomb_of_json_is_an_invalid_argument(tmp_path: Path, bomb: bytes) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        headers = {":message-type": 0, ":stream-id": 1, "operation": "aws.greengrass#Echo"}
        client.writer.write(wire.encode(Frame(headers, bomb)))
        failed = await client.receive()
        assert failed is not None
        assert failed.text("service-model-type") == "aws.greengrass#InvalidArgumentsError"
        await here.lives()

    live(tmp_path, scene)


def test_megabytes_go_both_ways_and_an_answer_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        text = "x" * 12_000_000
        client.ask(1, "Echo", {"text": text})
        answer = await client.receive()
        assert answer is not None
        assert json.loads(answer.payload)["text"] == text
        client.ask(2, "Flood", {"size": wire.MAX_FRAME})
        failed = await client.receive()
        assert failed is not None
        assert failed.text("service-model-type") == "aws.greengrass#ServiceError"

    live(tmp_path, scene)


def test_requests_of_a_client_that_does_not_read_wait(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        bad = await here.greeted()
        (connection,) = here.server.connections
        count, size = 1_000, 1_000_000
        for number in range(1, count + 1):
            bad.ask(number, "Flood", {"size": size})
        await until(lambda: connection._last_stream > 0)
        bad.writer.write(wire.encode(Frame({":message-type": 2}, bytes(4 * size))) * 10)
        for _ in range(30):
            await here.lives()
        assert connection._last_stream < 20
        assert connection.held < 20 * size
        # once it reads, it gets everything
        for number in range(1, 101):
            answer = await bad.receive()
            assert answer is not None
            assert answer.number(":stream-id") == number

    live(tmp_path, scene)


def test_a_subscriber_that_does_not_read_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipc, "MOST_HELD_OF_ONE", 4_000_000)

    async def scene(here: Scene) -> None:
        bad, good = await here.greeted(), await here.greeted()
        for client in (bad, good):
            client.ask(1, "Watch", {})
            await client.receive()
        event = {"text": "x" * 1_000_000}
        for _ in range(20):
            for stream in here.watching.streams:
                stream.send("Event", event)
            received = await good.receive()
            assert received is not None
            assert len(received.payload) > 1_000_000
        await until(lambda: here.watching.closed == 1)
        await here.lives()

    live(tmp_path, scene)


def test_when_all_hold_too_much_the_one_with_most_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipc, "MOST_HELD_BYTES", 40_000_000)

    async def scene(here: Scene) -> None:
        sizes = (8_000_000, 12_000_000, 18_000_000)
        clients = [await here.greeted() for _ in sizes]
        held = list(here.server.connections)
        for client, connection, size in zip(clients, held, sizes, strict=True):
            frame = wire.encode(Frame({":message-type": 2}, bytes(size + 4_000_000)))
            for place in range(0, size, 1_000_000):
                client.writer.write(frame[place : place + 1_000_000])
                await client.writer.drain()
            await until(lambda: connection.held >= size)  # noqa: B023
        extra = await here.greeted()
        extra.writer.write(prelude(10_000_000) + bytes(4_000_000))
        assert await clients[2].receive() is None
        assert len(here.server.connections) == 3
        await here.lives()

    live(tmp_path, scene)


def test_ten_thousand_streams_and_not_one_more(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        for number in range(1, ipc.MOST_STREAMS + 2):
            client.ask(number, "Watch", {})
        for _ in range(ipc.MOST_STREAMS):
            answer = await client.receive()
            assert answer is not None
            assert answer.number(":message-type") == 0
        more = await client.receive()
        assert more is not None
        assert "more than 10000 streams" in json.loads(more.payload)["message"]
        await here.lives()
        client.writer.close()
        await until(lambda: here.watching.closed == ipc.MOST_STREAMS)

    live(tmp_path, scene)


def test_two_hundred_connections_at_once_and_too_many_of_one_component(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        clients = await asyncio.gather(*(here.greeted() for _ in range(200)))
        for client in clients:
            client.ask(1, "Echo", {})
        assert all(await asyncio.gather(*(client.receive() for client in clients)))
        for _ in range(ipc.MOST_OF_ONE - len(clients)):
            await here.greeted()
        more = await here.connect()
        more.send(CONNECT, {"authToken": "good"})
        assert await refused(more) == "more than 256 connections of com.example.A are open"
        await here.lives()

    live(tmp_path, scene)


def test_strangers_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "MOST_STRANGERS", 5)

    async def scene(here: Scene) -> None:
        good = await here.greeted()
        strangers = [await here.connect() for _ in range(6)]
        assert await strangers[0].receive() is None
        await here.lives()
        strangers[5].send(CONNECT, {"authToken": "good"})
        assert await strangers[5].receive() is not None
        good.ask(1, "Echo", {})
        assert await good.receive() is not None

    live(tmp_path, scene)


def test_too_many_connections_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "MOST_CONNECTIONS", 2)

    async def scene(here: Scene) -> None:
        first, _ = await here.greeted(), await here.greeted()
        assert await refused(await here.connect()) == "too many connections are open"
        first.writer.close()
        await until(lambda: len(here.server.connections) == 1)
        await here.lives()

    live(tmp_path, scene)


def test_a_server_that_stops_hangs_up_and_cancels_what_waits(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        client = await here.greeted()
        client.ask(1, "Wait", {})
        await until(lambda: here.watching.waiting == 1)
        await here.server.stop()
        assert await client.receive() is None
        assert here.watching.closed == 1

    live(tmp_path, scene)


class Told(SubscribeToConfigurationUpdateStreamHandler):
    """What a subscription of the old client was told."""

    def __init__(self) -> None:
        super().__init__()
        self.events: queue.Queue[Any] = queue.Queue()

    def on_stream_event(self, event: Any) -> None:
        self.events.put(event)

    def on_stream_closed(self) -> None:
        self.events.put("closed")


@pytest.mark.real
def test_the_old_client_of_the_sdk_calls_and_subscribes(core: Core) -> None:
    link = connect(ipc_socket=str(core.socket), authtoken=f"token {OWN}")
    asking = link.new_get_configuration()
    asking.activate(model.GetConfigurationRequest(key_path=["Deep"]))
    assert asking.get_response().result(SOON).value == {"Key": "x"}
    assert asking.close().result(SOON) is None
    wrong = link.new_get_configuration()
    wrong.activate(model.GetConfigurationRequest(key_path=["None"]))
    with pytest.raises(model.ResourceNotFoundError) as raised:
        wrong.get_response().result(SOON)
    assert raised.value.message.endswith("has no such key")
    told = Told()
    watching = link.new_subscribe_to_configuration_update(told)
    watching.activate(model.SubscribeToConfigurationUpdateRequest(component_name=OWN, key_path=[]))
    watching.get_response().result(SOON)
    writing = link.new_update_configuration()
    now = datetime.now(timezone.utc)
    request = model.UpdateConfigurationRequest(
        key_path=["Deep"], timestamp=now, value_to_merge={"Key": "y"}
    )
    writing.activate(request)
    writing.get_response().result(SOON)
    event = told.events.get(timeout=SOON).configuration_update_event
    assert (event.component_name, event.key_path) == (OWN, ["Deep", "Key"])
    assert watching.close().result(SOON) is None
    assert told.events.get(timeout=SOON) == "closed"
    link.close().result(SOON)


@pytest.mark.real
def test_the_new_client_of_the_sdk_calls_and_subscribes(core: Core) -> None:
    link = core.client()
    assert link.get_configuration(key_path=["Interval"]).value == {"Interval": 3}
    with pytest.raises(model.ResourceNotFoundError) as raised:
        link.get_configuration(key_path=["None"])
    assert raised.value.message.endswith("has no such key")
    events: queue.Queue[Any] = queue.Queue()
    _, watching = link.subscribe_to_configuration_update(
        component_name=OWN,
        key_path=["Interval"],
        on_stream_event=events.put,
        on_stream_closed=lambda: events.put("closed"),
    )
    now = datetime.now(timezone.utc)
    link.update_configuration(key_path=[], timestamp=now, value_to_merge={"Interval": 4})
    assert events.get(timeout=SOON).configuration_update_event.key_path == ["Interval"]
    watching.close().result(SOON)
    assert events.get(timeout=SOON) == "closed"
    link.close().result(SOON)


@pytest.mark.real
def test_a_refused_client_of_the_sdk_sees_that_it_was_refused(core: Core) -> None:
    with pytest.raises(AccessDeniedError):
        connect(ipc_socket=str(core.socket), authtoken="wrong")


@pytest.mark.real
def test_two_hundred_clients_of_the_sdk_in_turn_leave_nothing(core: Core) -> None:
    for _ in range(200):
        link = core.client()
        assert link.get_configuration(key_path=["Interval"]).value == {"Interval": 3}
        link.close().result(SOON)


def test_a_client_that_sends_much_at_once_lets_others_have_their_turn(tmp_path: Path) -> None:
    async def scene(here: Scene) -> None:
        greedy, modest = await here.greeted(), await here.greeted("other")
        (first, _) = here.server.connections
        many = b"".join(
            request(number, "Watch") for number in range(1, 20 * ipc.MESSAGES_OF_A_TURN)
        )
        greedy.writer.write(many)
        modest.writer.write(request(1, "Echo"))
        assert await modest.receive() is not None
        assert first._last_stream < 10 * ipc.MESSAGES_OF_A_TURN
        for _ in range(1, 20 * ipc.MESSAGES_OF_A_TURN):
            assert await greedy.receive() is not None

    live(tmp_path, scene)
