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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

from ggml_magic.core.disk import read_json
from ggml_magic.core.downloads import Place, digest_of, hashed
from ggml_magic.errors import CloudError, UnreachableError

USER_AGENT = "ggml-core/1"
# How long the sandbox holds a question for changes, and how much later it must have answered.
HOLD_SECONDS = 25
ANSWER_SECONDS = 30.0
CHUNK = 1024 * 1024
# The most of a download that is read before it is written.
PIECE = 256 * 1024
SERVER_FAULTS = 500
SUCCESSES = range(200, 300)
NO_SUCH_RANGE = ("416", "InvalidRange")
NOT_FOUND = "ResourceNotFoundException"
HEALTH_TOPIC = "$aws/things/{thing}/greengrassv2/health/json"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Notices:
    """What changed for this device since ``sequence`` was less.

    ``shadows`` has thing, name and present version (0: deleted) of each shadow that changed;
    ``None`` means any may have.
    """

    sequence: int
    jobs: bool
    shadow: bool
    shadows: tuple[tuple[str, str, int], ...] | None = None


@dataclass(frozen=True)
class Candidate:
    """A component version that the cloud chose, its recipe and its ARN."""

    name: str
    version: str
    recipe: bytes
    arn: str = ""


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

    async def changes(self, after: int, others: Iterable[str] = ()) -> Notices:
        """Wait until something changed for this device after a sequence number.

        ``others`` are things whose shadows matter to it, too.
        """
        query = f"after={after}&wait={HOLD_SECONDS}"
        query += "".join(f"&also={quote(other)}" for other in sorted(others))
        path = f"/_ggml/things/{quote(self.thing)}/changes?{query}"
        found = await self._json("Changes", "", "GET", path)
        try:
            told = found.get("shadows")
            shadows = None if told is None else tuple(map(_shadow_told, told))
            return Notices(
                int(found["sequence"]), bool(found["jobs"]), bool(found["shadow"]), shadows
            )
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

    async def groups(self) -> frozenset[str] | None:
        """The thing groups that the device is in; ``None`` where the cloud does not say."""
        operation = "ListThingGroupsForCoreDevice"
        path = f"/_ggml/things/{quote(self.thing)}/groups"
        try:
            found = await self._json(operation, "", "GET", path)
            return frozenset(str(each["thingGroupName"]) for each in found["thingGroups"])
        except (CloudError, KeyError, TypeError):
            return None

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
            arn = str(entry.get("arn", ""))
            return Candidate(entry["componentName"], entry["componentVersion"], recipe, arn)
        raise CloudError(f"{operation} named no version of {name}", operation=operation)

    async def download(
        self, place: Place, target: Path, admit: Callable[[int], None] = lambda size: None
    ) -> str:
        """Write an artifact to a file, going on behind what the file has already.

        ``admit`` hears how many bytes will come before the first is written, and may raise.
        Returns base64 of the SHA-256 of the whole file.
        """
        held = target.stat().st_size if target.exists() else 0

        def take(response: http.client.HTTPResponse) -> str:
            return _received(response, target, held, admit)

        headers = {"Range": f"bytes={held}-"} if held else {}
        path, url = f"/{quote(place.bucket)}/{quote(place.key)}", ""
        if place.arn:
            url = await self._signed(place)
        try:
            return await self._ask("GetObject", "s3", "GET", path, None, take, headers, url)
        except CloudError as error:
            # nothing comes behind what is here: it is all of it, or it is not of this object
            if held and error.code in NO_SUCH_RANGE:
                return await asyncio.to_thread(digest_of, target)
            raise

    async def _signed(self, place: Place) -> str:
        """The address that the service signed for an artifact of a component version."""
        operation = "GetComponentVersionArtifact"
        where = f"{quote(place.arn, safe='')}/artifacts/{quote(place.name)}"
        path = f"/greengrass/v2/components/{where}"
        found = await self._json(operation, "greengrass", "GET", path)
        url = str(found.get("preSignedUrl", ""))
        if urlsplit(url).scheme not in ("http", "https"):
            raise CloudError(f"{operation} gave no address for {place.uri}", operation=operation)
        return url

    async def shadow(self, thing: str, name: str) -> dict[str, Any] | None:
        """A thing's shadow, the classic one where the name is empty; ``None``: there is none."""
        try:
            return await self._json("GetThingShadow", "iotdata", "GET", _shadow_path(thing, name))
        except CloudError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    async def update_shadow(self, thing: str, name: str, payload: bytes) -> dict[str, Any]:
        """Update a shadow; returns what was accepted."""
        path = _shadow_path(thing, name)
        return await self._ask("UpdateThingShadow", "iotdata", "POST", path, payload, _document)

    async def delete_shadow(self, thing: str, name: str) -> None:
        """Delete a shadow; one that is not there is fine."""
        try:
            await self._json("DeleteThingShadow", "iotdata", "DELETE", _shadow_path(thing, name))
        except CloudError as error:
            if error.code != NOT_FOUND:
                raise

    async def secret(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        """A secret of Secrets Manager, by the members of its GetSecretValue."""
        operation = "GetSecretValue"
        body = json.dumps(dict(wanted)).encode()
        target = {"X-Amz-Target": f"secretsmanager.{operation}"}
        return await self._ask(operation, "secretsmanager", "POST", "/", body, _document, target)

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
        more: Mapping[str, str] | None = None, url: str = "",
    ) -> Answer:  # fmt: skip
        """One request in a thread; ``take`` reads a successful answer there.

        With ``url`` it goes to that signed address instead, and carries no signature of ours.
        """
        headers = {"User-Agent": USER_AGENT, **(more or {})}
        if url:
            path = urlsplit(url)._replace(scheme="", netloc="").geturl()
        else:
            headers["Authorization"] = self._authorization(service)
        if body is not None:
            headers["Content-Type"] = "application/json"

        def request() -> Answer:
            connection, instance = _signed_connection(url) if url else self._connect()
            self._open.add(connection)
            try:
                connection.connect()
                if self._closed:
                    raise _unreachable(operation, "the core is ending")
                connection.request(method, path, body, headers)
                with connection.getresponse() as response:
                    self.instance, self.last_answer = instance or self.instance, time.monotonic()
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


