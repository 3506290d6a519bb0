"""What a component is to the engine: its version's scripts, its states, its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from ggml_magic.core.logs import Log
from ggml_magic.core.orders import Limits
from ggml_magic.core.processes import Mark
from ggml_magic.core.pulse import Pulse
from ggml_magic.core.recipe import Lifecycle
from ggml_magic.core.users import Account


class State(Enum):
    """The states that a component reports to the cloud.

    While it is uninstalled it keeps its last one: no API knows a state for that. None of a core's
    components is STATELESS.
    """

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    FINISHED = "FINISHED"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"


SETTLED = (State.RUNNING, State.FINISHED)
ALIVE = (State.STARTING, State.RUNNING, State.STOPPING)


@dataclass(frozen=True)
class Service:
    """A component version whose scripts are ready to run; ``hard`` names its dependencies.

    ``user`` is ``user[:group]`` of runWith, empty for the device's own choice.
    """

    name: str
    version: str
    lifecycle: Lifecycle
    hard: tuple[str, ...] = ()
    user: str = ""
    limits: Limits | None = None

    @property
    def install_key(self) -> tuple[object, ...]:
        """What a change of means that it is installed again."""
        return (self.version, self.lifecycle.steps.get("install"), self.user)


class Surroundings(Protocol):
    """What a component needs of its core."""

    pulse: Pulse

    def support_of(self, component: str) -> object | None:
        """Another component's life, while a dependent can start; else ``None``.

        It is another one after each time that the component was lost.
        """

    def mark(self) -> Mark:
        """A mark for the processes of one more life."""

    def environment(self, component: str) -> Mapping[str, str]:
        """The variables that all components share."""

    def work_folder(self, component: str) -> Path:
        """Its current folder, made when it is not there."""

    def account(self, service: Service, *, privileged: bool) -> Account | None:
        """Whom a step runs as, ``None`` for the core's own user; raises ``UserError``."""

    async def admit(self, service: Service, who: Account) -> Mapping[str, str]:
        """Give an account what is the component's; its variables. Raises ``UserError``."""

    def log(self, component: str) -> Log:
        """Its log."""

    def state_changed(self, component: str) -> None:
        """Hears of each change of a state."""


class StepError(Exception):
    """A step failed; ``code`` is its status code, the text one line that says how."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def never() -> bool:
    """A condition that nothing fulfils."""
    return False


Condition = Callable[[], bool]
