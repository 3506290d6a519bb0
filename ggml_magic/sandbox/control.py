"""The sandbox's own addresses under ``/_ggml/``: health, stopping, core devices, notices."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, unquote

from ggml_magic.sandbox.changes import Notices
from ggml_magic.sandbox.faults import ServiceError
from ggml_magic.sandbox.service import JSON_TYPE, Request, Response, faulty

PREFIX = "/_ggml/"
CORE = re.compile(r"/_ggml/cores/([a-zA-Z0-9:_-]{1,128})")
GROUP = re.compile(r"/_ggml/groups/([a-zA-Z0-9:_-]{1,128})")
THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
GROUPS = re.compile(r"/_ggml/things/([a-zA-Z0-9:_-]{1,128})/groups")
CHANGES = re.compile(r"/_ggml/things/([a-zA-Z0-9:_-]{1,128})/changes")
LONGEST_NUMBER = 20
# More things than a core device follows the shadows of.
MOST_THINGS = 1000


class Control:
    """Answers under ``/_ggml/``; ``ending`` is set when the sandbox shall end."""

    def __init__(
        self,
        instance: str,
        notices: Notices,
        provision: Callable[[str, str], None],
        enrol: Callable[[str, str, Sequence[str]], None],
        groups: Callable[[str], Sequence[str] | None],
        ending: threading.Event,
    ) -> None:
        self._instance = instance
        self._notices = notices
        self._provision = provision
        self._enrol = enrol
        self._groups = groups
        self._ending = ending

    def answer(self, request: Request) -> Response:
        """The response to a request under ``/_ggml/``."""
        path = unquote(request.path)
        core, changes, group = (each.fullmatch(path) for each in (CORE, CHANGES, GROUP))
        groups = GROUPS.fullmatch(path)
        if (request.method, request.path) == ("GET", "/_ggml/health"):
            return self._health()
        if (request.method, request.path) == ("POST", "/_ggml/stop"):
            self._ending.set()
            return _document({"stopping": self._instance})
        if request.method == "PUT" and core:
            self._provision(request.region, core[1])
            return _document({"thing": core[1], "region": request.region})
        if request.method == "PUT" and group:
            return self._group(request, group[1])
        if request.method == "GET" and groups:
            return self._groups_of(groups[1])
        if request.method == "GET" and changes:
            return self._changes(changes[1], request.query)
        return faulty(ServiceError("NotFound", 404, f"the sandbox has no {request.path}"))

    def _group(self, request: Request, group: str) -> Response:
        """Core devices of a thing group: the body is a list of their names."""
        try:
            things = json.loads(request.body)
        except ValueError:
            things = None
        if not isinstance(things, list) or not all(
            isinstance(thing, str) and THING.fullmatch(thing) for thing in things
        ):
            return faulty(
                ServiceError("InvalidRequestException", 400, "the body is no list of things' names")
            )
        self._enrol(request.region, group, things)
        return _document({"group": group, "things": len(things), "region": request.region})

    def _groups_of(self, thing: str) -> Response:
        """The thing groups of a thing, as ListThingGroupsForCoreDevice names them."""
        found = self._groups(thing)
        if found is None:
            return faulty(ServiceError("ResourceNotFoundException", 404, f"no thing {thing}"))
        return _document({"thingGroups": [{"thingGroupName": name} for name in found]})

    def _health(self) -> Response:
        if self._ending.is_set():
            return faulty(ServiceError("Ending", 410, "the sandbox is ending"))
        return _document({"instance": self._instance, "pid": os.getpid()})

    def _changes(self, thing: str, query: str) -> Response:
        values = parse_qs(query)
        try:
            after = int(values.get("after", ["0"])[-1][:LONGEST_NUMBER])
            wait = float(values.get("wait", ["0"])[-1])
        except ValueError:
            return faulty(
                ServiceError("InvalidRequestException", 400, "after and wait are numbers")
            )
        also = values.get("also", [])[:MOST_THINGS]
        return _document(asdict(self._notices.after(thing, after, wait, also)))


def _document(document: Mapping[str, Any]) -> Response:
    return Response(200, (JSON_TYPE,), json.dumps(document).encode())
