"""Where a workspace's sandbox is: its files, its address, and asking whether it lives."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic import workspace as ws

HOST = "127.0.0.1"
# What an endpoint needs at most to say that it lives; it is on this machine.
ANSWER_SECONDS = 5.0
# Services are told apart by the credential scope; nothing else of a signature is looked at.
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=sandbox/20200101/{region}/{service}/aws4_request, "
    "SignedHeaders=host, Signature=none"
)


@dataclass(frozen=True)
class Endpoint:
    """A running sandbox; ``started`` is in epoch seconds, ``mqtt`` its broker's address."""

    url: str
    pid: int
    started: float
    instance: str = ""
    mqtt: str = ""

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self.url.rsplit(":", 1)[1])


@dataclass(frozen=True)
class Places:
    """The sandbox's files in a workspace."""

    folder: Path

    @property
    def endpoint(self) -> Path:
        """Where it listens, for kernels and cores; readable by the owner only."""
        return self.folder / "endpoint.json"

    @property
    def port(self) -> Path:
        """The last port, so that notebooks and cores find it again there."""
        return self.folder / "port.json"

    @property
    def mqtt_port(self) -> Path:
        """The broker's last port."""
        return self.folder / "mqtt.json"

    @property
    def log(self) -> Path:
        """What it did and why it failed."""
        return self.folder / "sandbox.log"

    @property
    def lock(self) -> Path:
        """Held by the living process; the system releases it with the process."""
        return self.folder / "process.lock"

    @property
    def database(self) -> Path:
        """Greengrass, shadows, and the index of what moto holds."""
        return self.folder / "greengrass.sqlite"

    @property
    def objects(self) -> Path:
        """S3's objects, named by their hash."""
        return self.folder / "s3"


def places(workspace: ws.Workspace) -> Places:
    """The sandbox's files, in a folder that only the owner can read."""
    folder = workspace.folder("sandbox")
    folder.chmod(ws.PRIVATE_FOLDER)
    return Places(folder)


def read(path: Path) -> Endpoint | None:
    """The endpoint that a file names; ``None`` for none, or for what is not on this machine."""
    try:
        found = ws.read_json(path)
        endpoint = Endpoint(
            str(found["url"]),
            int(found["pid"]),
            float(found["started"]),
            str(found["instance"]),
            str(found.get("mqtt", "")),
        )
        local = endpoint.url == f"http://{HOST}:{endpoint.port}"
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None
    return endpoint if local else None


def write(path: Path, endpoint: Endpoint) -> None:
    """Publish an endpoint; the file's mode is 0600 as of every file written aside."""
    ws.write_json(
        path,
        {
            "url": endpoint.url,
            "pid": endpoint.pid,
            "started": endpoint.started,
            "instance": endpoint.instance,
            "mqtt": endpoint.mqtt,
        },
    )


def authorization(service: str, region: str) -> str:
    """An ``Authorization`` header that names a service and a region, and holds no secret."""
    return AUTHORIZATION.format(service=service, region=region)


def call(
    endpoint: Endpoint,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_seconds: float = ANSWER_SECONDS,
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of one request; no proxy of the user's environment stands between.

    Raises ``OSError`` when nobody answers, or something that does not speak JSON.
    """
    connection = http.client.HTTPConnection(HOST, endpoint.port, timeout=timeout_seconds)
    try:
        connection.request(method, path, body, headers=dict(headers or {}))
        response = connection.getresponse()
        document = json.loads(response.read() or b"{}")
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"{endpoint.url} is no sandbox: {error!r}") from error
    finally:
        connection.close()
    return response.status, document if isinstance(document, dict) else {}


def lives(endpoint: Endpoint) -> bool:
    """Whether this very instance answers (a port or a process number may be someone else's)."""
    try:
        status, document = call(endpoint, "GET", "/_ggml/health", timeout_seconds=ANSWER_SECONDS)
    except OSError:
        return False
    return status == http.client.OK and document.get("instance") == endpoint.instance
