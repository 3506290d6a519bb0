from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import document

LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
KEYS = st.sampled_from("abcd")
STATES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(KEYS, LEAVES | inner, max_size=3),
    max_leaves=8,
)


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(first)
    document.merge(result, second)
    return result


@given(STATES, STATES)
@settings(deadline=None)
def test_merging_twice_is_merging_once(state: dict[str, Any], change: dict[str, Any]) -> None:
    base = merged({}, state)
    once = merged(base, change)
    assert merged(once, change) == once


@given(STATES)
@settings(deadline=None)
def test_nothing_that_was_null_stays(change: dict[str, Any]) -> None:
    def nulls(value: Any) -> bool:
        return value is None or (isinstance(value, dict) and any(map(nulls, value.values())))

    assert not any(map(nulls, merged({}, change).values()))


@given(STATES, STATES)
@settings(deadline=None)
def test_reporting_the_difference_ends_it(
    desired: dict[str, Any], reported: dict[str, Any]
) -> None:
    wanted, own = merged({}, desired), merged({}, reported)
    different = document.delta(wanted, own)
    assert document.delta(wanted, merged(own, different)) == {}


def test_the_difference_is_of_what_is_desired() -> None:
    desired = {"on": True, "at": {"h": 1, "m": 2}, "same": 1}
    reported = {"at": {"h": 1}, "same": 1, "own": 3}
    assert document.delta(desired, reported) == {"on": True, "at": {"m": 2}}


def test_numbers_are_equal_by_value_and_true_is_no_number() -> None:
    assert document.delta({"a": 1, "b": [1, {"c": 2.0}]}, {"a": 1.0, "b": [1.0, {"c": 2}]}) == {}
    assert document.delta({"a": 1, "b": [1]}, {"a": True, "b": [True]}) == {"a": 1, "b": [1]}
    assert not document.equal({"a": None}, {})


@given(STATES, STATES)
@settings(deadline=None)
def test_a_difference_is_the_inverse_of_a_merge(
    present: dict[str, Any], wanted: dict[str, Any]
) -> None:
    first, second = merged({}, present), merged({}, wanted)
    assert document.equal(merged(first, document.difference(first, second)), second)


@given(STATES, STATES)
@settings(deadline=None)
def test_a_delta_is_part_of_what_is_desired(
    desired: dict[str, Any], reported: dict[str, Any]
) -> None:
    wanted, own = merged({}, desired), merged({}, reported)
    found = document.delta(wanted, own)
    assert document.delta(wanted, wanted) == {}
    assert document.merged(wanted, found) == wanted
    assert document.picked(document.stamps(wanted, wanted, {}, 1), found) == document.stamps(
        found, found, {}, 1
    )


@given(STATES, STATES)
@settings(deadline=None)
def test_metadata_mirrors_the_state_and_is_new_where_it_was_changed(
    old: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = merged({}, old)
    after = merged(before, patch)
    first = document.stamps(before, before, {}, 1)
    assert document.stamps(after, patch, first, 2).keys() == after.keys()
    for key, value in document.stamps(after, patch, first, 2).items():
        if not isinstance(after[key], dict):
            assert value == {"timestamp": 2 if key in patch else 1}


def test_a_list_has_a_time_for_each_item() -> None:
    now = {"timestamp": 7}
    assert document.stamps({"a": [1, {"b": [2]}]}, {"a": 1}, {}, 7) == {
        "a": [now, {"b": [now]}],
    }


def test_sizes_are_of_compact_utf_8_without_the_sections_names() -> None:
    assert document.size({"desired": {"a": 1}, "reported": {"ä": "x"}}) == 7 + 10
    assert document.size({"reported": {"a": "\ud800"}}) > 0
    assert document.size({"desired": {}}) == 0


def test_levels_are_of_objects_and_of_lists() -> None:
    assert [document.depth(each) for each in (1, {}, {"a": 1}, {"a": [{"b": 1}]})] == [0, 1, 1, 3]
