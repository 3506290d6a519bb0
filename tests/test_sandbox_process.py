from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys

import psutil
import pytest
from sandboxes import (
    own_workspace,  # noqa: F401  # pytest finds fixtures by their names
)

from ggml_magic.errors import MissingExtraError
from ggml_magic.sandbox import client, process
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.workspace import Workspace


def test_without_moto_the_error_says_how_to_get_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "NEEDED", ("moto_that_nobody_has",))
    with pytest.raises(MissingExtraError) as caught:
        client.ensure(workspace, 5)
    assert caught.value.remedy == "pip install 'ggml-magic[sandbox]'"
    assert "conda" in caught.value.why


def test_a_workspace_is_held_as_long_as_its_lock(workspace: Workspace) -> None:
    places = ep.places(workspace)
    assert process.holder(places) is None
    places.lock.write_text("4567")
    assert process.holder(places) is None
    with places.lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert process.holder(places) == 4567
        places.lock.write_text("")
        assert process.holder(places) == 0
    assert process.holder(places) is None


@pytest.mark.real
def test_it_shares_nothing_with_who_starts_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.example")
    monkeypatch.setenv("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "1")
    child = process.spawn(workspace, ep.places(workspace), 5)
    try:
        seen = psutil.Process(child.pid)
        environment = seen.environ()
        assert seen.cwd() == "/"
        assert os.getsid(child.pid) == child.pid
        assert not [name for name in environment if name.startswith("AWS_")]
        assert [name for name in environment if name.startswith("MOTO_")] == [
            "MOTO_DISABLE_GLOBAL_CORS"
        ]
        process.end(Workspace(workspace.root / "another"), child.pid, signal.SIGKILL)
        assert child.poll() is None
        process.end(workspace, child.pid, signal.SIGKILL)
        assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()


@pytest.mark.real
def test_a_stranger_with_the_same_number_is_not_ended(workspace: Workspace) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        process.end(workspace, stranger.pid, signal.SIGKILL)
        stranger.communicate(b"go on\n", timeout=10)
    assert stranger.returncode == 0
    process.end(workspace, stranger.pid, signal.SIGKILL)  # nobody is nobody's fault
