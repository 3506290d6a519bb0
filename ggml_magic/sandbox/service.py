"""A rest-json service from its botocore model: routing, validation, and JSON both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from ggml_magic.sandbox import shapes
from ggml_magic.sandbox.faults import Problem, ServiceError, unserved
from ggml_magic.sandbox.routes import Route, Router

JSON_TYPE = ("Content-Type", "application/json")


@dataclass(frozen=True)
class Request:
    """An HTTP request as it came; ``path`` and ``query`` are still escaped.

    ``region`` is the credential scope's; ``device`` says that a core device sent it.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    region: str = "us-east-1"
    device: bool = False


@dataclass(frozen=True)
class Response:
    """An HTTP response: status, headers, whole body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Call:
    """A validated operation call; ``parameters`` has the model's member names.

    ``host`` is the name by which the caller reached the sandbox.
    """

    parameters: Mapping[str, Any]
    region: str
    device: bool = False
    host: str = ""


Handler = Callable[[Call], Mapping[str, Any]]


class Service:
    """Serves the operations that have a handler; all others of the model refuse by name."""

    def __init__(
        self,
        name: str,
        handlers: Mapping[str, Handler],
        refused: Callable[[Sequence[Problem]], ServiceError],
    ) -> None:
        self.name = name
        self.handlers = handlers
        self.router = Router(name)
        self._refused = refused

    def answer(self, request: Request) -> Response:
        """The response, a typed error included."""
        try:
            return self._answer(request)
        except ServiceError as fault:
            return faulty(fault)

    def _answer(self, request: Request) -> Response:
        route = self.router.find(request.method, request.path)
        if route is None:
            raise unserved(f"{request.method} {request.path} of {self.name}")
        handler = self.handlers.get(route.operation.name)
        if handler is None:
            raise unserved(f"{route.operation.name} of {self.name}")
        parameters = self._parameters(route, request)
        host = request.headers.get("host", "")
        call = Call(parameters, request.region, request.device, host)
        return _response(route.operation, handler(call))

    def _parameters(self, route: Route, request: Request) -> Mapping[str, Any]:
        shape = route.operation.input_shape
        if shape is None:
            return {}
        reader = shapes.Reader()
        values = _body(shape, request, reader)
        raw = {
            "uri": route.values,
            "querystring": parse_qs(request.query, keep_blank_values=True),
            "header": {name.lower(): value for name, value in request.headers.items()},
        }
        for location, found in raw.items():
            for member, member_shape in shapes.located(shape, location).items():
                key = member_shape.serialization["name"]
                value = found.get(key.lower() if location == "header" else key)
                if value is not None:
                    values[member] = reader.read(member_shape, _plain(member_shape, value), member)
        missing = [name for name in shape.required_members if values.get(name) is None]
        known = {problem.name for problem in reader.problems}
        for name in missing:
            if name not in known:
                reader.refuse(name, "is required")
        if reader.problems:
            raise self._refused(reader.problems)
        return values


def _plain(shape: Any, value: Any) -> Any:
    return value if shape.type_name == "list" or isinstance(value, str) else value[0]


def _body(shape: Any, request: Request, reader: shapes.Reader) -> dict[str, Any]:
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name == "blob":
        return {payload: request.body} if request.body else {}
    members = {
        name: member
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    if not members or not request.body:
        return {}
    try:
        raw = json.loads(request.body)
    except (ValueError, RecursionError):
        reader.refuse("body", "is not JSON")
        return {}
    if not isinstance(raw, dict):
        reader.refuse("body", "must be a JSON object")
        return {}
    values = {}
    for name, member in members.items():
        value = raw.get(member.serialization.get("name", name))
        if value is not None:
            values[name] = reader.read(member, value, name)
    return values


def _response(operation: Any, result: Mapping[str, Any]) -> Response:
    status = operation.http.get("responseCode", 200)
    shape = operation.output_shape
    if shape is None:
        return Response(status)
    payload = shape.serialization.get("payload")
    if payload:
        return Response(status, (JSON_TYPE,), result[payload])
    if status == 204:  # no content
        return Response(status)
    return Response(status, (JSON_TYPE,), json.dumps(shapes.write(shape, result)).encode())


def faulty(fault: ServiceError) -> Response:
    """A fault as rest-json sends it."""
    body = json.dumps({"message": fault.message, **fault.details}).encode()
    return Response(fault.status, (JSON_TYPE, ("x-amzn-ErrorType", fault.code)), body)
