"""One component's life: install, start, run, stop, and again after an error (EDGE-CORE 5).

NEW -install-> INSTALLED -(hard dependencies)-> STARTING -startup-> RUNNING, or -run-> RUNNING
-(exit 0)-> STOPPING -shutdown-> FINISHED; any failure -> ERRORED -recover-> again; the third
failure in a row of the same phase -> BROKEN, which only a deployment ends.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from ggml_magic.core import processes
from ggml_magic.core.environment import TOKEN
from ggml_magic.core.logs import Log
from ggml_magic.core.processes import Process
from ggml_magic.core.pulse import Pulse
from ggml_magic.core.recipe import Lifecycle, Step

FAILURES_TO_BREAK = 3
# Failures further apart than this are not "in a row" (the nucleus's errorResetTime), seconds.
FAILURES_FORGOTTEN = 3600.0
# Seconds from SIGTERM to SIGKILL.
GRACE = 5.0
TOKEN_BYTES = 8
SKIP_IF = re.compile(r"(!?)\s*(onpath|exists)\s+(\S.*)", re.IGNORECASE)


class State(Enum):
    """The states that a component reports to the cloud."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    FINISHED = "FINISHED"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"


# A dependent may start, and go on, while what it depends on is in one of these.
GOOD = (State.RUNNING, State.FINISHED, State.STOPPING)
SETTLED = (State.RUNNING, State.FINISHED)
ALIVE = (State.STARTING, State.RUNNING, State.STOPPING)


@dataclass(frozen=True)
class Service:
    """A component version whose scripts are ready to run; ``hard`` names its dependencies."""

    name: str
    version: str
    lifecycle: Lifecycle
    hard: tuple[str, ...] = ()
    run_with: str = ""

    @property
    def install_key(self) -> tuple[object, ...]:
        """What a change of means that it is installed again."""
        return (self.version, self.lifecycle.steps.get("install"), self.run_with)


class Surroundings(Protocol):
    """What a component needs of its core."""

    pulse: Pulse

    def state_of(self, component: str) -> State | None:
        """Another component's state; ``None`` when there is no such component."""

    def environment(self, component: str) -> Mapping[str, str]:
        """The variables that all components share."""

    def work_folder(self, component: str) -> Path:
        """Its current folder, made when it is not there."""

    def log(self, component: str) -> Log:
        """Its log."""

    def state_changed(self, component: str) -> None:
        """Hears of each change of a state."""


