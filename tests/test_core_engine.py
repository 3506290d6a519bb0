"""A device's components, and how one set becomes another (EDGE-CORE 5, reinstall and restart)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from ggml_magic.core import client, logs, recipe
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Component, Contents, Inventory
from ggml_magic.core.lifecycle import Service, State, StepError
from ggml_magic.core.logs import last_lines
from ggml_magic.core.orders import Limits

pytestmark = pytest.mark.real

SOON = 20.0
STAYS = "exec sleep 600"


def service(name: str, version: str = "1.0.0", *hard: str, **steps: Any) -> Service:
    steps = {"Install": "echo >> installed", "Run": f"echo >> ran; {STAYS}", **steps}
    return Service(name, version, recipe.lifecycle(steps), hard)


class Scene:
    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.heard: list[tuple[str, str]] = []
        self.warned: list[str] = []
        self.engine = Engine(
            self.layout, {"PATH": os.environ["PATH"]}, self._state, self.warned.append
        )

    def _state(self, name: str) -> None:
        self.heard.append((name, self.engine.supervisors[name].state.value))

    async def become(self, *services: Service) -> None:
        await self.engine.become({each.name: each for each in services})
        names = [each.name for each in services]
        assert await asyncio.wait_for(self.engine.settled(names), SOON) is None

    async def counts(self, name: str, installed: int, ran: int) -> None:
        """How often its scripts ran, waited for: a run has begun before it has written."""
        for _ in range(2000):
            found = [self._lines(name, file) for file in ("installed", "ran")]
            if found == [installed, ran]:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(found)

    async def file(self, name: str, file: str) -> None:
        """A file of its work folder, waited for."""
        while not (self.layout.work(name) / file).exists():
            await asyncio.sleep(0.005)

    async def lines(self, name: str, count: int) -> None:
        """That many lines of its log, waited for: a script's are heard after its end."""
        while len(last_lines(self.layout.log(name), count)) < count:
            await asyncio.sleep(0)

    def _lines(self, name: str, file: str) -> int:
        path = self.layout.work(name) / file
        return len(path.read_text().splitlines()) if path.exists() else 0


