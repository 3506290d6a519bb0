"""Targets are read strictly, and one that does not exist says what does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.deploy.target import NAME, Target, missing, parse
from ggml_magic.errors import GrammarError

names = st.from_regex(NAME, fullmatch=True)


@given(st.sampled_from(["thing", "thinggroup"]), names)
@settings(deadline=None)
def test_a_target_is_read_as_it_is_shown(kind: str, name: str) -> None:
    target = parse(f"{kind}/{name}")
    assert (target.kind, target.name) == (kind, name)
    assert parse(str(target)) == target


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("weather-pi", "--to thing/weather-pi"),
        ("device/weather-pi", "--to thing/NAME"),
        ("", "--to thing/NAME"),
        ("thing/", "--to thing/NAME"),
        ("thinggroup/a b", "--to thinggroup/NAME"),
        ("thing/a/b", "--to thing/NAME"),
        (f"thing/{'x' * 129}", "--to thing/NAME"),
        ("Thing/pi", "--to thing/NAME"),
    ],
)
def test_anything_else_is_refused_with_the_right_spelling(text: str, remedy: str) -> None:
    with pytest.raises(GrammarError, match="is not a target") as failed:
        parse(text)
    assert failed.value.remedy == remedy


def test_a_missing_thing_says_what_there_is_and_how_to_make_it() -> None:
    error = missing("sandbox", Target("thing", "pi"), ("other",), ("all",))
    assert error.what == "there is no thing pi on sandbox"
    assert error.why == "there is thing/other, thinggroup/all"
    assert error.remedy == "%ggml sandbox core pi"


def test_a_missing_group_on_aws_does_not_name_the_sandbox() -> None:
    error = missing("aws", Target("thinggroup", "all"), (), ())
    assert error.what == "there is no thing group all on aws"
    assert "sandbox" not in str(error)
    assert error.remedy == "aws iot create-thing-group --thing-group-name all"


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        (Target("thing", "hous-pi"), "--to thing/house-pi"),
        (Target("thinggroup", "roof"), "--to thinggroup/roofs"),
        (Target("thing", "roofs"), "--to thinggroup/roofs"),
        (Target("thinggroup", "house-pi"), "--to thing/house-pi"),
        (
            Target("thinggroup", "new"),
            "aws iot create-thing-group --thing-group-name new, "
            "after the exports of %ggml sandbox env",
        ),
        (Target("thing", "new"), "%ggml sandbox core new"),
    ],
)
def test_what_was_nearly_named_is_meant_and_a_group_is_no_core(target: Target, remedy: str) -> None:
    error = missing("sandbox", target, ("house-pi",), ("roofs",))
    assert error.why == "there is thing/house-pi, thinggroup/roofs"
    assert error.remedy == remedy