def _shadow_path(thing: str, name: str) -> str:
    return f"/things/{quote(thing)}/shadow" + (f"?name={quote(name)}" if name else "")


def _shadow_told(told: Mapping[str, Any]) -> tuple[str, str, int]:
    return str(told["thing"]), str(told["name"]), int(told["version"])


def _signed_connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection to where a signed address leads; it says nothing of the sandbox's instance."""
    address = urlsplit(url)
    secure = address.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind(address.hostname or "", address.port, timeout=ANSWER_SECONDS), ""


def _received(
    response: http.client.HTTPResponse, target: Path, held: int, admit: Callable[[int], None]
) -> str:
    """Append a body to a file; base64 of the SHA-256 of all that the file holds then."""
    length = int(response.headers.get("Content-Length", -1))
    if length < 0:
        raise CloudError("GetObject cannot be taken", "its answer does not say how long it is")
    admit(length)
    if held and response.status == http.client.PARTIAL_CONTENT:
        digest = hashed(target)
    else:
        # the whole object comes, whatever was asked for
        digest = hashlib.sha256()
        target.unlink(missing_ok=True)
    left = length
    with _opened(target) as file:
        # what came is written at once, so that a core that is killed goes on behind it
        while left and (chunk := response.read1(min(PIECE, left))):
            digest.update(chunk)
            _write(file, chunk)
            left -= len(chunk)
    if left > 0:  # the connection was cut, of which reading says nothing
        raise _unreachable("GetObject", f"{left} of {length} bytes did not come")
    return base64.b64encode(digest.digest()).decode()


def _opened(target: Path) -> BinaryIO:
    try:
        # unbuffered: a write that fails must fail here, not when the file is closed
        return target.open("ab", buffering=0)
    except OSError as error:
        raise _unwritable(target.name, error) from None


def _write(file: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _unwritable(Path(file.name).name, error) from None


def _unwritable(name: str, error: OSError) -> CloudError:
    """A disk that is full is no silence of the cloud's: waiting would not help."""
    return CloudError(f"{name} could not be written", str(error))


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
