"""Follow a deployment on its devices, from what the AWS calls say of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ggml_magic.cloud.connect import Cloud
from ggml_magic.cloud.deployments import InstalledComponent
from ggml_magic.cloud.gateway import said
from ggml_magic.errors import DeploymentError, DeploymentTimeoutError

# seconds between two looks: the sandbox is on this machine, AWS limits the rate of calls
POLL = {"sandbox": 0.15, "aws": 2.0}
# seconds that a new version must keep running: a run script counts as RUNNING from its first
# moment (EDGE-CORE 5), so one that ends at once would pass for a success
SETTLED = {"sandbox": 1.0, "aws": 6.0}
QUEUED = "QUEUED"
SUCCEEDED = ("SUCCEEDED", "COMPLETED")
FAILED = ("FAILED", "TIMED_OUT", "CANCELED", "REJECTED")
WORKING = ("RUNNING", "FINISHED")
BROKEN = ("ERRORED", "BROKEN")
# what GetDeployment says of one that will not go on
REPLACED = ("CANCELED", "INACTIVE")
DONE: Literal["done"] = "done"

Verdict = Literal["done", "failed", "pending"]


@dataclass(frozen=True)
class Step:
    """Something that happened; ``seconds`` since the deployment was begun.

    ``device`` is empty for a step in the cloud, ``component`` for one of a whole device.
    """

    seconds: float
    device: str
    component: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class DeviceState:
    """Where one device stands with a deployment; ``reason`` is one line or empty."""

    device: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Aim:
    """What is waited for: a deployment with a component in a version on some devices.

    ``components`` maps the names to the wanted versions; ``root`` is the one that must work.
    """

    name: str
    deployment_id: str
    target: str
    root: str
    components: Mapping[str, str]
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Sight:
    """What one device said of a deployment, and of its components, at one moment."""

    device: str
    status: str
    reason: str
    components: tuple[InstalledComponent, ...]

    def component(self, name: str) -> InstalledComponent | None:
        """One of its components, or ``None``."""
        return next((seen for seen in self.components if seen.name == name), None)


def look(cloud: Cloud, aim: Aim, device: str) -> Sight:
    """Ask what a device has reported. A device that said nothing yet is QUEUED."""
    told = next(
        (
            effective
            for effective in cloud.deployments.effective(device)
            if effective.deployment_id == aim.deployment_id
        ),
        None,
    )
    components = cloud.deployments.installed(device)
    if told is None:
        return Sight(device, QUEUED, "", components)
    return Sight(device, told.status, told.reason, components)


def verdict(aim: Aim, sight: Sight) -> Verdict:
    """Whether a device has what it should, will not get it, or is not there yet."""
    if sight.status in FAILED:
        return "failed"
    if sight.status not in SUCCEEDED:
        return "pending"
    root = sight.component(aim.root)
    if root is None or root.version != aim.components[aim.root]:
        return "pending"
    if root.state in WORKING:
        return DONE
    return "failed" if root.state == "BROKEN" else "pending"


def state_of(aim: Aim, sight: Sight) -> DeviceState:
    """A device's state in one word, with the reason where it needs one."""
    found = verdict(aim, sight)
    if found == DONE:
        return DeviceState(sight.device, SUCCEEDED[0])
    if found == "failed":
        return DeviceState(sight.device, FAILED[0], cause(aim, sight))
    if sight.status == QUEUED:
        return DeviceState(sight.device, QUEUED, "no core has answered yet")
    root = sight.component(aim.root)
    return DeviceState(sight.device, "IN_PROGRESS", f"{aim.root} is {root.state}" if root else "")


def cause(aim: Aim, sight: Sight) -> str:
    """Why a device failed, in one line: its own reason, then its broken components'."""
    own = "" if sight.status in SUCCEEDED else sight.reason
    parts = [own] if own else []
    for seen in sight.components:
        if seen.state in BROKEN and seen.name in aim.components:
            text = f"{seen.name} is {seen.state}"
            told = seen.details and seen.details not in own
            parts.append(f"{text}: {_without(seen.details, seen)}" if told else text)
    return said("; ".join(parts) or f"the device reports {sight.status}")


def _without(details: str, seen: InstalledComponent) -> str:
    """A component's details without its own name before them."""
    return details.removeprefix(f"{seen.name} {seen.version}: ")


def news(aim: Aim, sight: Sight, known: dict[tuple[str, str], str], seconds: float) -> list[Step]:
    """What a sight shows that ``known`` does not; ``known`` learns it."""
    lines = [("", sight.status, sight.reason if sight.status in FAILED else "")]
    for seen in sight.components:
        ours = aim.components.get(seen.name) == seen.version
        if ours or (seen.name not in aim.components and seen.state in BROKEN):
            lines.append((seen.name, seen.state, seen.details))
    steps = []
    for component, state, detail in lines:
        if known.get((sight.device, component)) != state:
            known[sight.device, component] = state
            steps.append(Step(seconds, sight.device, component, state, detail))
    return steps


