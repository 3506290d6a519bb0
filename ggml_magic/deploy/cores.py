"""The core devices of this machine: found, asked, restarted, ended; with or without a sandbox."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggml_magic.core import access, client, inventory, simulated
from ggml_magic.core.caller import LATE, LOST, REFUSED, Caller, CallFailed
from ggml_magic.core.client import CoreDevice
from ggml_magic.core.daemon import LOCK
from ggml_magic.core.disk import Layout, read_json
from ggml_magic.core.inventory import Contents
from ggml_magic.deploy.lasting import last_words
from ggml_magic.deploy.target import near
from ggml_magic.errors import CoreError
from ggml_magic.presentation import Card, Presented, plural
from ggml_magic.sandbox.client import core_roots, simulated_folders
from ggml_magic.workspace import Workspace

# A core answers within milliseconds; one that stops a component answers before that is done.
ANSWER_SECONDS = 15.0
# A core that is about to listen is waited for; starting takes a third of a second.
STARTING_SECONDS = 10.0
POLL_SECONDS = 0.05
# A component has its time to shut down, and may install or start again.
RESTART_SECONDS = 60.0
SHOWN_DEPLOYMENTS = 5
MINUTE, HOUR, DAY = 60, 3600, 86400
RUNNING = ("RUNNING", "FINISHED")
FAILED = ("ERRORED", "BROKEN")
STATUS = "%ggml core status"
# what stands for a name of the user's choice
OWN = "NAME-OF-YOUR-OWN"
# What is no answer of the core's: it is gone, busy, or another than the one that was asked.
SILENT = (LOST, LATE, REFUSED)


@dataclass(frozen=True)
class ComponentState:
    """A component on a core; ``groups`` are those whose deployments name it, none: a dependency.

    ``cause`` is why it does not work, one line, empty where it does.
    """

    name: str
    version: str
    state: str
    groups: tuple[str, ...] = ()
    cause: str = ""

    @property
    def role(self) -> str:
        """``root`` where a deployment names it, else ``dependency``."""
        return "root" if self.groups else "dependency"


@dataclass(frozen=True)
class GroupState:
    """The deployment that a group of a core has; ``created`` in seconds since 1970."""

    group: str
    deployment_id: str
    created: float
    roots: Mapping[str, str]


@dataclass(frozen=True)
class LocalState:
    """A local deployment of a core: its status, and why it failed."""

    deployment_id: str
    status: str
    created: str
    detail: str = ""
    cause: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CoreReport(Presented):
    """What a core device holds and does; ``started`` and ``now`` in seconds since 1970."""

    thing: str
    process: int
    folder: str
    started: float
    now: float
    components: tuple[ComponentState, ...]
    groups: tuple[GroupState, ...]
    local_deployments: tuple[LocalState, ...]

    def card(self) -> Card:
        """Its components in a table, then its deployments."""
        facts = (
            ("process", f"{self.process}, for {_long(self.now - self.started)}"),
            ("folder", self.folder),
            *((f"of {each.group}", each.deployment_id) for each in self.groups),
        )
        rows = tuple((each.name, each.version, each.state, each.role) for each in self.components)
        broken = [each for each in self.components if each.cause]
        notes = tuple(f"{each.name} is {each.state}: {each.cause}" for each in broken) + tuple(
            f"local deployment {each.deployment_id}: {each.status}"
            + (f", {each.cause}" if each.cause else "")
            for each in self.local_deployments[:SHOWN_DEPLOYMENTS]
        )
        if broken:
            notes += (f"Next: ggml logs {self.thing} {broken[0].name} --level WARN",)
        title = f"core device {self.thing}: {plural(len(self.components), 'component')}"
        return Card(title, facts, ("component", "version", "state", "part"), rows, notes)


@dataclass(frozen=True)
class CoreJson(Presented):
    """A report as JSON, for programs: as text, nothing but this."""

    report: CoreReport

    def card(self) -> Card:
        """The JSON as code."""
        return Card(f"core device {self.report.thing}", code=str(self))

    def __str__(self) -> str:
        written = asdict(self.report)
        for each, state in zip(written["components"], self.report.components, strict=True):
            each["role"] = state.role
        written["uptime_seconds"] = round(max(0.0, self.report.now - self.report.started), 1)
        return json.dumps(written, indent=2)


@dataclass(frozen=True)
class Restarted(Presented):
    """A component that was stopped and started again."""

    thing: str
    component: ComponentState

    def card(self) -> Card:
        """Its state after that."""
        name, state = self.component.name, self.component.state
        return Card(f"{name} {self.component.version} on {self.thing}: {state}")


@dataclass(frozen=True)
class StoppedCores(Presented):
    """The core devices that were ended."""

    things: tuple[str, ...]

    def card(self) -> Card:
        """Which, and what starts them again."""
        if not self.things:
            return Card("no core device was running")
        ended = f"{plural(len(self.things), 'core device')} ended: {', '.join(self.things)}"
        return Card(ended, notes=("what uses the sandbox starts them again",))


def find(workspace: Workspace, thing: str | None, line: str = STATUS) -> CoreDevice:
    """The running core device of that name, or the only one; one that starts is waited for.

    ``line`` is what the user wrote, without the thing. Raises ``CoreError``.
    """
    roots = {root.name: root for root in core_roots(workspace)}
    if thing is not None:
        if thing not in roots:
            raise _unknown(workspace, thing, tuple(roots), line)
        return _running(roots[thing])
    if not roots:
        raise CoreError(
            "there is no core device here",
            f"{workspace.root} has none",
            "%ggml sandbox core weather-pi",
        )
    if len(roots) == 1:
        return _running(next(iter(roots.values())))
    up = [device for root in roots.values() if (device := client.running(root))]
    if len(up) == 1:
        return up[0]
    names = sorted(device.thing for device in up) or sorted(roots)
    raise CoreError(
        "it is not said which core device is meant",
        f"{'running' if up else 'here'} are {', '.join(names)}",
        f"{line} --thing {names[0]}",
    )


def _unknown(workspace: Workspace, thing: str, known: tuple[str, ...], line: str) -> CoreError:
    fleets = filter(None, map(simulated.read, simulated_folders(workspace)))
    if any(thing in fleet.things for fleet in fleets):
        return CoreError(
            f"{thing} is simulated", "no component runs there", f"%ggml sandbox core {OWN}"
        )
    meant = near(thing, known)
    why = f"there is {', '.join(sorted(known))}" if known else "there are none at all"
    remedy = f"{line} --thing {meant}" if meant else f"%ggml sandbox core {thing}"
    return CoreError(f"there is no core device {thing} here", why, remedy)


def _running(root: Path) -> CoreDevice:
    """The core of a root; while its process is there and not ready it is waited for."""
    deadline = time.monotonic() + STARTING_SECONDS
    found = client.running(root)
    while found is None or access.read(root) is None:
        if not _held(root / LOCK):
            why = "its process is not there"
            raise CoreError(
                f"the core device {root.name} does not run", why, f"%ggml sandbox core {root.name}"
            )
        if time.monotonic() > deadline:
            raise CoreError(
                f"the core device {root.name} is starting",
                f"it did not answer within {STARTING_SECONDS:.0f} s",
                f"tail {root / 'core.log'}",
            )
        time.sleep(POLL_SECONDS)
        found = client.running(root)
    return found


def _held(lock: Path) -> bool:
    """Whether a process holds a lock; to try it would keep one that starts from it."""
    try:
        number = str(lock.stat().st_ino)
        held = Path("/proc/locks").read_text()
    except OSError:
        return False
    return any(line.split()[5].rpartition(":")[2] == number for line in held.splitlines())


def ask(device: CoreDevice, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """One IPC call to a core; raises ``CallFailed`` for its refusal, ``CoreError`` for silence."""
    granted = access.read(device.root)
    if granted is None:
        raise lost(device)
    try:
        with Caller(granted.socket, granted.token, ANSWER_SECONDS) as caller:
            return caller.call(operation, request)
    except CallFailed as failed:
        if failed.shape in SILENT:
            raise lost(device) from None
        raise


def lost(device: CoreDevice) -> CoreError:
    """The error for a core that does not answer any more."""
    alive = client.running(device.root) is not None
    return CoreError(
        f"the core device {device.thing} does not answer",
        "its process is there and busy" if alive else "its process has ended",
        f"%ggml core status --thing {device.thing}"
        if alive
        else f"%ggml sandbox core {device.thing}",
    )


def held(device: CoreDevice) -> Contents:
    """What a core's own file says that it holds; nothing where it cannot be read."""
    try:
        stored = read_json(Layout(device.root).state_file)
        return inventory.load(stored) if stored else Contents()
    except (OSError, ValueError, TypeError, KeyError):
        return Contents()


