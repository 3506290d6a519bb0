"""The device's side of the cloud's APIs, over plain HTTP.

Requests run in threads; ``close`` ends those that wait. A device signs with its certificate; the
sandbox only needs to see which service is meant, from the credential scope of an Authorization
header (AWS 1), so ours is fixed and signs nothing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from ggml_magic.core.disk import read_json
from ggml_magic.errors import CloudError, UnreachableError

USER_AGENT = "ggml-core/1"
# How long the sandbox holds a question for changes, and how much later it must have answered.
HOLD_SECONDS = 25
ANSWER_SECONDS = 30.0
CHUNK = 1024 * 1024
SERVER_FAULTS = 500
SUCCESSES = range(200, 300)
HEALTH_TOPIC = "$aws/things/{thing}/greengrassv2/health/json"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Notices:
    """What changed for this device since ``sequence`` was less."""

    sequence: int
    jobs: bool
    shadow: bool


@dataclass(frozen=True)
class Candidate:
    """A component version that the cloud chose, and its recipe."""

    name: str
    version: str
    recipe: bytes


@dataclass(frozen=True)
class Execution:
    """A deployment's job for this device; ``document`` is its JSON."""

    job: str
    document: str


class Cloud:
    """What one device asks of the cloud.

    Every method raises ``UnreachableError`` when nobody answers, ``CloudError`` when refused.
    """

    def __init__(self, thing: str, endpoint_file: Path, region: str) -> None:
        self.thing = thing
        self.last_answer = time.monotonic()
        self.instance = ""
        self._endpoint_file = endpoint_file
        self._region = region
        self._open: set[http.client.HTTPConnection] = set()
        self._closed = False

    async def changes(self, after: int) -> Notices:
        """Wait until something changed for this device after a sequence number."""
        query = f"after={after}&wait={HOLD_SECONDS}"
        path = f"/_ggml/things/{quote(self.thing)}/changes?{query}"
        found = await self._json("Changes", "", "GET", path)
        try:
            return Notices(int(found["sequence"]), bool(found["jobs"]), bool(found["shadow"]))
        except (KeyError, ValueError, TypeError) as error:
            raise CloudError("the cloud's notice cannot be read", repr(error)) from None

    async def next_job(self) -> Execution | None:
        """Begin the next deployment, or take up the one that was begun."""
        path = f"/things/{quote(self.thing)}/jobs/$next"
        found = await self._json("StartNextPendingJobExecution", "iot-jobs-data", "PUT", path, {})
        execution = found.get("execution")
        if not execution:
            return None
        return Execution(str(execution["jobId"]), str(execution.get("jobDocument") or "{}"))

    async def finish_job(self, job: str, status: str, details: Mapping[str, str]) -> None:
        """Tell how a deployment ended."""
        path = f"/things/{quote(self.thing)}/jobs/{quote(job, safe='')}"
        body = {"status": status, "statusDetails": dict(details)}
        await self._json("UpdateJobExecution", "iot-jobs-data", "POST", path, body)

    async def resolve(
        self, platform: Mapping[str, str], name: str, requirements: Mapping[str, str]
    ) -> Candidate:
        """The version of a component that meets all requirements, with its recipe."""
        body = {
            "platform": {"attributes": dict(platform)},
            "componentCandidates": [
                {"componentName": name, "versionRequirements": dict(requirements)}
            ],
        }
        path = "/greengrass/v2/resolveComponentCandidates"
        operation = "ResolveComponentCandidates"
        found = await self._json(operation, "greengrass", "POST", path, body)
        for entry in found.get("resolvedComponentVersions", ()):
            recipe = base64.b64decode(entry["recipe"])
            return Candidate(entry["componentName"], entry["componentVersion"], recipe)
        raise CloudError(f"{operation} named no version of {name}", operation=operation)

    async def download(self, bucket: str, key: str, target: Path) -> str:
        """Write an S3 object to a file; returns base64 of its SHA-256."""

        def take(response: http.client.HTTPResponse) -> str:
            digest = hashlib.sha256()
            target.unlink(missing_ok=True)
            while chunk := response.read(CHUNK):
                digest.update(chunk)
                _append(target, chunk)
            return base64.b64encode(digest.digest()).decode()

        path = f"/{quote(bucket)}/{quote(key)}"
        return await self._ask("GetObject", "s3", "GET", path, None, take)

    async def shadow(self) -> dict[str, Any] | None:
        """The thing's classic shadow; ``None`` when there is none."""
        path = f"/things/{quote(self.thing)}/shadow"
        try:
            return await self._json("GetThingShadow", "iotdata", "GET", path)
        except CloudError as error:
            if error.code == "ResourceNotFoundException":
                return None
            raise

    async def update_shadow(self, payload: bytes) -> dict[str, Any]:
        """Update the thing's classic shadow; returns what was accepted."""
        path = f"/things/{quote(self.thing)}/shadow"
        return await self._ask("UpdateThingShadow", "iotdata", "POST", path, payload, _document)

    async def publish_status(self, message: Mapping[str, Any]) -> None:
        """Publish a fleet status message."""
        path = f"/topics/{quote(HEALTH_TOPIC.format(thing=self.thing), safe='')}?qos=1"
        body = json.dumps(message).encode()
        await self._ask("Publish", "iotdata", "POST", path, body, _document)

    def close(self) -> None:
        """End what still waits for an answer."""
        self._closed = True
        for connection in list(self._open):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    async def _json(
        self, operation: str, service: str, method: str, path: str, body: Any = None
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        return await self._ask(operation, service, method, path, content, _document)

    async def _ask(
        self, operation: str, service: str, method: str, path: str, body: bytes | None,
        take: Callable[[http.client.HTTPResponse], Answer],
    ) -> Answer:  # fmt: skip
        """One request in a thread; ``take`` reads a successful answer there."""
        headers = {"User-Agent": USER_AGENT, "Authorization": self._authorization(service)}
        if body is not None:
            headers["Content-Type"] = "application/json"

        def request() -> Answer:
            connection, instance = self._connect()
            self._open.add(connection)
            try:
                connection.connect()
                if self._closed:
                    raise _unreachable(operation, "the core is ending")
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                self.instance, self.last_answer = instance, time.monotonic()
                if response.status not in SUCCESSES:
                    raise _refusal(operation, response)
                return take(response)
            except (OSError, http.client.HTTPException) as error:
                raise _unreachable(operation, error) from error
            finally:
                self._open.discard(connection)
                connection.close()

        return await asyncio.to_thread(request)

    def _connect(self) -> tuple[http.client.HTTPConnection, str]:
        """A connection to where the sandbox is now; it may have come back at another port."""
        try:
            found = read_json(self._endpoint_file)
            address = urlsplit(found["url"])
            instance = str(found.get("instance", ""))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _unreachable("the request", error) from error
        host, port = address.hostname or "", address.port
        return http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS), instance

    def _authorization(self, service: str) -> str:
        scope = f"GGMLCORE/20200125/{self._region}/{service}/aws4_request"
        return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def _append(target: Path, chunk: bytes) -> None:
    """A disk that is full is no silence of the cloud's: waiting would not help."""
    try:
        with target.open("ab") as file:
            file.write(chunk)
    except OSError as error:
        raise CloudError(f"{target.name} could not be written", str(error)) from None


def _document(response: http.client.HTTPResponse) -> dict[str, Any]:
    content = response.read()
    try:
        document = json.loads(content or b"{}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise CloudError("the cloud's answer is no JSON object")
    return document


def _refusal(operation: str, response: http.client.HTTPResponse) -> CloudError:
    text = response.read(CHUNK).decode(errors="replace")
    code = response.headers.get("x-amzn-ErrorType", "").split(":")[0]
    with contextlib.suppress(ValueError, AttributeError):
        document = json.loads(text)
        code = code or document.get("code") or document.get("__type") or ""
        text = document.get("message") or document.get("Message") or text
    if response.status >= SERVER_FAULTS:
        return _unreachable(operation, f"HTTP {response.status}")
    why = " ".join(text.split())[:500] or f"HTTP {response.status}"
    return CloudError(
        f"{operation} was refused", why, operation=operation, code=code or str(response.status)
    )


def _unreachable(operation: str, why: object) -> UnreachableError:
    return UnreachableError("the cloud does not answer", f"{why}", operation=operation)
