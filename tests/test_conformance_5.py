"""The lifecycle of components, rule by rule (EDGE-CORE 5), with real shells."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conforming import BLINK, SOON, Ear, alive, call, on, on_cloud
from deploying import STAYS, SUCCESSFUL, Scene
from rules import rule

from ggml_magic.core import nucleus, recipe
from ggml_magic.core.disk import Layout
from ggml_magic.core.doors import Doors
from ggml_magic.core.engine import Engine
from ggml_magic.core.environment import component_environment
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.lifecycle import Service, State, StepError, Supervisor
from ggml_magic.core.logs import Log
from ggml_magic.core.operations.configuration import Configuration
from ggml_magic.core.operations.states import States

pytestmark = pytest.mark.real

ON = "exec sleep 600"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def service(name: str = "a", version: str = "1.0.0", *hard: str, user: str = "", **steps: Any):
    return Service(name, version, recipe.lifecycle(steps), hard, user)


class Device:
    """Components with their shells; ``heard`` are the states that they were in."""

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.heard: list[tuple[str, str]] = []
        self.codes: set[str] = set()
        self.log = Log(root / "core.log")
        # for components of other users
        doors = Doors(root / "ipc.socket", lambda: Server(Serving({}, lambda _: None, self.log)))
        variables = {"PATH": os.environ["PATH"], "HOME": str(root), **(environment or {})}
        self.engine = Engine(self.layout, variables, self._entered, self.log.warn, doors)

    def _entered(self, name: str) -> None:
        supervisor = self.engine.supervisors[name]
        self.heard.append((name, supervisor.state.value))
        self.codes.update(supervisor.codes)

    async def deploy(self, *services: Service) -> None:
        await self.engine.become({each.name: each for each in services})

    async def begin(self, name: str = "a", **steps: Any) -> None:
        """One more component, which begins to live."""
        await self.deploy(service(name, **steps))

    async def until(self, state: str, name: str = "a", times: int = 1) -> str:
        """Wait until it enters a state so often; all its states until then."""
        pulse, wanted = self.engine.pulse, (name, state)
        assert await pulse.until(lambda: self.heard.count(wanted) >= times, SOON), self.heard
        last = [at for at, each in enumerate(self.heard) if each == wanted][times - 1]
        return " ".join(said for who, said in self.heard[: last + 1] if who == name)

    async def stays(self, state: State, name: str = "a") -> None:
        pulse = self.engine.pulse
        assert not await pulse.until(lambda: self.engine.state_of(name) is not state, BLINK)

    def states(self, name: str = "a") -> str:
        return " ".join(state for who, state in self.heard if who == name)

    def wrote(self, file: str, name: str = "a") -> str:
        """What a component's scripts wrote into a file; empty when there is none."""
        path = self.layout.work(name) / file
        return path.read_text().strip() if path.exists() else ""

    def said(self, name: str = "a") -> list[dict[str, Any]]:
        """A component's log."""
        return [json.loads(line) for line in self.layout.log(name).read_text().splitlines()]

    async def report(self, state: str, name: str = "a") -> None:
        """The component calls UpdateState."""
        await call(States(self.engine).update_state, name, state=state)

    async def end(self) -> None:
        await self.engine.stop(2)
        self.log.close()


on_device = on(Device, Device.end)


# States and steps


@rule("5.01", "classic", "A component's state is one of eight, from NEW to FINISHED or BROKEN.")
def test_rule_5_01_states() -> None:
    wanted = "NEW INSTALLED STARTING RUNNING STOPPING FINISHED ERRORED BROKEN"
    assert {each.value for each in State} == set(wanted.split())


@rule("5.03", "classic", "A NEW component is INSTALLED once its install step ended well.")
@on_device
async def test_rule_5_03_install(at: Device) -> None:
    await at.begin("good", Install="touch done")
    await at.begin("bad", Install="exit 1")
    assert (await at.until("INSTALLED", "good")).startswith("NEW INSTALLED")
    assert at.layout.work("good").joinpath("done").exists()
    assert "INSTALLED" not in await at.until("BROKEN", "bad")