def components(device: CoreDevice) -> tuple[ComponentState, ...]:
    """The components of a core with their states, by name."""
    groups = held(device).groups
    found = []
    for each in ask(device, "ListComponents", {})["components"]:
        name = str(each["componentName"])
        named = tuple(sorted(group for group, state in groups.items() if name in state.roots))
        state = str(each["state"])
        cause = last_words(device.root, name) if state in FAILED else ""
        found.append(ComponentState(name, str(each["version"]), state, named, cause))
    return tuple(sorted(found, key=lambda each: each.name))


def report(device: CoreDevice) -> CoreReport:
    """Everything of a core device at this moment; raises ``CoreError``."""
    record = read_json(Layout(device.root).record) or {}
    listed = ask(device, "ListLocalDeployments", {})["localDeployments"]
    groups = tuple(
        GroupState(name, each.deployment, each.timestamp / 1000, each.roots)
        for name, each in sorted(held(device).groups.items())
    )
    now = time.time()
    return CoreReport(
        device.thing,
        device.pid,
        str(device.root),
        float(record.get("started", now)),
        now,
        components(device),
        groups,
        tuple(local_state(each) for each in listed),
    )


def local_state(told: Mapping[str, Any]) -> LocalState:
    """A local deployment as a core tells it."""
    details = told.get("deploymentStatusDetails") or {}
    return LocalState(
        str(told["deploymentId"]),
        str(told["status"]),
        str(told.get("createdOn", "")),
        str(details.get("detailedDeploymentStatus", "")),
        str(details.get("deploymentFailureCause", "")),
        tuple(map(str, details.get("deploymentWarnings") or ())),
    )


