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
