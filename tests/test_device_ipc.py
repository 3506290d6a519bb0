from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from edge import Peer, wait_for

from ggml_magic.device.context import CallError, ConnectionLostError, NoShadowError
from ggml_magic.device.ipc import Ipc


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    peer = Peer(tmp_path / "ipc", {"InferenceInterval": 3})
    monkeypatch.setenv("SVCUID", "token")
    monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", str(peer.path))
    yield peer
    if peer.path.exists():
        peer.close()


@pytest.fixture
def ipc(peer: Peer) -> Iterator[Ipc]:
    ipc = Ipc()
    yield ipc
    ipc.close()


def test_the_configuration_is_read(ipc: Ipc) -> None:
    assert ipc.configuration() == {"InferenceInterval": 3}


def test_a_shadow_is_read_and_merged(peer: Peer, ipc: Ipc) -> None:
    with pytest.raises(NoShadowError):
        ipc.shadow("pi")
    ipc.report("pi", {"a": 1, "b": {"c": 2}})
    ipc.report("pi", {"a": None, "b": {"d": 3}})
    assert ipc.shadow("pi") == {"b": {"c": 2, "d": 3}}


def test_running_is_reported(peer: Peer, ipc: Ipc) -> None:
    ipc.running()
    assert peer.calls == ["UpdateState"]


def test_a_refusal_is_a_failed_call_and_the_connection_goes_on(peer: Peer, ipc: Ipc) -> None:
    peer.refusing = {"UpdateThingShadow"}
    with pytest.raises(CallError, match="ServiceError: not now"):
        ipc.report("pi", {"a": 1})
    peer.refusing = set()
    ipc.report("pi", {"a": 1})
    assert peer.reported == {"a": 1}


def test_what_json_cannot_hold_is_not_sent(peer: Peer, ipc: Ipc) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        ipc.report("pi", {"a": float("nan")})
    assert not peer.calls


def test_a_core_that_hung_up_is_told_apart_from_one_that_refuses(peer: Peer, ipc: Ipc) -> None:
    peer.close()

    def lost() -> bool:
        try:
            ipc.running()
        except CallError:
            return False
        except ConnectionLostError:
            return True
        return False

    assert wait_for(lost)


def test_nobody_there_is_a_lost_connection(peer: Peer) -> None:
    peer.close()
    with pytest.raises(ConnectionLostError):
        Ipc()
