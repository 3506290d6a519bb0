"""A component's life (EDGE-CORE 5)."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core import lifecycle, recipe
from ggml_magic.core.lifecycle import SETTLED, Service, State, Supervisor
from ggml_magic.core.logs import Log, last_lines
from ggml_magic.core.processes import Mark, life_mark
from ggml_magic.core.pulse import Pulse
from ggml_magic.core.users import Account

SOON = 20.0
NAME = "com.example.A"
RUN = secrets.token_hex(8)


class Around:
    """One component's surroundings; other components are in the states they are said to be."""

    def __init__(self, folder: Path) -> None:
        self.pulse = Pulse()
        self.folder = folder
        self.others: dict[str, State] = {}
        self.lives = itertools.count(1)
        self.states: list[str] = []
        self.supervisor: Supervisor | None = None
        self._log = Log(folder / "a.log")

    def support_of(self, component: str) -> object | None:
        found = self.others.get(component)
        return component if found in (*SETTLED, State.STOPPING) else None

    def mark(self) -> Mark:
        return life_mark(RUN, next(self.lives))

    def account(self, service: Service, *, privileged: bool) -> Account | None:
        return None

    async def admit(self, service: Service, who: Account) -> Mapping[str, str]:
        raise NotImplementedError

    def environment(self, component: str) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"], "SHARED": "shared", "BOTH": "shared"}

    def work_folder(self, component: str) -> Path:
        return self.folder

    def log(self, component: str) -> Log:
        return self._log

    def state_changed(self, component: str) -> None:
        assert self.supervisor is not None
        self.states.append(self.supervisor.state.value)