@rule("5.04", "classic", "INSTALLED waits for all HARD dependencies before it is STARTING.")
@on_device
async def test_rule_5_04_waits_for_hard_dependencies(at: Device) -> None:
    await at.deploy(service("needs", "1.0.0", "dep", Run=ON))
    await at.until("INSTALLED", "needs")
    await at.stays(State.INSTALLED, "needs")
    await at.begin("dep", Run=ON)
    await at.until("RUNNING", "needs")
    assert at.heard.index(("dep", "RUNNING")) < at.heard.index(("needs", "STARTING"))


@rule("5.05", "classic", "A startup script that ends with 0 makes its component RUNNING.")
@on_device
async def test_rule_5_05_startup_ends_well(at: Device) -> None:
    await at.begin(Startup="echo up > file")
    assert await at.until("RUNNING") == "NEW INSTALLED STARTING RUNNING"
    assert at.wrote("file") == "up"


@rule("5.06", "classic", "A startup script that ends otherwise makes it ERRORED.")
@on_device
async def test_rule_5_06_startup_ends_badly(at: Device) -> None:
    await at.begin(Startup="exit 3")
    assert await at.until("ERRORED") == "NEW INSTALLED STARTING ERRORED"


@rule("5.07", "classic", "During startup a component may say by UpdateState that it runs already.")
@on_device
async def test_rule_5_07_running_is_reported(at: Device) -> None:
    await at.begin(Startup=ON)
    await at.until("STARTING")
    await at.report("RUNNING")
    await at.until("RUNNING")
    await at.stays(State.RUNNING)


@rule("5.08", "classic", "Where there is a startup script, a run script is never executed.")
@on_device
async def test_rule_5_08_startup_hides_run(at: Device) -> None:
    await at.begin(Startup="true", Run="touch ran; exit 1")
    await at.until("RUNNING")
    await at.stays(State.RUNNING)
    assert not at.layout.work("a").joinpath("ran").exists()


@rule("5.09", "classic", "Without startup a component is RUNNING as soon as its run script began.")
@on_device
async def test_rule_5_09_run_runs_at_once(at: Device) -> None:
    await at.begin(Run=ON)
    assert await at.until("RUNNING") == "NEW INSTALLED STARTING RUNNING"


@rule("5.10", "classic", "A run script that ends with 0 leads over STOPPING to FINISHED.")
@on_device
async def test_rule_5_10_run_ends_well(at: Device) -> None:
    await at.begin(Run="true")
    assert (await at.until("FINISHED")).endswith("STARTING RUNNING STOPPING FINISHED")


@rule("5.11", "classic", "A run script that ends otherwise makes its component ERRORED.")
@on_device
async def test_rule_5_11_run_ends_badly(at: Device) -> None:
    await at.begin(Run="exit 3")
    assert (await at.until("ERRORED")).endswith("STARTING RUNNING ERRORED")


@rule("5.12", "classic", "With neither startup nor run a component goes from STARTING to FINISHED.")
@on_device
async def test_rule_5_12_nothing_to_run(at: Device) -> None:
    await at.begin(Install="true")
    assert await at.until("FINISHED") == "NEW INSTALLED STARTING FINISHED"


@rule("5.13", "classic", "Who is stopped is STOPPING, and runs its shutdown script.")
@on_device
async def test_rule_5_13_shutdown(at: Device) -> None:
    await at.begin(Startup="true", Shutdown="echo bye > file")
    await at.until("RUNNING")
    await at.engine.halt("a")
    assert at.states().endswith("RUNNING STOPPING FINISHED")
    assert at.wrote("file") == "bye"


@rule("5.14", "classic", "The shutdown script is that of the version that was started.")
@on_device
async def test_rule_5_14_shutdown_of_what_runs(at: Device) -> None:
    await at.deploy(service(Startup="true", Shutdown="echo old >> file"))
    await at.until("RUNNING")
    await at.deploy(service("a", "1.0.1", Startup="true", Shutdown="echo new >> file"))
    await at.until("RUNNING", times=2)
    assert at.wrote("file") == "old"


@rule("5.15", "classic", "After shutdown the processes that are left of a component are killed.")
@on_device
async def test_rule_5_15_nothing_is_left(at: Device) -> None:
    # one process that hears nothing, one that left its session
    await at.begin(
        Startup="trap '' TERM; sleep 600 & echo $! > deaf; setsid sleep 600 & echo $! > away",
        Shutdown="kill -0 $(cat deaf) && echo lives > during",
    )
    await at.until("RUNNING")
    await asyncio.wait_for(at.engine.supervisors["a"].stop(BLINK), SOON)
    assert at.wrote("during") == "lives"
    assert not alive(at.wrote("deaf"))
    assert not alive(at.wrote("away"))


