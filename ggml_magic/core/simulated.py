"""Simulated devices, for teaching roll-outs: ``python -m ggml_magic.core.simulated``.

One process speaks for all devices of a fleet through the device-side API, so that deployments,
plans and watches see what they would see of real ones. Nothing is downloaded and no component
runs: each device answers by its part of a script. The cloud shows them as simulated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic import child, settings
from ggml_magic.core import daemon, identity, launch, orders, recipe
from ggml_magic.core.causes import BROKEN, FAILED, SUCCEEDED
from ggml_magic.core.cloud import Cloud, Execution
from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.environment import GGC_VERSION
from ggml_magic.core.logs import Log, last_lines
from ggml_magic.core.orders import Document
from ggml_magic.core.script import Answer, Part, parts
from ggml_magic.core.worker import FIRST_PAUSE, LONGEST_PAUSE
from ggml_magic.errors import CloudError, CoreError, UnreachableError
from ggml_magic.workspace import Workspace

MODULE = "ggml_magic.core.simulated"
# What the cloud shows as the runtime: nobody may take these for devices.
RUNTIME = "ggml_magic simulated"
# In the fleet's folder: who is in it, what the devices hold, which process runs.
FLEET, HELD, RECORD = "fleet.json", "held.json", "run.json"
# How often the process looks whether it is still needed, seconds.
LOOK_SECONDS = 1.0
MINUTE = 60.0
ROLLBACK_NOT_REQUESTED = "FAILED_ROLLBACK_NOT_REQUESTED"


@dataclass(frozen=True)
class SimulatedFleet:
    """Devices that one process speaks for; ``script`` as ``script.parts`` reads it."""

    group: str
    things: tuple[str, ...]
    script: str

    @property
    def parts(self) -> Mapping[str, Part]:
        """Each device's part."""
        return dict(zip(self.things, parts(self.script, len(self.things)), strict=True))


def write(folder: Path, fleet: SimulatedFleet) -> None:
    """Keep who is in a fleet."""
    write_json(folder / FLEET, vars(fleet))


