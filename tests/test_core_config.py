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


@settings(deadline=None)
@given(MAPS, MAPS)
def test_an_older_merge_only_adds_what_is_absent(own: dict[str, Any], late: dict[str, Any]) -> None:
    made = tree(own, 10)
    before = dict(made.leaves())
    added = made.merge((), late, 9)
    after = dict(made.leaves())
    assert {path: after[path] for path in before} == before
    # an empty map has no leaf to tell of it
    assert {path for path in after if path not in before} <= set(added)


@settings(deadline=None)
@given(MAPS, MAPS, MAPS)
def test_the_newest_wins_in_any_order_of_arrival(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    # of leaves: a map and a leaf in one place would not commute, nor do they in the nucleus
    writes = [{key: str(value) for key, value in each.items()} for each in (first, second, third)]
    ordered, reversed_ = Tree(), Tree()
    for timestamp, value in enumerate(writes, 1):
        ordered.merge((), value, timestamp)
    for timestamp, value in reversed(list(enumerate(writes, 1))):
        reversed_.merge((), value, timestamp)
    assert ordered.read(()) == reversed_.read(())


@settings(deadline=None)
@given(MAPS, st.integers(1, 20))
def test_an_equal_value_is_no_change_whatever_its_time(value: dict[str, Any], when: int) -> None:
    made = tree(value, 10)
    leaves = dict(made.leaves())
    before = made.dump()
    assert [path for path in made.merge((), value, when) if path in leaves] == []
    for path in leaves:
        assert made.node(path) == config.load(before).node(path)


def swapped(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key.swapcase(): swapped(item) for key, item in value.items()}


@settings(deadline=None)
@given(MAPS, MAPS)
def test_the_case_of_a_key_never_matters(own: dict[str, Any], update: dict[str, Any]) -> None:
    plain, other = tree(own, 1), tree(own, 1)
    plain.merge((), update, 2)
    other.merge((), swapped(update), 2)

    def lowered(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key.lower(): lowered(item) for key, item in value.items()}

    assert lowered(plain.read(())) == lowered(other.read(()))


@settings(deadline=None)
@given(MAPS, MAPS, MAPS, st.sampled_from(["", "/a", "/b", "/a/b", "/c/d"]))
def test_a_deployment_resets_then_fills_defaults_then_merges(
    own: dict[str, Any], defaults: dict[str, Any], merge: dict[str, Any], pointer: str
) -> None:
    made = tree(own, 5)
    try:
        made.reset(pointer)
    except PointerError:
        assert pointer.count("/") == 2
        return
    kept = dict(made.leaves())
    made.fill(defaults)
    filled = made.read(())
    made.merge((), merge, 10)
    assert made.read(()) == overlaid(filled, merge)
    if pointer == "":
        assert filled == defaults
        assert kept == {}


@settings(deadline=None)
@given(st.lists(LEAVES, min_size=1, max_size=3), st.lists(LEAVES, max_size=3))
def test_lists_are_leaves(old: list[Any], new: list[Any]) -> None:
    made = tree({"list": old}, 1)
    made.merge((), {"list": new}, 2)
    assert made.read(("list",)) == new
    with pytest.raises(KeyError):
        made.read(("list", "0"))
    with pytest.raises(PointerError):
        made.reset("/list/0")
    made.fill({"list": old})
    assert made.read(("list",)) == new


@settings(deadline=None)
@given(st.lists(st.text(max_size=4), max_size=4))
def test_a_pointer_escapes_slashes_and_tildes(keys: list[str]) -> None:
    text = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
    assert config.pointer(text) == tuple(keys)


def written(*writes: tuple[dict[str, Any], int]) -> Tree:
    made = Tree()
    for value, timestamp in writes:
        made.merge((), value, timestamp)
    return made


@pytest.mark.parametrize(
    ("planned", "since", "found"),
    [
        ({"y": 5}, {"new": 1}, {"x": 0, "deep": {"a": 0, "b": 0}, "y": 5, "new": 1}),
        ({"deep": {"a": 5}}, {"deep": {"b": 1}}, {"x": 0, "deep": {"a": 5, "b": 1}}),
        # both changed the same: the later counts
        ({"x": 5}, {"x": 1}, {"x": 1, "deep": {"a": 0, "b": 0}}),
        # what was a map is a value, and the other way round
        ({"x": 5}, {"deep": [1]}, {"x": 5, "deep": [1]}),
        ({"y": 5}, {"x": {}}, {"x": {}, "deep": {"a": 0, "b": 0}, "y": 5}),
        ({"deep": 5}, {"deep": {"b": 1}}, {"x": 0, "deep": {"b": 1}}),
        ({"X": 5}, {}, {"x": 5, "deep": {"a": 0, "b": 0}}),
    ],
)
def test_what_was_written_since_the_plan_is_caught_up(
    planned: dict[str, Any], since: dict[str, Any], found: dict[str, Any]
) -> None:
    start = ({"x": 0, "deep": {"a": 0, "b": 0}}, 1)
    before, held = written(start), written(start, (since, 20))
    assert config.caught_up(before, held, written(start, (planned, 10))).read(()) == found


def test_an_older_write_does_not_undo_the_plan_and_a_reset_stays() -> None:
    start = ({"x": 0, "y": 0, "z": 0}, 1)
    before, held = written(start), written(start, ({"x": 1}, 5), ({"z": 1}, 20))
    wanted = written(start, ({"x": 2}, 10))
    wanted.reset("/y")
    wanted.reset("/z")
    caught = config.caught_up(before, held, wanted)
    assert caught.read(()) == {"x": 2, "z": 1}
    assert wanted.read(()) == {"x": 2}


@settings(deadline=None)
@given(MAPS, MAPS, MAPS)
def test_what_is_caught_up_stays_so(
    start: dict[str, Any], since: dict[str, Any], planned: dict[str, Any]
) -> None:
    before, held = written((start, 1)), written((start, 1), (since, 4))
    wanted = written((start, 1), (planned, 3))
    caught = config.caught_up(before, held, wanted)
    # a core that died in between does it again
    assert config.caught_up(before, held, caught).dump() == caught.dump()
    assert config.caught_up(held, held, caught).dump() == caught.dump()
    assert config.caught_up(before, before, wanted).dump() == wanted.dump()


# Maps in which a key that holds a map never holds anything else.
SHAPED = st.fixed_dictionaries(
    {}, optional={"a": LEAVES, "b": LEAVES, "deep": st.dictionaries(KEYS, LEAVES, min_size=1)}
)


@settings(deadline=None)
@given(SHAPED, SHAPED, SHAPED, SHAPED)
def test_to_catch_up_in_two_parts_is_the_same(
    start: dict[str, Any], first: dict[str, Any], second: dict[str, Any], planned: dict[str, Any]
) -> None:
    before, wanted = written((start, 1)), written((start, 1), (planned, 3))
    half, whole = (written((start, 1), (first, 4), *each) for each in ((), ((second, 5),)))
    caught = config.caught_up(before, whole, wanted)
    once = config.caught_up(before, half, wanted)
    assert config.caught_up(before, whole, once).read(()) == caught.read(())
    assert config.caught_up(half, whole, once).read(()) == caught.read(())
