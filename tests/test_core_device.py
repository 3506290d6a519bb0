"""A core against the real sandbox: deployments, IPC, shadows, and what it must survive."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from ggml_magic.core import client as cores
from ggml_magic.core.client import CoreDevice
from ggml_magic.sandbox import client as sandboxes
from ggml_magic.workspace import Workspace, write_json

pytestmark = pytest.mark.real

SOON = 30.0
IDLE = 5.0
REGION, THING, NAME = "eu-west-1", "weather-pi", "com.example.Hello"
ARN = f"arn:aws:iot:{REGION}:123456789012:thing/{THING}"
SHADOWS = {"accessControl": {"aws.greengrass.ShadowManager": {f"{NAME}:shadow:1": {
    "operations": ["aws.greengrass#GetThingShadow", "aws.greengrass#UpdateThingShadow"],
    "resources": ["$aws/things/*/shadow"]}}}}  # fmt: skip
# A device's program: answers each reading p with its double.
DOUBLER = """
import json, os, time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
ipc, thing = GreengrassCoreIPCClientV2(), os.environ["AWS_IOT_THING_NAME"]
factor = ipc.get_configuration(key_path=["Factor"]).value["Factor"]
ipc.update_state(state="RUNNING")
told = None
while True:
    try:
        state = json.loads(ipc.get_thing_shadow(thing_name=thing).payload)["state"]
    except Exception as error:
        print(type(error).__name__, flush=True)
        state = {}
    p = state.get("reported", {}).get("p")
    if p is not None and p != told:
        payload = json.dumps({"state": {"reported": {"double": p * factor, "of": p}}}).encode()
        ipc.update_thing_shadow(thing_name=thing, payload=payload)
        told = p
    time.sleep(0.1)
"""


# A device's program that has a say in deployments.
JUDGE = """
import time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import ConfigurationValidityReport
ipc, waits, said = GreengrassCoreIPCClientV2(), [200, 0], open("said", "a", buffering=1)
def updated(event):
    if event.pre_update_event:
        wait = waits.pop(0) if waits else 0
        print("before", wait, file=said)
        ipc.defer_component_update_async(
            deployment_id=event.pre_update_event.deployment_id, recheck_after_ms=wait)
    else:
        print("after", file=said)
def proposed(event):
    event = event.validate_configuration_update_event
    fits = event.configuration["Factor"] < 10
    print("valid" if fits else "invalid", file=said)
    ipc.send_configuration_validity_report_async(
        configuration_validity_report=ConfigurationValidityReport(
            status="ACCEPTED" if fits else "REJECTED", deployment_id=event.deployment_id,
            message="" if fits else "Factor is too large"))
ipc.subscribe_to_component_updates(on_stream_event=updated)
ipc.subscribe_to_validate_configuration_updates(on_stream_event=proposed)
print("ready", file=said)
time.sleep(600)
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SOON
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


