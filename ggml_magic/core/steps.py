"""The steps of one life of a component: run, waited for, ended with all that they started."""

from __future__ import annotations

from collections.abc import Mapping

from ggml_magic.core import processes
from ggml_magic.core.environment import TOKEN, VERSION
from ggml_magic.core.processes import Process, Script
from ggml_magic.core.recipe import Step
from ggml_magic.core.service import Condition, Service, State, StepError, Surroundings, never
from ggml_magic.core.skipping import skipped
from ggml_magic.core.users import UserError

# Seconds from SIGTERM to SIGKILL.
GRACE = 5.0
# A reason is one line that a person reads.
COMPLAINT_CHARACTERS = 300


class Steps:
    """Runs steps of a service; ``said`` is what the component said of itself meanwhile.

    Each has a mark of its own, so that two lives of a component can go on beside each other.
    """

    def __init__(self, service: Service, around: Surroundings, token: str) -> None:
        self.service = service
        self.said: State | None = None
        self._around = around
        self._token = token
        self._mark = around.mark()
        self._sessions: set[int] = set()

    def step(self, name: str) -> Step | None:
        """A step of the lifecycle; ``None`` when there is none of that name."""
        return self.service.lifecycle.steps.get(name)

    async def complete(
        self, name: str, enough: Condition = never, limit: float | None = None
    ) -> Process | None:
        """Run a step to its good end, or until it is enough; ``None``: there was nothing to do.

        ``limit`` in seconds shortens the step's own. Raises ``StepError``.
        """
        process = await self.finish(name, enough, limit)
        if process is not None and process.code:
            raise self.failure(name, process)
        if self.said is State.ERRORED:
            raise self.reported(name, process)
        return process

    async def finish(
        self, name: str, enough: Condition = never, limit: float | None = None
    ) -> Process | None:
        """Run a step to its end, good or bad, as ``complete`` does; raises when it is late."""
        process = await self.launch(name)
        step = self.step(name)
        if process is None or step is None:
            return None
        seconds = min((each for each in (step.timeout, limit) if each is not None), default=None)
        in_time = await self._around.pulse.until(
            lambda: process.code is not None or self.said is State.ERRORED or enough(), seconds
        )
        if not in_time:
            raise self.late(name, seconds or 0, process)
        return process

    async def launch(self, name: str) -> Process | None:
        """Start a step's script; ``None`` when there is none, or it is to be skipped.

        Raises ``StepError`` when it cannot be started.
        """
        step = self.step(name)
        if step is None:
            return None
        kind = "CONFIG_NOT_VALID"
        try:
            return await self._launched(name, step)
        except OSError as error:
            kind, why = "IO_ERROR", str(error)
        except (ValueError, UserError) as error:
            why = str(error)
        raise StepError(f"{name.upper()}_{kind}", self._told(f"{name} cannot start: {why}"))

    async def _launched(self, name: str, step: Step) -> Process | None:
        log = self._around.log(self.service.name)
        account = self._around.account(self.service, privileged=step.privileged)
        work = self._around.work_folder(self.service.name)
        shared = self._around.environment(self.service.name)
        if account is not None:
            shared = await self._around.admit(self.service, account)
        if step.skip_if and skipped(step.skip_if, shared.get("PATH"), shared.get("HOME", "~")):
            log.info(f"{name} is skipped: {step.skip_if}")
            return None
        environment = {**shared, **self._own(name, str(work)), **step.setenv}
        script = Script(step.script, work, environment, self._mark, account)
        process = processes.run(
            script, self._around.pulse.beat,
            lambda line: log.write("INFO", line, name, "stdout"),
            lambda line: log.write("WARN", line, name, "stderr"),
        )  # fmt: skip
        self._sessions.add(process.pid)
        return process

    def _own(self, name: str, work: str) -> Mapping[str, str]:
        """What is the component's own, and what its lifecycle sets over it."""
        version = {VERSION: self.service.version} if name == "uninstall" else {}
        tokens = {TOKEN: self._token, "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token}
        return {**tokens, "PWD": work, **version, **self.service.lifecycle.setenv}

    async def end(self, grace: float = GRACE) -> None:
        """End all that these steps ever started and that still runs."""
        await processes.end(self._sessions, self._mark, grace)
        self._sessions.clear()

    def failure(self, name: str, process: Process | None) -> StepError:
        """A script that ended badly."""
        code = (process.code if process else None) or 0
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        return StepError(f"{name.upper()}_ERROR", self._told(f"{name} failed with {how}", process))

    def reported(self, name: str, process: Process | None) -> StepError:
        """A component that said itself that it failed."""
        told = self._told(f"it reported ERRORED in {name}", process)
        return StepError(f"{name.upper()}_ERROR", told)

    def late(self, name: str, seconds: float, process: Process | None) -> StepError:
        """A script that took too long."""
        told = self._told(f"{name} took longer than {seconds:g} s", process)
        return StepError(f"{name.upper()}_TIMEOUT", told)

    def _told(self, what: str, process: Process | None = None) -> str:
        """One line, with the last that the component itself had to say."""
        complaint = process.complaint[-COMPLAINT_CHARACTERS:] if process else ""
        said = f": {complaint}" if complaint else ""
        return f"{self.service.name} {self.service.version}: {what}{said}"
