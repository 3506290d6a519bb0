"""The blocking client, against a core's live server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ipcs import OTHER, OWN, Core, core_with_two_components

from ggml_magic.core import caller, wire
from ggml_magic.core.caller import Caller, CallFailed
from ggml_magic.core.wire import Envelope, Frame, MessageType

pytestmark = pytest.mark.real
SOON = 10.0
__all__ = ["core_with_two_components"]
TOKEN = f"token {OWN}"


def test_calls_are_answered_one_after_the_other(core: Core) -> None:
    with Caller(core.socket, TOKEN, SOON) as own:
        for _ in range(3):
            answer = own.call("GetConfiguration", {"keyPath": ["Deep"]})
            assert answer == {"componentName": OWN, "value": {"Key": "x"}}
        theirs = own.call("GetConfiguration", {"componentName": OTHER})
        assert theirs == {"componentName": OTHER, "value": {"theirs": True}}


def test_megabytes_are_sent_and_answered(core: Core) -> None:
    text = "x" * 3_000_000
    with Caller(core.socket, TOKEN, SOON) as own:
        request = {"keyPath": [], "timestamp": 1e9, "valueToMerge": {"Text": text}}
        assert own.call("UpdateConfiguration", request) == {}
        assert own.call("GetConfiguration", {"keyPath": ["Text"]})["value"] == {"Text": text}


def test_an_error_is_raised_with_its_shape_and_harms_no_later_call(core: Core) -> None:
    with Caller(core.socket, TOKEN, SOON) as own:
        with pytest.raises(CallFailed, match=r"ResourceNotFoundError: .*no such key") as raised:
            own.call("GetConfiguration", {"keyPath": ["None"]})
        assert raised.value.shape == "ResourceNotFoundError"
        assert raised.value.members["resourceName"] == "None"
        with pytest.raises(CallFailed, match="ServiceError: Fly is not served"):
            own.call("Fly", {})
        assert own.call("GetConfiguration", {"keyPath": ["Interval"]})["value"] == {"Interval": 3}


def test_events_of_the_stream_are_passed_over(core: Core) -> None:
    with Caller(core.socket, TOKEN, SOON) as own:
        own.call("SubscribeToConfigurationUpdate", {"componentName": OWN, "keyPath": []})
        request = {"keyPath": [], "timestamp": 2e9, "valueToMerge": {"Interval": 4}}
        assert own.call("UpdateConfiguration", request) == {}


def test_an_unknown_token_is_refused(core: Core) -> None:
    with pytest.raises(CallFailed) as raised:
        Caller(core.socket, "wrong", SOON)
    assert raised.value.shape == caller.REFUSED


def test_nobody_at_the_socket(tmp_path: Path) -> None:
    with pytest.raises(CallFailed, match="nobody answers at") as raised:
        Caller(tmp_path / "none.socket", TOKEN, SOON)
    assert raised.value.shape == caller.LOST


def test_a_core_that_ended_is_a_lost_connection(tmp_path: Path) -> None:
    core = Core(tmp_path / "root")
    with Caller(core.socket, TOKEN, SOON) as own:
        own.call("GetConfiguration", {})
        core.stop()
        for _ in range(2):
            with pytest.raises(CallFailed) as raised:
                own.call("GetConfiguration", {})
            assert raised.value.shape == caller.LOST


ACCEPTED = Envelope(MessageType.CONNECT_ACK, wire.CONNECTION_ACCEPTED).sealed(0)
Play = Callable[[list[bytes]], Path]


@pytest.fixture(name="play")
def core_that_says(tmp_path: Path) -> Iterator[Play]:
    """A core's end of the wire that says each of some bytes when it is spoken to, then hangs up."""
    listening = socket.socket(socket.AF_UNIX)
    path = tmp_path / "ipc.socket"
    listening.bind(str(path))
    listening.listen()
    threads = []

    def start(script: list[bytes]) -> Path:
        def serve() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):  # the client may hang up first
                for line in script:
                    connection.recv(65536)
                    connection.sendall(line)
                if script and not script[-1]:
                    while connection.recv(65536):
                        pass

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return path

    yield start
    for thread in threads:
        thread.join()
    listening.close()


@pytest.mark.parametrize("said", [[b""], [ACCEPTED, b""], [ACCEPTED, ACCEPTED[:9], b""]])
def test_a_core_that_is_silent_is_too_late(play: Play, said: list[bytes]) -> None:
    path = play(said)
    with (
        pytest.raises(CallFailed, match=r"did not answer within 0\.05 s") as raised,
        Caller(path, TOKEN, 0.05) as own,
    ):
        own.call("GetConfiguration", {})
    assert raised.value.shape == caller.LATE


PROTOCOL_ERROR = Envelope(MessageType.PROTOCOL_ERROR).sealed(0, b'{"message":"too many"}')
SHAPE = Envelope(MessageType.APPLICATION_MESSAGE, 0, "aws.greengrass#XResponse", "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([PROTOCOL_ERROR], "too many"),
        ([wire.encode(Frame({":message-type": 2}))], "answered no handshake"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "the checksum of its prelude is wrong"),
        ([ACCEPTED], "hung up|reset|[Bb]roken pipe"),
        ([ACCEPTED, PROTOCOL_ERROR], "too many"),
        ([ACCEPTED, SHAPE.sealed(1, b"[]")], "its answer is no JSON object"),
    ],
)
def test_a_core_that_speaks_otherwise_is_lost(play: Play, said: list[bytes], why: str) -> None:
    path = play(said)
    with (
        pytest.raises(CallFailed, match=f"connection to the core is lost: .*({why})") as raised,
        Caller(path, TOKEN, SOON) as own,
    ):
        own.call("GetConfiguration", {})
    assert raised.value.shape == caller.LOST
