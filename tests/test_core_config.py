"""The configuration tree (EDGE-CORE 6)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import config
from ggml_magic.core.config import PointerError, Tree

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
)
KEYS = st.sampled_from(["a", "b", "c", "d"])
MAPS = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3)), max_size=4
)


def tree(value: dict[str, Any], timestamp: int = 10) -> Tree:
    made = Tree()
    made.merge((), value, timestamp)
    return made


def overlaid(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: overlaid(old.get(key), value) for key, value in new.items()}}


@settings(deadline=None)
@given(MAPS, MAPS)
def test_a_newer_merge_is_a_deep_overlay(old: dict[str, Any], new: dict[str, Any]) -> None:
    made = tree(old, 1)
    made.merge((), new, 2)
    assert made.read(()) == overlaid(old, new)


@settings(deadline=None)
@given(MAPS)
def test_merging_the_same_again_changes_nothing(value: dict[str, Any]) -> None:
    made = tree(value, 1)
    leaves = dict(made.leaves())
    assert [path for path in made.merge((), value, 2) if path in leaves] == []
    assert made.read(()) == value


@settings(deadline=None)
@given(MAPS, MAPS)
def test_defaults_fill_only_what_is_absent(own: dict[str, Any], defaults: dict[str, Any]) -> None:
    made = tree(own, 5)
    before = dict(made.leaves())
    made.fill(defaults)
    after = dict(made.leaves())
    assert {path: after[path] for path in before} == before
    made.fill(defaults)
    assert dict(made.leaves()) == after


@settings(deadline=None)
@given(MAPS, MAPS)
def test_a_tree_survives_the_disk(old: dict[str, Any], new: dict[str, Any]) -> None:
    made = tree(old, 1)
    made.merge((), new, 2)
    again = config.load(made.dump())
    assert again.dump() == made.dump()
    assert again.read(()) == made.read(())


@settings(deadline=None)
@given(MAPS, MAPS)
def test_changes_are_exactly_the_leaves_that_differ(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    before, after = dict(tree(old).leaves()), dict(tree(new).leaves())
    changed = config.changes(tree(old), tree(new))
    for path in {**before, **after}:
        equal = path in before and path in after and config.same(before[path], after[path])
        assert (path in changed) is not equal


def test_keys_are_the_same_in_any_case_and_keep_their_first_spelling() -> None:
    made = tree({"Interval": 1, "Deep": {"Key": "x"}})
    changed = made.merge((), {"INTERVAL": 2, "deep": {"KEY": "y"}}, 11)
    assert made.read(()) == {"Interval": 2, "Deep": {"Key": "y"}}
    assert changed == [("Interval",), ("Deep", "Key")]
    assert made.read(("dEEP", "kEY")) == "y"


def test_an_older_write_is_ignored_an_equal_time_is_not() -> None:
    made = tree({"a": 1}, 10)
    assert made.merge((), {"a": 2}, 9) == []
    assert made.merge((), {"a": 3}, 10) == [("a",)]
    assert made.read(("a",)) == 3


def test_true_is_not_one() -> None:
    made = tree({"a": 1})
    assert made.merge((), {"a": True}, 11) == [("a",)]
    assert made.read(("a",)) is True


def test_a_list_is_replaced_whole_and_null_stays() -> None:
    made = tree({"list": [1, 2], "gone": {"x": 1}})
    made.merge((), {"list": [3], "gone": None}, 11)
    assert made.read(()) == {"list": [3], "gone": None}


def test_a_value_of_the_caller_is_not_shared() -> None:
    given_list = [1]
    made = tree({"list": given_list})
    given_list.append(2)
    assert made.read(("list",)) == [1]


def test_reset_removes_what_is_named_and_nothing_else() -> None:
    made = tree({"a": {"b": 1, "c": 2}, "list": [1], "sl/ash": 1})
    made.reset("/A/B")
    made.reset("/sl~1ash")
    made.reset("/not/there")
    assert made.read(()) == {"a": {"c": 2}, "list": [1]}
    made.reset("")
    assert made.read(()) == {}


@pytest.mark.parametrize("pointer", ["/list/0", "/list/0/x", "no-slash"])
def test_reset_into_a_list_or_of_no_pointer_is_refused(pointer: str) -> None:
    made = tree({"list": [1]})
    with pytest.raises(PointerError):
        made.reset(pointer)
    assert made.read(()) == {"list": [1]}


def test_reading_what_is_not_there() -> None:
    for path in (("x",), ("a", "x"), ("a", "b", "c")):
        with pytest.raises(KeyError):
            tree({"a": {"b": 1}}).read(path)


def test_a_copy_is_of_its_own() -> None:
    made = tree({"a": {"b": 1}})
    other = made.copy()
    other.merge((), {"a": {"b": 2}}, 11)
    assert made.read(("a", "b")) == 1


def test_merging_below_a_path_makes_it() -> None:
    made = Tree()
    assert made.merge(("n", "new"), {"a": 1}, 5) == [("n", "new", "a")]
    assert made.read(()) == {"n": {"new": {"a": 1}}}
    assert made.merge(("n",), {"empty": {}}, 6) == [("n", "empty")]
