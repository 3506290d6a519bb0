"""Several shadows of several things and the real sandbox's, kept the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sandboxes import (
    REGION,
    SHARED,
    Connect,
    connected,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
)

from ggml_magic.core.cloud import Cloud
from ggml_magic.core.mirrors import Mirrors
from ggml_magic.core.shadow import NoShadowError, Shadows
from ggml_magic.core.shadowsettings import Place, Source
from ggml_magic.errors import CloudError, UnreachableError
from ggml_magic.sandbox import client as sandboxes
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


class Core:
    """A core's shadows, its mirrors and the notices that it takes."""

    def __init__(self, folder: Path, endpoint: Path, own: str) -> None:
        self.settings: dict[str, Any] = {}
        self.own = own
        self.shadows = Shadows(folder)
        self.cloud = Cloud(own, endpoint, REGION)
        source = Source(own, lambda: {**self.settings}, print)
        self.mirrors = Mirrors(own, self.shadows, self.cloud, folder, source)
        self.shadows.on_change.append(self.mirrors.local_changed)
        self._after = 0

    def work(self) -> None:
        asyncio.run(self.mirrors.work())

    def listen(self) -> None:
        """Take the cloud's notices, waiting for one, and do what they say."""
        notices = asyncio.run(self.cloud.changes(self._after, self.mirrors.others))
        self._after = notices.sequence
        self.mirrors.configured()
        if notices.shadows is None:
            self.mirrors.cloud_unknown()
        else:
            told = ((Place(where, name), at) for where, name, at in notices.shadows)
            self.mirrors.cloud_changed(told)
        self.work()

    def set(self, where: str, name: str = "", **state: Any) -> None:
        self.shadows.update(where, name, json.dumps({"state": state}).encode())

    def state(self, where: str, name: str = "") -> dict[str, Any] | None:
        with contextlib.suppress(NoShadowError):
            found = dict(self.shadows.get(where, name)["state"])
            found.pop("delta", None)
            return found
        return None


class There:
    """The cloud's side as anyone has it."""

    def __init__(self, aws: Connect) -> None:
        self._data = aws("iot-data")

    def set(self, where: str, name: str = "", **state: Any) -> None:
        payload = json.dumps({"state": state})
        self._data.update_thing_shadow(thingName=where, payload=payload, **_named(name))

    def delete(self, where: str, name: str = "") -> None:
        self._data.delete_thing_shadow(thingName=where, **_named(name))

    def state(self, where: str, name: str = "") -> dict[str, Any] | None:
        with contextlib.suppress(self._data.exceptions.ResourceNotFoundException):
            answer = self._data.get_thing_shadow(thingName=where, **_named(name))
            found = dict(json.loads(answer["payload"].read())["state"])
            found.pop("delta", None)
            return found
        return None


def _named(name: str) -> dict[str, str]:
    return {"shadowName": name} if name else {}


@pytest.fixture
def there(aws: Connect) -> There:
    return There(aws)


@pytest.fixture
def start(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, aws: Connect
) -> Callable[[], Core]:
    """Makes cores with things of their own."""
    endpoint = tmp_path_factory.getbasetemp() / SHARED / "sandbox" / "endpoint.json"

    def make() -> Core:
        own, _ = thing(aws)
        folder = tmp_path / own
        folder.mkdir()
        return Core(folder, endpoint, own)

    return make


@pytest.fixture
def core(start: Callable[[], Core]) -> Core:
    made = start()
    made.listen()
    return made


def test_the_classic_shadow_is_followed_and_a_named_one_is_not(core: Core, there: There) -> None:
    core.set(core.own, reported={"a": 1})
    core.set(core.own, "n", reported={"a": 1})
    core.work()
    assert there.state(core.own) == {"reported": {"a": 1}}
    assert there.state(core.own, "n") is None


def test_named_shadows_and_other_things_by_configuration(
    core: Core, there: There, aws: Connect
) -> None:
    other, _ = thing(aws)
    there.set(other, "n", desired={"x": 1})
    core.settings["synchronize"] = {
        "coreThing": {"namedShadows": ["own"]},
        "shadowDocuments": [{"thingName": other, "classic": False, "namedShadows": ["n"]}],
    }
    core.set(core.own, "own", reported={"a": 1})
    core.work()
    assert there.state(core.own, "own") == {"reported": {"a": 1}}
    assert core.state(other, "n") == {"desired": {"x": 1}}
    core.listen()
    there.set(other, "n", desired={"x": 2})
    core.listen()
    assert core.state(other, "n") == {"desired": {"x": 2}}
    there.delete(core.own, "own")
    core.listen()
    assert core.state(core.own, "own") is None
    core.shadows.delete(other, "n")
    core.work()
    assert there.state(other, "n") is None


