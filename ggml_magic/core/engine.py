"""All components of a device: which of them run, and how one set becomes another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ggml_magic.core.disk import PRIVATE_FOLDER, Layout
from ggml_magic.core.lifecycle import SETTLED, Service, State, Supervisor
from ggml_magic.core.logs import Log
from ggml_magic.core.pulse import Pulse


class Engine:
    """The supervisors of a device's components; their ``Surroundings`` too.

    ``environment`` are the variables that all components share; ``on_state`` hears the name of
    each component whose state changed.
    """

    def __init__(
        self, layout: Layout, environment: Mapping[str, str], on_state: Callable[[str], None]
    ) -> None:
        self.pulse = Pulse()
        self.supervisors: dict[str, Supervisor] = {}
        self._layout = layout
        self._environment = environment
        self._on_state = on_state
        self._logs: dict[str, Log] = {}

    def state_of(self, component: str) -> State | None:
        """A component's state; ``None`` when there is no such component."""
        supervisor = self.supervisors.get(component)
        return supervisor.state if supervisor else None

    def environment(self, component: str) -> Mapping[str, str]:
        """The variables that all components share."""
        return self._environment

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
        return next((name for name, own in self.supervisors.items() if own.token == token), None)

    async def become(self, services: Mapping[str, Service]) -> None:
        """Start what is new, install or start again what changed; the rest goes on.

        What is no longer among the services goes on too, until ``drop``.
        """
        changed: dict[str, State] = {}
        for name, service in services.items():
            phase = self._phase(name, service)
            if phase is None:
                self.supervisors[name].service = service
            else:
                changed[name] = phase
        await self._stop([name for name in changed if name in self.supervisors], None)
        for name, phase in changed.items():
            supervisor = Supervisor(services[name], self, self._token(name))
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
            return State.INSTALLED if now.state is not State.NEW else State.NEW
        return None

    def _token(self, name: str) -> str:
        """A component keeps its token over its versions, so that its children keep their calls."""
        known = self.supervisors.get(name)
        return known.token if known else ""

    async def settled(self, names: Iterable[str]) -> Supervisor | None:
        """Wait until all run or are finished, or one is broken: returns that one."""
        watched = [self.supervisors[name] for name in names]

        def broken() -> Supervisor | None:
            return next((each for each in watched if each.state is State.BROKEN), None)

        await self.pulse.until(
            lambda: broken() is not None or all(each.state in SETTLED for each in watched)
        )
        return broken()

    async def drop(self, names: Iterable[str]) -> None:
        """Stop components and forget them."""
        gone = [name for name in names if name in self.supervisors]
        await self._stop(gone, None)
        for name in gone:
            del self.supervisors[name]
            if name in self._logs:
                self._logs.pop(name).close()

    async def stop(self, within: float) -> None:
        """End all components within that many seconds, dependents before what they need."""
        await self._stop(list(self.supervisors), within)
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
