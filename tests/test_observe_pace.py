"""A long replay tells of itself, a short one does not."""

from __future__ import annotations

import itertools

import pytest

from ggml_magic.observe.pace import Pace, duration


def lines(total: int, seconds: float, answers: int | None = None) -> list[str]:
    """What is written of a replay with an answer every so many seconds."""
    written: list[str] = []
    ticks = itertools.count()
    pace = Pace(written.append, lambda: next(ticks) * seconds)
    for done in range(1, (answers or total) + 1):
        pace.answered(done, total)
    return written


def test_a_long_one_says_how_long_after_the_first_few_answers() -> None:
    assert lines(4678, 1.0, answers=2) == []
    assert lines(4678, 1.0, answers=3) == [
        "4,678 readings, one a cycle of the device: about 78 min; "
        "interrupt to stop, what was answered is kept\n"
    ]


def test_then_a_line_at_most_every_ten_seconds() -> None:
    told = lines(4678, 1.0, answers=40)[1:]
    assert told == [f"{done} of 4,678 answered\n" for done in (13, 23, 33)]


@pytest.mark.parametrize(("total", "seconds"), [(9, 1.0), (2000, 0.004), (1, 25.0)])
def test_a_short_one_says_nothing(total: int, seconds: float) -> None:
    assert lines(total, seconds) == []


def test_a_slow_device_is_told_of_at_its_first_answer() -> None:
    assert "about 60 s" in lines(3, 20.0, answers=1)[0]


@pytest.mark.parametrize(
    ("seconds", "text"), [(45.2, "45 s"), (4678, "78 min"), (3.5 * 3600, "3.5 h")]
)
def test_a_duration_is_said_in_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