def test_one_things_shadow_on_two_cores(start: Callable[[], Core], aws: Connect) -> None:
    shared, _ = thing(aws)
    cores = start(), start()
    for each in cores:
        each.settings["synchronize"] = {"shadowDocuments": [{"thingName": shared}]}
        each.work()
        each.listen()
    first, second = cores
    first.set(shared, reported={"a": 1})
    first.work()
    second.listen()
    assert second.state(shared) == {"reported": {"a": 1}}
    second.set(shared, reported={"a": 2})
    second.work()
    first.listen()  # of both updates, its own and the other core's
    assert first.state(shared) == {"reported": {"a": 2}}


def test_only_what_changed_is_read(
    core: Core, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.settings["synchronize"] = {"coreThing": {"namedShadows": ["n", "m"]}}
    core.work()
    read: list[str] = []
    ask = core.cloud.shadow

    async def noted(where: str, name: str) -> dict[str, Any] | None:
        read.append(name)
        return await ask(where, name)

    monkeypatch.setattr(core.cloud, "shadow", noted)
    there.set(core.own, "m", desired={"x": 1})
    core.listen()
    assert read == ["m"]
    core.set(core.own, "m", reported={"y": 1})
    core.work()
    core.listen()  # the notice of our own update
    assert read == ["m"]


def test_a_shadow_that_the_cloud_refuses_does_not_hold_up_the_others(
    core: Core, there: There
) -> None:
    core.settings["synchronize"] = {"shadowDocuments": [{"thingName": "0-is-no-thing"}]}
    core.set("0-is-no-thing", reported={"a": 1})
    core.set(core.own, reported={"a": 1})
    with pytest.raises(CloudError):
        core.work()
    assert there.state(core.own) == {"reported": {"a": 1}}
    core.work()  # it is not tried again for nothing


def test_one_direction_by_configuration(core: Core, there: There) -> None:
    core.settings["synchronize"] = {"direction": "deviceToCloud"}
    there.set(core.own, desired={"x": 1})
    core.set(core.own, reported={"a": 1})
    core.work()
    assert core.state(core.own) == {"reported": {"a": 1}}
    assert there.state(core.own) == {"desired": {"x": 1}, "reported": {"a": 1}}
    core.settings["synchronize"] = {"direction": "betweenDeviceAndCloud"}
    core.work()
    assert core.state(core.own) == there.state(core.own)


def test_a_shadow_is_followed_no_longer(core: Core, there: There) -> None:
    core.settings["synchronize"] = {"coreThing": {"classic": False}}
    core.set(core.own, reported={"a": 1})
    core.work()
    assert there.state(core.own) is None


def test_a_core_that_starts_again_knows_what_was_agreed(
    core: Core, there: There, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    core.set(core.own, reported={"a": 1, "b": 1})
    core.work()
    there.set(core.own, reported={"a": None})
    endpoint = tmp_path_factory.getbasetemp() / SHARED / "sandbox" / "endpoint.json"
    again = Core(tmp_path / core.own, endpoint, core.own)
    again.set(core.own, reported={"c": 1})
    again.listen()
    assert again.state(core.own) == there.state(core.own) == {"reported": {"b": 1, "c": 1}}


def test_now_and_then_instead_of_at_once(core: Core, there: There) -> None:
    async def play() -> None:
        core.settings["strategy"] = {"type": "periodic", "delay": 1000}
        await core.mirrors.work()  # the first time is at once
        core.set(core.own, reported={"a": 1})
        waiting = asyncio.create_task(core.mirrors.work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        assert there.state(core.own) is None
        core.settings.clear()
        assert core.mirrors.configured()
        await asyncio.wait_for(waiting, 20)
        assert there.state(core.own) == {"reported": {"a": 1}}

    core.mirrors._last = float("-inf")
    asyncio.run(play())


def test_a_sandbox_that_lost_its_history_is_told_all_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".ggml")
    try:
        endpoint = sandboxes.ensure(workspace, 5)
        connected(endpoint)("iot").create_thing(thingName="pi")
        folder = tmp_path / "core"
        folder.mkdir()
        core = Core(folder, workspace.root / "sandbox" / "endpoint.json", "pi")
        core.listen()
        for value in range(3):
            core.set("pi", reported={"a": value})
            core.work()
        sandboxes.stop(workspace)
        with pytest.raises(UnreachableError):
            core.listen()
        core.set("pi", reported={"b": 1})
        shutil.rmtree(workspace.root / "sandbox")
        again = connected(sandboxes.ensure(workspace, 5))
        again("iot").create_thing(thingName="pi")
        core.listen()
        assert There(again).state("pi") == {"reported": {"a": 2, "b": 1}}
        # and one that only was away is not taken for one that forgot
        There(again).set("pi", reported={"a": None})
        sandboxes.stop(workspace)
        sandboxes.ensure(workspace, 5)
        core.listen()
        assert core.state("pi") == {"reported": {"b": 1}}
    finally:
        sandboxes.stop(workspace)
