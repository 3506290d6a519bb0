"""Typed refusals where moto answers HTML or an exception.

boto3 repeats a 5xx and shows raw HTML (AWS 1); a 4xx in the service's own protocol that names
the operation becomes an ordinary ``ClientError``.
"""

from __future__ import annotations

import json
from functools import lru_cache
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from ggml_magic.sandbox.routes import Router
from ggml_magic.sandbox.service import Request, Response

UNSERVED = "NotServedBySandbox"
FAILED = "SandboxFailure"
REFUSED_STATUS = 400
FIRST_ERROR = 400
# Credential scopes whose service model has another name.
MODELS = {"iotdata": "iot-data", "greengrass": "greengrass"}


def is_html(response: Response) -> bool:
    """Whether moto answered with a page for people."""
    start = response.body[:100].lstrip().lower()
    return response.status >= FIRST_ERROR and start.startswith((b"<!doctype html", b"<html"))


def unserved(service: str, request: Request) -> Response:
    """The refusal of an operation that moto does not have."""
    operation = operation_of(service, request)
    return refusal(service, request, UNSERVED, f"the sandbox does not serve {operation}")


def refusal(service: str, request: Request, code: str, message: str) -> Response:
    """A typed error in the protocol that the request spoke."""
    if service == "s3":
        return _xml(f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>")
    if _is_query(request):
        return _xml(
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
            f"<Message>{escape(message)}</Message></Error><RequestId>sandbox</RequestId>"
            "</ErrorResponse>"
        )
    body = json.dumps({"__type": code, "message": message}).encode()
    headers = (("Content-Type", "application/json"), ("x-amzn-ErrorType", code))
    return Response(REFUSED_STATUS, headers, body)


def _xml(text: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Response(REFUSED_STATUS, (("Content-Type", "application/xml"),), body)


def operation_of(service: str, request: Request) -> str:
    """The operation's name as boto3 has it, or as much of it as the request tells."""
    target = request.headers.get("x-amz-target")
    if target:
        return f"{target.rsplit('.', 1)[-1]} of {service}"
    if _is_query(request):
        action = parse_qs(request.body.decode("utf-8", "replace")).get("Action", ["an operation"])
        return f"{action[0]} of {service}"
    router = _router(MODELS.get(service, service)) if service != "s3" else None
    route = router.find(request.method, request.path) if router else None
    if route is None:
        settings = f"?{request.query}" if request.query and service == "s3" else ""
        return f"{request.method} {request.path}{settings} of {service}"
    return f"{route.operation.name} of {service}"


def _is_query(request: Request) -> bool:
    kind = request.headers.get("content-type", "")
    return kind.startswith("application/x-www-form-urlencoded")


@lru_cache(maxsize=8)
def _router(service: str) -> Router | None:
    from botocore.exceptions import UnknownServiceError  # type: ignore[import-untyped]  # no types

    try:
        return Router(service)
    except UnknownServiceError:
        return None
