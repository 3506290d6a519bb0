"""Starting, finding and stopping a workspace's sandbox and its core devices.

Several kernels may do so at once: all that starts or ends happens under the workspace's lock,
and an endpoint counts only when that very instance answers.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_magic import settings
from ggml_magic.errors import CoreError, SandboxError
from ggml_magic.presentation import Card, Presented, plural
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.sandbox import process
from ggml_magic.sandbox.endpoint import Endpoint, authorization
from ggml_magic.workspace import Workspace

if TYPE_CHECKING:
    from ggml_magic.core.client import CoreDevice

__all__ = [
    "CoreStatus",
    "Endpoint",
    "SandboxStatus",
    "Stopped",
    "add_core",
    "core_roots",
    "ensure",
    "running",
    "status",
    "stop",
]

# What IoT lets a thing be called, but for a first character that a command line or a path minds.
THING = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9:_-]{0,127}")
# Starting takes a second; a cold disk or a busy machine may take many.
START_SECONDS = 60.0
STOP_SECONDS = 15.0
# Hundreds of things are made one by one.
PROVISION_SECONDS = 60.0
ANSWERING_SECONDS = 20.0
HEALTHY_SECONDS = 60.0
POLL_SECONDS = 0.02
NAMES_SHOWN = 10
LOCK_SECONDS = 120.0


@dataclass(frozen=True)
class CoreStatus:
    """A core device of the workspace: its process, and what the cloud holds of it."""

    thing: str
    pid: int | None
    health: str


@dataclass(frozen=True)
class SimulatedStatus:
    """A simulated fleet of the workspace: how many devices, and the process that speaks."""

    group: str
    devices: int
    pid: int | None


@dataclass(frozen=True)
class SandboxStatus(Presented):
    """What runs for this workspace."""

    endpoint: Endpoint | None
    cores: tuple[CoreStatus, ...] = ()
    fleets: tuple[SimulatedStatus, ...] = ()

    def card(self) -> Card:
        """The sandbox, each core device and each simulated fleet."""
        facts: tuple[tuple[str, str], ...]
        if self.endpoint is None:
            facts = (("endpoint", "not running; it starts on first use"),)
        else:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.endpoint.started))
            facts = (
                ("endpoint", self.endpoint.url),
                ("mqtt", self.endpoint.mqtt),
                ("process", str(self.endpoint.pid)),
                ("since", since),
            )
        rows = tuple((core.thing, core.health, _process(core.pid)) for core in self.cores)
        rows += tuple(
            (f"{each.group}: {plural(each.devices, 'device')}", "simulated", _process(each.pid))
            for each in self.fleets
        )
        return Card("sandbox", facts, ("core device", "health", "process"), rows)


def _process(pid: int | None) -> str:
    return str(pid) if pid else "not running"


@dataclass(frozen=True)
class Stopped(Presented):
    """What ``stop`` ended: whether a sandbox ran, and the core devices and fleets that did."""

    sandbox: bool
    cores: tuple[str, ...] = ()
    fleets: tuple[str, ...] = ()

    def card(self) -> Card:
        """What was ended."""
        notes = (*_ended("core device", self.cores), *_ended("simulated fleet", self.fleets))
        return Card("sandbox stopped" if self.sandbox else "no sandbox was running", notes=notes)


def _ended(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """A line that names them, as far as a line goes."""
    if not names:
        return ()
    shown = ", ".join(names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (f"{plural(len(names), kind)}: {shown}{more}",)


def ensure(workspace: Workspace, idle_minutes: float) -> Endpoint:
    """The workspace's sandbox, started with its core devices when they do not run.

    Raises ``SandboxError`` with the log's last line when it cannot start, and
    ``MissingExtraError`` when moto is not installed.
    """
    endpoint = running(workspace)
    if endpoint is None:
        with turn(workspace):
            endpoint = _awaited(workspace) or _start(workspace, idle_minutes)
    _ensure_cores(workspace, endpoint, idle_minutes)
    return endpoint


def running(workspace: Workspace) -> Endpoint | None:
    """The workspace's sandbox, if it answers."""
    endpoint = ep.read(workspace.root / "sandbox" / "endpoint.json")
    return endpoint if endpoint and ep.lives(endpoint) else None


def stop(workspace: Workspace) -> Stopped:
    """End the core devices, then the sandbox, and wait until they are gone."""
    if not workspace.root.exists():
        return Stopped(sandbox=False)
    with turn(workspace):
        cores, fleets = stop_devices(workspace)
        return Stopped(_stop_sandbox(workspace), cores, fleets)


