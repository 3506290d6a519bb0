"""A deployment from folders of this machine to a core device of it, without any cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_magic.core.caller import CallFailed
from ggml_magic.core.client import CoreDevice
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS
from ggml_magic.deploy import cores
from ggml_magic.deploy.cores import ComponentState, LocalState
from ggml_magic.deploy.target import near
from ggml_magic.deploy.watch import Step
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
POLICIES: Mapping[str, str] = {"rollback": "ROLLBACK", "nothing": "DO_NOTHING"}
# What a --run-with says of a component, by its name in the request.
LIMITS: Mapping[str, type] = {"cpus": float, "memory": int}
USER = "posixUser"


@dataclass(frozen=True)
class Wish:
    """What a local deployment is to do; folders and files are as a person wrote them.

    ``run_with`` maps ``NAME`` or ``NAME:posixUser`` to a user, ``NAME:cpus`` to processors and
    ``NAME:memory`` to kilobytes. ``configuration`` is JSON, or a file of it.
    """

    recipes: str | None = None
    artifacts: str | None = None
    add: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    configuration: str | None = None
    run_with: Mapping[str, str] = field(default_factory=dict)
    on_failure: str = "rollback"


@dataclass(frozen=True)
class LocalDeployment(Presented):
    """A local deployment that has succeeded, and what the core holds after it."""

    thing: str
    deployment_id: str
    status: str
    components: tuple[ComponentState, ...]
    steps: tuple[Step, ...]
    seconds: float

    def card(self) -> Card:
        """The outcome, then each component."""
        rows = tuple((each.name, each.version, each.state, each.role) for each in self.components)
        return Card(
            f"local deployment to {self.thing}: {self.status} in {self.seconds:.1f} s",
            (("deployment", self.deployment_id),),
            ("component", "version", "state", "part"),
            rows,
        )


def request(wish: Wish) -> dict[str, Any]:
    """The wish as CreateLocalDeployment takes it; raises ``GrammarError``."""
    written: dict[str, Any] = {"failureHandlingPolicy": POLICIES[wish.on_failure]}
    for name, option, folder in (
        ("recipeDirectoryPath", "--recipes", wish.recipes),
        ("artifactsDirectoryPath", "--artifacts", wish.artifacts),
    ):
        if folder is not None:
            written[name] = _folder(option, folder)
    if wish.add:
        written["rootComponentVersionsToAdd"] = dict(wish.add)
    if wish.remove:
        written["rootComponentsToRemove"] = list(wish.remove)
    if wish.configuration is not None:
        written["componentToConfiguration"] = _configuration(wish.configuration)
    if wish.run_with:
        written["componentToRunWithInfo"] = _run_with(wish.run_with)
    if len(written) == 1:
        raise GrammarError(
            "core deploy is given nothing to do",
            "it takes --component, --remove, --configuration or --run-with",
            "%ggml core deploy --recipes DIR --artifacts DIR --component NAME=VERSION",
        )
    return written


def _folder(option: str, text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise GrammarError(f"{option} {text} is no folder", remedy=f"ls {path.parent}")
    return str(path.resolve())


def _configuration(text: str) -> Any:
    """JSON from a file, where there is one of that name, else the text itself."""
    try:
        path = Path(text).expanduser()
        content = path.read_text() if not text.lstrip().startswith("{") else text
        return json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise GrammarError(
            "--configuration is neither a file of JSON nor JSON",
            why,
            """--configuration '{"NAME": {"MERGE": {"KEY": 1}, "RESET": ["/OTHER"]}}'""",
        ) from None


def _run_with(written: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in written.items():
        name, _, what = key.partition(":")
        entry = found.setdefault(name, {})
        if what in ("", USER):
            entry[USER] = value
            continue
        try:
            entry.setdefault("systemResourceLimits", {})[what] = LIMITS[what](value)
        except (KeyError, ValueError):
            raise GrammarError(
                f"--run-with {key}={value} is not understood",
                "it is NAME=USER[:GROUP], NAME:cpus=NUMBER or NAME:memory=KILOBYTES",
                "%ggml core deploy --help",
            ) from None
    return found


def deploy(
    device: CoreDevice, wish: Wish, *, on_step: Callable[[Step], None], timeout_seconds: float
) -> LocalDeployment:
    """Deploy to a core device and wait until that has ended; ``on_step`` hears what happens.

    Raises ``GrammarError`` for what cannot be meant, ``DeploymentError`` with the one-line cause,
    ``DeploymentTimeoutError``, and ``CoreError`` for a core that ends meanwhile.
    """
    begun = time.monotonic()
    asked = request(wish)
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
    if state.status != "SUCCEEDED":
        raise failure(device, wish, state)
    seconds = time.monotonic() - begun
    return LocalDeployment(
        device.thing,
        state.deployment_id,
        state.status,
        cores.components(device),
        tuple(watching.steps),
        seconds,
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


def failure(device: CoreDevice, wish: Wish, state: LocalState) -> DeploymentError:
    """The error for a deployment that failed: its one-line cause, and where to look next."""
    outcome = state.detail or state.status
    concerned = [name for name in wish.add if name in state.cause]
    if outcome == "FAILED_NO_STATE_CHANGE" or not concerned:
        remedy = f"%ggml core status --thing {device.thing}"
    else:
        remedy = f"%ggml logs {device.thing} {concerned[0]}"
    return DeploymentError(
        f"the local deployment to {device.thing} ended as {outcome}",
        " ".join(state.cause.split()),
        _offered(device, wish) or remedy,
        deployment_id=state.deployment_id,
    )


def _offered(device: CoreDevice, wish: Wish) -> str:
    """The command with a version that is there, where the one that was asked for is not."""
    if wish.recipes is None:
        return ""
    there = _versions(Path(wish.recipes).expanduser())
    for name, version in wish.add.items():
        if version not in there.get(name, (version,)):
            best = sorted(there[name])[-1]
        elif name not in there and (meant := near(name, there)):
            name, best = meant, sorted(there[meant])[-1]
        else:
            continue
        words = ["%ggml core deploy", f"--thing {device.thing}", f"--recipes {wish.recipes}"]
        words += [f"--artifacts {wish.artifacts}"] if wish.artifacts else []
        return " ".join((*words, f"--component {name}={best}"))
    return ""


def _versions(folder: Path) -> dict[str, list[str]]:
    """The component versions whose recipes a folder has, as far as they can be read."""
    from ggml_magic.core import recipe
    from ggml_magic.core.store_import import SUFFIXES

    found: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in SUFFIXES and file.is_file():
            try:
                read = recipe.parse(file.read_bytes())
            except (OSError, recipe.RecipeError):
                continue
            found.setdefault(read.name, []).append(read.version)
    return found


class _Watching:
    """Follows a deployment, and tells what is new."""

    def __init__(
        self, device: CoreDevice, identifier: str, on_step: Callable[[Step], None], begun: float
    ) -> None:
        self.identifier = identifier
        self.steps: list[Step] = []
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
        self._tell("", (state.status, state.cause))
        for each in now:
            self._tell(each.name, (each.state, each.version))
        return state

    def _tell(self, component: str, words: tuple[str, ...]) -> None:
        if self._known.get(component) == words:
            return
        self._known[component] = words
        seconds = time.monotonic() - self._begun
        step = Step(seconds, self._device.thing, component, *words)
        self.steps.append(step)
        self._on_step(step)