def read(folder: Path) -> SimulatedFleet | None:
    """The fleet of a folder, ``None`` where there is none."""
    try:
        written = read_json(folder / FLEET)
        return SimulatedFleet(written["group"], tuple(written["things"]), written["script"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(folder: Path) -> int | None:
    """The process that speaks for a fleet, if one does."""
    try:
        record = read_json(folder / RECORD)
        pid, born = int(record["pid"]), int(record["born"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if identity.born(pid) == born else None


def start(folder: Path, endpoint_file: Path, idle_minutes: float) -> int:
    """Start the process that speaks for a fleet, or find it; returns its process id.

    Raises ``CoreError`` with the last of what it said.
    """
    found = running(folder)
    if found is not None:
        return found
    launch.first_process(
        child.command(
            MODULE,
            *("--root", str(folder.resolve())),
            *("--endpoint-file", str(endpoint_file.resolve())),
            *("--idle-minutes", str(idle_minutes)),
        )
    )
    found = running(folder)
    if found is None:
        said = last_lines(folder / "core.err", 1)
        why = said[-1] if said else "it said nothing"
        raise CoreError(
            f"the simulated fleet {folder.name} did not start", why, "%ggml sandbox status"
        )
    return found


def stop(folder: Path) -> bool:
    """End the process that speaks for a fleet; false when none did."""
    pid = running(folder)
    if pid is None:
        return False
    launch.end(pid)
    return True


class Device:
    """One simulated device of a fleet, which keeps what it holds."""

    def __init__(self, cloud: Cloud, part: Part, fleet: Fleet) -> None:
        self._cloud = cloud
        self._part = part
        self._fleet = fleet
        self._instance = ""
        self._sequence = time.time_ns() // 1_000_000

    async def run(self) -> None:
        """Answer deployments for ever; a device that is offline never does."""
        if self._part.answer is Answer.OFFLINE:
            return
        after, pause = 0, FIRST_PAUSE
        while True:
            try:
                notices = await self._cloud.changes(after)
                if self._cloud.instance != self._instance:
                    await self._tell(self._components("RUNNING"))
                    self._instance = self._cloud.instance
                while (execution := await self._cloud.next_job()) is not None:
                    await self._answer(execution)
            except UnreachableError:
                after = 0
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            except CloudError as error:  # a refusal: the job was cancelled, most likely
                self._fleet.log.warn(f"{self._cloud.thing}: {error}")
                await asyncio.sleep(pause)
            else:
                after, pause = notices.sequence, FIRST_PAUSE

    async def _answer(self, execution: Execution) -> None:
        try:
            document = orders.parse(execution.document)
        except orders.DocumentError as error:
            details = {"detailed-deployment-status": "FAILED_NO_STATE_CHANGE",
                       "deployment-failure-cause": str(error)}  # fmt: skip
            await self._cloud.finish_job(execution.job, FAILED, details)
            return
        wanted = {name: each.version for name, each in document.roots.items()}
        await asyncio.sleep(self._part.seconds)
        if self._part.answer is Answer.FAILURE and wanted:
            await self._fail(execution.job, document, wanted)
            return
        self._fleet.keep(self._cloud.thing, document.group, wanted)
        await self._tell(self._components("RUNNING"))
        await self._cloud.finish_job(
            execution.job, SUCCEEDED, {"detailed-deployment-status": "SUCCESSFUL"}
        )

    async def _fail(self, job: str, document: Document, wanted: Mapping[str, str]) -> None:
        """Break one new component, say so, and roll back where it is wanted, as a core would."""
        name, version = next(iter(wanted.items()))
        cause = f"{name} {version}: run failed with exit code 1 (simulated)"
        before = self._components("RUNNING")
        if not document.rolls_back:
            self._fleet.keep(self._cloud.thing, document.group, wanted)
        broken = _component(name, version, "BROKEN", cause)
        others = self._components("RUNNING") if not document.rolls_back else before
        await self._tell([*(each for each in others if each["componentName"] != name), broken])
        ended = "FAILED_ROLLBACK_COMPLETE" if document.rolls_back else ROLLBACK_NOT_REQUESTED
        details = {
            "detailed-deployment-status": ended,
            "deployment-failure-cause": cause,
            "deployment-error-stack": json.dumps(BROKEN),
        }
        await self._cloud.finish_job(job, FAILED, details)
        if document.rolls_back:
            await self._tell(before)

    def _components(self, state: str) -> list[dict[str, Any]]:
        held = self._fleet.held.get(self._cloud.thing, {})
        names = {name: version for group in held.values() for name, version in group.items()}
        return [_component(name, version, state) for name, version in names.items()]

    async def _tell(self, components: list[dict[str, Any]]) -> None:
        """A complete fleet status message."""
        self._sequence += 1
        platform = recipe.device_platform()
        broken = any(each["status"] == "BROKEN" for each in components)
        await self._cloud.publish_status(
            {
                "ggcVersion": GGC_VERSION,
                "platform": platform["os"],
                "architecture": platform["architecture"],
                "runtime": RUNTIME,
                "thing": self._cloud.thing,
                "sequenceNumber": self._sequence,
                "timestamp": int(time.time() * 1000),
                "messageType": "COMPLETE",
                "overallDeviceStatus": "UNHEALTHY" if broken else "HEALTHY",
                "components": components,
            }
        )


def _component(name: str, version: str, state: str, reason: str = "") -> dict[str, Any]:
    codes = ["RUN_ERROR"] if reason else []
    return {
        "componentName": name,
        "version": version,
        "status": state,
        "statusDetails": {"statusCodes": codes, "statusReason": reason},
        "isRoot": True,
    }


class Fleet:
    """All devices of a folder."""

    def __init__(self, folder: Path, endpoint_file: Path, idle_minutes: float) -> None:
        found = read(folder)
        if found is None:
            raise FileNotFoundError(folder / FLEET)
        self._folder = folder
        self._identity = identity.folder(folder)
        self._idle_seconds = idle_minutes * MINUTE
        self.log = Log(folder / "fleet.log")
        self.held: dict[str, dict[str, dict[str, str]]] = read_json(folder / HELD) or {}
        region = settings.load(Workspace(endpoint_file.parent.parent)).region
        self._clouds = {thing: Cloud(thing, endpoint_file, region) for thing in found.things}
        self._devices = [
            Device(self._clouds[thing], part, self) for thing, part in found.parts.items()
        ]

    def keep(self, thing: str, group: str, components: Mapping[str, str]) -> None:
        """A device has these components of a group from now on."""
        self.held.setdefault(thing, {})[group] = dict(components)
        write_json(self._folder / HELD, self.held)

    async def run(self, ready: Callable[[], None], ended: asyncio.Event) -> None:
        """Speak for all devices until ``ended`` is set, or nobody needs them any more."""
        # each device may have one question with the cloud at a time, and all wait long
        executor = ThreadPoolExecutor(max_workers=len(self._clouds))
        asyncio.get_running_loop().set_default_executor(executor)
        record = {"pid": os.getpid(), "born": identity.born(os.getpid())}
        write_json(self._folder / RECORD, record)
        ready()
        tasks = [asyncio.create_task(device.run()) for device in self._devices]
        ending = asyncio.create_task(ended.wait())
        try:
            while not ending.done() and self._needed():
                await asyncio.wait([ending], timeout=LOOK_SECONDS)
                for task in tasks:
                    if task.done():  # offline, or a fault of ours: then this raises it
                        task.result()
        finally:
            ending.cancel()
            for task in tasks:
                task.cancel()
            for cloud in self._clouds.values():
                cloud.close()
            (self._folder / RECORD).unlink(missing_ok=True)
            self.log.close()

    def _needed(self) -> bool:
        if identity.folder(self._folder) != self._identity:
            return False
        last = max(cloud.last_answer for cloud in self._clouds.values())
        return time.monotonic() - last < self._idle_seconds


def main(arguments: list[str]) -> int:
    """Speak for a fleet in a process of its own; returns when it does, or has failed."""
    parser = argparse.ArgumentParser(f"python -m {MODULE}")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--endpoint-file", type=Path, required=True)
    parser.add_argument("--idle-minutes", type=float, required=True)
    return daemon.outcome(daemon.spawn(parser.parse_args(arguments), _serve))


def _serve(options: argparse.Namespace, writer: int) -> int:
    async def live() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)

        def ready() -> None:
            os.write(writer, daemon.READY)
            os.close(writer)

        await Fleet(options.root, options.endpoint_file, options.idle_minutes).run(ready, ended)

    try:
        asyncio.run(live())
    except Exception:  # noqa: BLE001  # a process's last words: written down, then it ends
        traceback.print_exc()
        sys.stderr.flush()
        return daemon.NOT_READY
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