# Time and failures


@rule("5.16", "classic", "Steps have 120 s, but shutdown 15 s and recover 60 s.")
def test_rule_5_16_times() -> None:
    wanted = {"install": 120, "startup": 120, "shutdown": 15, "bootstrap": 120, "recover": 60,
              "uninstall": 120}  # fmt: skip
    steps = recipe.lifecycle(dict.fromkeys(wanted, "true")).steps
    assert {name: each.timeout for name, each in steps.items()} == wanted


@rule("5.17", "classic", "A run script has no limit; one that is given makes it ERRORED when over.")
@on_device
async def test_rule_5_17_time_of_run(at: Device) -> None:
    assert recipe.lifecycle({"run": ON}).steps["run"].timeout is None
    await at.begin(Run={"Script": ON, "Timeout": "0.1"})
    assert (await at.until("ERRORED")).endswith("RUNNING ERRORED")


@rule("5.18", "classic", "A step that is late is an error whose status code ends in _TIMEOUT.")
@on_device
async def test_rule_5_18_too_late(at: Device) -> None:
    for step in ("install", "startup", "run"):
        await at.begin(step, **{step: {"Script": ON, "Timeout": 0.1}})
    for step in ("install", "startup", "run"):
        await at.until("ERRORED", step)
    assert at.codes == {"INSTALL_TIMEOUT", "STARTUP_TIMEOUT", "RUN_TIMEOUT"}


@rule("5.19", "classic", "An ERRORED component runs its recover script, if it has one.")
@on_device
async def test_rule_5_19_recover(at: Device) -> None:
    await at.begin(Startup="test -e mended", Recover="touch mended")
    assert (await at.until("RUNNING")).count("ERRORED") == 1


@rule("5.20", "classic", "After a failed install a component is NEW again, and installs again.")
@on_device
async def test_rule_5_20_installs_again(at: Device) -> None:
    await at.begin(Install="[ -e once ] || { touch once; exit 1; }")
    assert (await at.until("INSTALLED")) == "NEW ERRORED NEW INSTALLED"


@rule("5.21", "classic", "After a failed startup or run it goes by STOPPING to INSTALLED.")
@on_device
async def test_rule_5_21_starts_again(at: Device) -> None:
    once = "[ -e once ] || { touch once; exit 1; }"
    again = "ERRORED STOPPING INSTALLED STARTING RUNNING"
    await at.begin("starts", Startup=once)
    await at.begin("runs", Run=f"{once}; {ON}")
    assert await at.until("RUNNING", "starts") == f"NEW INSTALLED STARTING {again}"
    assert await at.until("RUNNING", "runs", 2) == f"NEW INSTALLED STARTING RUNNING {again}"


@rule("5.22", "classic", "The third error in a row in NEW, STARTING or RUNNING makes it BROKEN.")
@on_device
async def test_rule_5_22_broken(at: Device) -> None:
    for step in ("install", "startup", "run"):
        await at.begin(step, **{step: "exit 1"})
    for step in ("install", "startup", "run"):
        assert (await at.until("BROKEN", step)).split().count("ERRORED") == 3


@rule("5.23", "classic", "Errors of a state are forgotten when that state is left without one.")
@on_device
async def test_rule_5_23_success_is_a_new_count(at: Device) -> None:
    # the startup fails twice, succeeds, and fails twice more
    await at.begin(Startup="echo >> n; case $(wc -l < n) in 1|2|4|5) exit 1; esac")
    await at.until("RUNNING")
    await at.report("ERRORED")
    assert "BROKEN" not in await at.until("RUNNING", times=2)
    assert at.states().split().count("ERRORED") == 5


@rule("5.24", "classic", "Errors that are more than 3600 s apart are not in a row.")
@on_device
async def test_rule_5_24_time_is_a_new_count(at: Device) -> None:
    for name, seconds in (("seldom", 3601), ("often", 3599)):
        clock = itertools.count(0, seconds).__next__
        life = Supervisor(service(name, Startup="exit 1"), at.engine, clock=clock)
        at.engine.supervisors[name] = life
        life.start()
    assert "BROKEN" not in await at.until("ERRORED", "seldom", 5)
    await at.until("BROKEN", "often")