class Life:
    def __init__(
        self, folder: Path, written: dict[str, Any], hard: tuple[str, ...],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self.around = Around(folder)
        self.folder = folder
        service = Service(NAME, "1.0.0", recipe.lifecycle(written), hard)
        self.supervisor = Supervisor(service, self.around, clock=clock)
        self.around.supervisor = self.supervisor

    @property
    def states(self) -> str:
        return " ".join(self.around.states)

    async def until(self, *states: State) -> None:
        assert await self.around.pulse.until(lambda: self.supervisor.state in states, SOON), (
            self.states
        )

    async def wrote(self, name: str) -> str:
        """A file that a script makes, once it is there."""
        for _ in range(4000):
            if (self.folder / name).exists() and (self.folder / name).read_text():
                return (self.folder / name).read_text()
            await asyncio.sleep(0.005)
        raise AssertionError(f"no {name}")


def play(
    folder: Path, written: dict[str, Any], scene: Callable[[Life], Awaitable[None]],
    hard: tuple[str, ...] = (), phase: State = State.NEW,
    clock: Callable[[], float] = time.monotonic,
) -> Life:  # fmt: skip
    async def run() -> Life:
        life = Life(folder, written, hard, clock)
        life.supervisor.start(phase)
        try:
            await scene(life)
        finally:
            await life.supervisor.stop(2)
            life.around._log.close()
        return life

    return asyncio.run(run())


def alive(pid: int) -> bool:
    """Whether a process still does something (one that nobody has reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


pytestmark = pytest.mark.real


def test_install_then_run_is_running_at_once(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.RUNNING)
        assert life.states == "NEW INSTALLED STARTING RUNNING"
        assert (life.folder / "installed").exists()

    play(tmp_path, {"Install": "touch installed", "Run": "exec sleep 600"}, scene)


def test_a_run_that_ends_well_is_shut_down_and_finished(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        assert life.states == "NEW INSTALLED STARTING RUNNING STOPPING FINISHED"
        assert (life.folder / "down").exists()
        child = int((life.folder / "child").read_text())
        assert not alive(child)

    run = "sleep 600 & echo $! > child"
    play(tmp_path, {"Run": run, "Shutdown": "touch down"}, scene)


def test_nothing_to_run_is_finished_after_install(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        assert life.states == "NEW INSTALLED STARTING FINISHED"

    play(tmp_path, {"Install": "true"}, scene)


def test_startup_must_end_well_and_hides_run(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.STARTING)
        assert life.states == "NEW INSTALLED STARTING"
        (life.folder / "go").touch()
        await life.until(State.RUNNING)
        assert not (life.folder / "ran").exists()

    startup = "while [ ! -e go ]; do sleep 0.01; done"
    play(tmp_path, {"Startup": startup, "Run": "touch ran"}, scene)


def test_a_startup_may_say_itself_that_it_runs_and_may_still_fail(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.wrote("up")
        life.supervisor.report(State.RUNNING)
        await life.until(State.RUNNING)
        (life.folder / "fail").touch()
        await life.until(State.ERRORED, State.BROKEN)
        assert "startup failed with exit code 4" in life.supervisor.reason

    startup = "echo 1 > up; while [ ! -e fail ]; do sleep 0.01; done; exit 4"
    play(tmp_path, {"Startup": startup}, scene)


def test_the_third_failure_in_a_row_breaks_and_says_why_with_its_own_words(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.BROKEN)
        assert (life.folder / "times").read_text() == "x" * 3
        assert life.supervisor.codes == ("INSTALL_ERROR",)
        said = "install failed with exit code 3: ModuleNotFoundError: no numpy"
        assert life.supervisor.reason == f"{NAME} 1.0.0: {said}"
        assert life.states == "NEW ERRORED NEW ERRORED NEW ERRORED BROKEN"

    fails = "printf x >> times; echo trace >&2; echo 'ModuleNotFoundError: no numpy' >&2; exit 3"
    play(tmp_path, {"Install": fails, "Run": "true"}, scene)


def test_a_crashing_run_is_recovered_and_tried_three_times(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.BROKEN)
        assert (life.folder / "times").read_text() == "rvrvr"
        assert life.supervisor.codes == ("RUN_ERROR",)
        assert "signal 9" in life.supervisor.reason
        assert life.states.count("RUNNING ERRORED STOPPING INSTALLED STARTING") == 2

    written = {"Run": "printf r >> times; kill -9 $$", "Recover": "printf v >> times"}
    play(tmp_path, written, scene)


def test_failures_far_apart_do_not_break(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        assert life.states.count("ERRORED") == 5

    fails = "printf x >> times; [ $(wc -c < times) -gt 5 ]"
    step = lifecycle.FAILURES_FORGOTTEN + 1
    clock = map(float, itertools.count(0, int(step)))
    play(tmp_path, {"Install": fails}, scene, clock=clock.__next__)


def test_a_wall_clock_that_jumps_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = itertools.cycle((-86400.0, 86400.0 * 9))
    told = time.time
    monkeypatch.setattr(time, "time", lambda: told() + next(days))

    async def scene(life: Life) -> None:
        await life.until(State.BROKEN)
        assert life.states.count("ERRORED") == 3

    play(tmp_path, {"Install": {"Script": "exit 1", "Timeout": 60}}, scene)


def test_a_success_in_between_starts_the_count_again(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        assert life.states.count("ERRORED") == 4

    # two failures of install, then two of run, which are not four in a row
    install = "printf i >> times; [ $(tr -cd i < times | wc -c) -gt 2 ]"
    run = "printf r >> times; [ $(tr -cd r < times | wc -c) -gt 2 ]"
    play(tmp_path, {"Install": install, "Run": run}, scene)


@pytest.mark.parametrize("step", ["Install", "Startup", "Run"])
def test_a_step_that_takes_too_long_is_ended(tmp_path: Path, step: str) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.BROKEN)
        assert life.supervisor.codes == (f"{step.upper()}_TIMEOUT",)
        assert life.supervisor.reason.endswith(f"{step.lower()} took longer than 0.05 s")
        pids = [int(pid) for pid in (life.folder / "pids").read_text().split()]
        assert len(pids) == 3
        for pid in pids:
            assert not alive(pid)

    slow = {"Script": "echo $$ >> pids; exec sleep 600", "Timeout": "0.05"}
    play(tmp_path, {step: slow}, scene)


def test_a_component_may_say_that_it_failed(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.RUNNING)
        life.supervisor.report(State.ERRORED)
        await life.until(State.ERRORED)
        assert life.supervisor.reason.endswith("it reported ERRORED in run")
        await life.until(State.RUNNING)

    play(tmp_path, {"Run": "exec sleep 600", "Recover": "sleep 0.01"}, scene)


def test_stopping_runs_shutdown_then_ends_all(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        pid = int(await life.wrote("pid"))
        await life.until(State.RUNNING)
        await life.supervisor.stop()
        assert life.states.endswith("RUNNING STOPPING")
        assert (life.folder / "alive").read_text() == "yes\n"
        assert not alive(pid)

    shutdown = "kill -0 $(cat pid) && echo yes > alive"
    play(tmp_path, {"Run": "echo $$ > pid; exec sleep 600", "Shutdown": shutdown}, scene)


def test_stopping_in_the_middle_of_an_install_ends_it(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        pid = int(await life.wrote("pid"))
        await life.supervisor.stop()
        assert not alive(pid)

    play(tmp_path, {"Install": "echo $$ > pid; exec sleep 600"}, scene)


def test_a_hard_dependency_is_waited_for_and_its_loss_restarts(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.INSTALLED)
        for state in (State.STARTING, State.RUNNING):
            assert life.supervisor.state is State.INSTALLED
            life.around.others["dep"] = state
            life.around.pulse.beat()
        await life.until(State.RUNNING)
        life.around.others["dep"] = State.STOPPING
        life.around.pulse.beat()
        await life.wrote("pid")
        assert life.supervisor.state is State.RUNNING
        life.around.others["dep"] = State.ERRORED
        life.around.pulse.beat()
        await life.until(State.INSTALLED)
        assert life.states.endswith("RUNNING STOPPING INSTALLED")
        life.around.others["dep"] = State.FINISHED
        life.around.pulse.beat()
        await life.until(State.RUNNING)

    play(tmp_path, {"Run": "echo $$ > pid; exec sleep 600"}, scene, hard=("dep",))


def test_starting_at_installed_does_not_install_again(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.RUNNING)
        assert not (life.folder / "installed").exists()

    written = {"Install": "touch installed", "Run": "exec sleep 600"}
    play(tmp_path, written, scene, phase=State.INSTALLED)


def test_the_environment_of_a_step(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        text = (life.folder / "env").read_text()
        found = dict(line.split("=", 1) for line in text.splitlines())
        assert found["SVCUID"] == found["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        assert found["SVCUID"] == life.supervisor.token
        assert len(life.supervisor.token) == 16
        assert found["SHARED"] == "shared"
        assert (found["BOTH"], found["STEP"], found["WIDE"]) == ("step", "step", "wide")
        assert found["PWD"] == str(life.folder)

    script = {"Script": "env > env", "Setenv": {"STEP": "step", "BOTH": "step"}}
    play(tmp_path, {"Setenv": {"WIDE": "wide", "STEP": "wide"}, "Install": script}, scene)


def test_a_step_is_skipped_when_its_condition_holds(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        assert not (life.folder / "installed").exists()

    step = {"Script": "touch installed", "Skipif": "onpath sh"}
    play(tmp_path, {"Install": step}, scene)


def test_a_script_that_cannot_be_started_is_an_error_not_a_crash(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.BROKEN)
        assert "null byte" in life.supervisor.reason

    play(tmp_path, {"Install": "true \0"}, scene)


@pytest.mark.parametrize(
    ("shutdown", "code"),
    [("exit 5", "SHUTDOWN_ERROR"), ({"Script": "sleep 600", "Timeout": 0.05}, "SHUTDOWN_TIMEOUT")],
)
def test_a_shutdown_that_fails_shows_errored_and_the_component_still_finishes(
    tmp_path: Path, shutdown: Any, code: str
) -> None:
    codes: list[str] = []

    async def scene(life: Life) -> None:
        told = life.around.state_changed

        def changed(component: str) -> None:
            codes.extend(life.supervisor.codes)
            told(component)

        life.around.state_changed = changed  # type: ignore[method-assign]
        await life.until(State.FINISHED)
        assert life.states == "NEW INSTALLED STARTING RUNNING STOPPING ERRORED FINISHED"
        assert (life.folder / "recovered").exists()
        assert codes == [code]
        assert life.supervisor.codes == ()

    written = {"Run": "true", "Shutdown": shutdown, "Recover": "touch recovered"}
    play(tmp_path, written, scene)


def test_a_failing_shutdown_neither_hides_the_cause_nor_counts(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.BROKEN)
        assert life.supervisor.codes == ("RUN_ERROR",)
        assert (life.folder / "times").read_text() == "xxx"
        assert life.states.count("ERRORED STOPPING ERRORED INSTALLED") == 2

    play(tmp_path, {"Run": "printf x >> times; exit 1", "Shutdown": "exit 5"}, scene)


def test_a_skipped_startup_is_none_and_run_is_tried(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.RUNNING)
        await life.wrote("ran")

    startup = {"Script": "exit 1", "Skipif": "onpath sh"}
    play(tmp_path, {"Startup": startup, "Run": "echo 1 > ran; exec sleep 600"}, scene)


def test_a_skipped_run_is_nothing_to_do(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        assert life.states == "NEW INSTALLED STARTING FINISHED"
        assert not (life.folder / "down").exists()

    run = {"Script": "exit 1", "Skipif": "! onpath no-such-command"}
    play(tmp_path, {"Run": run, "Shutdown": "touch down"}, scene)


def test_a_wrong_skipif_is_an_error(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.BROKEN)
        assert life.supervisor.codes == ("RUN_CONFIG_NOT_VALID",)
        assert "Skipif 'sometimes' is neither" in life.supervisor.reason

    play(tmp_path, {"Run": {"Script": "true", "Skipif": "sometimes"}}, scene)


def test_what_cannot_follow_from_the_state_is_ignored_and_logged(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.FINISHED)
        for state in (State.RUNNING, State.ERRORED):
            life.supervisor.report(state)
        assert life.supervisor.state is State.FINISHED
        ignored = [line for line in last_lines(life.folder / "a.log", 9) if "ignored" in line]
        assert len(ignored) == 2

    play(tmp_path, {"Install": "true"}, scene)


def test_a_dependency_lost_during_startup_restarts_too(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        life.around.others["dep"] = State.RUNNING
        life.around.pulse.beat()
        pid = int(await life.wrote("pid"))
        life.around.others["dep"] = State.BROKEN
        life.around.pulse.beat()
        await life.until(State.INSTALLED)
        assert life.states.endswith("STARTING STOPPING INSTALLED")
        assert not alive(pid)

    play(tmp_path, {"Startup": "echo $$ > pid; exec sleep 600"}, scene, hard=("dep",))


def test_a_startup_error_supports_nobody_while_it_stops(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.wrote("down")
        assert life.supervisor.state is State.STOPPING
        assert life.supervisor.support is None
        (life.folder / "fixed").touch()
        await life.until(State.RUNNING)
        supported = life.supervisor.support
        assert supported is not None
        (life.folder / "down").unlink()
        stopping = asyncio.create_task(life.supervisor.stop())
        await life.wrote("down")
        assert life.supervisor.state is State.STOPPING
        assert life.supervisor.support is supported
        await stopping

    shutdown = "echo 1 > down; [ -e fixed ] || while [ ! -e fixed ]; do sleep 0.01; done"
    play(tmp_path, {"Startup": "[ -e fixed ]", "Shutdown": shutdown}, scene)


def test_a_shutdown_takes_no_longer_than_a_core_that_ends(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        await life.until(State.RUNNING)
        begun = time.monotonic()
        await life.supervisor.stop(0.2)
        assert time.monotonic() - begun < SOON / 4
        assert life.states.endswith("RUNNING STOPPING ERRORED")
        assert life.supervisor.codes == ("SHUTDOWN_TIMEOUT",)
        assert not (life.folder / "recovered").exists()

    written = {
        "Run": "trap '' TERM; while :; do sleep 0.05; done",
        "Shutdown": {"Script": "sleep 600", "Timeout": 600},
        "Recover": "touch recovered",
    }
    play(tmp_path, written, scene)
