from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from sandboxes import (
    gone,
    own_workspace,  # noqa: F401  # pytest finds fixtures by their names
    until,
)

from ggml_magic.errors import SandboxError
from ggml_magic.sandbox import client, server
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.workspace import Workspace, write_json


def test_one_at_a_time_has_a_workspace(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SUCCESSION_SECONDS", 0)
    places = ep.places(workspace)
    present = server._alone(places)
    assert places.lock.read_text() == str(os.getpid())
    with pytest.raises(SandboxError, match="another sandbox serves this workspace"):
        server._alone(places)
    assert present()
    places.lock.unlink()
    assert not present()
    places.lock.write_text("another's, in a workspace made anew")
    assert not present()


@pytest.mark.parametrize("content", ["{", '"80"', "80", "65536", "null", "[8080]"])
def test_a_port_that_cannot_be_the_last_is_not_tried(workspace: Workspace, content: str) -> None:
    places = ep.places(workspace)
    places.port.write_text(content)
    with server._listen(places.port) as listener:
        host, port = listener.getsockname()
    assert host == "127.0.0.1"
    assert port > 1024


def test_the_last_port_is_taken_again_when_it_is_free(workspace: Workspace) -> None:
    places = ep.places(workspace)
    with server._listen(places.port) as first:
        port = first.getsockname()[1]
        write_json(places.port, port)
        with server._listen(places.port) as second:
            assert second.getsockname()[1] != port
    with server._listen(places.port) as third:
        assert third.getsockname()[1] == port


@pytest.mark.real
def test_it_ends_when_nobody_uses_it(workspace: Workspace) -> None:
    endpoint = client.ensure(workspace, 1.0 / 60)
    with ThreadPoolExecutor(1) as pool:
        # a device that waits on the line does not keep it awake
        headers = {"User-Agent": "ggml-core/1"}
        path = "/_ggml/things/pi/changes?after={}&wait=25"
        start = ep.call(endpoint, "GET", path.format(0), headers=headers)[1]["sequence"]
        waiting = pool.submit(
            ep.call, endpoint, "GET", path.format(start), headers=headers, timeout_seconds=30
        )
        until(lambda: gone(endpoint.pid))
        assert waiting.result()[1]["sequence"] == start
    assert "idle for" in ep.places(workspace).log.read_text()
    assert not ep.places(workspace).endpoint.exists()


@pytest.mark.real
def test_it_ends_with_its_workspace(workspace: Workspace) -> None:
    pid = client.ensure(workspace, 5).pid
    shutil.rmtree(workspace.root)
    until(lambda: gone(pid))


@pytest.mark.real
def test_sigterm_is_a_graceful_end(workspace: Workspace) -> None:
    endpoint = client.ensure(workspace, 5)
    os.kill(endpoint.pid, signal.SIGTERM)
    until(lambda: gone(endpoint.pid))
    assert not ep.places(workspace).endpoint.exists()


@pytest.mark.real
def test_its_cores_end_with_an_idle_sandbox(workspace: Workspace) -> None:
    # the core itself would go on for much longer
    client.ensure(workspace, 2.0 / 60)
    device = client.add_core(workspace, "weather-pi", 60)
    endpoint = client.running(workspace)
    assert endpoint is not None
    until(lambda: gone(endpoint.pid))
    assert gone(device.pid)
