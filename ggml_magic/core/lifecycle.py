"""One component's life: install, start, run, stop, and again after an error (EDGE-CORE 5).

NEW -install-> INSTALLED -(hard dependencies)-> STARTING -startup-> RUNNING, or -run-> RUNNING
-(exit 0)-> STOPPING -shutdown-> FINISHED; with neither startup nor run, or with both skipped,
STARTING -> FINISHED. Any failure -> ERRORED -recover-> again; the third in a row of the same of
NEW, STARTING and RUNNING -> BROKEN, which only a deployment ends. A shutdown that fails shows
ERRORED too; then the component goes where it was going.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from ggml_magic.core.logs import Log
from ggml_magic.core.processes import Process
from ggml_magic.core.service import (
    ALIVE,
    SETTLED,
    Service,
    State,
    StepError,
    Surroundings,
)
from ggml_magic.core.steps import GRACE, Steps

__all__ = ["ALIVE", "SETTLED", "Service", "State", "StepError", "Supervisor", "Surroundings"]

FAILURES_TO_BREAK = 3
# Failures further apart than this are not "in a row" (the nucleus's errorResetTime), seconds.
FAILURES_FORGOTTEN = 3600.0
TOKEN_BYTES = 8


class Supervisor:
    """Keeps one component in the state it should be in, until it is stopped.

    ``clock`` tells seconds that no one sets back or forward.
    """

    def __init__(
        self, service: Service, around: Surroundings, token: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.state = State.NEW
        self.reason = ""
        self.codes: tuple[str, ...] = ()
        self.token = token or secrets.token_hex(TOKEN_BYTES)
        self.installed = False
        self._around = around
        self._clock = clock
        self._steps = Steps(service, around, self.token)
        self._main: Process | None = None
        self._main_step = ""
        self._life = object()
        self._startup_failed = False
        self._needs: dict[str, object | None] = {}
        self._failures: dict[State, tuple[int, float]] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def service(self) -> Service:
        """What runs here."""
        return self._steps.service

    @service.setter
    def service(self, service: Service) -> None:
        self._steps.service = service

    @property
    def support(self) -> object | None:
        """This life, while what depends on it can start; another one after each loss."""
        stopping = self.state is State.STOPPING and not self._startup_failed
        return self._life if self.state in SETTLED or stopping else None

    def start(self, phase: State = State.NEW) -> None:
        """Begin to live: at NEW, or at INSTALLED when nothing must be installed again."""
        self.installed = phase is not State.NEW
        self._task = asyncio.create_task(self._live(phase), name=f"life of {self.service.name}")

    def report(self, state: State) -> None:
        """What the component says of itself; only what can follow from its state counts."""
        running = state is State.RUNNING and self.state is State.STARTING
        errored = state is State.ERRORED and self.state in (State.NEW, *ALIVE)
        if running or errored:
            self._steps.said = state
            self._around.pulse.beat()
        elif state is not self.state:
            self._log().info(f"that is ignored: it is {self.state.value}")

    async def stop(self, within: float | None = None) -> None:
        """End the component: its shutdown script, then every process; ``within`` in seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        grace = GRACE if within is None else within / 2
        if self.state in ALIVE:
            await self._shut_down(grace if within is not None else None)
        await self._end_processes(grace)

    async def halt(self) -> None:
        """Stop the component and leave it so."""
        await self.stop()
        if self.state is not State.BROKEN:
            self._enter(State.FINISHED)

    async def uninstall(self) -> None:
        """The last thing that a component does, stopped before."""
        if self._steps.step("uninstall"):
            self._log().info("state: UNINSTALLING")
            await self._quietly("uninstall")
            await self._end_processes(GRACE)
        self._log().info("state: UNINSTALLED")

    async def _live(self, phase: State | None) -> None:
        steps = {
            State.NEW: self._install,
            State.INSTALLED: self._wait_for_dependencies,
            State.STARTING: self._begin,
            State.RUNNING: self._go_on,
        }
        while phase is not None:
            self._steps.said = None
            self._enter(phase)
            try:
                following = await steps[phase]()
            except StepError as failure:
                phase = await self._errored(phase, failure)
            else:
                self._failures.pop(phase, None)
                phase = following

    async def _install(self) -> State:
        await self._steps.complete("install")
        await self._end_processes(GRACE)
        self.installed = True
        return State.INSTALLED

    async def _wait_for_dependencies(self) -> State:
        self._needs = {}
        await self._around.pulse.until(lambda: not self._unsupported())
        self._needs = {name: self._around.support_of(name) for name in self.service.hard}
        return State.STARTING

    def _unsupported(self) -> bool:
        """Whether a hard dependency is not there, or was lost since this component started."""
        found = {name: self._around.support_of(name) for name in self.service.hard}
        return any(
            life is None or life is not self._needs.get(name, life) for name, life in found.items()
        )

    async def _begin(self) -> State | None:
        """Startup, which runs to its end; or run, which is only started (never both)."""
        steps = self._steps
        self._main_step = "startup"
        self._main = await steps.complete(
            "startup", lambda: steps.said is State.RUNNING or self._unsupported()
        )
        if self._main is None:
            self._main_step = "run"
            self._main = await steps.launch("run")
        elif self._main.code is None and steps.said is not State.RUNNING:
            return await self._restarted()
        if self._main is not None:
            return State.RUNNING
        self._enter(State.FINISHED)
        return None

    async def _go_on(self) -> State | None:
        """RUNNING, until the script ends, something is reported or a dependency is lost."""
        name, steps = self._main_step, self._steps
        step = steps.step(name)
        limit = step.timeout if step and name == "run" else None
        in_time = await self._around.pulse.until(
            lambda: self._main_ended() or steps.said is State.ERRORED or self._unsupported(),
            limit,
        )
        if self._main_ended():
            if self._main_well():
                await self._finished()
                return None
            raise steps.failure(name, self._main)
        if steps.said is State.ERRORED:
            raise steps.reported(name, self._main)
        if not in_time:
            raise steps.late(name, limit or 0, self._main)
        return await self._restarted()

    def _main_ended(self) -> bool:
        """Whether the script ended; a startup that ended well leaves its component running."""
        ended = self._main is not None and self._main.code is not None
        return ended and (self._main_step == "run" or not self._main_well())

    def _main_well(self) -> bool:
        return self._main is not None and self._main.code == 0

    async def _finished(self) -> None:
        await self._shut_down(None)
        await self._end_processes(GRACE)
        self._enter(State.FINISHED)

    async def _restarted(self) -> State:
        await self._shut_down(None)
        await self._end_processes(GRACE)
        return State.INSTALLED

    async def _errored(self, phase: State, failure: StepError) -> State | None:
        """Count the failure; recover; the phase to try again, ``None`` when it is BROKEN."""
        self._steps.said = None
        self._startup_failed = phase is State.STARTING
        self.reason, self.codes = str(failure), (failure.code,)
        self._log().error(str(failure))
        self._enter(State.ERRORED)
        now = self._clock()
        count, last = self._failures.get(phase, (0, now))
        count = 1 if now - last > FAILURES_FORGOTTEN else count + 1
        self._failures[phase] = (count, now)
        if count >= FAILURES_TO_BREAK:
            await self._end_processes(GRACE)
            self._enter(State.BROKEN)
            return None
        await self._quietly("recover")
        if phase is not State.NEW:
            return await self._restarted()
        await self._end_processes(GRACE)
        return State.NEW

    async def _shut_down(self, limit: float | None) -> None:
        """STOPPING: the shutdown script of what was started; its failure is shown, not tried again.

        ``limit`` in seconds, where the core itself is in a hurry.
        """
        self._steps.said = None
        self._enter(State.STOPPING)
        try:
            await self._steps.complete("shutdown", limit=limit)
        except StepError as failure:
            self._log().error(str(failure))
            if not self.codes:
                self.reason, self.codes = str(failure), (failure.code,)
            self._enter(State.ERRORED)
            if limit is None:
                await self._quietly("recover")

    async def _quietly(self, name: str) -> None:
        """Run a step whose failure is only logged: there is nothing to go back to."""
        try:
            await self._steps.complete(name)
        except StepError as failure:
            self._log().error(str(failure))

    async def _end_processes(self, grace: float) -> None:
        self._main = None
        await self._steps.end(grace)

    def _enter(self, state: State) -> None:
        if state in SETTLED:
            self.reason, self.codes = "", ()
        if state in (State.NEW, State.INSTALLED, State.ERRORED):
            self._life = object()
        if state in (State.NEW, State.INSTALLED):
            self._startup_failed = False
        if state is not self.state or state is State.NEW:
            self.state = state
            self._around.state_changed(self.service.name)
            self._around.pulse.beat()

    def _log(self) -> Log:
        return self._around.log(self.service.name)
