"""The local and the cloud's shadow become the same."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import shadow, sync
from ggml_magic.core.agreement import trimmed
from ggml_magic.core.document import equal
from ggml_magic.core.shadow import NoShadowError, Shadows
from ggml_magic.core.shadowsettings import Direction, Place
from ggml_magic.core.sync import Synchroniser
from ggml_magic.errors import CloudError, UnreachableError


class Cloud:
    """A cloud's shadow with IoT's rules; it counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.instance = "one"
        self.shadows = Shadows(folder)
        self.reads = self.writes = 0
        self.away = False
        self.before_write: Callable[[], None] = lambda: None

    async def shadow(self, thing: str, name: str) -> dict[str, Any] | None:
        self._answer()
        self.reads += 1
        try:
            return self.shadows.get(thing, name)
        except NoShadowError:
            return None

    async def update_shadow(self, thing: str, name: str, payload: bytes) -> dict[str, Any]:
        self._answer()
        before, self.before_write = self.before_write, lambda: None
        before()
        self.writes += 1
        try:
            return self.shadows.update(thing, name, payload)
        except shadow.VersionConflictError as error:
            raise CloudError("refused", str(error), code="ConflictException") from None

    async def delete_shadow(self, thing: str, name: str) -> None:
        self._answer()
        self.writes += 1
        try:
            self.shadows.delete(thing, name)
        except NoShadowError:
            return

    def _answer(self) -> None:
        if self.away:
            raise UnreachableError("away")

    def set(self, state: dict[str, Any]) -> None:
        self.shadows.update("pi", "", json.dumps({"state": state}).encode())

    def state(self) -> dict[str, Any]:
        try:
            return trimmed(self.shadows.get("pi")["state"])
        except NoShadowError:
            return {}


class Pair:
    def __init__(self, folder: Path) -> None:
        for name in ("cloud", "device"):
            (folder / name).mkdir()
        self.folder = folder
        self.cloud = Cloud(folder / "cloud")
        self.start()

    def start(self) -> None:
        """A core that starts, with what is on its disk."""
        self.local = Shadows(self.folder / "device")
        file = self.folder / "sync.json"
        self.synchroniser = Synchroniser(Place("pi"), self.local, self.cloud, file, turn)
        self.local.on_change.append(lambda change: self.synchroniser.local_changed())

    def set(self, state: dict[str, Any]) -> None:
        self.local.update("pi", "", json.dumps({"state": state}).encode())

    def state(self) -> dict[str, Any]:
        try:
            return trimmed(self.local.get("pi")["state"])
        except NoShadowError:
            return {}

    def told(self, direction: Direction = "betweenDeviceAndCloud") -> None:
        self.synchroniser.cloud_changed()
        self.round(direction)

    def round(self, direction: Direction = "betweenDeviceAndCloud") -> None:
        asyncio.run(self.synchroniser.round(direction))

    def there(self) -> tuple[bool, bool]:
        """Whether the device and the cloud have a shadow."""
        return self._has(self.local), self._has(self.cloud.shadows)

    def _has(self, shadows: Shadows) -> bool:
        try:
            return bool(shadows.get("pi"))
        except NoShadowError:
            return False


async def turn() -> None:
    """Nobody has to wait."""


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_both_ways(pair: Pair) -> None:
    pair.cloud.set({"reported": {"pressure": 1013.2}, "desired": {"led": True}})
    pair.told()
    assert pair.state() == {"reported": {"pressure": 1013.2}, "desired": {"led": True}}
    pair.set({"reported": {"rain": "yes"}})
    pair.round()
    assert pair.cloud.state() == {
        "reported": {"pressure": 1013.2, "rain": "yes"},
        "desired": {"led": True},
    }


