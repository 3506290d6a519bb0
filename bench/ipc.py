"""The core's IPC beside a bare Unix-socket echo: a call's time, calls and messages a second.

The server is the core's own, with its real operations, in a process of its own. Clients are the
unmodified SDK's, and the terminal's own as the least that a client can cost. Time is taken in
rounds, each with the echo; the quietest counts, of ours and of the echo.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from bench.figure import Figure
from ggml_magic.core import payload, wire
from ggml_magic.core.caller import Caller
from ggml_magic.core.config import Tree
from ggml_magic.core.inventory import Component, Contents, Inventory
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.logs import Log
from ggml_magic.core.operations.configuration import Configuration
from ggml_magic.core.operations.pubsub import PubSub
from ggml_magic.core.topics import Topics
from ggml_magic.core.wire import Frame, MessageType

ECHO_TIMES = 5.0  # issue 4: a call takes at most so many times an echo
CALLS_PER_SECOND = 4_000  # issue 4, one after the other
MESSAGES_PER_SECOND = 5_000  # issue 4, published without waiting and delivered
ROUNDS = 10
CALLS = 1_000
MESSAGES = 5_000
ECHO_BYTES = 256  # about what a request and its answer have
READ_BYTES = 64 * 1024
PATIENCE_SECONDS = 30.0
COMPONENT, TOKEN, TOPIC = "com.example.Bench", "bench token", "bench/topic"
CONFIGURATION = {
    "Interval": 3,
    "accessControl": {
        "aws.greengrass.ipc.pubsub": {"bench": {"operations": ["*"], "resources": ["*"]}}
    },
}


def figures(folder: Path) -> list[Figure]:
    """Measures against a server whose files are in ``folder``."""
    root = folder / "ipc"
    root.mkdir()
    with _served(root):
        echoes, calls, own = [], [], []
        for _ in range(ROUNDS):
            echoes.append(asyncio.run(_echoed(root)))
            calls.append(_called(root))
            own.append(_called_by_ours(root))
        delivered = max(_delivered(root) for _ in range(ROUNDS))
        by_sdk = max(_delivered_by_sdk(root) for _ in range(ROUNDS))
    echo, call = min(map(_median, echoes)), min(map(_median, calls))
    rate = max(map(_rate, calls))
    return [
        Figure(
            "IPC: GetConfiguration, median",
            f"awsiotsdk {call * 1e6:.0f} us",
            f"bare asyncio echo {echo * 1e6:.0f} us",
            f"{call / echo:.1f} x",
            f"{ECHO_TIMES:g} x",
            call <= ECHO_TIMES * echo,
        ),
        Figure(
            "IPC: calls one after the other",
            f"awsiotsdk {rate:,.0f}/s",
            f"the terminal's client {max(map(_rate, own)):,.0f}/s",
            f"{rate:,.0f}/s",
            f"{CALLS_PER_SECOND:,}/s",
            rate >= CALLS_PER_SECOND,
        ),
        Figure(
            "IPC: published and delivered",
            f"plain sockets {delivered:,.0f}/s",
            f"awsiotsdk at both ends {by_sdk:,.0f}/s",
            f"{delivered:,.0f}/s",
            f"{MESSAGES_PER_SECOND:,}/s",
            delivered >= MESSAGES_PER_SECOND,
        ),
    ]


def _median(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def _rate(seconds: list[float]) -> float:
    return len(seconds) / sum(seconds)


def _ipc(root: Path) -> Path:
    return root / "ipc.socket"


def _echo(root: Path) -> Path:
    return root / "echo.socket"


@contextlib.contextmanager
def _served(root: Path) -> Iterator[None]:
    """The server in a process of its own, until the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(root)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None  # noqa: S101  # they are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            if not process.stdout.readline():
                raise RuntimeError("the IPC server did not start")
            yield
        finally:
            process.stdin.close()


