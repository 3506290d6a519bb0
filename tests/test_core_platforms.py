"""Platforms and their matching (EDGE-CORE 1)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core.decode import RecipeError
from ggml_magic.core.platforms import device_platform, dialect_of, matches, never_on_lite, text

LINUX = {"os": "linux", "architecture": "amd64"}
PI = {"os": "linux", "architecture": "arm", "architecture.detail": "armv7l"}
LITE = {**LINUX, "runtime": "aws_nucleus_lite"}


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"os": "linux", "architecture": "amd64"}, True),
        ({"os": "linux", "architecture": "arm"}, False),
        ({"os": "all", "architecture": "any"}, True),
        ({"os": "any", "architecture": "all"}, True),
        ({"os": "windows"}, False),
        ({"os": "Linux"}, False),
        ({"os": "*"}, True),
        ({"os": "/linux|darwin/"}, True),
        ({"os": "/lin.*/"}, True),
        ({"os": "/lin/"}, False),
        ({"os": "/"}, False),
        ({"os": "-linux"}, False),
        ({"os": ""}, False),
        ({"os": "_linux"}, False),
        ({"runtime": "*"}, True),
        ({"runtime": None}, True),
        ({"runtime": "/.*/"}, False),
        ({"runtime": "aws_nucleus_lite"}, False),
        ({"own": "all"}, False),
        ({"architecture.detail": "armv7l"}, False),
    ],
)
def test_a_classic_core(wanted: dict[str, object], fits: bool) -> None:
    assert matches(wanted, LINUX) is fits


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, False),
        ({"os": "linux"}, False),
        ({"os": "linux", "runtime": "*"}, True),
        ({"runtime": "aws_nucleus_lite"}, True),
        ({"runtime": None}, False),
        ({"runtime": "/.*/"}, False),
        ({"runtime": "*", "os": "/linux/"}, False),
        ({"runtime": "*", "architecture": "arm"}, False),
    ],
)
def test_a_lite_core_needs_its_runtime_named_and_no_patterns(
    wanted: dict[str, object], fits: bool
) -> None:
    assert matches(wanted, LITE) is fits


def test_details_and_own_keys() -> None:
    assert matches({"architecture.detail": "/armv[67]l/"}, PI)
    own = device_platform({"site": "roof", "fast": True, "none": None})
    assert matches({"site": "roof"}, own)
    assert matches({"fast": True}, own)
    assert "none" not in own


def test_a_value_that_begins_with_no_letter_never_equals() -> None:
    assert not matches({"site": "-roof"}, {"site": "-roof"})
    assert not matches({"site": "ärger"}, {"site": "ärger"})


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["os", "architecture", "x"]),
        st.one_of(st.none(), st.sampled_from(["linux", "amd64", "*", "all", "any", "other"])),
    )
)
def test_more_entries_never_fit_more(wanted: dict[str, object]) -> None:
    parts = [matches({key: value}, LINUX) for key, value in wanted.items()]
    assert matches(wanted, LINUX) is all(parts)


@settings(deadline=None)
@given(st.text("linux|.*()+", max_size=8))
def test_a_pattern_fits_whole_or_is_named(pattern: str) -> None:
    try:
        wanted = re.fullmatch(pattern, "linux") is not None
    except re.error:
        with pytest.raises(RecipeError, match="Platform os"):
            matches({"os": f"/{pattern}/"}, LINUX)
        return
    assert matches({"os": f"/{pattern}/"}, LINUX) is wanted


def test_this_device_is_described_without_a_runtime_but_a_lite_one_with() -> None:
    found = device_platform()
    assert found["os"] in ("linux", "darwin")
    assert "runtime" not in found
    assert found["architecture"] != "x86_64"
    assert ("architecture.detail" in found) is found["architecture"].startswith(("arm", "aarch"))
    lite = device_platform(dialect="lite")
    assert lite == {**found, "runtime": "aws_nucleus_lite"}
    assert (dialect_of(found), dialect_of(lite)) == ("classic", "lite")


def test_an_override_replaces_and_adds() -> None:
    found = device_platform({"os": "windows", "site": 7})
    assert (found["os"], found["site"]) == ("windows", "7")


def test_scalars_are_said_as_the_nucleus_says_them() -> None:
    assert [text(value) for value in (True, False, None, 3, 1.5, "x")] == [
        "true", "false", "", "3", "1.5", "x"
    ]  # fmt: skip


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "runtime": st.sampled_from(["*", "aws_nucleus_lite", "other", None, "/.*/"]),
            "os": st.sampled_from(["linux", "*", "any", None, "windows", "/linux/"]),
        },
    )
)
def test_there_is_a_reason_for_what_nucleus_lite_never_chooses(wanted: dict[str, object]) -> None:
    assert matches(wanted, LITE) is not any(never_on_lite(wanted))
