from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from sandboxes import (
    gone,
    own_workspace,  # noqa: F401  # pytest finds fixtures by their names
    until,
)

from ggml_magic.errors import CoreError, SandboxError
from ggml_magic.sandbox import client
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.workspace import Workspace, write_json


def test_nothing_runs_in_a_fresh_workspace(workspace: Workspace) -> None:
    assert client.running(workspace) is None
    assert client.stop(workspace) == client.Stopped(sandbox=False)
    shown = client.status(workspace)
    assert shown == client.SandboxStatus(None)
    assert "it starts on first use" in str(shown)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "ü", "n" * 129, "-y", ":"])
def test_a_core_needs_a_things_name(workspace: Workspace, name: str) -> None:
    with pytest.raises(CoreError, match="cannot be called"):
        client.add_core(workspace, name, 5)
    assert client.running(workspace) is None


@pytest.mark.real
def test_many_at_once_get_the_same_one_and_stop_leaves_nothing(workspace: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from ggml_magic.workspace import Workspace;"
        "from ggml_magic.sandbox import client;"
        "print(client.ensure(Workspace(Path(sys.argv[1])), 5).pid)"
    )
    command = [sys.executable, "-c", code, str(workspace.root)]
    with ThreadPoolExecutor(4) as pool:
        inside = [pool.submit(client.ensure, workspace, 5) for _ in range(2)]
        outside = [
            pool.submit(subprocess.run, command, check=True, capture_output=True, text=True)
            for _ in range(2)
        ]
        pids = {job.result().pid for job in inside} | {int(job.result().stdout) for job in outside}
    (pid,) = pids
    assert psutil.Process(pid).cwd() == "/"
    assert os.getsid(pid) == pid
    assert f"http://127.0.0.1:{client.ensure(workspace, 5).port}" in str(client.status(workspace))
    assert client.stop(workspace).sandbox
    until(lambda: gone(pid), 2)
    assert client.running(workspace) is None
    assert not client.stop(workspace).sandbox


@pytest.mark.real
def test_a_stale_endpoint_is_not_believed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ep, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stale = ep.Endpoint(f"http://127.0.0.1:{port}", os.getpid(), 1.0, "someone else")
        places = ep.places(workspace)
        ep.write(places.endpoint, stale)
        write_json(places.port, port)
        other.close()
        with socket.create_server(("127.0.0.1", port)) as taken:
            taken.settimeout(0)
            endpoint = client.ensure(workspace, 5)
    assert endpoint.pid != os.getpid()
    assert endpoint.port != port


@pytest.mark.real
def test_a_sandbox_that_hangs_is_ended_all_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = client.ensure(workspace, 5).pid
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(ep, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(client, "ANSWERING_SECONDS", 0.5)
    monkeypatch.setattr(client, "STOP_SECONDS", 1.0)
    with pytest.raises(SandboxError, match=f"process {pid} has the workspace") as caught:
        client.ensure(workspace, 5)
    assert caught.value.remedy == "%ggml sandbox stop"
    assert client.stop(workspace).sandbox
    until(lambda: gone(pid))


@pytest.mark.real
def test_one_that_dies_at_its_start_says_why(workspace: Workspace) -> None:
    ep.places(workspace).database.write_bytes(b"no database" * 1000)
    with pytest.raises(SandboxError) as caught:
        client.ensure(workspace, 5)
    assert "could not read greengrass.sqlite" in caught.value.why
    assert caught.value.remedy.startswith("tail ")


@pytest.mark.real
def test_a_core_device_is_made_found_again_and_ended(workspace: Workspace) -> None:
    device = client.add_core(workspace, "weather-pi", 5)
    assert client.add_core(workspace, "weather-pi", 5).pid == device.pid
    endpoint = client.running(workspace)
    assert endpoint is not None
    core = client.CoreStatus("weather-pi", device.pid, "HEALTHY")
    assert client.status(workspace).cores == (core,)
    for pid in (device.pid, endpoint.pid):
        os.kill(pid, signal.SIGKILL)
        until(lambda p=pid: gone(p))
    client.ensure(workspace, 5)
    again = client.status(workspace).cores[0]
    assert again.pid not in (None, device.pid)
    assert client.stop(workspace) == client.Stopped(sandbox=True, cores=("weather-pi",))
    assert gone(again.pid or 0)


@pytest.mark.real
def test_a_sandbox_lost_in_between_is_said_in_a_sentence(workspace: Workspace) -> None:
    client.ensure(workspace, 5)
    endpoint = client.running(workspace)
    assert endpoint is not None
    client.stop(workspace)
    with pytest.raises(SandboxError, match="the sandbox was lost"):
        client._health(workspace, endpoint, "weather-pi")
