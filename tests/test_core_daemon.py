"""The daemon's first process: its exit code is the word of the core that it became."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ggml_magic import child
from ggml_magic.core import client, daemon

pytestmark = pytest.mark.real


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "cores" / "pi"
    yield place
    client.stop(place)


def run(root: Path) -> subprocess.CompletedProcess[str]:
    command = child.command(
        client.MODULE,
        *("--root", str(root), "--thing", "pi", "--idle-minutes", "5"),
        *("--endpoint-file", str(root / "endpoint.json")),
    )
    return subprocess.run(
        command, cwd=child.FOLDER, env=child.environment(), capture_output=True, text=True
    )


def test_it_says_ready_only_when_the_socket_listens(root: Path) -> None:
    assert run(root).returncode == 0
    device = client.running(root)
    assert device is not None
    assert device.socket.is_socket()


def test_a_second_one_leaves_the_first_alone(root: Path) -> None:
    run(root)
    first = client.running(root)
    assert run(root).returncode == daemon.ALREADY_RUNNING
    assert client.running(root) == first


def test_a_crash_at_the_start_is_written_down(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "work").write_text("a file where a folder must be")
    assert run(root).returncode == daemon.NOT_READY
    assert "NotADirectoryError" in (root / "core.err").read_text()
    assert client.running(root) is None
