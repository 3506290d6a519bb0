"""What the tests of the sandbox share: one running sandbox, and boto3 as anybody uses it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ggml_magic.sandbox import client
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.sandbox.store import Store
from ggml_magic.workspace import Workspace

REGION = "eu-west-1"
ACCOUNT = "123456789012"
# the shared sandbox's workspace, in the folder of all temporary ones
SHARED = "shared-sandbox/.ggml"
Connect = Callable[..., Any]


@pytest.fixture(scope="session", name="endpoint")
def shared_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ep.Endpoint]:
    """A sandbox for all tests whose names do not meet; each file finds the same one."""
    workspace = Workspace(tmp_path_factory.getbasetemp() / SHARED)
    try:
        yield client.ensure(workspace, 5)
    finally:
        client.stop(workspace)


@pytest.fixture(scope="session", name="aws")
def shared_aws(endpoint: ep.Endpoint) -> Connect:
    """Clients of the shared sandbox, by the service's name."""
    return connected(endpoint)


@pytest.fixture(name="workspace")
def own_workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace of one's own; what runs in it ends with the test."""
    workspace = Workspace(tmp_path / ".ggml")
    try:
        yield workspace
    finally:
        client.stop(workspace)


@pytest.fixture(name="store")
def own_store(tmp_path: Path) -> Iterator[Store]:
    """The sandbox's database, without the sandbox."""
    store = Store(tmp_path / "greengrass.sqlite")
    try:
        yield store
    finally:
        store.close()


def connected(endpoint: ep.Endpoint) -> Connect:
    """Unmodified boto3 for a sandbox; a failure is not asked for again."""

    def connect(service: str, region: str = REGION) -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=endpoint.url,
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )

    return connect


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def bucket(aws: Connect) -> str:
    name = unique("artifacts")
    location = {"LocationConstraint": REGION}
    aws("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
    return name


def recipe(name: str, version: str = "1.0.0", **more: Any) -> bytes:
    return json.dumps(
        {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, **more}],
        }
    ).encode()


def component(aws: Connect, version: str = "1.0.0", name: str = "") -> str:
    name = name or unique("com.example.Rain")
    aws("greengrassv2").create_component_version(inlineRecipe=recipe(name, version))
    return name


def component_arn(name: str, version: str = "1.0.0") -> str:
    return f"arn:aws:greengrass:{REGION}:{ACCOUNT}:components:{name}:versions:{version}"


def thing(aws: Connect) -> tuple[str, str]:
    name = unique("pi")
    return name, aws("iot").create_thing(thingName=name)["thingArn"]


def core(endpoint: ep.Endpoint) -> str:
    """A core device's record, without a process."""
    name = unique("core")
    headers = {"Authorization": ep.authorization("iot", REGION)}
    status, _ = ep.call(endpoint, "PUT", f"/_ggml/cores/{name}", headers=headers)
    assert status == 200
    return name


def thing_arn(name: str) -> str:
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{name}"


def deploy(aws: Connect, arn: str, name: str, **more: Any) -> str:
    components = {name: {"componentVersion": "1.0.0", **more}}
    answer = aws("greengrassv2").create_deployment(targetArn=arn, components=components)
    return str(answer["deploymentId"])


def effective(aws: Connect, name: str) -> list[dict[str, Any]]:
    answer = aws("greengrassv2").list_effective_deployments(coreDeviceThingName=name)
    found: list[dict[str, Any]] = answer["effectiveDeployments"]
    return found


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    """The answer to a call that the service refuses as the client's own mistake."""
    with pytest.raises(ClientError) as caught:
        call()
    response: dict[str, Any] = caught.value.response
    assert 400 <= response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return response


def until(done: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def on_a_small_disk(folder: Path, code: str) -> Any:
    """The JSON that code prints whose ``sys.argv[1]`` is a disk of its own, of 2 MiB.

    Skips where the system lets nobody but root mount one.
    """
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system has no mounts of one's own")
    mounted = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1"'
    package, tests = Path(client.__file__).parents[2], Path(__file__).parent
    done = subprocess.run(
        [*alone, "sh", "-c", mounted, "sh", str(folder), sys.executable, code],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": f"{package}:{tests}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
