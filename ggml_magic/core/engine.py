"""All components of a device: which of them run, and how one set becomes another."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ggml_magic.core import processes, users
from ggml_magic.core.disk import PRIVATE_FOLDER, Layout
from ggml_magic.core.doors import Doors
from ggml_magic.core.environment import RUN, SOCKET, SOCKET_CLASSIC
from ggml_magic.core.lifecycle import SETTLED, Service, State, StepError, Supervisor
from ggml_magic.core.logs import Log
from ggml_magic.core.processes import Mark
from ggml_magic.core.pulse import Pulse
from ggml_magic.core.steps import Steps
from ggml_magic.core.users import Account

RUN_BYTES = 8


def _nobody(text: str) -> None:
    """Hears nothing."""


class Engine:
    """The supervisors of a device's components; their ``Surroundings`` too.

    ``environment`` are the variables that all components share; ``on_state`` hears the name of
    each component whose state changed, ``warn`` what the core's log shall tell. ``doors`` are
    for components of other users; without them there can be none.
    """

    def __init__(
        self, layout: Layout, environment: Mapping[str, str], on_state: Callable[[str], None],
        warn: Callable[[str], None] = _nobody, doors: Doors | None = None,
    ) -> None:  # fmt: skip
        self.pulse = Pulse()
        self.supervisors: dict[str, Supervisor] = {}
        self._layout = layout
        self._environment = environment
        self._on_state = on_state
        self._warn = warn
        self._doors = doors
        self._warned: set[tuple[str, str]] = set()
        self._run = environment.get(RUN) or secrets.token_hex(RUN_BYTES)
        self._lives = itertools.count(1)
        # of components that are bootstrapped before they are there
        self._tokens: dict[str, str] = {}
        self._changing = asyncio.Lock()
        self._logs: dict[str, Log] = {}

    def state_of(self, component: str) -> State | None:
        """A component's state; ``None`` when there is no such component."""
        supervisor = self.supervisors.get(component)
        return supervisor.state if supervisor else None

    def support_of(self, component: str) -> object | None:
        """A component's life, while a dependent can start; else ``None``."""
        supervisor = self.supervisors.get(component)
        return supervisor.support if supervisor else None

    def mark(self) -> Mark:
        """A mark for the processes of one more life."""
        return processes.life_mark(self._run, next(self._lives))

    def environment(self, component: str) -> Mapping[str, str]:
        """The variables that all components share."""
        return self._environment

    def account(self, service: Service, *, privileged: bool) -> Account | None:
        """Whom a step runs as, ``None`` for the core's own user; raises ``UserError``."""
        return users.chosen(
            service.user, privileged=privileged, warn=lambda text: self._once(service.name, text)
        )

    async def admit(self, service: Service, who: Account) -> Mapping[str, str]:
        """Give an account what is the component's; its variables. Raises ``UserError``."""
        if self._doors is None:
            raise users.UserError(f"there is no IPC socket for {who.name}")
        await asyncio.to_thread(self._hand_over, service, who)
        socket = str(await self._doors.open(who))
        shared = who.environment(self._environment)
        return {**shared, SOCKET: socket, SOCKET_CLASSIC: socket}

    def _hand_over(self, service: Service, who: Account) -> None:
        packages = [
            root / service.name for root in (self._layout.artifacts, self._layout.unarchived)
        ]
        work = self.work_folder(service.name)
        there = [folder for folder in packages if folder.is_dir()]
        way = {
            parent: None
            for folder in (*packages, work, *there)
            for parent in reversed(folder.parents)
            if parent == self._layout.root or self._layout.root in parent.parents
        }
        if self._layout.above:
            users.close_beside(self._layout.root.parent)
        users.open_way((*self._layout.above, *way, *there), who)
        for folder in (*(each / service.version for each in packages), work):
            users.give(folder, who)

    def _once(self, component: str, text: str) -> None:
        """Say something to a component's log and to the core's, and never again."""
        if (component, text) not in self._warned:
            self._warned.add((component, text))
            self.log(component).warn(text)
            self._warn(f"{component}: {text}")

    def work_folder(self, component: str) -> Path:
        """A component's current folder, made when it is not there."""
        folder = self._layout.work(component)
        folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
        return folder

    def log(self, component: str) -> Log:
        """A component's log."""
        if component not in self._logs:
            self._logs[component] = Log(self._layout.log(component))
        return self._logs[component]

    def state_changed(self, component: str) -> None:
        """A component entered another state."""
        supervisor = self.supervisors.get(component)
        if supervisor is not None:
            self.log(component).info(f"state: {supervisor.state.value}")
            self._on_state(component)

    def component_of(self, token: str) -> str | None:
        """Whose authentication token this is."""
        known = {**self._tokens, **{name: each.token for name, each in self.supervisors.items()}}
        return next((name for name, own in known.items() if own == token), None)

    async def become(self, services: Mapping[str, Service]) -> None:
        """Start what is new, install or start again what changed; the rest goes on.

        What is no longer among the services goes on too, until ``drop``.
        """
        async with self._changing:
            changed: dict[str, State] = {}
            for name, service in services.items():
                phase = self._phase(name, service)
                if phase is None:
                    self.supervisors[name].service = service
                else:
                    changed[name] = phase
                self._check_limits(service)
            await self._stop([name for name in changed if name in self.supervisors], None)
            for name, phase in changed.items():
                supervisor = Supervisor(services[name], self, self._token(name))
                self._tokens.pop(name, None)
                self.supervisors[name] = supervisor
                supervisor.start(phase)

    def _phase(self, name: str, service: Service) -> State | None:
        """Where a component must begin again; ``None`` when it can go on as it is."""
        now = self.supervisors.get(name)
        if now is None or now.state is State.BROKEN:
            return State.NEW
        if now.service.install_key != service.install_key:
            return State.NEW
        if now.service.lifecycle != service.lifecycle:
            return State.INSTALLED if now.installed else State.NEW
        return None

    def _check_limits(self, service: Service) -> None:
        limits = service.limits
        if limits is not None and (limits.cpus is not None or limits.memory_kb is not None):
            text = "systemResourceLimits are not followed: this core makes no control groups"
            self._once(service.name, text)

    def _token(self, name: str) -> str:
        """A component keeps its token over its versions, so that its children keep their calls."""
        known = self.supervisors.get(name)
        return known.token if known else self._tokens.get(name, "")

    async def settled(self, names: Iterable[str]) -> Supervisor | None:
        """Wait until all run or are finished, or one is broken: returns that one."""
        watched = [self.supervisors[name] for name in names]

        def broken() -> Supervisor | None:
            return next((each for each in watched if each.state is State.BROKEN), None)

        await self.pulse.until(
            lambda: broken() is not None or all(each.state in SETTLED for each in watched)
        )
        return broken()

    async def bootstrap(self, service: Service) -> int:
        """Run a service's bootstrap step; its exit code, 0 when there is nothing to do.

        Beside the version that runs, which goes on. Raises ``StepError`` when the step cannot be
        started or takes too long.
        """
        known = self.supervisors.get(service.name)
        token = known.token if known else self._tokens.setdefault(
            service.name, secrets.token_hex(RUN_BYTES)
        )  # fmt: skip
        steps = Steps(service, self, token)
        try:
            process = await steps.finish("bootstrap")
            return process.code or 0 if process else 0
        finally:
            await asyncio.shield(steps.end())

    async def restart(self, name: str) -> None:
        """Stop a component and start it again, installed as it is.

        Goes on when the caller is gone: that may be the component itself. Raises ``KeyError`` for
        one that is not there, ``StepError`` for a broken one, which only a deployment mends.
        """
        self._check_whole(name)
        await asyncio.shield(asyncio.create_task(self._restart(name), name=f"restart of {name}"))

    async def _restart(self, name: str) -> None:
        async with self._changing:
            supervisor = self.supervisors.get(name)
            if supervisor is not None and supervisor.state is not State.BROKEN:
                await supervisor.stop()
                supervisor.start(State.INSTALLED if supervisor.installed else State.NEW)

    async def halt(self, name: str) -> None:
        """Stop a component, FINISHED until it is restarted or a deployment changes it.

        Goes on when the caller is gone. Raises as ``restart`` does.
        """
        self._check_whole(name)
        await asyncio.shield(asyncio.create_task(self._halt(name), name=f"halt of {name}"))

    async def _halt(self, name: str) -> None:
        async with self._changing:
            if name in self.supervisors:
                await self.supervisors[name].halt()

    def _check_whole(self, name: str) -> None:
        if self.supervisors[name].state is State.BROKEN:
            raise StepError("BROKEN", f"{name} is BROKEN, which only a deployment ends")

    async def drop(self, names: Iterable[str]) -> None:
        """Stop components, uninstall them and forget them."""
        async with self._changing:
            gone = [name for name in names if name in self.supervisors]
            await self._stop(gone, None)
            await asyncio.gather(*(self.supervisors[name].uninstall() for name in gone))
            for name in gone:
                del self.supervisors[name]
                self._warned = {each for each in self._warned if each[0] != name}
                if name in self._logs:
                    self._logs.pop(name).close()
            self.pulse.beat()

    async def stop(self, within: float) -> None:
        """End all components within that many seconds, dependents before what they need."""
        await self._stop(list(self.supervisors), within)
        if self._doors is not None:
            await self._doors.close()
        for log in self._logs.values():
            log.close()

    async def _stop(self, names: list[str], within: float | None) -> None:
        remaining = dict.fromkeys(names)
        while remaining:
            needed = {dep for name in remaining for dep in self.supervisors[name].service.hard}
            layer = [name for name in remaining if name not in needed] or list(remaining)
            await asyncio.gather(*(self.supervisors[name].stop(within) for name in layer))
            for name in layer:
                del remaining[name]