def play(tmp_path: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        made = Scene(tmp_path / "root")
        try:
            await scene(made)
        finally:
            await made.engine.stop(2)

    asyncio.run(run())


def test_what_did_not_change_goes_on(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"), service("b"))
        await at.counts("a", 1, 1)
        # a run that is stopped before it has written would never be counted
        await at.counts("b", 1, 1)
        before = at.engine.supervisors["a"]
        await at.become(service("a"), service("b", "1.0.1"))
        await at.counts("b", 2, 2)
        await at.counts("a", 1, 1)
        assert at.engine.supervisors["a"] is before

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("after", "installed"),
    [
        (service("a", "1.0.1"), 2),
        (service("a", Install="echo >> installed #"), 2),
        (service("a", Run=f"echo >> ran; {STAYS} #"), 1),
        (service("a", Setenv={"NEW": "1"}), 1),
        (Service("a", "1.0.0", service("a").lifecycle, (), "root"), 2),
    ],
    ids=["version", "install script", "run script", "setenv", "runWith"],
)
def test_what_changed_starts_or_is_installed_again(
    tmp_path: Path, after: Service, installed: int
) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"))
        await at.counts("a", 1, 1)
        token = at.engine.supervisors["a"].token
        await at.become(after)
        await at.counts("a", installed, 2)
        assert at.engine.supervisors["a"].token == token

    play(tmp_path, scene)


def test_a_broken_one_is_installed_again_and_told_of(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        broken = service("a", Install="test -e fixed")
        await at.engine.become({"a": broken})
        found = await asyncio.wait_for(at.engine.settled(["a"]), SOON)
        assert found is not None
        assert found.state is State.BROKEN
        (at.layout.work("a") / "fixed").touch()
        await at.become(broken)
        assert at.heard[-1] == ("a", "RUNNING")

    play(tmp_path, scene)


def test_dependents_start_after_and_stop_before_what_they_need(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("needs", "1.0.0", "dep"), service("dep"))
        order = [name for name, state in at.heard if state == "RUNNING"]
        assert order == ["dep", "needs"]
        at.heard.clear()
        await at.engine.stop(5)
        assert at.heard == [("needs", "STOPPING"), ("dep", "STOPPING")]

    play(tmp_path, scene)


def test_dropping_ends_and_forgets(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"), service("b"))
        token = at.engine.supervisors["a"].token
        assert at.engine.component_of(token) == "a"
        await at.engine.drop(["a", "unknown"])
        assert set(at.engine.supervisors) == {"b"}
        assert at.engine.component_of(token) is None
        assert at.engine.state_of("a") is None

    play(tmp_path, scene)


def test_logs_are_a_components_own(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a", Install="echo out; echo err >&2"))
        await at.lines("a", 6)
        text = "\n".join(last_lines(at.layout.log("a"), 9))
        assert "[INFO] install: out" in text
        assert "[WARN] install: err" in text
        assert "[INFO] state: RUNNING" in text

    play(tmp_path, scene)


def test_a_change_of_the_configuration_alone_or_of_limits_restarts_nothing(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"))
        before = at.engine.supervisors["a"]
        await at.become(replace(service("a"), limits=Limits(memory_kb=1000)))
        assert at.engine.supervisors["a"] is before
        assert before.service.limits == Limits(memory_kb=1000)
        await at.counts("a", 1, 1)

    play(tmp_path, scene)


def test_limits_are_not_followed_and_that_is_told_once(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        limited = replace(service("a"), limits=Limits(cpus=0.5))
        await at.become(limited, replace(service("b"), limits=Limits()))
        await at.become(limited)
        (told,) = at.warned
        assert told.startswith("a: systemResourceLimits are not followed")
        assert len(last_lines(at.layout.log("a"), 9, "WARN")) == 1

    play(tmp_path, scene)


def test_what_was_started_is_shut_down_by_its_own_version(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        down = "echo $WHO >> ../down"
        await at.become(service("a", Setenv={"WHO": "old"}, Shutdown=down))
        await at.become(service("a", "1.0.1", Setenv={"WHO": "new"}, Shutdown=down))
        assert (at.layout.root / "work" / "down").read_text() == "old\n"

    play(tmp_path, scene)


def test_a_dependent_is_restarted_with_what_it_needs_hard(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("needs", "1.0.0", "dep"), service("dep"), service("soft"))
        await at.counts("needs", 1, 1)
        await at.engine.become({"dep": service("dep", "1.0.1")})
        # INSTALLED while it waits; never installed again
        await at.counts("needs", 1, 2)
        await at.counts("soft", 1, 1)
        states = [state for name, state in at.heard if name == "needs"]
        assert states[-5:] == ["RUNNING", "STOPPING", "INSTALLED", "STARTING", "RUNNING"]

    play(tmp_path, scene)


def test_even_a_loss_of_no_time_restarts_a_dependent(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("needs", "1.0.0", "dep"), service("dep"))
        await at.counts("needs", 1, 1)
        # it runs again before anyone else could look
        at.engine.supervisors["dep"].report(State.ERRORED)
        await at.counts("needs", 1, 2)
        await at.counts("dep", 1, 2)

    play(tmp_path, scene)


def test_a_failed_install_is_done_again_when_only_the_lifecycle_changes(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        install = "echo >> installed; [ -e go ] || touch failed; [ -e go ]"
        recover = {"Script": "touch recovering; sleep 600", "Timeout": 600}
        await at.engine.become({"a": service("a", Install=install, Recover=recover)})
        await at.file("a", "recovering")
        assert at.engine.state_of("a") is State.ERRORED
        (at.layout.work("a") / "go").touch()
        await at.become(service("a", Install=install))
        await at.counts("a", 2, 1)

    play(tmp_path, scene)


def test_restart_starts_again_what_is_installed(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"))
        await at.engine.restart("a")
        await at.counts("a", 1, 2)
        with pytest.raises(KeyError):
            await at.engine.restart("unknown")

    play(tmp_path, scene)


def test_a_restart_goes_on_when_the_one_who_asked_is_gone(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a", Shutdown="touch down"))
        asking = asyncio.create_task(at.engine.restart("a"))
        await at.file("a", "down")
        asking.cancel()
        await at.counts("a", 1, 2)

    play(tmp_path, scene)


def test_halt_leaves_a_component_finished_until_it_is_restarted(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("needs", "1.0.0", "a"), service("a", Shutdown="touch down"))
        await at.counts("needs", 1, 1)
        await at.engine.halt("a")
        assert at.engine.state_of("a") is State.FINISHED
        assert (at.layout.work("a") / "down").exists()
        await at.become(service("needs", "1.0.0", "a"), service("a", Shutdown="touch down"))
        assert at.engine.state_of("a") is State.FINISHED
        await at.counts("needs", 1, 1)
        await at.engine.restart("a")
        await at.counts("a", 1, 2)

    play(tmp_path, scene)


def test_only_a_deployment_ends_broken(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.engine.become({"a": service("a", Install="false")})
        assert await asyncio.wait_for(at.engine.settled(["a"]), SOON) is not None
        for ask in (at.engine.restart, at.engine.halt):
            with pytest.raises(StepError, match="only a deployment ends"):
                await ask("a")
        assert at.engine.state_of("a") is State.BROKEN

    play(tmp_path, scene)


def test_uninstall_runs_after_shutdown_when_a_component_goes(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        said = "echo $GREENGRASS_COMPONENT_VERSION"
        await at.become(
            service("a", Shutdown=f"{said} shutdown >> order", Uninstall=f"{said} gone >> order"),
            service("bad", Uninstall="exit 9"),
        )
        await at.become(service("a", "2.0.0", Uninstall=f"{said} gone >> order"))
        await at.engine.drop(["a", "bad"])
        # the variable is set for an uninstall only
        assert (at.layout.work("a") / "order").read_text() == "shutdown\n2.0.0 gone\n"
        found = last_lines(at.layout.log("bad"), 3)
        assert "[ERROR] bad 1.0.0: uninstall failed with exit code 9" in found[1]
        assert found[2].endswith("state: UNINSTALLED")

    play(tmp_path, scene)


def test_bootstrap_tells_its_exit_code_beside_what_runs(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"))
        script = "echo $SVCUID > token; sleep 600 & echo $! > child; exit 100"
        assert await at.engine.bootstrap(service("a", "1.0.1", Bootstrap=script)) == 100
        # it ran with the component's own token, and all that it left is gone; what runs goes on
        token = (at.layout.work("a") / "token").read_text().strip()
        assert at.engine.component_of(token) == "a"
        assert not alive(int((at.layout.work("a") / "child").read_text()))
        assert at.engine.state_of("a") is State.RUNNING
        await at.counts("a", 1, 1)
        assert await at.engine.bootstrap(service("a")) == 0
        skipped = {"Script": "exit 3", "Skipif": "onpath sh"}
        assert await at.engine.bootstrap(service("a", Bootstrap=skipped)) == 0

    play(tmp_path, scene)


def test_a_new_component_has_its_token_from_its_bootstrap_on(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        new = service("a", Bootstrap="echo $SVCUID > token; exit 7")
        assert await at.engine.bootstrap(new) == 7
        token = (at.layout.work("a") / "token").read_text().strip()
        assert at.engine.component_of(token) == "a"
        await at.become(new)
        assert at.engine.supervisors["a"].token == token

    play(tmp_path, scene)


def test_a_bootstrap_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        slow = {"Script": "echo $$ > pid; exec sleep 600", "Timeout": 0.1}
        with pytest.raises(StepError, match=r"bootstrap took longer than 0\.1 s") as failed:
            await at.engine.bootstrap(service("a", Bootstrap=slow))
        assert failed.value.code == "BOOTSTRAP_TIMEOUT"
        assert not alive(int((at.layout.work("a") / "pid").read_text()))

    play(tmp_path, scene)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


FLOOD = "echo $SVCUID > token; cat /dev/urandom & yes >&2 & yes & wait"
MOST_LOG_BYTES = (logs.OLDER_FILES + 1) * logs.FILE_BYTES
CORE_KILOBYTES = 60_000
# Without a flood a call takes half a millisecond.
FLOODED_SECONDS = 0.1


def test_under_a_flood_a_core_answers_and_fills_neither_disk_nor_memory(tmp_path: Path) -> None:
    root = tmp_path / "cores" / "pi"
    layout = Layout(root)
    layout.make()
    component = Component("1.0.0", {"Run": FLOOD}, (), Tree())
    Inventory(layout.state_file).replace(Contents({}, {"a": component}))
    try:
        core = client.start(root, "pi", tmp_path / "sandbox" / "endpoint.json", 5)
        full = logs.older(layout.log("a"), logs.OLDER_FILES)
        deadline = time.monotonic() + SOON
        while not full.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        token = (layout.work("a") / "token").read_text().strip()
        ipc = GreengrassCoreIPCClientV2(connect(ipc_socket=str(core.socket), authtoken=token))
        waited = []
        for _ in range(50):
            begun = time.monotonic()
            ipc.get_configuration(key_path=[])
            waited.append(time.monotonic() - begun)
        ipc.close().result(SOON)
        assert sorted(waited)[25] < FLOODED_SECONDS
        status = Path(f"/proc/{core.pid}/status").read_text()
        assert int(status.split("VmHWM:")[1].split()[0]) < CORE_KILOBYTES
        written = sum(path.stat().st_size for path in layout.log("a").parent.glob("a.log*"))
        assert written <= MOST_LOG_BYTES
    finally:
        client.stop(root)