def restart(device: CoreDevice, name: str) -> Restarted:
    """Stop a component and start it again, and wait until it works; raises ``CoreError``."""
    known = {each.name: each for each in components(device)}
    if name not in known:
        raise no_component(device, name, tuple(known))
    answer = ask(device, "RestartComponent", {"componentName": name})
    if answer.get("restartStatus") != "SUCCEEDED":
        raise _not_restarted(device, name, str(answer.get("message", "the core says no more")))
    # the core has answered once the component is stopped, or is seen to be stopping
    deadline = time.monotonic() + RESTART_SECONDS
    while True:
        now = next((each for each in components(device) if each.name == name), None)
        if now is None or now.state == "BROKEN":
            raise _not_restarted(device, name, "it is BROKEN" if now else "it is gone")
        if now.state in RUNNING:
            return Restarted(device.thing, now)
        if time.monotonic() > deadline:
            raise _not_restarted(device, name, f"it is {now.state} after {RESTART_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def _not_restarted(device: CoreDevice, name: str, why: str) -> CoreError:
    return CoreError(
        f"{name} does not run again on {device.thing}", why, f"%ggml logs {device.thing} {name}"
    )


def no_component(device: CoreDevice, name: str, known: tuple[str, ...]) -> CoreError:
    """The error for a component that a core does not have."""
    meant = near(name, known)
    why = f"it has {', '.join(known)}" if known else "it has none at all"
    return CoreError(
        f"there is no component {name} on {device.thing}",
        f"did you mean {meant}?" if meant else why,
        f"%ggml core restart {meant} --thing {device.thing}"
        if meant
        else f"%ggml core status --thing {device.thing}",
    )


def stop(workspace: Workspace, thing: str | None) -> StoppedCores:
    """End one core device, or all of the workspace; the sandbox goes on."""
    roots = {root.name: root for root in core_roots(workspace)}
    if thing is not None and thing not in roots:
        raise _unknown(workspace, thing, tuple(roots), "%ggml core stop")
    wanted = [roots[thing]] if thing is not None else list(roots.values())
    return StoppedCores(tuple(root.name for root in wanted if client.stop(root)))


def _long(seconds: float) -> str:
    """A length of time as a person says it."""
    whole = max(0, int(seconds))
    for unit, below, name, small in ((DAY, HOUR, "d", "h"), (HOUR, MINUTE, "h", "min")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // below} {small}"
    return f"{whole // MINUTE} min {whole % MINUTE} s" if whole >= MINUTE else f"{whole} s"
