"""The door of the sandbox: who may come in, and to which service a request goes."""

from __future__ import annotations

import errno
import io
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

from ggml_magic.errors import DiskFullError
from ggml_magic.sandbox import refusals
from ggml_magic.sandbox.control import PREFIX, Control
from ggml_magic.sandbox.faults import ServiceError
from ggml_magic.sandbox.lifetime import Clock
from ggml_magic.sandbox.service import Request, Response, Service, faulty

LOG = logging.getLogger(__name__)
# A page in a browser can reach 127.0.0.1 by a name of its own choice; these it cannot choose.
HOSTS = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
DEVICE_AGENT = "ggml-core/"
# One part of an upload to S3 is smaller, and the largest merge document is 10 MiB (GREENGRASS 4).
LARGEST_OBJECT_BYTES = 1 << 30
LARGEST_BODY_BYTES = 16 << 20
BLOCK_BYTES = 1 << 20
SCOPE = re.compile(r"Credential=[^/\s,]*/[^/\s,]*/([^/\s,]+)/([^/\s,]+)/aws4_request")
DEFAULT_SCOPE = ("us-east-1", "s3")
V2_TAGS = re.compile(r"/tags/arn:[^:]*:greengrass:[^:]*:[^:]*:(components|deployments|coreDevices)")
V2_PATHS = re.compile(r"/greengrass/(v2/|servicerole$|things/[^/]+/connectivityInfo$)")
JOB_PATHS = re.compile(r"/things/[^/]+/jobs(/|$)")
SHADOW_PATHS = re.compile(r"/things/[^/]+/shadow$|/api/things/shadow/|/topics/")
THING_IN_PATH = re.compile(r"^(?:/things/|/topics/\$aws/things/)([^/]+)")


class Behind(Protocol):
    """What the door leads to, besides the services of our own."""

    def forward(self, environ: dict[str, Any]) -> Response:
        """Hand a WSGI request to moto."""

    def keep(self, service: str, request: Request) -> None:
        """Write through what a successful request of moto's changed."""

    def device_region(self, thing: str | None) -> str | None:
        """The region of a core device, or of all of them."""


class Front:
    """The WSGI application."""

    def __init__(
        self, services: Mapping[str, Service], behind: Behind, control: Control, clock: Clock
    ) -> None:
        self._services = services
        self._behind = behind
        self._control = control
        self._clock = clock

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """One request of any service."""
        began = time.monotonic()
        device = environ.get("HTTP_USER_AGENT", "").startswith(DEVICE_AGENT)
        with self._clock.answering(device=device):
            response = self._admit(environ, device=device)
            found = {name.lower(): value for name, value in response.headers}
            length = str(len(response.body))
            if environ["REQUEST_METHOD"] == "HEAD":
                length = found.get("content-length", length)
            own = ("content-length", "connection")
            headers = [pair for pair in response.headers if pair[0].lower() not in own]
            status = f"{response.status} {_phrase(response.status)}"
            start_response(status, [*headers, ("Content-Length", length)])
            _log(environ, response.status, time.monotonic() - began, device=device)
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]

    def _admit(self, environ: dict[str, Any], *, device: bool) -> Response:
        """Turn away what no client of AWS sends; read the body; answer."""
        if not HOSTS.fullmatch(environ.get("HTTP_HOST", "")):
            return faulty(ServiceError("AccessDeniedException", 403, "the sandbox is 127.0.0.1"))
        if "HTTP_ORIGIN" in environ:
            return faulty(
                ServiceError("AccessDeniedException", 403, "pages in a browser may not call")
            )
        region, service = _scope(environ)
        try:
            request = _request(environ, region, service, device=device)
        except ServiceError as fault:
            return faulty(fault)
        if device:
            request = self._at_home(request)
        try:
            return self._answer(service, request, environ)
        except Exception as error:
            LOG.exception("%s %s failed", request.method, request.path)
            return refusals.refusal(service, request, *_explained(error))

    def _at_home(self, request: Request) -> Request:
        """A device need not know its region: the sandbox does."""
        thing = THING_IN_PATH.match(unquote(request.path))
        region = self._behind.device_region(thing[1] if thing else None) or request.region
        return Request(
            request.method, request.path, request.query, request.body, request.headers, region, True
        )

    def _answer(self, service: str, request: Request, environ: dict[str, Any]) -> Response:
        if request.path.startswith(PREFIX):
            return self._control.answer(request)
        name = ours(service, unquote(request.path))
        if name is not None:
            return self._services[name].answer(request)
        return self._upstream(service, request, environ)

    def _upstream(self, service: str, request: Request, environ: dict[str, Any]) -> Response:
        try:
            response = self._behind.forward(_whole(environ, request.body))
        except (NotImplementedError, ImportError):
            return refusals.unserved(service, request)
        if refusals.is_html(response):
            return refusals.unserved(service, request)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            text = " ".join(response.body.decode("utf-8", "replace").split())[:200]
            return refusals.refusal(service, request, refusals.FAILED, text)
        if response.status < HTTPStatus.BAD_REQUEST:
            self._behind.keep(service, request)
        return response


