"""A deployment from folders of this machine to a core device of it, without any cloud."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ggml_magic.core.caller import CallFailed
from ggml_magic.core.client import CoreDevice
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS
from ggml_magic.deploy import cores, folders, lasting
from ggml_magic.deploy.cores import ComponentState, LocalState
from ggml_magic.deploy.target import near
from ggml_magic.deploy.watch import SETTLED, Step
from ggml_magic.deploy.wish import Wish as Wish
from ggml_magic.deploy.wish import request as request
from ggml_magic.errors import (
    CoreError,
    DeploymentError,
    DeploymentTimeoutError,
    GrammarError,
)
from ggml_magic.presentation import Card, Presented

POLL_SECONDS = 0.1
# A core whose bootstrap step wants it to start again is silent for a moment.
SILENCE_SECONDS = 10.0
ENDED = ("SUCCEEDED", "FAILED", "CANCELED")
SUCCEEDED = "SUCCEEDED"
# What fails after a second does so a moment later than that: its shell must start first.
KEPT_SECONDS = SETTLED["sandbox"] + 0.5
BEGUN, AGAIN = "STARTING", "ERRORED"


@dataclass(frozen=True)
class LocalDeployment(Presented):
    """A local deployment that has succeeded, and what the core holds after it.

    ``passed_over`` are files of the folder that no component of it needs and nobody can read,
    ``warnings`` what the core's nucleus reads otherwise than others do.
    """

    thing: str
    deployment_id: str
    status: str
    components: tuple[ComponentState, ...]
    steps: tuple[Step, ...]
    seconds: float
    passed_over: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def card(self) -> Card:
        """The outcome, then each component."""
        rows = tuple((each.name, each.version, each.state, each.role) for each in self.components)
        return Card(
            f"local deployment to {self.thing}: {self.status} in {self.seconds:.1f} s",
            (("deployment", self.deployment_id),),
            ("component", "version", "state", "part"),
            rows,
            (*self.warnings, *(f"passed over: {each}" for each in self.passed_over)),
        )


def deploy(
    device: CoreDevice, wish: Wish, *, on_step: Callable[[Step], None], timeout_seconds: float
) -> LocalDeployment:
    """Deploy to a core device, and wait until that has ended and what it started has stayed.

    ``on_step`` hears what happens. Raises ``GrammarError`` for what cannot be meant,
    ``DeploymentError`` with the one-line cause, ``DeploymentTimeoutError``, and ``CoreError`` for
    a core that ends meanwhile.
    """
    begun, moment = time.monotonic(), lasting.now()
    asked = request(wish)
    folder = folders.check(wish, device.thing)
    _check_removed(device, wish)
    try:
        answer = cores.ask(device, "CreateLocalDeployment", asked)
    except CallFailed as failed:
        remedy = "%ggml core deploy --help"
        raise GrammarError("the core refuses the deployment", failed.message, remedy) from None
    watching = _Watching(device, str(answer["deploymentId"]), on_step, begun)
    state = watching.end(begun + timeout_seconds)
    if state is None:
        raise DeploymentTimeoutError(
            f"the local deployment to {device.thing} did not end within {timeout_seconds:g} s",
            "it goes on",
            f"%ggml core status --thing {device.thing}",
            deployment_id=watching.identifier,
        )
    if state.status != SUCCEEDED:
        raise folders.failure(device, wish, folder, state)
    seconds = time.monotonic() - begun
    _check_lasting(device, watching, moment)
    return LocalDeployment(
        device.thing,
        state.deployment_id,
        state.status,
        cores.components(device),
        tuple(watching.steps),
        seconds,
        tuple(map(str, folder.broken)),
        state.warnings,
    )


def _check_lasting(device: CoreDevice, watching: _Watching, moment: str) -> None:
    """Refuse to call it a success when what was started since a moment does not stay.

    A run script counts as RUNNING from its first moment (EDGE-CORE 5), so one that ends at once
    would pass.
    """
    now = lasting.now()
    started = {
        each.name
        for each in watching.components
        if BEGUN in lasting.states_since(device.root, each.name, moment)
        and each.state != "FINISHED"
    }
    end = time.monotonic() + KEPT_SECONDS
    while started:
        last = time.monotonic() > end
        for each in watching.look():
            # one that ended and was started again between two looks seems to have run all along
            again = last and AGAIN in lasting.states_since(device.root, each.name, now)
            if each.name in started and (each.state in cores.FAILED or again):
                raise _not_lasting(device, each, watching.identifier)
        if last:
            return
        time.sleep(POLL_SECONDS)


def _not_lasting(device: CoreDevice, failed: ComponentState, identifier: str) -> DeploymentError:
    state = f"is {failed.state}" if failed.state in cores.FAILED else "failed and was started again"
    return DeploymentError(
        f"the deployment succeeded, but {failed.name} {failed.version} {state}",
        failed.cause or lasting.last_words(device.root, failed.name),
        f"%ggml logs {device.thing} {failed.name} --level WARN",
        deployment_id=identifier,
    )


def _check_removed(device: CoreDevice, wish: Wish) -> None:
    """Refuse to remove what no local deployment brought: nothing would happen."""
    groups = cores.held(device).groups
    own = groups.get(LOCAL_DEPLOYMENTS)
    roots = tuple(own.roots) if own else ()
    for name in wish.remove:
        if name in roots:
            continue
        meant = near(name, roots)
        others = [group for group, each in groups.items() if name in each.roots]
        why = f"local deployments brought {', '.join(sorted(roots)) or 'nothing'}"
        if others:
            why = f"it came by the deployment of {', '.join(others)}; {why}"
        raise DeploymentError(
            f"{name} cannot be removed from {device.thing}",
            f"did you mean {meant}?" if meant else why,
            f"%ggml core deploy --thing {device.thing} --remove {meant}"
            if meant
            else f"%ggml core status --thing {device.thing}",
        )


class _Watching:
    """Follows a deployment, and tells what is new."""

    def __init__(
        self, device: CoreDevice, identifier: str, on_step: Callable[[Step], None], begun: float
    ) -> None:
        self.identifier = identifier
        self.steps: list[Step] = []
        self.components: tuple[ComponentState, ...] = ()
        self._device = device
        self._on_step = on_step
        self._begun = begun
        self._known: dict[str, tuple[str, ...]] = {}
        self._answered = time.monotonic()

    def end(self, deadline: float) -> LocalState | None:
        """How it ended; ``None`` when it does not in time."""
        while True:
            state = self._look()
            if state is not None and state.status in ENDED:
                return state
            if time.monotonic() > deadline:
                return None
            time.sleep(POLL_SECONDS)

    def _look(self) -> LocalState | None:
        try:
            told = cores.ask(
                self._device, "GetLocalDeploymentStatus", {"deploymentId": self.identifier}
            )
            now = cores.components(self._device)
        except CoreError:
            if time.monotonic() - self._answered > SILENCE_SECONDS:
                raise
            return None
        self._answered = time.monotonic()
        state = cores.local_state(told["deployment"])
        # why it failed is told by the error, once
        self._tell("", (state.status,))
        self._seen(now)
        return state

    def look(self) -> tuple[ComponentState, ...]:
        """The components now; raises ``CoreError``."""
        self._seen(cores.components(self._device))
        return self.components

    def _seen(self, components: tuple[ComponentState, ...]) -> None:
        self.components = components
        for each in components:
            self._tell(each.name, (each.state, each.version))

    def _tell(self, component: str, words: tuple[str, ...]) -> None:
        if self._known.get(component) == words:
            return
        self._known[component] = words
        seconds = time.monotonic() - self._begun
        step = Step(seconds, self._device.thing, component, *words)
        self.steps.append(step)
        self._on_step(step)