def follow(
    cloud: Cloud,
    aim: Aim,
    on_step: Callable[[Step], None],
    clock: Callable[[], float],
    *,
    settled_seconds: float,
    timeout_seconds: float,
) -> tuple[DeviceState, ...]:
    """Wait until every device has what it should, and has kept it for ``settled_seconds``.

    ``clock`` gives the seconds since the deployment was begun. Raises ``DeploymentError`` with a
    one-line cause, ``DeploymentTimeoutError`` when time is up.
    """
    known: dict[tuple[str, str], str] = {}
    sights: dict[str, Sight] = {}
    since: dict[str, tuple[float, float]] = {}
    end = time.monotonic() + timeout_seconds
    while True:
        overall = _overall(cloud, aim)
        for device in aim.devices:
            if _settled(since, device, settled_seconds):
                continue
            sights[device] = look(cloud, aim, device)
            for step in news(aim, sights[device], known, clock()):
                on_step(step)
            _note_since(since, aim, sights[device])
        if all(_settled(since, device, settled_seconds) for device in aim.devices):
            return tuple(state_of(aim, sights[device]) for device in aim.devices)
        _fail_if_it_cannot_go_on(aim, tuple(sights.values()), overall)
        if time.monotonic() > end:
            raise late(aim, tuple(sights.values()), cloud.name, timeout_seconds)
        time.sleep(POLL[cloud.name])


def _note_since(since: dict[str, tuple[float, float]], aim: Aim, sight: Sight) -> None:
    """Remember since when a device has had what it should.

    A component that ends and is started again between two looks seems to have run all along:
    when its state last changed tells the two apart.
    """
    root = sight.component(aim.root)
    if root is None or verdict(aim, sight) != DONE:
        since.pop(sight.device, None)
    elif sight.device not in since or since[sight.device][1] != root.changed:
        since[sight.device] = (time.monotonic(), root.changed)


def _settled(since: dict[str, tuple[float, float]], device: str, seconds: float) -> bool:
    return device in since and time.monotonic() - since[device][0] >= seconds


def _overall(cloud: Cloud, aim: Aim) -> str:
    document = cloud.deployments.get(aim.deployment_id)
    return document.status if document else REPLACED[0]


def _fail_if_it_cannot_go_on(aim: Aim, sights: tuple[Sight, ...], overall: str) -> None:
    if overall in REPLACED:
        raise DeploymentError(
            f"the deployment of {aim.name} to {aim.target} was given up",
            "somebody cancelled it or deployed something else there",
            f"%ggml plan {aim.name} --to {aim.target}",
            deployment_id=aim.deployment_id,
        )
    failed = [sight for sight in sights if verdict(aim, sight) == "failed"]
    pending = [sight for sight in sights if verdict(aim, sight) == "pending"]
    # an offline device must not hold back the news that another has failed
    if failed and all(sight.status == QUEUED for sight in pending):
        raise failure(aim, failed)


def failure(aim: Aim, failed: list[Sight]) -> DeploymentError:
    """The error for devices that did not take a deployment; the first one's cause stands."""
    more = f" (and {len(failed) - 1} more devices)" if len(failed) > 1 else ""
    return DeploymentError(
        f"{aim.name} was not deployed to {aim.target}",
        f"{failed[0].device}: {cause(aim, failed[0])}{more}",
        f"%ggml logs {failed[0].device} {aim.root}",
        deployment_id=aim.deployment_id,
    )


def late(
    aim: Aim, sights: tuple[Sight, ...], cloud: str, timeout_seconds: float
) -> DeploymentTimeoutError:
    """The error when time is up; it says which devices are queued and which are at work."""
    waiting = [state_of(aim, sight) for sight in sights if verdict(aim, sight) == "pending"]
    states = "; ".join(_waiting(aim, state) for state in waiting)
    queued = next((state.device for state in waiting if state.status == QUEUED), None)
    on_sandbox = queued is not None and cloud == "sandbox"
    return DeploymentTimeoutError(
        f"{aim.name} did not reach {aim.target} on {cloud} within {timeout_seconds:g} s",
        f"{states}; the deployment stays and goes on when the device does",
        f"%ggml sandbox core {queued}" if on_sandbox else f"%ggml status {aim.name}",
        deployment_id=aim.deployment_id,
    )


def _waiting(aim: Aim, state: DeviceState) -> str:
    if state.status == QUEUED:
        return f"{state.device} is QUEUED, no core answers there"
    return f"{state.device} is {state.status}" + (f", {state.reason}" if state.reason else "")


def states(cloud: Cloud, aim: Aim) -> Iterator[DeviceState]:
    """Where each device stands now."""
    for device in aim.devices:
        yield state_of(aim, look(cloud, aim, device))