def test_a_local_change_costs_one_request_and_nothing_echoes(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    reads = pair.cloud.reads
    pair.set({"reported": {"a": 2}})
    pair.round()
    assert (pair.cloud.reads - reads, pair.cloud.writes) == (0, 2)
    for _ in range(3):
        pair.told()
    assert pair.cloud.writes == 2
    assert pair.local.get("pi")["version"] == 2


def test_deleted_keys_go_on_the_other_side(pair: Pair) -> None:
    pair.cloud.set({"reported": {"a": 1, "b": {"c": 1, "d": 1}}})
    pair.told()
    pair.set({"reported": {"a": None}})
    pair.cloud.set({"reported": {"b": {"c": None}}})
    pair.told()
    assert pair.state() == pair.cloud.state() == {"reported": {"b": {"d": 1}}}


def test_of_two_changes_the_device_wins_reported_and_the_cloud_desired(pair: Pair) -> None:
    start = {"reported": {"a": 0, "b": 0, "c": 0}, "desired": {"x": 0}}
    pair.cloud.set(start)
    pair.told()
    pair.set({"reported": {"a": "device", "b": "device"}, "desired": {"x": "device"}})
    pair.cloud.set({"reported": {"a": "cloud", "c": "cloud"}, "desired": {"x": "cloud"}})
    pair.told()
    wanted = {"reported": {"a": "device", "b": "device", "c": "cloud"}, "desired": {"x": "cloud"}}
    assert pair.state() == pair.cloud.state() == wanted


def test_a_change_between_reading_and_writing_is_not_lost(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    pair.set({"reported": {"a": 2}})
    pair.cloud.before_write = lambda: pair.cloud.set({"reported": {"other": 1}})
    pair.round()
    assert pair.state() == pair.cloud.state() == {"reported": {"a": 2, "other": 1}}


def test_a_local_change_while_the_cloud_is_asked_is_sent_too(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.cloud.before_write = lambda: pair.set({"reported": {"a": 2}})
    pair.round()
    assert pair.cloud.state() == {"reported": {"a": 2}}


def test_a_cloud_that_was_away_is_caught_up(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.cloud.away = True
    with pytest.raises(UnreachableError):
        pair.round()
    pair.set({"reported": {"b": 1}})
    pair.cloud.away = False
    pair.start()
    pair.told()
    assert pair.cloud.state() == {"reported": {"a": 1, "b": 1}}


def test_a_shadow_deleted_in_the_cloud_is_deleted_here(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    pair.cloud.shadows.delete("pi")
    pair.told()
    assert pair.state() == {}
    with pytest.raises(NoShadowError):
        pair.local.get("pi")
    assert pair.cloud.writes == 1


def test_another_sandbox_that_forgot_everything_is_told_again(pair: Pair, tmp_path: Path) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    (tmp_path / "fresh").mkdir()
    pair.cloud.shadows, pair.cloud.instance = Shadows(tmp_path / "fresh"), "two"
    pair.told()
    assert pair.cloud.state() == pair.state() == {"reported": {"a": 1}}


def test_the_same_sandbox_started_again_is_not_taken_for_one_that_forgot(pair: Pair) -> None:
    pair.set({"reported": {"a": 1, "b": 1}})
    pair.round()
    pair.cloud.set({"reported": {"a": None}})
    pair.cloud.instance = "two"
    pair.told()
    assert pair.cloud.state() == pair.state() == {"reported": {"b": 1}}


def test_what_the_device_cannot_keep_is_said_and_leaves_it_as_it_was(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    deep = {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}
    pair.cloud.shadows._known["pi", ""].state["desired"] = {"a": deep}  # deeper than a device has
    with pytest.raises(CloudError, match="cannot be kept"):
        pair.told()
    assert pair.state() == {"reported": {"a": 1}}


def test_a_shadow_deleted_here_is_deleted_in_the_cloud(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    pair.local.delete("pi")
    pair.round()
    assert pair.there() == (False, False)
    writes = pair.cloud.writes
    pair.told()
    assert (pair.cloud.writes, pair.there()) == (writes, (False, False))
    pair.set({"reported": {"b": 1}})
    pair.round()
    assert pair.cloud.state() == {"reported": {"b": 1}}


def test_a_deletion_here_and_a_change_there_and_the_other_way(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}, "desired": {"x": 1}})
    pair.round()
    pair.local.delete("pi")
    pair.cloud.set({"reported": {"a": 2, "new": 1}, "desired": {"x": 2}})
    pair.told()
    # the device deleted what it reports, the cloud says what is desired, nobody knew of "new"
    assert pair.state() == pair.cloud.state() == {"reported": {"new": 1}, "desired": {"x": 2}}
    pair.cloud.shadows.delete("pi")
    pair.set({"reported": {"new": 2}, "desired": {"x": 3}})
    pair.told()
    assert pair.state() == pair.cloud.state() == {"reported": {"new": 2}}


def test_a_deletion_while_the_cloud_was_away_is_told_later(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    pair.cloud.away = True
    pair.local.delete("pi")
    with pytest.raises(UnreachableError):
        pair.round()
    pair.cloud.away = False
    pair.start()
    pair.told()
    assert pair.there() == (False, False)


def test_an_emptied_shadow_is_not_a_deleted_one(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    pair.set({"reported": None})
    pair.round()
    assert pair.there() == (True, True)
    assert pair.cloud.state() == {}


def test_a_notice_of_the_version_we_made_costs_no_reading(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    reads = pair.cloud.reads
    pair.synchroniser.cloud_changed(1)
    assert not pair.synchroniser.pending
    pair.round()
    assert pair.cloud.reads == reads
    pair.cloud.set({"reported": {"a": 2}})
    pair.synchroniser.cloud_changed(2)
    assert pair.synchroniser.pending
    pair.round()
    assert (pair.cloud.reads, pair.state()) == (reads + 1, {"reported": {"a": 2}})
    pair.synchroniser.cloud_changed(1)  # late
    assert not pair.synchroniser.pending
    pair.synchroniser.cloud_changed(0)  # deleted
    assert pair.synchroniser.pending


def test_a_notice_that_comes_before_the_answer_costs_no_reading_either(pair: Pair) -> None:
    pair.set({"reported": {"a": 1}})
    pair.round()
    reads = pair.cloud.reads
    pair.cloud.before_write = lambda: pair.synchroniser.cloud_changed(2)
    pair.set({"reported": {"a": 2}})
    pair.round()
    assert (pair.cloud.reads, pair.synchroniser.pending) == (reads, False)


def test_what_was_refused_waits_for_a_change(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(thing: str, name: str, payload: bytes) -> dict[str, Any]:
        raise CloudError("no", code="ResourceNotFoundException")

    pair.set({"reported": {"a": 1}})
    with monkeypatch.context() as patch:
        patch.setattr(pair.cloud, "update_shadow", refuse)
        with pytest.raises(CloudError, match="no"):
            pair.round()
        pair.synchroniser.try_again()
        assert not pair.synchroniser.pending
    pair.set({"reported": {"b": 1}})
    pair.round()
    assert pair.cloud.state() == {"reported": {"a": 1, "b": 1}}


def test_what_was_refused_is_tried_again_after_a_while(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(thing: str, name: str) -> dict[str, Any] | None:
        raise CloudError("no", code="ResourceNotFoundException")

    pair.set({"reported": {"a": 1}})
    with monkeypatch.context() as patch:
        patch.setattr(pair.cloud, "shadow", refuse)
        with pytest.raises(CloudError, match="no"):
            pair.round()
    monkeypatch.setattr(sync, "REFUSED_SECONDS", 0.0)
    pair.synchroniser.try_again()
    assert pair.synchroniser.pending
    pair.round()
    assert pair.cloud.state() == {"reported": {"a": 1}}
    pair.synchroniser.try_again()
    assert not pair.synchroniser.pending


def test_only_to_the_cloud(pair: Pair) -> None:
    pair.cloud.set({"reported": {"a": 0}, "desired": {"theirs": 1}})
    pair.set({"reported": {"a": 1, "b": 1}})
    pair.told("deviceToCloud")
    assert pair.state() == {"reported": {"a": 1, "b": 1}}
    assert pair.cloud.state() == {"reported": {"a": 1, "b": 1}, "desired": {"theirs": 1}}
    pair.cloud.set({"reported": {"a": 2}})
    pair.told("deviceToCloud")
    assert pair.state() == {"reported": {"a": 1, "b": 1}}
    pair.set({"reported": {"b": None}})
    pair.round("deviceToCloud")
    assert pair.cloud.state() == {"reported": {"a": 2}, "desired": {"theirs": 1}}
    pair.local.delete("pi")
    pair.round("deviceToCloud")
    assert pair.there() == (False, False)


def test_only_from_the_cloud(pair: Pair) -> None:
    pair.cloud.set({"desired": {"theirs": 1}})
    pair.set({"reported": {"a": 1}})
    pair.told("cloudToDevice")
    assert pair.state() == {"reported": {"a": 1}, "desired": {"theirs": 1}}
    assert (pair.cloud.state(), pair.cloud.writes) == ({"desired": {"theirs": 1}}, 0)
    assert not pair.synchroniser.pending
    pair.set({"reported": {"a": 2}})
    pair.cloud.set({"desired": {"theirs": None, "more": 2}})
    pair.told("cloudToDevice")
    assert pair.state() == {"reported": {"a": 2}, "desired": {"more": 2}}
    pair.cloud.shadows.delete("pi")
    pair.told("cloudToDevice")
    assert (pair.there(), pair.cloud.writes) == ((False, False), 0)


def test_one_way_and_then_both_loses_nothing(pair: Pair) -> None:
    pair.cloud.set({"desired": {"theirs": 1}})
    pair.set({"reported": {"a": 1}})
    pair.told("deviceToCloud")
    pair.told()
    assert pair.state() == pair.cloud.state()
    assert pair.state() == {"reported": {"a": 1}, "desired": {"theirs": 1}}


KEYS = st.sampled_from(["a", "b"])
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        section: st.none()
        | st.dictionaries(KEYS, st.none() | st.integers(0, 2) | st.dictionaries(KEYS, st.just(1)))
        for section in ("desired", "reported")
    },
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["device", "cloud", "between"]), PATCHES),
        st.tuples(
            st.sampled_from(["delete here", "delete there", "round", "restart", "told", "gone"]),
            st.just({}),
        ),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_both_sides_end_equal_whatever_the_order(steps: list[tuple[str, dict[str, Any]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder))
        for step, patch in steps:
            play(pair, step, patch)
        pair.cloud.away = False
        pair.told()
        assert pair.there()[0] == pair.there()[1]
        assert equal(pair.state(), pair.cloud.state())
        versions = pair.local._known.get(("pi", "")), pair.cloud.writes
        pair.told()
        assert (pair.local._known.get(("pi", "")), pair.cloud.writes) == versions


def play(pair: Pair, step: str, patch: dict[str, Any]) -> None:
    """One thing that can happen on either side, or to the line between them."""
    if step == "device":
        pair.set(patch)
    elif step == "cloud":
        pair.cloud.set(patch)
    elif step == "between":
        pair.cloud.before_write = lambda: pair.cloud.set(patch)
    elif step == "restart":
        pair.start()
    elif step == "gone":
        pair.cloud.away = not pair.cloud.away
    elif step.startswith("delete"):
        try:
            (pair.local if step == "delete here" else pair.cloud.shadows).delete("pi")
        except NoShadowError:
            return
    else:
        try:
            pair.told() if step == "told" else pair.round()
        except UnreachableError:
            assert pair.cloud.away
