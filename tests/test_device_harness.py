from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from edge import Device, Peer, device, environment, wait_for

pytestmark = pytest.mark.real

# issue 5: at most 55 MB with awsiotsdk
PEAK_KILOBYTES = 55_000


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path / "ipc", {"InferenceInterval": "0.05"})
    yield peer
    if peer.path.exists():
        peer.close()


@contextmanager
def running(pi: Device, peer: Peer) -> Iterator[subprocess.Popen[str]]:
    process = pi.run(
        "launch",
        SVCUID="token",
        AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT=str(peer.path),
        AWS_IOT_THING_NAME="weather-pi",
        GGML_COMPONENT_VERSION="1.2.3",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    stdout, _ = process.communicate(timeout=30)
    return process.returncode, stdout.splitlines()


def answer(peer: Peer) -> Any:
    return (peer.reported or {}).get("rain_prediction")


def test_it_answers_readings_in_little_memory_and_ends_when_told(
    tmp_path: Path, python: Path, peer: Peer
) -> None:
    with running(device(tmp_path, python), peer) as process:
        wait_for(lambda: "GetThingShadow" in peer.calls)
        assert peer.calls[:2] == ["GetConfiguration", "UpdateState"] and not peer.reported
        peer.reported = {"f0": 1.0, "f1": 0}
        wait_for(lambda: answer(peer) == 1)
        assert peer.reported["rain_reading"] == {"f0": 1.0, "f1": 0}
        assert peer.reported["rain_version"] == "1.2.3"
        assert peer.reported["rain_probability"] == pytest.approx(0.7310586, abs=1e-6)
        peer.reported["f0"] = "wet"
        wait_for(lambda: "rain_error" in peer.reported)
        assert answer(peer) is None
        peer.reported["f0"] = -1.0
        wait_for(lambda: answer(peer) == 0)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert int(status.split("VmHWM:")[1].split()[0]) < PEAK_KILOBYTES
        cycles = len(peer.calls)
        wait_for(lambda: len(peer.calls) > cycles + 5)  # idle ones, which say nothing
        process.send_signal(signal.SIGTERM)
        code, lines = ended(process)
    assert code == 0
    assert lines == [
        "rain 1.2.3 runs on ai-edge-litert 2.3.0: a cycle every 0.05 s, own code: none",
        "f0 1.0, f1 0: 1 (0.7311)",
        "no answer: 'f0' is 'wet', not a number",
        "f0 -1.0, f1 0: 0 (0.2689)",
    ]


def test_a_core_that_comes_back_is_found_again(tmp_path: Path, python: Path, peer: Peer) -> None:
    with running(device(tmp_path, python), peer) as process:
        wait_for(lambda: "GetThingShadow" in peer.calls)
        peer.close()
        peer.listen()
        peer.reported = {"f0": 1.0, "f1": 0}
        wait_for(lambda: answer(peer) == 1)
        assert peer.calls.count("UpdateState") == 2
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 0


def test_a_core_that_is_gone_for_good_ends_it(tmp_path: Path, python: Path, peer: Peer) -> None:
    with running(device(tmp_path, python), peer) as process:
        wait_for(lambda: "GetThingShadow" in peer.calls)
        peer.close()
        code, lines = ended(process)
    assert code == 1 and lines[-1].startswith("the core is gone: ")


def test_refusals_of_the_core_end_nothing(tmp_path: Path, python: Path, peer: Peer) -> None:
    peer.refusing = {"GetConfiguration", "UpdateState", "GetThingShadow"}
    peer.reported = {"f0": 1.0, "f1": 0}
    with running(device(tmp_path, python), peer) as process:
        wait_for(lambda: "GetThingShadow" in peer.calls)
        peer.refusing = set()
        wait_for(lambda: answer(peer) == 1)
        process.send_signal(signal.SIGTERM)
        code, lines = ended(process)
    assert code == 0 and sum("not now" in line for line in lines) == 3


CODE = """
import json
def read(context):
    return {"f0": float(context.config["Start"]), "f1": 0}
def predict(rows, model):
    if rows[0, 0] > 5:
        raise ValueError("too wet")
    return model.outputs(rows)
"""


def test_the_users_code_runs_and_its_faults_are_told(
    tmp_path: Path, python: Path, peer: Peer
) -> None:
    peer.configuration = {"InferenceInterval": "often", "Start": "9"}
    with running(device(tmp_path, python, CODE), peer) as process:
        wait_for(lambda: peer.reported)
        process.send_signal(signal.SIGTERM)
        code, lines = ended(process)
    assert peer.reported["rain_error"] == (
        "predict failed: inference.py line 7: ValueError: too wet"
    )
    assert code == 0 and "own code: read, predict" in lines[1]
    assert lines[0].startswith("InferenceInterval cannot be 'often'")


def test_without_a_core_it_says_so(tmp_path: Path, python: Path, peer: Peer) -> None:
    peer.close()
    with running(device(tmp_path, python), peer) as process:
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert stdout == ""
    # the core takes stderr's last line for the cause: no notice of the runtime stands there
    (cause,) = stderr.splitlines()
    assert cause.startswith("the core cannot be reached: ")