@rule("5.25", "classic", "Only a deployment that names a BROKEN component installs it anew.")
@on_device
async def test_rule_5_25_the_end_of_broken(at: Device) -> None:
    fails = service(Install="test -e fixed")
    await at.deploy(fails)
    await at.until("BROKEN")
    at.layout.work("a").joinpath("fixed").touch()
    with pytest.raises(StepError):
        await at.engine.restart("a")
    await at.stays(State.BROKEN)
    await at.deploy(fails)
    await at.until("FINISHED")


@rule("5.26", "lite", "The third failed start within an hour is the last.")
@on_cloud
async def test_rule_5_26_lite_counts_to_three(at: Scene) -> None:
    nucleus.dialect(at.layout, "lite")
    at.cloud.add("a", "1.0.0", {"run": "echo >> ran; exit 1"})
    at.cloud.recipes["a"]["1.0.0"]["Manifests"][0]["Platform"] = {"runtime": "*"}
    result = await at.deploy({"a": "1.0.0"}, failureHandlingPolicy="DO_NOTHING")
    assert result.status == "FAILED"
    assert at.running() == {"a": "1.0.0 BROKEN"}
    assert (at.layout.work("a") / "ran").read_text() == "\n" * 3


# Bootstrap, and what a change means


@rule("5.28", "classic", "A deployment runs bootstrap for a new component, version or step.")
@on_cloud
async def test_rule_5_28_bootstrap_when(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"bootstrap": "echo {configuration:/x} >> ran"}, defaults={"x": 1})
    at.cloud.add("a", "1.1.0", {"bootstrap": "echo {configuration:/x} >> ran"})
    other_step = {"version": "1.0.0", "configurationUpdate": {"merge": {"x": 2}}}
    ran = at.layout.work("a") / "ran"
    for wanted, lines in (("1.0.0", "1"), ("1.0.0", "1"), (other_step, "1 2"), ("1.1.0", "1 2 2")):
        assert await at.deploy({"a": wanted}) == SUCCESSFUL
        assert ran.read_text().split() == lines.split()


@rule("5.29", "classic", "bootstrap that ends with 0 lets the deployment go on.")
@on_cloud
async def test_rule_5_29_bootstrap_ends_well(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"bootstrap": "exit 0", "run": ON})
    assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
    assert at.running() == {"a": "1.0.0 RUNNING"}
    assert at.restarts == []


@rule("5.30", "classic", "With 100 the nucleus starts again, and then the deployment goes on.")
@on_cloud
async def test_rule_5_30_bootstrap_restarts(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"bootstrap": "echo >> ran; exit 100", "run": ON})
    deployment = asyncio.create_task(at.deployer.deploy(at.document({"a": "1.0.0"})))
    while not at.restarts:
        assert not deployment.done()
        await asyncio.sleep(0.005)
    deployment.cancel()
    await asyncio.wait([deployment])
    assert at.running() == {}
    await at.reborn()
    await asyncio.wait_for(at.deployer.take_up(), SOON)
    assert at.running() == {"a": "1.0.0 RUNNING"}
    assert (at.layout.work("a") / "ran").read_text() == "\n"