class Place:
    """A workspace with a sandbox, a core, and boto3 as anyone has it."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root / ".ggml")
        self.core: CoreDevice = sandboxes.add_core(self.workspace, THING, IDLE)
        self.work = self.core.root / "work" / NAME
        self.connect()
        self.s3.create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
        )

    def connect(self) -> None:
        endpoint = sandboxes.ensure(self.workspace, IDLE)
        common = {
            "endpoint_url": endpoint.url,
            "region_name": REGION,
            "aws_access_key_id": "x",
            "aws_secret_access_key": "y",
        }
        self.greengrass = boto3.client("greengrassv2", **common)
        self.s3 = boto3.client("s3", **common)
        self.iot = boto3.client("iot-data", **common)

    def publish(self, version: str, lifecycle: dict[str, Any], **files: str) -> None:
        artifacts = []
        if files:
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                for name, text in files.items():
                    archive.writestr(name, text)
            self.s3.put_object(Bucket="bucket", Key=f"{version}/app.zip", Body=content.getvalue())
            artifacts = [{"Uri": f"s3://bucket/{version}/app.zip", "Unarchive": "ZIP"}]
        recipe = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": NAME,
            "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": {"Factor": 2, **SHADOWS}},
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": lifecycle,
                           "Artifacts": artifacts}],
        }  # fmt: skip
        self.greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())

    def deploy(self, version: str, **merge: Any) -> str:
        wanted: dict[str, Any] = {"componentVersion": version}
        if merge:
            wanted["configurationUpdate"] = {"merge": json.dumps(merge)}
        made = self.greengrass.create_deployment(targetArn=ARN, components={NAME: wanted})
        return str(made["deploymentId"])

    def ended(self, deployment: str) -> dict[str, Any]:
        """The device's deployment, once it is over."""

        def found() -> dict[str, Any] | None:
            answer = self.greengrass.list_effective_deployments(coreDeviceThingName=THING)
            for each in answer["effectiveDeployments"]:
                over = each["coreDeviceExecutionStatus"] not in ("QUEUED", "IN_PROGRESS")
                if each["deploymentId"] == deployment and over:
                    return dict(each)
            return None

        return dict(until(found, "the deployment does not end"))

    def installed(self) -> dict[str, str]:
        answer = self.greengrass.list_installed_components(coreDeviceThingName=THING)
        return {
            each["componentName"]: f"{each['componentVersion']} {each['lifecycleState']}"
            for each in answer["installedComponents"]
        }

    def runs(self, version: str) -> None:
        until(lambda: self.installed() == {NAME: f"{version} RUNNING"}, f"{version} does not run")

    def pid(self) -> int:
        """The process of the component's script, which writes its number."""
        return int(until(lambda: self.read("pid"), "the component does not run"))

    def read(self, name: str) -> str:
        """A file of the component's own; empty when there is none."""
        file = self.work / name
        return file.read_text() if file.exists() else ""

    def reported(self) -> dict[str, Any]:
        with contextlib.suppress(self.iot.exceptions.ResourceNotFoundException):
            document = json.loads(self.iot.get_thing_shadow(thingName=THING)["payload"].read())
            return dict(document["state"].get("reported", {}))
        return {}

    def report(self, **values: Any) -> None:
        payload = json.dumps({"state": {"reported": values}})
        self.iot.update_thing_shadow(thingName=THING, payload=payload)

    def kill_sandbox(self) -> None:
        running = sandboxes.running(self.workspace)
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        until(lambda: sandboxes.running(self.workspace) is None, "the sandbox still answers")

    def restart_core(self) -> None:
        self.core = sandboxes.add_core(self.workspace, THING, IDLE)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    workspace = Workspace(tmp_path / ".ggml")
    try:
        yield Place(tmp_path)
    finally:
        sandboxes.stop(workspace)


STAYS = {"Install": "echo >> installed", "Run": "echo $$ > pid; exec sleep 600"}


def test_the_whole_way_with_the_unmodified_sdk(place: Place) -> None:
    program = f"{sys.executable} -u {{artifacts:decompressedPath}}/app/main.py"
    place.publish("1.0.0", {"Run": program}, **{"main.py": DOUBLER})
    started = time.monotonic()
    deployment = place.deploy("1.0.0")
    assert place.ended(deployment)["coreDeviceExecutionStatus"] == "SUCCEEDED"
    place.runs("1.0.0")
    # environment already built: CreateDeployment to RUNNING (issue 4 asks for 2 s)
    assert time.monotonic() - started < 2
    device = place.greengrass.get_core_device(coreDeviceThingName=THING)
    assert device["status"] == "HEALTHY"
    for p in (1, 2.5):
        place.report(p=p)
        until(lambda p=p: place.reported().get("of") == p, "no answer in the cloud's shadow")
        assert place.reported()["double"] == p * 2
    log = (place.core.root / "logs" / f"{NAME}.log").read_text()
    assert "it reports RUNNING" in log


def test_a_broken_version_is_rolled_back_and_says_why_in_one_line(place: Place) -> None:
    place.publish("1.0.0", STAYS)
    place.publish("1.1.0", {"Install": "echo 'ImportError: no litert' >&2; exit 1"})
    place.ended(place.deploy("1.0.0"))
    found = place.ended(place.deploy("1.1.0"))
    assert found["coreDeviceExecutionStatus"] == "FAILED"
    assert "FAILED_ROLLBACK_COMPLETE" in found["reason"]
    said = f"{NAME} 1.1.0: install failed with exit code 1: ImportError: no litert"
    assert said in found["reason"]
    place.runs("1.0.0")


def test_no_component_outlives_a_killed_core_and_it_comes_back_with_them(place: Place) -> None:
    place.publish("1.0.0", STAYS)
    place.ended(place.deploy("1.0.0"))
    first = place.pid()
    os.kill(place.core.pid, signal.SIGKILL)
    until(lambda: not alive(first), "the component outlives its core")
    (place.work / "pid").unlink()
    place.restart_core()
    assert alive(place.pid())
    place.runs("1.0.0")


