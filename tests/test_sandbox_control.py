from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sandboxes import (
    Connect,
    component,
    deploy,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
)

from ggml_magic.sandbox import endpoint as ep
from ggml_magic.sandbox.changes import JOBS, Notices
from ggml_magic.sandbox.control import Control
from ggml_magic.sandbox.service import Request


class Running:
    """A control with all that it tells others to do."""

    def __init__(self) -> None:
        self.notices, self.ending = Notices(), threading.Event()
        self.provisioned: list[tuple[str, str]] = []
        self.enrolled: list[tuple[str, str, Sequence[str]]] = []
        self._control = Control(
            "this one",
            self.notices,
            lambda *core: self.provisioned.append(core),
            lambda *group: self.enrolled.append(group),
            {"weather:pi": ["roof", "garden"], "alone": []}.get,
            self.ending,
        )

    def ask(self, method: str, path: str, query: str = "") -> tuple[int, dict[str, Any]]:
        answer = self._control.answer(Request(method, path, query, region="eu-west-1"))
        return answer.status, json.loads(answer.body)


def test_it_says_who_it_is_until_it_ends() -> None:
    running = Running()
    status, document = running.ask("GET", "/_ggml/health")
    assert (status, document["instance"]) == (200, "this one")
    assert not running.ending.is_set()
    assert running.ask("POST", "/_ggml/stop") == (200, {"stopping": "this one"})
    assert running.ending.is_set()
    assert running.ask("GET", "/_ggml/health")[0] == 410


def test_a_core_device_is_provisioned_in_the_requests_region() -> None:
    running = Running()
    wanted = {"thing": "weather:pi_1", "region": "eu-west-1"}
    assert running.ask("PUT", "/_ggml/cores/weather:pi_1") == (200, wanted)
    assert running.provisioned == [("eu-west-1", "weather:pi_1")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_ggml/stop"),
        ("POST", "/_ggml/health"),
        ("GET", "/_ggml/cores/pi"),
        ("PUT", "/_ggml/cores/a%2Fb"),
        ("PUT", "/_ggml/cores/" + "n" * 129),
        ("PUT", "/_ggml/cores/.."),
        ("GET", "/_ggml/things/a/b/changes"),
        ("GET", "/_ggml/"),
    ],
)
def test_anything_else_is_not_there_and_does_nothing(method: str, path: str) -> None:
    running = Running()
    assert running.ask(method, path)[0] == 404
    assert (running.provisioned, running.ending.is_set()) == ([], False)


def test_changes_are_told_from_a_number_on() -> None:
    running, path = Running(), "/_ggml/things/pi/changes"
    start = running.ask("GET", path)[1]["sequence"]
    running.notices.tell("pi", JOBS)
    told: dict[str, Any] = {"sequence": start + 1, "jobs": True, "shadow": False, "shadows": []}
    assert running.ask("GET", path, f"after={start}&wait=20") == (200, told)
    running.notices.tell_shadow("other", "n", 3)
    also = running.ask("GET", path, f"after={start + 1}&wait=20&also=another&also=other")[1]
    assert also["shadows"] == [{"thing": "other", "name": "n", "version": 3}]


def test_the_groups_of_a_thing_are_told() -> None:
    running = Running()
    found = {"thingGroups": [{"thingGroupName": name} for name in ("roof", "garden")]}
    assert running.ask("GET", "/_ggml/things/weather:pi/groups") == (200, found)
    assert running.ask("GET", "/_ggml/things/alone/groups") == (200, {"thingGroups": []})
    assert running.ask("GET", "/_ggml/things/nobody/groups")[0] == 404
    assert running.ask("PUT", "/_ggml/things/alone/groups")[0] == 404


@pytest.mark.parametrize("query", ["after=x", "wait=soon", "after=1.5"])
def test_what_is_no_number_is_refused(query: str) -> None:
    status, document = Running().ask("GET", "/_ggml/things/pi/changes", query)
    assert (status, document["message"]) == (400, "after and wait are numbers")


@pytest.mark.real
def test_notices_come_for_jobs_and_for_others_shadow_updates(
    aws: Connect, endpoint: ep.Endpoint
) -> None:
    name, data, (device, arn) = component(aws), aws("iot-data"), thing(aws)

    def changes(after: int, wait: int = 0) -> dict[str, Any]:
        path = f"/_ggml/things/{device}/changes?after={after}&wait={wait}"
        return ep.call(endpoint, "GET", path, timeout_seconds=40)[1]

    start = changes(0)["sequence"]
    data.update_thing_shadow(thingName=device, payload=b'{"state": {"desired": {"a": 1}}}')
    seen = changes(start, 20)
    assert (seen["jobs"], seen["shadow"]) == (False, True)
    assert seen["shadows"] == [{"thing": device, "name": "", "version": 1}]
    data.delete_thing_shadow(thingName=device)
    seen = changes(seen["sequence"], 20)
    assert seen["shadows"] == [{"thing": device, "name": "", "version": 0}]
    deploy(aws, arn, name)
    seen = changes(seen["sequence"], 20)
    assert (seen["jobs"], seen["shadow"]) == (True, False)