async def _serve(root: Path) -> None:
    """Serve until the standard input ends."""
    held = Inventory(root / "state.json")
    tree = Tree()
    tree.merge((), CONFIGURATION, 1)
    held.replace(Contents({}, {COMPONENT: Component("1.0.0", {}, (), tree)}))
    operations = {**Configuration(held).handlers(), **PubSub(held, Topics()).handlers()}
    log = Log(root / "core.log")
    server = Server(Serving(operations, {TOKEN: COMPONENT}.get, log))
    await server.start(_ipc(root))
    echo = await asyncio.start_unix_server(_echoing, str(_echo(root)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    echo.close()
    await server.stop()
    log.close()


async def _echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
    writer.close()


async def _echoed(root: Path) -> list[float]:
    """Seconds of each round trip through the echo."""
    reader, writer = await asyncio.open_unix_connection(str(_echo(root)))
    content, seconds = bytes(ECHO_BYTES), []
    for _ in range(CALLS):
        begin = time.perf_counter()
        writer.write(content)
        await reader.readexactly(ECHO_BYTES)
        seconds.append(time.perf_counter() - begin)
    writer.close()
    await writer.wait_closed()
    return seconds


def _timed(call: Callable[[], Any]) -> list[float]:
    seconds = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return seconds


def _called(root: Path) -> list[float]:
    """Seconds of each GetConfiguration through the SDK."""
    client = _client(root)
    try:
        return _timed(client.get_configuration)
    finally:
        client.close().result(PATIENCE_SECONDS)


def _called_by_ours(root: Path) -> list[float]:
    """Seconds of each GetConfiguration through the terminal's client."""
    with Caller(_ipc(root), TOKEN, PATIENCE_SECONDS) as caller:
        return _timed(lambda: caller.call("GetConfiguration", {}))


def _client(root: Path) -> GreengrassCoreIPCClientV2:
    return GreengrassCoreIPCClientV2(connect(ipc_socket=str(_ipc(root)), authtoken=TOKEN))


def _delivered(root: Path) -> float:
    """Messages a second from one plain socket to another, published without waiting."""
    publisher, subscriber = _greeted(root), _greeted(root)
    with publisher, subscriber:
        subscriber.sendall(_request(1, "SubscribeToTopic", {"topic": TOPIC}))
        messages = wire.Splitter()
        _await(subscriber, messages, 1)
        content = b"".join(
            _request(number, "PublishToTopic", _publication(number)) + _end(number)
            for number in range(1, MESSAGES + 1)
        )
        sending = threading.Thread(target=publisher.sendall, args=(content,))
        reading = threading.Thread(target=_await, args=(publisher, wire.Splitter(), 2 * MESSAGES))
        begin = time.perf_counter()
        sending.start()
        reading.start()
        _await(subscriber, messages, MESSAGES)
        seconds = time.perf_counter() - begin
        sending.join()
        reading.join()
    return MESSAGES / seconds


def _publication(number: int) -> dict[str, Any]:
    return {"topic": TOPIC, "publishMessage": {"jsonMessage": {"message": {"number": number}}}}


def _greeted(root: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect(str(_ipc(root)))
    token = payload.write({"authToken": TOKEN})
    connection.sendall(_frame(MessageType.CONNECT, 0, token, {wire.VERSION: "0.1.0"}))
    _await(connection, wire.Splitter(), 1)
    return connection


def _frame(
    kind: MessageType, stream: int, content: bytes, more: dict[str, wire.Value], flags: int = 0
) -> bytes:
    headers = {wire.TYPE: int(kind), wire.FLAGS: flags, wire.STREAM: stream, **more}
    return wire.encode(Frame(headers, content))


def _request(stream: int, operation: str, request: dict[str, Any]) -> bytes:
    names: dict[str, wire.Value] = {
        "operation": f"aws.greengrass#{operation}",
        "service-model-type": f"aws.greengrass#{operation}Request",
    }
    return _frame(MessageType.APPLICATION_MESSAGE, stream, payload.write(request), names)


def _end(stream: int) -> bytes:
    return _frame(MessageType.APPLICATION_MESSAGE, stream, b"", {}, wire.TERMINATE_STREAM)


def _await(connection: socket.socket, messages: wire.Splitter, count: int) -> None:
    """Read so many messages, none of them an error."""
    while count:
        messages.feed(connection.recv(READ_BYTES))
        while (message := messages.next()) is not None:
            if message.head.kind not in (MessageType.APPLICATION_MESSAGE, MessageType.CONNECT_ACK):
                raise RuntimeError(f"the core answered {message}")
            count -= 1


def _delivered_by_sdk(root: Path) -> float:
    """Messages a second where the SDK publishes without waiting, and the SDK subscribes."""
    publisher, subscriber = _client(root), _client(root)
    everything = threading.Event()
    count = MESSAGES // 5
    left = iter(range(count - 1, -1, -1))

    def received(_: Any) -> None:
        if next(left) == 0:
            everything.set()

    try:
        subscriber.subscribe_to_topic(topic=TOPIC, on_stream_event=received)
        begin = time.perf_counter()
        for number in range(count):
            message = model.JsonMessage(message={"number": number})
            publisher.publish_to_topic_async(
                topic=TOPIC, publish_message=model.PublishMessage(json_message=message)
            )
        if not everything.wait(PATIENCE_SECONDS):
            raise TimeoutError("the messages were not delivered")
        return count / (time.perf_counter() - begin)
    finally:
        publisher.close().result(PATIENCE_SECONDS)
        subscriber.close().result(PATIENCE_SECONDS)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
