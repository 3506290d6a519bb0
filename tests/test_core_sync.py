"""The local and the cloud's shadow become the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import shadow
from ggml_magic.core.shadow import NoShadowError, Shadows
from ggml_magic.core.sync import Synchroniser, agree, difference, trimmed
from ggml_magic.errors import CloudError, UnreachableError

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.one_of(st.integers(0, 3), st.booleans(), st.lists(st.integers(0, 1), max_size=2)),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
SECTION = st.dictionaries(KEYS, VALUES, max_size=3)
STATES = st.fixed_dictionaries({"desired": SECTION, "reported": SECTION}).map(trimmed)


class Cloud:
    """A cloud's shadow with IoT's rules; it counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.instance = "one"
        self.shadows = Shadows(folder)
        self.reads = self.writes = 0
        self.away = False
        self.before_write: Callable[[], None] = lambda: None

    async def shadow(self) -> dict[str, Any] | None:
        self._answer()
        self.reads += 1
        try:
            return self.shadows.get("pi")
        except NoShadowError:
            return None

    async def update_shadow(self, payload: bytes) -> dict[str, Any]:
        self._answer()
        before, self.before_write = self.before_write, lambda: None
        before()
        self.writes += 1
        try:
            return self.shadows.update("pi", "", payload)
        except shadow.VersionConflictError as error:
            raise CloudError("refused", str(error), code="ConflictException") from None

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
        self.synchroniser = Synchroniser("pi", self.local, self.cloud, file)

    def set(self, state: dict[str, Any]) -> None:
        self.local.update("pi", "", json.dumps({"state": state}).encode())

    def state(self) -> dict[str, Any]:
        try:
            return trimmed(self.local.get("pi")["state"])
        except NoShadowError:
            return {}

    def told(self) -> None:
        self.synchroniser.cloud_changed()
        self.round()

    def round(self) -> None:
        asyncio.run(self.synchroniser.round())


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


@settings(deadline=None)
@given(STATES, STATES, STATES)
def test_one_round_is_enough_and_a_lone_change_survives(
    base: dict[str, Any], local: dict[str, Any], cloud: dict[str, Any]
) -> None:
    wanted = agree(base, local, cloud)
    assert agree(wanted, wanted, wanted) == wanted
    assert agree(base, local, base) == local
    assert agree(base, base, cloud) == cloud
    assert agree(base, local, local) == local


@settings(deadline=None)
@given(STATES, STATES)
def test_a_difference_applied_is_the_wanted_state(
    present: dict[str, Any], wanted: dict[str, Any]
) -> None:
    after = json.loads(json.dumps(present))
    shadow.merge(after, difference(present, wanted))
    assert trimmed(after) == wanted
    assert difference(wanted, wanted) == {}