def test_a_core_killed_within_a_deployment_takes_it_up_again(place: Place) -> None:
    place.publish("1.0.0", STAYS)
    slow = {
        "Install": "echo $$ > installing; while [ ! -e go ]; do sleep 0.01; done",
        "Run": STAYS["Run"],
    }
    place.publish("1.1.0", slow)
    place.ended(place.deploy("1.0.0"))
    deployment = place.deploy("1.1.0")
    until((place.work / "installing").exists, "the install does not begin")
    os.kill(place.core.pid, signal.SIGKILL)
    (place.work / "go").touch()
    place.restart_core()
    assert place.ended(deployment)["coreDeviceExecutionStatus"] == "SUCCEEDED"
    place.runs("1.1.0")
    assert not [path for path in (place.core.root / "deployments").iterdir() if path.is_file()]


def test_a_component_defers_a_deployment_and_judges_its_configuration(place: Place) -> None:
    program = f"{sys.executable} -u {{artifacts:decompressedPath}}/app/main.py"
    place.publish("1.0.0", {"Run": program}, **{"main.py": JUDGE})
    place.ended(place.deploy("1.0.0"))
    until(lambda: "ready" in place.read("said"), "the component does not subscribe")
    started = time.monotonic()
    assert place.ended(place.deploy("1.0.0", Factor=3))["coreDeviceExecutionStatus"] == "SUCCEEDED"
    assert time.monotonic() - started > 0.2
    # before these it may have heard of the end of the deployment that brought it
    told = ["before 200", "before 0", "valid", "after"]
    until(lambda: place.read("said").split("\n")[-5:-1] == told, "it is told otherwise")
    found = place.ended(place.deploy("1.0.0", Factor=99))
    assert found["coreDeviceExecutionStatus"] == "FAILED"
    said = f"FAILED_NO_STATE_CHANGE: {NAME} rejects its new configuration: Factor is too large"
    assert found["reason"] == said
    assert found["statusDetails"]["errorStack"][-1] == "COMPONENT_CONFIGURATION_NOT_VALID"
    place.runs("1.0.0")


def test_a_bootstrap_step_makes_the_core_start_again_and_go_on(place: Place) -> None:
    place.publish("1.0.0", {"Bootstrap": "echo >> booted; exit 100", **STAYS})
    place.publish("1.1.0", {"Bootstrap": "echo 'no driver' >&2; exit 1", **STAYS})
    assert place.ended(place.deploy("1.0.0"))["coreDeviceExecutionStatus"] == "SUCCEEDED"
    assert place.read("booted") == place.read("installed") == "\n"
    assert alive(place.pid())
    # the same process, so that whoever watches over it still does
    assert cores.running(place.core.root) == place.core
    assert "asks for a restart" in (place.core.root / "core.log").read_text()
    found = place.ended(place.deploy("1.1.0"))
    said = f"{NAME} 1.1.0: bootstrap failed with exit code 1: no driver"
    assert found["reason"] == f"FAILED_ROLLBACK_COMPLETE: {said}"
    place.runs("1.0.0")


def test_a_sandbox_that_vanishes_within_a_deployment_is_told_its_end(place: Place) -> None:
    slow = {
        "Install": "echo >> installing; while [ ! -e go ]; do sleep 0.01; done",
        "Run": STAYS["Run"],
    }
    place.publish("1.0.0", slow)
    deployment = place.deploy("1.0.0")
    until((place.work / "installing").exists, "the install does not begin")
    place.kill_sandbox()
    (place.work / "go").touch()
    component = place.pid()
    place.connect()
    assert place.ended(deployment)["coreDeviceExecutionStatus"] == "SUCCEEDED"
    assert place.read("installing") == "\n"
    assert alive(component)


def test_a_sandbox_that_vanishes_and_returns_is_caught_up(place: Place) -> None:
    place.publish("1.0.0", STAYS)
    place.ended(place.deploy("1.0.0"))
    component = place.pid()
    place.report(p=1)
    local = place.core.root / "work" / "aws.greengrass.ShadowManager" / f"{THING}.json"
    until(lambda: local.exists() and '"p": 1' in local.read_text(), "no local shadow")
    place.kill_sandbox()
    assert alive(component)
    place.connect()
    place.report(p=2)
    until(lambda: '"p": 2' in local.read_text(), "the shadow is not caught up")
    until(
        lambda: place.greengrass.get_core_device(coreDeviceThingName=THING)["status"] == "HEALTHY",
        "the core is not told of",
    )
    assert alive(component)
    assert cores.running(place.core.root) == place.core


