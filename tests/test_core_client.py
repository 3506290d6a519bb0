"""Starting, finding and ending a core's process; no sandbox answers here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ggml_magic.core import access, client, socketpath
from ggml_magic.core.caller import Caller
from ggml_magic.core.client import CoreDevice
from ggml_magic.errors import CoreError

pytestmark = pytest.mark.real

SOON = 20.0
IDLE = 5.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "cores" / "pi"
    yield place
    client.stop(place)


def start(root: Path, idle_minutes: float = IDLE) -> CoreDevice:
    return client.start(root, "pi", root.parent.parent / "sandbox" / "endpoint.json", idle_minutes)


def processes_of(root: Path) -> list[bytes]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes())
    return [line for line in found if os.fsencode(root) in line]


def test_a_core_starts_is_found_again_and_ends(root: Path) -> None:
    device = start(root)
    assert client.running(root) == device
    assert start(root) == device
    assert (device.thing, device.root) == ("pi", root)
    assert stat.S_IMODE(device.socket.stat().st_mode) == 0o600
    assert "core device pi on the sandbox: running" in str(device)
    assert os.getsid(device.pid) != os.getsid(0)
    assert client.stop(root)
    assert not device.socket.exists()
    assert not (root / "core.json").exists()
    assert client.running(root) is None
    assert not client.stop(root)
    assert processes_of(root) == []


def test_two_that_start_at_once_get_one_core(root: Path) -> None:
    found: list[CoreDevice] = []
    threads = [threading.Thread(target=lambda: found.append(start(root))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({device.pid for device in found}) == 1
    assert len(found) == 3


def test_a_core_is_lean(root: Path) -> None:
    status = Path(f"/proc/{start(root).pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) < 34_000
    code = (
        "import sys; from ggml_magic.core import device;"
        "print([name for name in ('boto3', 'botocore', 'numpy', 'moto', 'IPython', 'tensorflow')"
        " if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_core_outlives_who_started_it(root: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from ggml_magic.core import client;"
        f"client.start(Path({str(root)!r}), 'pi', Path({str(tmp_path / 'endpoint.json')!r}), 5)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert client.running(root) is not None


def test_a_core_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "core.json").write_text("not ours")
    (tmp_path / "config").write_text("a file where a folder must be")
    with pytest.raises(CoreError, match="File exists") as caught:
        client.start(tmp_path, "pi", tmp_path / "endpoint.json", IDLE)
    assert caught.value.remedy == "%ggml sandbox core pi"
    assert len(str(caught.value).splitlines()) == 2


def test_a_killed_core_is_not_taken_for_a_running_one(root: Path) -> None:
    device = start(root)
    os.kill(device.pid, signal.SIGKILL)
    until(lambda: client.running(root) is None, "it is still found")
    again = start(root)
    assert again.pid != device.pid
    # a process number that now is someone else's
    (root / "core.json").write_text(
        (root / "core.json").read_text().replace(str(again.pid), str(os.getpid()))
    )
    assert client.running(root) is None
    os.kill(again.pid, signal.SIGTERM)
    until(lambda: processes_of(root) == [], "it still runs")


def test_a_core_ends_when_no_sandbox_answered_for_too_long(root: Path) -> None:
    start(root, idle_minutes=0.001)
    until(lambda: client.running(root) is None, "it still runs")
    until(lambda: processes_of(root) == [], "its process is still there")
    assert "no sandbox answered for 0.001 minutes" in (root / "core.log").read_text()


def test_a_core_ends_when_its_root_is_gone_and_does_not_bring_it_back(root: Path) -> None:
    start(root)
    shutil.rmtree(root)
    until(lambda: processes_of(root) == [], "it still runs")
    assert not root.exists()


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 60) / ("y" * 60) / "pi"
    device = start(root)
    try:
        assert device.socket.parent != root
        assert len(str(device.socket)) <= socketpath.LONGEST
        assert stat.S_IMODE(device.socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(device.socket.stat().st_mode) == 0o600
    finally:
        client.stop(root)
    assert not device.socket.parent.exists()


def test_the_core_itself_holds_no_credentials(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    device = start(root)
    environment = Path(f"/proc/{device.pid}/environ").read_bytes()
    assert b"AWS_SECRET_ACCESS_KEY" not in environment


def test_local_use_keeps_a_core_without_a_sandbox(root: Path) -> None:
    """Who deploys on the device itself uses it, though no sandbox ever answered."""
    idle = 2.0
    start(root, idle_minutes=idle / 60)
    since = time.monotonic()
    held = access.read(root)
    assert held is not None
    with Caller(held.socket, held.token, SOON) as caller:

        def used_for_long() -> bool:
            caller.call("CreateLocalDeployment", {"rootComponentsToRemove": ["com.example.None"]})
            return time.monotonic() - since > 2 * idle

        until(used_for_long, "the core ended while it was used")
    until(lambda: client.running(root) is None, "the core lives on without use")