@rule("5.32", "classic", "With any other code the deployment fails.")
@on_cloud
async def test_rule_5_32_bootstrap_fails(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", {"bootstrap": "exit 7", "run": ON})
    result = await at.deploy({"a": "1.0.0"})
    assert result.status == "FAILED"
    assert "bootstrap failed with exit code 7" in result.cause
    assert at.running() == {}


STEPS = {"install": "echo >> installed", "startup": "echo >> started"}


async def counted(at: Device, before: Service, after: Service) -> tuple[int, int]:
    """How often a component was installed and started before a deployment and by it."""
    await at.deploy(before)
    await at.until("RUNNING", before.name)
    await at.deploy(after)
    assert await at.engine.settled([before.name]) is None
    lines = [at.layout.work(before.name) / file for file in ("installed", "started")]
    installed, started = (len(path.read_text().splitlines()) for path in lines)
    return installed, started


@rule("5.33", "classic", "Another install script, version or runWith installs a component again.")
@on_device
async def test_rule_5_33_installed_again(at: Device) -> None:
    afters = {
        "script": service("script", **{**STEPS, "install": "echo >> installed #"}),
        "version": service("version", "1.0.1", **STEPS),
        "user": service("user", user="root", **STEPS),
    }
    for name, after in afters.items():
        assert await counted(at, service(name, **STEPS), after) == (2, 2), name


@rule("5.34", "classic", "Another lifecycle or Setenv only starts it again.")
@on_device
async def test_rule_5_34_started_again(at: Device) -> None:
    afters = {
        "script": service("script", **{**STEPS, "startup": "echo >> started #"}),
        "setenv": service("setenv", **STEPS, Setenv={"X": "1"}),
        "nothing": service("nothing", **STEPS),
    }
    for name, starts in (("script", 2), ("setenv", 2), ("nothing", 1)):
        assert await counted(at, service(name, **STEPS), afters[name]) == (1, starts), name


UPDATE = {"version": "1.0.0", "configurationUpdate": {"merge": {"x": 2}}}


@rule("5.35", "classic", "Another configuration starts again only whose script has it filled in.")
@on_cloud
async def test_rule_5_35_configuration_alone(at: Scene) -> None:
    at.cloud.add("quiet", "1.0.0", STAYS, defaults={"x": 1})
    at.cloud.add("loud", "1.0.0", {"run": "exec sleep 60{configuration:/x}"}, defaults={"x": 1})
    await at.deploy({"quiet": "1.0.0", "loud": "1.0.0"})
    before = dict(at.engine.supervisors)
    assert await at.deploy({"quiet": UPDATE, "loud": UPDATE}) == SUCCESSFUL
    assert at.engine.supervisors["quiet"] is before["quiet"]
    assert at.engine.supervisors["loud"] is not before["loud"]


@rule("5.36", "classic", "What goes on learns of its new configuration by its subscription.")
@on_cloud
async def test_rule_5_36_configuration_is_told(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, defaults={"x": 1})
    await at.deploy({"a": "1.0.0"})

    class Hook(list[Any]):
        """What the deployer tells is told to the operations, as in a device."""

        def append(self, change: Any) -> None:
            configuration.configured(*change)

    configuration, at.configured, component = Configuration(at.held), Hook(), Ear()
    await component.subscribe(configuration.subscribe_to_configuration, "a")
    await at.deploy({"a": UPDATE})
    told = [each["configurationUpdateEvent"]["keyPath"] for each in component.heard]
    assert told == [["x"]]


# How a step runs


@rule("5.37", "classic", "Skipif onpath: a step is skipped when that program is on the PATH.")
@on_device
async def test_rule_5_37_skipif_onpath(at: Device) -> None:
    await at.begin("is", Install={"Script": "touch ran", "Skipif": "onpath sh"})
    await at.begin("is-not", Install={"Script": "touch ran", "Skipif": "onpath no-such-program"})
    for name, ran in (("is", False), ("is-not", True)):
        await at.until("FINISHED", name)
        assert at.layout.work(name).joinpath("ran").exists() is ran


@rule("5.38", "classic", "Skipif exists: when that path is there; ~ is the home folder.")
@on_device
async def test_rule_5_38_skipif_exists(at: Device) -> None:
    at.layout.root.joinpath("here").touch()  # the home of this test's components
    for name, path in (("is", "~/here"), ("too", "/"), ("is-not", "~/there")):
        await at.begin(name, Install={"Script": "touch ran", "Skipif": f"exists {path}"})
    for name, ran in (("is", False), ("too", False), ("is-not", True)):
        await at.until("FINISHED", name)
        assert at.layout.work(name).joinpath("ran").exists() is ran


@rule("5.39", "classic", "Skipif with ! before it is the contrary.")
@on_device
async def test_rule_5_39_skipif_not(at: Device) -> None:
    for name, condition in (("is", "! exists /"), ("is-not", "!onpath no-such-program")):
        await at.begin(name, Install={"Script": "touch ran", "Skipif": condition})
    for name, ran in (("is", True), ("is-not", False)):
        await at.until("FINISHED", name)
        assert at.layout.work(name).joinpath("ran").exists() is ran


@rule("5.40", "classic", "A skipped step counts as one that had nothing to do.")
@on_device
async def test_rule_5_40_skipped_is_nothing(at: Device) -> None:
    await at.begin(Run={"Script": ON, "Skipif": "exists /"})
    assert await at.until("FINISHED") == "NEW INSTALLED STARTING FINISHED"


@rule("5.41", "classic", "A Skipif that is neither makes the component ERRORED.")
@on_device
async def test_rule_5_41_wrong_skipif(at: Device) -> None:
    await at.begin(Install={"Script": "true", "Skipif": "when it rains"})
    assert await at.until("ERRORED") == "NEW ERRORED"


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that every user can pass through."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def users_of(folder: Path, **steps: Any) -> str:
    """Who a component's step runs as whose runWith is the user nobody."""

    async def scene() -> str:
        at = Device(folder / "root")
        try:
            await at.deploy(service(user="nobody", **steps))
            await at.until("FINISHED")
            return at.wrote("who")
        finally:
            await at.end()

    return asyncio.run(scene())


@AS_ROOT
@rule("5.42", "classic", "A step that requires privilege runs as root.")
def test_rule_5_42_privilege(passable: Path) -> None:
    assert users_of(passable, Install={"Script": "id -un > who", "RequiresPrivilege": "true"}) == (
        pwd.getpwuid(0).pw_name
    )


@rule("5.43", "classic", "Any other step runs as the posixUser of the nucleus's runWithDefault.")
@on_cloud
async def test_rule_5_43_run_with_default(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS)
    default = {"version": "2.18.0", "configurationUpdate": {
        "merge": {"runWithDefault": {"posixUser": "root"}}}}  # fmt: skip
    await at.deploy({"aws.greengrass.Nucleus": default, "a": "1.0.0"})
    assert at.engine.supervisors["a"].service.user == "root"


@AS_ROOT
@rule("5.44", "classic", "A runWith of the component itself comes before that.")
def test_rule_5_44_run_with(passable: Path) -> None:
    assert users_of(passable, Install="id -un > who") == "nobody"


@rule("5.46", "classic", "A script is run by sh -c.")
@on_device
async def test_rule_5_46_shell(at: Device) -> None:
    await at.begin(Install="tr '\\0' ' ' < /proc/$$/cmdline > file\n")
    await at.until("FINISHED")
    assert at.wrote("file").startswith("sh -c tr")


@rule("5.47", "classic", "Its working folder is work/<component>.")
@on_device
async def test_rule_5_47_folder(at: Device) -> None:
    await at.begin(Install="pwd > file")
    await at.until("FINISHED")
    assert at.wrote("file") == str(at.layout.root / "work" / "a")


@rule("5.48", "classic", "Setenv of the lifecycle holds for all steps; a step's own comes over it.")
@on_device
async def test_rule_5_48_setenv(at: Device) -> None:
    said = "echo $BOTH $ONE >> file"
    own = {"Script": said, "Setenv": {"BOTH": "step", "ONE": "1"}}
    await at.begin(Setenv={"BOTH": "lifecycle"}, Install=own, Startup=said)
    await at.until("RUNNING")
    assert at.wrote("file") == "step 1\nlifecycle"


@rule("5.49", "classic", "What a script writes to stdout is INFO in its component's log.")
@on_device
async def test_rule_5_49_stdout(at: Device) -> None:
    await at.begin(Install="echo words")
    await at.until("FINISHED")
    assert [each["level"] for each in at.said() if each["message"] == "words"] == ["INFO"]


@rule("5.50", "classic", "What it writes to stderr is WARN.")
@on_device
async def test_rule_5_50_stderr(at: Device) -> None:
    await at.begin(Install="echo words >&2")
    await at.until("FINISHED")
    assert [each["level"] for each in at.said() if each["message"] == "words"] == ["WARN"]


# The environment of a step


@dataclass(frozen=True)
class Seen:
    """The environments of steps of two components, and of one's uninstall; whose a token is."""

    a: dict[str, str]
    b: dict[str, str]
    uninstall: dict[str, str]
    owner: str | None


SOCKET, HOME, PROXY = Path("/run/core/ipc.socket"), "/home/pi", "http://proxy:3128"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("environments")
    certificates = folder / "ca.pem"
    certificates.touch()
    core = {
        "PATH": os.environ["PATH"], "HOME": HOME, "USER": "pi", "LOGNAME": "pi",
        "SHELL": "/bin/sh", "LANG": "C.UTF-8", "HTTPS_PROXY": PROXY,
        "SSL_CERT_FILE": str(certificates), "AWS_SECRET_ACCESS_KEY": "x", "MINE": "x",
    }  # fmt: skip
    shared = component_environment(
        core, thing="weather-pi", region="eu-west-1", socket=SOCKET, run="1234"
    )

    async def scene() -> Seen:
        at = Device(folder / "root", shared)
        try:
            for name in ("a", "b"):
                await at.begin(name, Install="env > env", Uninstall="env > uninstall")
                await at.until("FINISHED", name)
            a, b = variables(at.wrote("env")), variables(at.wrote("env", "b"))
            owner = at.engine.component_of(a["SVCUID"])
            await at.engine.drop(["a"])
            return Seen(a, b, variables(at.wrote("uninstall")), owner)
        finally:
            await at.end()

    return asyncio.run(scene())


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


@rule("5.51", "classic", "SVCUID is the component's own token, of 16 characters.")
def test_rule_5_51_token(seen: Seen) -> None:
    assert len(seen.a["SVCUID"]) == 16
    assert seen.a["SVCUID"] != seen.b["SVCUID"]
    assert seen.owner == "a"


@rule("5.52", "classic", "AWS_CONTAINER_AUTHORIZATION_TOKEN is the same token.")
def test_rule_5_52_token_for_credentials(seen: Seen) -> None:
    assert seen.a["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == seen.a["SVCUID"]


@rule("5.53", "both", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT is the IPC socket.")
def test_rule_5_53_socket(seen: Seen) -> None:
    assert seen.a["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"] == str(SOCKET)


@rule("5.54", "classic", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH is it, too.")
def test_rule_5_54_socket_of_classic(seen: Seen) -> None:
    assert seen.a["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"] == str(SOCKET)


@rule("5.55", "classic", "AWS_REGION and AWS_DEFAULT_REGION are the device's region.")
def test_rule_5_55_region(seen: Seen) -> None:
    assert (seen.a["AWS_REGION"], seen.a["AWS_DEFAULT_REGION"]) == ("eu-west-1", "eu-west-1")


@rule("5.56", "classic", "AWS_IOT_THING_NAME is the device's thing.")
def test_rule_5_56_thing(seen: Seen) -> None:
    assert seen.a["AWS_IOT_THING_NAME"] == "weather-pi"


@rule("5.57", "classic", "GGC_VERSION is the nucleus's version.")
def test_rule_5_57_nucleus(seen: Seen) -> None:
    assert seen.a["GGC_VERSION"] == "2.18.0"


@rule("5.58", "classic", "GG_ROOT_CA_PATH is a file with the certificates that the device trusts.")
def test_rule_5_58_certificates(seen: Seen) -> None:
    assert Path(seen.a["GG_ROOT_CA_PATH"]).is_file()


@rule("5.60", "classic", "GREENGRASS_COMPONENT_VERSION is there for an uninstall, and else not.")
def test_rule_5_60_version(seen: Seen) -> None:
    assert seen.uninstall["GREENGRASS_COMPONENT_VERSION"] == "1.0.0"
    assert "GREENGRASS_COMPONENT_VERSION" not in seen.a


@rule("5.61", "classic", "Proxy variables are handed on where a proxy is configured.")
def test_rule_5_61_proxy(seen: Seen) -> None:
    assert seen.a["HTTPS_PROXY"] == PROXY
    assert "HTTP_PROXY" not in seen.a


@rule("5.62", "classic", "Nothing else of the environment of the core itself can be counted on.")
def test_rule_5_62_nothing_else(seen: Seen) -> None:
    assert not {"MINE", "AWS_SECRET_ACCESS_KEY"} & seen.a.keys()


@rule("5.63", "lite", "HOME, USER, LOGNAME, SHELL, PATH, LANG and PWD are set besides.")
def test_rule_5_63_of_lite(seen: Seen) -> None:
    assert {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "PWD"} <= seen.a.keys()
    assert seen.a["HOME"] == HOME
    assert seen.a["PWD"].endswith("/work/a")
