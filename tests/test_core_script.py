"""The script of a simulated fleet."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.core.script import DELAY_SECONDS, Answer, Part, parts
from ggml_magic.errors import GrammarError


def test_each_device_has_a_part_and_the_rest_succeeds() -> None:
    found = parts("failure=2, delay=1:20,offline=1,", 10)
    assert Counter(map(str, found)) == {"success": 6, "failure": 2, "delay:20": 1, "offline": 1}
    assert parts("", 3) == (Part(Answer.SUCCESS),) * 3
    assert parts("DELAY=1", 1) == (Part(Answer.DELAY, DELAY_SECONDS),)
    assert parts("delay=1:0", 1) == (Part(Answer.DELAY, 0.0),)


def test_parts_of_one_kind_stand_apart() -> None:
    found = [part.answer for part in parts("failure=5", 50)]
    places = [place for place, answer in enumerate(found) if answer is Answer.FAILURE]
    assert [after - before for before, after in pairwise(places)] == [10] * 4


@pytest.mark.parametrize(
    "text",
    ["failing=1", "failure", "failure=", "failure=x", "failure=-1", "failure=1:5", "delay=1:",
     "delay=1:x", "delay=1:nan", "delay=1:-1", "5", "=5"],
)  # fmt: skip
def test_what_is_no_script(text: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parts(text, 10)
    assert "is no part of a script" in str(caught.value)


def test_more_parts_than_devices() -> None:
    with pytest.raises(GrammarError, match="needs more than 3 devices: it has parts for 4"):
        parts("failure=2,offline=2", 3)


@given(st.lists(st.tuples(st.sampled_from(["failure", "offline"]), st.integers(0, 9)), max_size=4))
def test_counts_are_kept_whatever_the_script(script: list[tuple[str, int]]) -> None:
    found = Counter(
        part.answer.value for part in parts(",".join(f"{name}={n}" for name, n in script), 40)
    )
    for name in ("failure", "offline"):
        assert found[name] == sum(count for each, count in script if each == name)
    assert sum(found.values()) == 40
