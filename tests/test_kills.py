"""``kill -9`` of a core at each thing that it does within a deployment (issue 4).

A core kills itself before the n-th change of its disk, start or end of a process, or question to
the cloud, for every n until one survives; then a core is started on what is left. It must end
with all of the old or all of the new, and tell the sandbox of it once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from ggml_magic.sandbox import client as sandboxes
from ggml_magic.sandbox.endpoint import places
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[1]
REGION, ACCOUNT, IDLE, SOON = "eu-west-1", "123456789012", 5.0, 10.0
FINAL = ("SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED")
# As many at a time as the smallest machine has cores.
NURSERIES = 2
MOST_KILLS = 400
# A deployment in which less happens is none.
FEWEST_MOMENTS = 25
Components = Mapping[str, Any]


def lifecycle(seconds: int) -> dict[str, str]:
    # by its seconds a process says of which version it is
    return {"Install": "echo >> installed", "Run": f"exec sleep {seconds}"}


VERSIONS: Mapping[str, Mapping[str, Any]] = {
    "1.0.0": {"lifecycle": lifecycle(6001), "defaults": {"x": 1, "deep": {"y": 1}}},
    "1.1.0": {"lifecycle": lifecycle(6002), "defaults": {"x": 2, "deep": {"y": 2, "z": 2}}},
    "1.2.0": {"lifecycle": {"Install": "echo no >&2; exit 1"}, "defaults": {}},
}
UPDATE = {"merge": json.dumps({"deep": {"y": "mine"}}), "reset": ["/x"]}


@dataclass(frozen=True)
class Scenario:
    """A deployment over what a device has; ``ends`` is how it must."""

    first: Components
    second: Components
    ends: str
    # every so many moments only: the way there is that of the update
    stride: int = 1


SCENARIOS = {
    "first": Scenario({}, {"app": "1.0.0", "lib": "1.0.0"}, "SUCCEEDED"),
    "update": Scenario(
        {"app": "1.0.0", "lib": "1.0.0"},
        {"app": {"componentVersion": "1.1.0", "configurationUpdate": UPDATE}, "lib": "1.0.0"},
        "SUCCEEDED",
    ),
    "removal": Scenario({"app": "1.0.0", "lib": "1.0.0"}, {"lib": "1.0.0"}, "SUCCEEDED"),
    "rollback": Scenario(
        {"app": "1.0.0", "lib": "1.0.0"}, {"app": "1.2.0", "lib": "1.1.0"}, "FAILED", 2
    ),
}


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SOON
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return found


class Nursery:
    """A process that forks cores: they need not begin with Python."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.killing"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.ended = threading.Event()
        self.ended.set()
        self.status = self.pid = 0

    def start(self, root: Path, thing: str, endpoint: Path, at: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"root": str(root), "thing": thing, "endpoint": str(endpoint), "at": at}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self.pid = int(json.loads(self._process.stdout.readline())["pid"])
        self.ended = threading.Event()
        threading.Thread(target=self._wait, args=[self.ended]).start()
        return self.pid

    def _wait(self, ended: threading.Event) -> None:
        assert self._process.stdout is not None
        self.status = json.loads(self._process.stdout.readline())["status"]
        ended.set()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self.ended.is_set():  # of a round that failed
            os.kill(self.pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Place:
    """One sandbox for all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / ".ggml")
        self.endpoint = sandboxes.ensure(self.workspace, IDLE)
        self.endpoint_file = places(self.workspace).endpoint
        common = {
            "endpoint_url": self.endpoint.url, "region_name": REGION,
            "aws_access_key_id": "x", "aws_secret_access_key": "y",
        }  # fmt: skip
        self.greengrass = boto3.client("greengrassv2", **common)
        self.jobs = boto3.client("iot-jobs-data", **common)
        s3 = boto3.client("s3", **common)
        s3.create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
        )  # fmt: skip
        for name, version in itertools.product(("app", "lib"), VERSIONS):
            self._publish(s3, name, version)
        self._names = itertools.count()

    def _publish(self, s3: Any, name: str, version: str) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for number in range(2):
                archive.writestr(f"part{number}.txt", f"{name} {version} {number}")
        key = f"{name}/{version}/data.zip"
        s3.put_object(Bucket="bucket", Key=key, Body=content.getvalue())
        made = VERSIONS[version]
        recipe = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name,
            "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": made["defaults"]},
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": made["lifecycle"],
                           "Artifacts": [{"Uri": f"s3://bucket/{key}", "Unarchive": "ZIP"}]}],
        }  # fmt: skip
        self.greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())

    def device(self) -> str:
        thing = f"t{next(self._names)}"
        sandboxes.provision(self.workspace, self.endpoint, f"cores/{thing}")
        return thing

    def deploy(self, thing: str, components: Components) -> str:
        wanted = {
            name: each if isinstance(each, dict) else {"componentVersion": each}
            for name, each in components.items()
        }
        made = self.greengrass.create_deployment(
            targetArn=f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thing}", components=wanted
        )
        return str(made["iotJobId"])

    def status(self, thing: str, job: str) -> str:
        found = self.jobs.describe_job_execution(thingName=thing, jobId=job)
        return str(found["execution"]["status"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("kills")
    try:
        yield Place(folder)
    finally:
        sandboxes.stop(Workspace(folder / ".ggml"))


def processes(root: Path) -> list[tuple[str, str]]:
    """Components' processes of a core: the work folder's name and the command, in order."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            folder = (entry / "cwd").readlink()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        if folder.parent == root / "work" and command:
            found.append((folder.name, command))
    return sorted(found)


def busy(root: Path) -> list[str]:
    """What is left of deployments; the folder of local ones is always there."""
    return [path.name for path in (root / "deployments").iterdir() if path.is_file()]


def digests(folder: Path, root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def facts(root: Path, thing: str) -> dict[str, Any]:
    """All that a deployment decides about: configuration, packages, processes."""
    state = json.loads((root / "config" / "config.json").read_bytes())
    held = json.dumps(state["components"]).replace(str(root), "ROOT").replace(thing, "THING")
    times = sorted({str(group["timestamp"]) for group in state["groups"].values()})
    for number, moment in enumerate(times):
        held = held.replace(moment, str(number))
    return {
        "components": json.loads(held),
        "roots": sorted(
            f"{name} {version}"
            for group in state["groups"].values()
            for name, version in group["roots"].items()
        ),
        "packages": digests(root / "packages", root),
        "processes": processes(root),
    }


class Rounds:
    """A scenario, from the same beginning each time."""

    def __init__(self, place: Place, scenario: Scenario, nursery: Nursery) -> None:
        self._place = place
        self._scenario = scenario
        self._nursery = nursery

    def begin(self) -> tuple[Path, str]:
        """A device after the scenario's first deployment, with no core."""
        thing = self._place.device()
        root = self._place.folder / thing / "core"
        root.mkdir(parents=True)
        if self._scenario.first:
            self.finish(root, thing, self._place.deploy(thing, self._scenario.first), "SUCCEEDED")
        return root, thing

    def start(self, root: Path, thing: str, at: int) -> int:
        return self._nursery.start(root, thing, self._place.endpoint_file, at)

    def dies(self, root: Path, thing: str, job: str, at: int) -> bool:
        """Deploy with a death in between; false when it came to its end before."""
        pid = self.start(root, thing, at)
        ended = self._nursery.ended

        def over() -> bool:
            done = self._place.status(thing, job) in FINAL and not busy(root)
            return ended.wait(0.01) or done

        until(over, "the core neither dies nor ends its deployment")
        if not ended.is_set():
            with contextlib.suppress(ProcessLookupError):  # its moment came right now
                os.kill(pid, signal.SIGTERM)
            assert ended.wait(SOON)
        assert self._nursery.status in (0, -signal.SIGKILL), self.why(root)
        until(lambda: not processes(root), "components outlive their core")
        return self._nursery.status != 0

    def finish(
        self, root: Path, thing: str, job: str, ends: str,
        wanted: dict[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Let a core bring a deployment to its end; what it is then, or soon after.

        A core that was killed after the end has only to start its components again.
        """
        pid = self.start(root, thing, 0)
        until(
            lambda: self._place.status(thing, job) in FINAL and not busy(root),
            f"it does not end: {self.why(root)}",
        )
        assert self._place.status(thing, job) == ends, self.why(root)
        found = facts(root, thing)
        deadline = time.monotonic() + SOON
        while wanted and found != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
            found = facts(root, thing)
        os.kill(pid, signal.SIGTERM)
        assert self._nursery.ended.wait(SOON)
        assert self._nursery.status == 0, self.why(root)
        assert not processes(root)
        return found

    def why(self, root: Path) -> str:
        error = root.parent / f"{root.name}.err"
        said = [path.read_text() for path in (root / "core.log", error) if path.exists()]
        return "\n".join(said)[-4000:]


def clean(root: Path) -> None:
    """Nothing of a killed core's work is left, and nothing was said twice."""
    assert not busy(root)
    assert not list(root.rglob("*.part"))
    # a second end of the same deployment would be refused
    assert "UpdateJobExecution was refused" not in (root / "core.log").read_text()


def copy(template: Path, root: Path, known: str, thing: str) -> None:
    """Another device with the same past."""
    shutil.copytree(template, root, symlinks=True)
    state = root / "config" / "config.json"
    if state.exists():
        state.write_text(state.read_text().replace(f"/{known}", f"/{thing}").replace(
            f"{template}", f"{root}"
        ))  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_core_killed_at_any_moment_ends_with_the_old_or_the_new(name: str, place: Place) -> None:
    scenario = SCENARIOS[name]
    nurseries = [Nursery() for _ in range(NURSERIES)]
    survived = threading.Event()
    try:
        rounds = Rounds(place, scenario, nurseries[0])
        root, thing = rounds.begin()
        template = place.folder / f"{name}-template"
        shutil.copytree(root, template)
        template_thing = thing
        job = place.deploy(thing, scenario.second)
        expected = rounds.finish(root, thing, job, scenario.ends)
        clean(root)
        assert len(expected["processes"]) == (1 if name == "removal" else 2)

        def killed(numbers: Iterator[int], nursery: Nursery) -> int:
            own, done = Rounds(place, scenario, nursery), 0
            for at in numbers:
                if survived.is_set():
                    break
                thing = place.device()
                root = place.folder / thing / "core"
                copy(template, root, template_thing, thing)
                job = place.deploy(thing, scenario.second)
                if not own.dies(root, thing, job, at):
                    survived.set()
                    assert facts(root, thing) == {**expected, "processes": []}
                    break
                found = own.finish(root, thing, job, scenario.ends, expected)
                assert found == expected, (at, own.why(root))
                clean(root)
                shutil.rmtree(root.parent)
                done += 1
            return done

        numbers = range(1, MOST_KILLS, scenario.stride)
        with ThreadPoolExecutor(NURSERIES) as pool:
            working = [
                pool.submit(killed, iter(numbers[first::NURSERIES]), nursery)
                for first, nursery in enumerate(nurseries)
            ]
            kills = sum(each.result() for each in working)
        assert survived.is_set()
        print(f"{name}: killed {kills} times")
        assert kills * scenario.stride > FEWEST_MOMENTS
    finally:
        for nursery in nurseries:
            nursery.close()
