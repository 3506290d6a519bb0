"""Three states become the one that both sides should have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core.agreement import Side, agree, imposed, resolved, trimmed
from ggml_magic.core.document import difference, equal, merged

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.one_of(st.integers(0, 3), st.booleans(), st.lists(st.integers(0, 1), max_size=2)),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
SECTION = st.dictionaries(KEYS, VALUES, max_size=3)
STATES = st.fixed_dictionaries({"desired": SECTION, "reported": SECTION}).map(trimmed)
SIDES = st.none() | STATES


@settings(deadline=None)
@given(STATES, STATES, STATES)
def test_one_round_is_enough_and_a_lone_change_survives(
    base: dict[str, Any], local: dict[str, Any], cloud: dict[str, Any]
) -> None:
    wanted = agree(base, local, cloud)
    assert equal(agree(wanted, wanted, wanted), wanted)
    assert equal(agree(base, local, base), local)
    assert equal(agree(base, base, cloud), cloud)
    assert equal(agree(base, local, local), local)


@settings(deadline=None)
@given(STATES, STATES, STATES)
def test_what_neither_side_changed_is_kept_and_nothing_is_invented(
    base: dict[str, Any], local: dict[str, Any], cloud: dict[str, Any]
) -> None:
    wanted = agree(base, local, cloud)
    for section in ("desired", "reported"):
        sides = [side.get(section, {}) for side in (base, local, cloud, wanted)]
        before, ours, theirs, found = sides
        for key in {key for side in sides for key in side}:
            if all(key in side for side in sides[:3]) and equal(ours[key], before[key]):
                assert equal(found.get(key), theirs[key])
            if key in found:
                assert key in ours or key in theirs


@settings(deadline=None)
@given(SIDES, SIDES, SIDES)
def test_existence_is_agreed_on_too(base: Side, local: Side, cloud: Side) -> None:
    wanted = resolved(base, local, cloud)
    assert same(resolved(wanted, wanted, wanted), wanted)
    assert same(resolved(base, local, base), local)
    assert same(resolved(base, base, cloud), cloud)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES)
def test_one_way_the_target_takes_the_sources_changes_and_only_those(
    target: Side, base: Side, source: Side
) -> None:
    assert same(imposed(base, base, source), source)
    assert same(imposed(target, source, source), target) or target is None or source is None
    after = imposed(target, base, source)
    assert same(imposed(after, source, source), after) or after is None


def same(left: Side, right: Side) -> bool:
    if left is None or right is None:
        return left is right
    return equal(left, right)


@settings(deadline=None)
@given(STATES, STATES)
def test_a_difference_applied_is_the_wanted_state(
    present: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert equal(trimmed(merged(present, difference(present, wanted))), wanted)
    assert difference(wanted, wanted) == {}


A, B = {"k": "a"}, {"k": "b"}


@pytest.mark.parametrize(
    ("base", "local", "cloud", "wanted"),
    [
        # the device's word counts in reported, the cloud's in desired
        ({"reported": {"k": 0}}, {"reported": A}, {"reported": B}, {"reported": A}),
        ({"desired": {"k": 0}}, {"desired": A}, {"desired": B}, {"desired": B}),
        # a deletion and a change of the same key are two changes
        ({"reported": {"k": 0}}, None, {"reported": B}, None),
        ({"reported": {"k": 0}}, {"reported": A}, None, {"reported": A}),
        ({"desired": {"k": 0}}, None, {"desired": B}, {"desired": B}),
        ({"desired": {"k": 0}}, {"desired": A}, None, None),
        # what the deleting side did not know of outlives the deletion
        ({"reported": {"k": 0}}, {"reported": {"k": 0, "new": 1}}, None, {"reported": {"new": 1}}),
        ({"reported": A}, None, {"reported": {**A, "new": 1}}, {"reported": {"new": 1}}),
        # a shadow that is empty is no shadow that is deleted
        (None, {}, None, {}),
        ({}, None, {}, None),
        ({"reported": A}, {}, {"reported": A}, {}),
        # a map against a leaf
        ({}, {"reported": {"k": {"x": 1}}}, {"reported": {"k": 2}}, {"reported": {"k": {"x": 1}}}),
        ({}, {"desired": {"k": {"x": 1}}}, {"desired": {"k": 2}}, {"desired": {"k": 2}}),
    ],
)
def test_the_rule(base: Side, local: Side, cloud: Side, wanted: Side) -> None:
    assert resolved(base, local, cloud) == wanted
