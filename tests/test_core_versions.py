"""npm ranges, against a model of them written from their definition (EDGE-CORE 1)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core.versions import fits, highest, is_range, is_version

Triple = tuple[int, int, int]
# an upper end that no number reaches
NO_END = (10**9, 0, 0)
SMALL = st.integers(0, 4)
TRIPLES = st.tuples(SMALL, SMALL, SMALL)
# the numbers that are given: 1, 1.2 or 1.2.3
PARTIALS = st.lists(SMALL, min_size=1, max_size=3).map(tuple)


def text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def low(numbers: tuple[int, ...]) -> Triple:
    return (*numbers, 0, 0, 0)[:3]  # type: ignore[return-value]


def after(numbers: tuple[int, ...], at: int) -> Triple:
    """The first version behind all that begin with the numbers up to a place."""
    raised = (*numbers[:at], numbers[at] + 1)
    return low(raised)


def comparator(sign: str, numbers: tuple[int, ...]) -> tuple[Triple, Triple]:
    """From (inclusive) and to (exclusive) of one comparator."""
    last = len(numbers) - 1
    if sign in ("", "="):
        return low(numbers), after(numbers, last)
    if sign == ">=":
        return low(numbers), NO_END
    if sign == ">":
        return after(numbers, last), NO_END
    if sign == "<":
        return (0, 0, 0), low(numbers)
    if sign == "<=":
        return (0, 0, 0), after(numbers, last)
    if sign == "~":
        return low(numbers), after(numbers, min(last, 1))
    # ^: nothing left of the first number that is not 0 may change
    fixed = next((at for at, number in enumerate(numbers) if number), last)
    return low(numbers), after(numbers, fixed)


SIGNS = st.sampled_from(["", "=", ">=", ">", "<", "<=", "~", "^"])
COMPARATORS = st.tuples(SIGNS, PARTIALS)


@settings(deadline=None, max_examples=400)
@given(COMPARATORS, TRIPLES)
def test_a_comparator_is_a_stretch_of_versions(
    one: tuple[str, tuple[int, ...]], version: Triple
) -> None:
    begin, end = comparator(*one)
    assert fits(text(version), [one[0] + text(one[1])]) is (begin <= version < end)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(COMPARATORS, min_size=1, max_size=3), min_size=1, max_size=3), TRIPLES
)  # fmt: skip
def test_a_space_is_and_and_bars_are_or(
    written: list[list[tuple[str, tuple[int, ...]]]], version: Triple
) -> None:
    requirement = " || ".join(
        " ".join(sign + text(numbers) for sign, numbers in all_of) for all_of in written
    )

    def met(one: tuple[str, tuple[int, ...]]) -> bool:
        begin, end = comparator(*one)
        return begin <= version < end

    assert fits(text(version), [requirement]) is any(
        all(met(one) for one in all_of) for all_of in written
    )


@settings(deadline=None, max_examples=200)
@given(PARTIALS, PARTIALS, TRIPLES)
def test_a_hyphen_holds_both_ends(
    first: tuple[int, ...], last: tuple[int, ...], version: Triple
) -> None:
    end = after(last, len(last) - 1)
    requirement = f"{text(first)} - {text(last)}"
    assert fits(text(version), [requirement]) is (low(first) <= version < end)


@settings(deadline=None, max_examples=200)
@given(st.lists(SMALL, max_size=2), st.sampled_from(["x", "X", "*"]), TRIPLES)
def test_an_x_is_any_number(numbers: list[int], letter: str, version: Triple) -> None:
    requirement = ".".join([*map(str, numbers), letter])
    assert fits(text(version), [requirement]) is (version[: len(numbers)] == tuple(numbers))


@settings(deadline=None)
@given(st.lists(COMPARATORS, min_size=2, max_size=3), TRIPLES)
def test_several_requirements_must_all_be_met(
    several: list[tuple[str, tuple[int, ...]]], version: Triple
) -> None:
    written = [sign + text(numbers) for sign, numbers in several]
    assert fits(text(version), written) is all(fits(text(version), [one]) for one in written)


@settings(deadline=None)
@given(st.lists(TRIPLES, min_size=1, max_size=8))
def test_the_highest_is_by_number(versions: list[Triple]) -> None:
    assert highest(map(text, versions)) == text(max(versions))


def test_nothing_has_no_highest() -> None:
    assert highest([]) is None


@settings(deadline=None)
@given(st.text(max_size=20), TRIPLES)
def test_any_text_is_a_range_or_met_by_nothing(requirement: str, version: Triple) -> None:
    met = fits(text(version), [requirement])
    assert is_range(requirement) or not met


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("1.0.0", True), ("0.0.0", True), ("999999.999999.999999", True), ("1.0.0-rc.1+b.2", True),
        ("1000000.0.0", False), ("1.0", False), ("01.0.0", False), ("v1.0.0", False),
        ("1.0.0-", False), ("1.0.0 ", False), ("1.0.0\n", False), ("", False),
        ("1.0.0-" + "a" * 58, True), ("1.0.0-" + "a" * 59, False), ("١.0.0", False),
    ],
)  # fmt: skip
def test_versions_of_greengrass(version: str, good: bool) -> None:
    assert is_version(version) is good


def test_a_prerelease_is_only_met_by_who_names_one() -> None:
    assert not fits("1.0.0-rc.1", ["*"])
    assert not fits("1.1.0-rc.1", ["^1.0.0"])
    assert fits("1.1.0-rc.2", [">=1.1.0-rc.1"])
    assert fits("1.0.0-rc.1", ["1.0.0-rc.1"])
