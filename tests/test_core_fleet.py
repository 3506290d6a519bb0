"""Several cores from one warm process."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ggml_magic import child
from ggml_magic.core import client, fleet
from ggml_magic.core.daemon import NOT_READY
from ggml_magic.errors import CoreError

pytestmark = pytest.mark.real
Roots = dict[str, Path]
SOON = 20.0
# Of a core in a second: its look, and a few when it asks again for a cloud that is not there.
MOST_WAKINGS = 8


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Roots]:
    made = {f"pi-{number}": tmp_path / f"pi-{number}" for number in range(4)}
    yield made
    fleet.stop(list(made.values()))


def start(roots: Roots) -> tuple[client.CoreDevice, ...]:
    return fleet.start(roots, next(iter(roots.values())).parent / "endpoint.json", 5)


def test_each_is_a_process_on_its_own_feet(roots: Roots) -> None:
    devices = start(roots)
    assert [device.thing for device in devices] == list(roots)
    assert len({device.pid for device in devices}) == len(roots)
    for device in devices:
        process = psutil.Process(device.pid)
        assert device.socket.is_socket()
        assert process.terminal() is None
        assert psutil.Process(device.pid).cwd() == "/"
    assert start(roots) == devices
    assert fleet.stop(list(roots.values())) == tuple(roots.values())
    assert fleet.stop(list(roots.values())) == ()


def test_what_all_need_is_in_memory_once(roots: Roots) -> None:
    """Fifty idle cores take under 1.5 GB together: each may add 30 MB of its own."""
    for device in start(roots):
        own = psutil.Process(device.pid).memory_full_info()
        assert own.uss < 30e6
        assert own.pss < own.rss / 2


def test_idle_cores_and_their_guards_sleep(roots: Roots) -> None:
    """Fifty must cost nothing: a core looks once a second whether it is needed, a guard never."""
    cores = [psutil.Process(device.pid) for device in start(roots)]
    guards = [child for core in cores for child in core.children()]
    assert len(guards) == len(cores)

    def wakings(processes: list[psutil.Process]) -> list[int]:
        return [process.num_ctx_switches().voluntary for process in processes]

    deadline = time.monotonic() + SOON
    while True:  # until they have settled
        before = wakings([*cores, *guards])
        threading.Event().wait(1.0)
        woken = [now - then for now, then in zip(wakings([*cores, *guards]), before, strict=True)]
        if max(woken[: len(cores)]) <= MOST_WAKINGS and not any(woken[len(cores) :]):
            return
        assert time.monotonic() < deadline, woken


def test_only_the_missing_are_started(roots: Roots) -> None:
    before = {device.thing: device.pid for device in start(roots)}
    client.stop(roots["pi-2"])
    after = {device.thing: device.pid for device in start(roots)}
    assert {thing for thing in roots if before[thing] != after[thing]} == {"pi-2"}


def test_one_that_cannot_start_says_why_and_the_others_run(roots: Roots) -> None:
    roots["pi-1"].mkdir()
    (roots["pi-1"] / "work").write_text("a file where a folder must be")
    with pytest.raises(CoreError, match="core device pi-1 did not start"):
        start(roots)
    assert client.running(roots["pi-1"]) is None
    others = [root for thing, root in roots.items() if thing != "pi-1"]
    assert all(client.running(root) for root in others)


def test_the_worst_word_is_the_exit_code(roots: Roots, tmp_path: Path) -> None:
    place = tmp_path / "broken"
    place.mkdir()
    (place / "work").write_text("a file where a folder must be")
    given = ["--endpoint-file", str(tmp_path / "endpoint.json"), "--idle-minutes", "5"]
    command = [*given, f"broken={place}", f"pi-0={roots['pi-0']}"]
    ran = subprocess.run(
        child.command(fleet.MODULE, *command), cwd=child.FOLDER, env=child.environment()
    )
    assert ran.returncode == NOT_READY
    assert client.running(roots["pi-0"])