def test_a_core_comes_back_with_its_components_while_the_sandbox_is_gone(place: Place) -> None:
    place.publish("1.0.0", STAYS)
    place.ended(place.deploy("1.0.0"))
    place.kill_sandbox()
    os.kill(place.core.pid, signal.SIGKILL)
    until(lambda: cores.running(place.core.root) is None, "the core still runs")
    (place.work / "pid").unlink()
    endpoint = place.workspace.root / "sandbox" / "endpoint.json"
    place.core = cores.start(place.core.root, THING, endpoint, IDLE)
    assert alive(place.pid())


def test_a_core_ends_in_time_with_a_component_that_does_not_want_to(place: Place) -> None:
    stubborn = (
        f"exec {sys.executable} -c 'import os, signal, time;"
        " signal.signal(15, signal.SIG_IGN);"
        ' open("pid", "w").write(str(os.getpid())); time.sleep(600)\''
    )
    place.publish("1.0.0", {"Run": stubborn, "Shutdown": "sleep 600"})
    place.ended(place.deploy("1.0.0"))
    component = place.pid()
    started = time.monotonic()
    assert cores.stop(place.core.root)
    assert time.monotonic() - started < 5.5
    assert not alive(component)
    assert not place.core.socket.exists()


@pytest.fixture
def passable() -> Iterator[Place]:
    """A place in a folder that every user can pass through, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    # as an older version left it, or another program
    models = folder / ".ggml" / "models" / "rain"
    models.mkdir(parents=True)
    for path in (models, *models.parents[:2]):
        path.chmod(0o755)
    (models / "secret").write_text("weights")
    try:
        yield Place(folder)
    finally:
        sandboxes.stop(Workspace(folder / ".ggml"))
        shutil.rmtree(folder)


TELLS = "id -un > who; stat -c '%a %U' $AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT > door"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs as another")
def test_another_user_s_component_runs_in_a_workspace_and_reads_nothing_of_it(
    passable: Place,
) -> None:
    run = f"{TELLS}; cat {{artifacts:decompressedPath}}/app/x > x; {STAYS['Run']}"
    passable.publish("1.0.0", {"Run": run}, x="his own")
    wanted = {"componentVersion": "1.0.0", "runWith": {"posixUser": "nobody"}}
    made = passable.greengrass.create_deployment(targetArn=ARN, components={NAME: wanted})
    ended = passable.ended(made["deploymentId"])
    assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended["reason"]
    nobody = pwd.getpwnam("nobody")
    assert Path(f"/proc/{passable.pid()}").stat().st_uid == nobody.pw_uid
    assert [passable.read(name) for name in ("who", "door", "x")] == [
        "nobody\n", "600 nobody\n", "his own"
    ]  # fmt: skip
    # what is made after the way was opened is closed too
    write_json(passable.workspace.root / "receipts" / "one.json", "secret")
    passable.workspace.folder("predictions", "rain")
    root, core = passable.workspace.root, passable.core.root
    names = "".join(f"{path}\n" for path in (root, *root.rglob("*")))
    readable = 'while read -r path; do if [ -r "$path" ]; then echo "$path"; fi; done'
    found = subprocess.run(
        ["sh", "-c", readable], input=names, user=nobody.pw_uid, group=nobody.pw_gid,
        extra_groups=[], cwd="/", capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    packages = core / "packages"
    his = [packages / kind / NAME / "1.0.0" for kind in ("artifacts", "artifacts-unarchived")]
    his += [passable.work, core / f"ipc-{nobody.pw_uid}.socket"]
    assert str(passable.work / "who") in found
    assert not [path for path in found if not any(Path(path).is_relative_to(own) for own in his)]


def test_what_a_component_sees_is_the_devices_not_the_notebooks(place: Place) -> None:
    place.publish("1.0.0", {"Install": "env > seen; command -v python3 > python3"})
    place.ended(place.deploy("1.0.0"))
    text = (place.work / "seen").read_text()
    seen = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert seen["AWS_IOT_THING_NAME"] == THING
    assert (seen["AWS_REGION"], seen["AWS_DEFAULT_REGION"]) == (REGION, REGION)
    assert seen["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"] == str(place.core.socket)
    assert not {"VIRTUAL_ENV", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY"} & set(seen)
    if sys.prefix != sys.base_prefix:
        assert not (place.work / "python3").read_text().startswith(sys.prefix)