def stop_devices(workspace: Workspace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """End all core devices and simulated fleets of a workspace; returns those that ran."""
    from ggml_magic.core import fleet, simulated

    cores = fleet.stop(core_roots(workspace))
    fleets = [folder.name for folder in simulated_folders(workspace) if simulated.stop(folder)]
    return tuple(root.name for root in cores), tuple(fleets)


def add_core(workspace: Workspace, name: str, idle_minutes: float, dialect: str = "") -> CoreDevice:
    """A core device of one's own: its thing, its record and its process, waited for.

    ``dialect`` is which nucleus it follows, ``classic`` or ``lite``; empty for what it was.
    Raises ``CoreError``.
    """
    if not THING.fullmatch(name):
        raise CoreError(
            f"a core device cannot be called {name!r}",
            "its name has 1 to 128 letters, digits, :, _ and -, and begins with a letter or digit",
            "%ggml sandbox core weather-pi",
        )
    from ggml_magic.core import client as core

    if (group := simulated_group(workspace, name)) is not None:
        raise CoreError(
            f"{name} is a simulated device of the fleet {group}",
            "a core device needs a name of its own",
            f"%ggml sandbox core {name}-real",
        )
    endpoint = ensure(workspace, idle_minutes)
    workspace.folder("cores", name)
    with turn(workspace):
        provision(workspace, endpoint, f"cores/{name}")
        device = core.start(
            workspace.root / "cores" / name,
            name,
            ep.places(workspace).endpoint,
            idle_minutes,
            dialect,
        )
    healthy(workspace, endpoint, [name])
    return device


def healthy(workspace: Workspace, endpoint: Endpoint, things: Sequence[str]) -> None:
    """Wait until the cloud holds these core devices for healthy; raises ``CoreError``."""
    waiting = list(things)

    def all_healthy() -> bool:
        while waiting and _health(workspace, endpoint, waiting[0]) == "HEALTHY":
            del waiting[0]
        return not waiting

    def late() -> CoreError:
        from ggml_magic.core.logs import last_lines

        log = workspace.root / "cores" / waiting[0] / "core.log"
        what = f"core device {waiting[0]} did not become healthy in {HEALTHY_SECONDS:.0f} s"
        why = " ".join(last_lines(log, 1)) or "it said nothing"
        return CoreError(what, why, f"%ggml logs {waiting[0]} core")

    _wait(all_healthy, HEALTHY_SECONDS, late)


def status(workspace: Workspace) -> SandboxStatus:
    """What runs for this workspace; starts nothing."""
    from ggml_magic.core import client as core
    from ggml_magic.core import simulated

    endpoint = running(workspace)
    cores = []
    for root in core_roots(workspace):
        device = core.running(root)
        asked = endpoint is not None and device is not None
        health = _health(workspace, endpoint, root.name) if asked and endpoint else "UNKNOWN"
        cores.append(CoreStatus(root.name, device.pid if device else None, health))
    fleets = tuple(
        SimulatedStatus(folder.name, len(fleet.things), simulated.running(folder))
        for folder in simulated_folders(workspace)
        if (fleet := simulated.read(folder)) is not None
    )
    return SandboxStatus(endpoint, tuple(cores), fleets)


def core_roots(workspace: Workspace) -> tuple[Path, ...]:
    """The folder of each core device of the workspace."""
    folder = workspace.root / "cores"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(path for path in found if path.is_dir() and THING.fullmatch(path.name))


def simulated_folders(workspace: Workspace) -> tuple[Path, ...]:
    """The folder of each simulated fleet of the workspace."""
    folder = workspace.root / "fleets"
    return tuple(sorted(path for path in folder.glob("*") if THING.fullmatch(path.name)))


def simulated_group(workspace: Workspace, thing: str) -> str | None:
    """The simulated fleet that a thing is of; ``None`` when it is of none."""
    from ggml_magic.core import simulated

    fleets = map(simulated.read, simulated_folders(workspace))
    return next((fleet.group for fleet in fleets if fleet and thing in fleet.things), None)


@contextlib.contextmanager
def turn(workspace: Workspace) -> Iterator[None]:
    """One at a time starts or ends things in a workspace."""
    from filelock import Timeout

    try:
        with workspace.lock("sandbox").acquire(timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise SandboxError(
            "could not start or stop the sandbox",
            f"another notebook of this workspace has been doing so for {LOCK_SECONDS:.0f} s",
            "%ggml sandbox status",
        ) from None


def _wait(done: Callable[[], bool], seconds: float, late: Callable[[], Exception]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise late()
        time.sleep(POLL_SECONDS)


def _awaited(workspace: Workspace) -> Endpoint | None:
    """The sandbox that another started; ``None`` when none has the workspace (any more).

    One that is ending, or too busy to answer, is waited for.
    """
    places = ep.places(workspace)
    found: list[Endpoint | None] = []

    def decided() -> bool:
        found.append(running(workspace))
        return found[-1] is not None or process.holder(places) is None

    def late() -> SandboxError:
        why = f"process {process.holder(places)} has the workspace and does not answer"
        return SandboxError("the sandbox was lost", why, "%ggml sandbox stop")

    _wait(decided, ANSWERING_SECONDS, late)
    return found[-1]


def _start(workspace: Workspace, idle_minutes: float) -> Endpoint:
    process.check_installed()
    places = ep.places(workspace)
    child = process.spawn(workspace, places, idle_minutes)

    def answered() -> bool:
        endpoint = ep.read(places.endpoint)
        mine = endpoint is not None and endpoint.pid == child.pid
        if mine and endpoint is not None and ep.lives(endpoint):
            return True
        if child.poll() is not None:
            raise _dead(places)
        return False

    try:
        _wait(answered, START_SECONDS, lambda: _dead(places))
    except SandboxError:
        child.kill()
        raise
    finally:
        # reaps it whenever it ends, in this kernel's lifetime
        threading.Thread(target=child.wait, daemon=True).start()
    endpoint = ep.read(places.endpoint)
    if endpoint is None:
        raise _dead(places)
    return endpoint


def _dead(places: ep.Places) -> SandboxError:
    return SandboxError("the sandbox did not start", last_line(places.log), f"tail {places.log}")


def last_line(log: Path) -> str:
    """The last line that a log has something in."""
    try:
        lines = log.read_text("utf-8", "replace").split("\n")
    except OSError:
        return "there is no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")


def _stop_sandbox(workspace: Workspace) -> bool:
    if not (workspace.root / "sandbox").is_dir():
        return False
    places = ep.places(workspace)
    pid = process.holder(places)
    if pid is None:
        places.endpoint.unlink(missing_ok=True)
        return False
    endpoint = ep.read(places.endpoint)
    if endpoint is not None and ep.lives(endpoint):
        with contextlib.suppress(OSError):
            ep.call(endpoint, "POST", "/_ggml/stop")
    else:
        process.end(workspace, pid, signal.SIGTERM)
    try:
        _wait(lambda: process.holder(places) is None, STOP_SECONDS, lambda: _stuck(pid))
    except SandboxError:
        process.end(workspace, pid, signal.SIGKILL)
        _wait(lambda: process.holder(places) is None, STOP_SECONDS, lambda: _stuck(pid))
    places.endpoint.unlink(missing_ok=True)
    return True


def _stuck(pid: int) -> SandboxError:
    return SandboxError(
        "the sandbox did not end", f"process {pid} is still there", f"kill -9 {pid}"
    )


def _ensure_cores(workspace: Workspace, endpoint: Endpoint, idle_minutes: float) -> None:
    """Start again what ran before: core devices, and the processes of simulated fleets."""
    roots, folders = core_roots(workspace), simulated_folders(workspace)
    if not roots and not folders:
        return
    from ggml_magic.core import client as core
    from ggml_magic.core import fleet, simulated

    missing = {root.name: root for root in roots if core.running(root) is None}
    silent = [folder for folder in folders if simulated.running(folder) is None]
    if not missing and not silent:
        return
    places = ep.places(workspace)
    with turn(workspace):
        for thing in missing:
            provision(workspace, endpoint, f"cores/{thing}")
        if missing:
            fleet.start(missing, places.endpoint, idle_minutes)
        for folder in silent:
            simulated.start(folder, places.endpoint, idle_minutes)


def provision(
    workspace: Workspace, endpoint: Endpoint, what: str, body: bytes | None = None
) -> None:
    """Make the sandbox know ``cores/NAME``, or ``groups/NAME`` with the things of the body.

    Raises ``CoreError`` when the sandbox refuses.
    """
    headers = {"Authorization": authorization("iot", settings.load(workspace).region)}
    code, answer = _ask(endpoint, "PUT", f"/_ggml/{what}", headers, body, PROVISION_SECONDS)
    if code != http.client.OK:
        raise CoreError(
            f"{what.partition('/')[2]} could not be provisioned",
            str(answer.get("message", code)),
            "%ggml sandbox status",
        )


def _health(workspace: Workspace, endpoint: Endpoint, thing: str) -> str:
    """What GetCoreDevice says of a core device."""
    region = settings.load(workspace).region
    headers = {"Authorization": authorization("greengrass", region)}
    path = f"/greengrass/v2/coreDevices/{thing}"
    code, answer = _ask(endpoint, "GET", path, headers)
    return str(answer.get("status", "UNKNOWN")) if code == http.client.OK else "UNKNOWN"


def _ask(
    endpoint: Endpoint, method: str, path: str, headers: dict[str, str],
    body: bytes | None = None, seconds: float = ep.ANSWER_SECONDS,
) -> tuple[int, dict[str, Any]]:  # fmt: skip
    try:
        return ep.call(endpoint, method, path, headers=headers, body=body, timeout_seconds=seconds)
    except OSError as error:
        raise SandboxError("the sandbox was lost", str(error), "%ggml sandbox status") from error