class StepError(Exception):
    """A step failed; ``code`` is its status code, the text one line that says how."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def _never() -> bool:
    return False


class Supervisor:
    """Keeps one component in the state it should be in, until it is stopped."""

    def __init__(self, service: Service, around: Surroundings, token: str = "") -> None:
        self.service = service
        self.state = State.NEW
        self.reason = ""
        self.codes: tuple[str, ...] = ()
        self.token = token or secrets.token_hex(TOKEN_BYTES)
        self._around = around
        self._sessions: set[int] = set()
        self._main: Process | None = None
        self._main_step = ""
        self._said: State | None = None
        self._last_error_line = ""
        self._failures: dict[State, tuple[int, float]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, phase: State = State.NEW) -> None:
        """Begin to live: at NEW, or at INSTALLED when nothing must be installed again."""
        self._task = asyncio.create_task(self._live(phase), name=f"life of {self.service.name}")

    def report(self, state: State) -> None:
        """What the component says of itself; only what can follow from its state counts."""
        running = state is State.RUNNING and self.state is State.STARTING
        errored = state is State.ERRORED and self.state in (State.NEW, *ALIVE)
        if running or errored:
            self._said = state
            self._around.pulse.beat()

    async def stop(self, within: float | None = None) -> None:
        """End the component: its shutdown script, then every process; ``within`` in seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._said = None
        grace = GRACE if within is None else within / 2
        if self.state in ALIVE:
            self._enter(State.STOPPING)
            await self._shut_down(grace if within is not None else None)
        await self._end_processes(grace)

    async def _live(self, phase: State | None) -> None:
        steps = {
            State.NEW: self._install,
            State.INSTALLED: self._wait_for_dependencies,
            State.STARTING: self._begin,
            State.RUNNING: self._go_on,
            State.STOPPING: self._finish,
        }
        while phase is not None:
            self._enter(phase)
            self._said = None
            try:
                following = await steps[phase]()
            except StepError as failure:
                phase = await self._errored(phase, failure)
            except (OSError, ValueError) as error:  # a script that cannot even be started
                phase = await self._errored(phase, StepError("IO_ERROR", str(error)))
            else:
                self._failures.pop(phase, None)
                phase = following

    async def _install(self) -> State:
        if "install" in self.service.lifecycle.steps:
            await self._complete("install")
            await self._end_processes(GRACE)
        return State.INSTALLED

    async def _wait_for_dependencies(self) -> State | None:
        await self._around.pulse.until(self._supported)
        steps = self.service.lifecycle.steps
        if "startup" in steps or "run" in steps:
            return State.STARTING
        self._enter(State.FINISHED)
        return None

    def _supported(self) -> bool:
        return all(self._around.state_of(name) in GOOD for name in self.service.hard)

    async def _begin(self) -> State:
        """Startup, which runs to its end; or run, which is only started (never both)."""
        if "startup" in self.service.lifecycle.steps:
            self._main_step = "startup"
            self._main = await self._complete("startup", lambda: self._said is State.RUNNING)
            return State.RUNNING
        self._main_step = "run"
        self._main = self._launch("run")
        return State.RUNNING if self._main else State.STOPPING

    def _main_ended(self) -> bool:
        """Whether the script ended; a startup that ended well leaves its component running."""
        ended = self._main is not None and self._main.code is not None
        return ended and (self._main_step == "run" or not self._main_well())

    def _main_well(self) -> bool:
        return self._main is not None and self._main.code == 0

    async def _go_on(self) -> State:
        """RUNNING, until the script ends, something is reported or a dependency is lost."""
        limit = self._step("run").timeout if self._main_step == "run" else None
        in_time = await self._around.pulse.until(
            lambda: self._main_ended() or self._said is State.ERRORED or not self._supported(),
            limit,
        )
        if self._main_ended():
            if self._main_well():
                return State.STOPPING
            raise self._failure(self._main_step, self._main)
        if not in_time:
            raise StepError("RUN_TIMEOUT", self._told(f"run took longer than {limit:g} s"))
        self._check_said("run")
        self._enter(State.STOPPING)
        await self._shut_down(None)
        await self._end_processes(GRACE)
        return State.INSTALLED

    async def _finish(self) -> None:
        await self._shut_down(None)
        await self._end_processes(GRACE)
        self._enter(State.FINISHED)

    async def _errored(self, phase: State, failure: StepError) -> State | None:
        """Count the failure; recover; the phase to try again, ``None`` when it is BROKEN."""
        self._said = None
        self.reason, self.codes = str(failure), (failure.code,)
        self._log().warn(str(failure))
        self._enter(State.ERRORED)
        now = asyncio.get_running_loop().time()
        count, last = self._failures.get(phase, (0, now))
        count = 1 if now - last > FAILURES_FORGOTTEN else count + 1
        self._failures[phase] = (count, now)
        if count >= FAILURES_TO_BREAK:
            await self._end_processes(GRACE)
            self._enter(State.BROKEN)
            return None
        if "recover" in self.service.lifecycle.steps:
            await self._quietly("recover")
        if phase is not State.NEW:
            self._enter(State.STOPPING)
            await self._shut_down(None)
        await self._end_processes(GRACE)
        return State.NEW if phase is State.NEW else State.INSTALLED

    async def _shut_down(self, limit: float | None) -> None:
        if "shutdown" in self.service.lifecycle.steps:
            await self._quietly("shutdown", limit)

    async def _quietly(self, name: str, limit: float | None = None) -> None:
        """Run a step whose failure is only logged: there is nothing to go back to."""
        try:
            await self._complete(name, limit=limit)
        except (StepError, OSError) as error:
            self._log().warn(str(error))

    async def _complete(
        self, name: str, enough: Callable[[], bool] = _never, limit: float | None = None
    ) -> Process | None:
        """Run a step to its end, or until it is enough, within its time; ``None``: skipped."""
        process = self._launch(name)
        if process is None:
            return None
        seconds = min(filter(None, (self._step(name).timeout, limit)), default=None)
        in_time = await self._around.pulse.until(
            lambda: process.code is not None or self._said is State.ERRORED or enough(), seconds
        )
        if process.code:
            raise self._failure(name, process)
        self._check_said(name)
        if not in_time:
            code = f"{name.upper()}_TIMEOUT"
            raise StepError(code, self._told(f"{name} took longer than {seconds:g} s"))
        return process

    def _launch(self, name: str) -> Process | None:
        """Start a step's script; ``None`` when it is to be skipped."""
        step = self._step(name)
        work = self._around.work_folder(self.service.name)
        if step.skip_if and skipped(step.skip_if):
            self._log().info(f"{name} is skipped: {step.skip_if}")
            return None
        if step.privileged:
            self._log().warn(f"{name} asks for privilege; it runs as the core's own user")
        environment = {
            **self._around.environment(self.service.name),
            TOKEN: self.token,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self.token,
            "PWD": str(work),
            **self.service.lifecycle.setenv,
            **step.setenv,
        }
        log = self._log()
        self._last_error_line = ""
        process = processes.run(
            step.script, work, environment, self._around.pulse.beat,
            lambda line: log.info(f"{name}: {line}"), lambda line: self._heard(log, name, line),
        )  # fmt: skip
        self._sessions.add(process.pid)
        return process

    def _heard(self, log: Log, name: str, line: str) -> None:
        log.warn(f"{name}: {line}")
        self._last_error_line = line.strip() or self._last_error_line

    async def _end_processes(self, grace: float) -> None:
        """End all that this component ever started and that still runs."""
        self._main = None
        await processes.end(self._sessions, f"{TOKEN}={self.token}", grace)
        self._sessions.clear()

    def _failure(self, name: str, process: Process | None) -> StepError:
        code = process.code or 0 if process else 0
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        return StepError(f"{name.upper()}_ERROR", self._told(f"{name} failed with {how}"))

    def _check_said(self, name: str) -> None:
        if self._said is State.ERRORED:
            raise StepError(f"{name.upper()}_ERROR", self._told(f"it reported ERRORED in {name}"))

    def _told(self, what: str) -> str:
        """One line, with the last that the component itself had to say."""
        service = f"{self.service.name} {self.service.version}"
        said = f": {self._last_error_line}" if self._last_error_line else ""
        return f"{service}: {what}{said}"

    def _enter(self, state: State) -> None:
        if state in SETTLED:
            self.reason, self.codes = "", ()
        if state is not self.state or state is State.NEW:
            self.state = state
            self._around.state_changed(self.service.name)
            self._around.pulse.beat()

    def _step(self, name: str) -> Step:
        return self.service.lifecycle.steps[name]

    def _log(self) -> Log:
        return self._around.log(self.service.name)


def skipped(condition: str) -> bool:
    """Whether a ``Skipif`` holds: ``[!] onpath COMMAND`` or ``[!] exists PATH``.

    Raises ``StepError`` when it is neither.
    """
    match = SKIP_IF.fullmatch(condition.strip())
    if match is None:
        raise StepError("SKIPIF_ERROR", f"Skipif {condition!r} is neither onpath nor exists")
    negation, kind, what = match.groups()
    if kind.lower() == "onpath":
        holds = shutil.which(what) is not None
    else:
        holds = Path(what).expanduser().exists()
    return holds is not bool(negation)