def ours(service: str, path: str) -> str | None:
    """The service of our own that a request means, or ``None`` for one of moto's."""
    if service == "greengrass" and (V2_PATHS.match(path) or V2_TAGS.match(path)):
        return "greengrassv2"
    if service == "iot-jobs-data" or (service == "iotdata" and JOB_PATHS.match(path)):
        return "iot-jobs-data"
    if service == "iotdata" or (service != "s3" and SHADOW_PATHS.match(path)):
        return "iot-data"
    return None


def _scope(environ: Mapping[str, Any]) -> tuple[str, str]:
    """Region and service of a request's credential scope, in a header or a presigned address."""
    found = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        found = SCOPE.search(f"Credential={query.get('X-Amz-Credential', [''])[0]}")
    return (found[1], found[2].lower()) if found else DEFAULT_SCOPE


def _request(environ: Mapping[str, Any], region: str, service: str, *, device: bool) -> Request:
    path, _, query = environ["REQUEST_URI"].partition("?")
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    largest = LARGEST_OBJECT_BYTES if service == "s3" else LARGEST_BODY_BYTES
    body = _read(environ, largest)
    return Request(environ["REQUEST_METHOD"], path, query, body, headers, region, device)


def _read(environ: Mapping[str, Any], largest: int) -> bytes:
    """The whole body; refused before it is read when its length says that it is too much."""
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH") or "0"
    if environ.get("wsgi.input_terminated"):
        body = io.BytesIO()
        while body.tell() <= largest and (block := stream.read(BLOCK_BYTES)):
            body.write(block)
        size = body.tell()
        content = body.getvalue()
    else:
        size = int(length) if length.isdigit() else 0
        content = stream.read(size) if 0 < size <= largest else b""
    if size > largest:
        raise ServiceError("EntityTooLarge", 413, f"the sandbox takes at most {largest} bytes")
    return content


def _whole(environ: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """The request again, with the body that was read."""
    whole = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    whole.pop("HTTP_TRANSFER_ENCODING", None)
    whole.pop("wsgi.input_terminated", None)
    return whole


def _explained(error: Exception) -> tuple[str, str]:
    """The code and the one line for a failure of the sandbox's own."""
    full = isinstance(error, DiskFullError) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    )
    if full or (isinstance(error, sqlite3.OperationalError) and "full" in str(error)):
        return "SandboxDiskFull", "the disk of the workspace is full; see df -h"
    reason = " ".join(str(error).split())[:200]
    return refusals.FAILED, f"{type(error).__name__}: {reason} (sandbox.log has more)"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _log(environ: Mapping[str, Any], status: int, seconds: float, *, device: bool) -> None:
    """One line a request, without its query: a presigned one holds a signature."""
    if device and status < HTTPStatus.BAD_REQUEST:
        return  # a device asks all day long
    path = environ["REQUEST_URI"].partition("?")[0]
    method = environ["REQUEST_METHOD"]
    LOG.info("%s %s %d %.0f ms", method, path, status, seconds * 1000)
