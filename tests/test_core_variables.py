"""Recipe variables (EDGE-CORE 4)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.variables import (
    Subject,
    Variables,
    fill,
    fill_configuration,
    fill_text,
    interpolates,
)

ROOT = Path("/gg")


def subject(name: str, version: str, **configuration: object) -> Subject:
    tree = Tree()
    tree.merge((), configuration, 1)
    return Subject(name, version, tree)


OWN = subject(
    "own",
    "1.0.0",
    text="t",
    number=3,
    real=3.0,
    yes=True,
    nothing=None,
    map={"b": [1, 2], "a": "x"},
    recursive="{iot:thingName}",
    list=[{"deep": "y"}],
)
OTHER = subject("other.dep", "2.0.0", text="theirs")
VARIABLES = Variables(Layout(ROOT), "pi", OWN, {"other.dep": OTHER})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{artifacts:path}/x", "/gg/packages/artifacts/own/1.0.0/x"),
        ("{artifacts:decompressedPath}", "/gg/packages/artifacts-unarchived/own/1.0.0"),
        ("{work:path}", "/gg/work/own"),
        ("{kernel:rootPath} {iot:thingName}", "/gg pi"),
        ("{configuration:/text}{configuration:/text}", "tt"),
        ("{configuration:/number} {configuration:/real}", "3 3.0"),
        ("{configuration:/yes} {configuration:/nothing}", "true null"),
        ("{configuration:/map}", '{"a":"x","b":[1,2]}'),
        ("{configuration:/MAP/A}", "x"),
        ("{configuration:/map/b/1} {configuration:/list/0/deep}", "2 y"),
        ("{configuration:/list/0}", '{"deep":"y"}'),
        ("{other.dep:configuration:/text}", "theirs"),
        (
            "{other.dep:artifacts:decompressedPath}/m",
            "/gg/packages/artifacts-unarchived/other.dep/2.0.0/m",
        ),
        ("{configuration:/recursive}", "{iot:thingName}"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    assert fill_text(text, VARIABLES, lambda left: pytest.fail(left)) == filled


@pytest.mark.parametrize(
    "text",
    [
        "{configuration:/absent}",
        "{configuration:no-slash}",
        "{configuration:/list/1}",
        "{configuration:/list/-}",
        "{configuration:/list/00}",
        "{configuration:/list/0/none}",
        "{configuration:/list/0/deep/x}",
        "{configuration:/text/0}",
        "{unknown:path}",
        "{artifacts:paths}",
        "{stranger:configuration:/text}",
        "{stranger:work:path}",
    ],
)
def test_what_cannot_be_filled_in_stays_and_is_told(text: str) -> None:
    told: list[str] = []
    assert fill_text(f"a {text} b", VARIABLES, told.append) == f"a {text} b"
    assert told == [text]


@settings(deadline=None)
@given(st.text(alphabet="{}:abc/$ \"'\n", max_size=60))
def test_text_without_variables_is_not_touched(text: str) -> None:
    assert fill_text(text, VARIABLES, lambda left: None) == text


def test_values_of_any_depth_are_filled_and_keys_are_not() -> None:
    written = {
        "{iot:thingName}": {"Script": "echo {iot:thingName}", "Timeout": 5},
        "list": ["{kernel:rootPath}", None, True],
    }
    assert fill(written, VARIABLES, pytest.fail) == {
        "{iot:thingName}": {"Script": "echo pi", "Timeout": 5},
        "list": ["/gg", None, True],
    }


PIECES = st.sampled_from(
    [
        "{configuration:/text}", "{configuration:/none}", "{other.dep:configuration:/text}",
        "{foreign:work:path}", "{iot:thingName}", "{artifacts:nothing}", "${HOME}", "{}", "{a}",
        "{a:b:c:d}", "{work:path", "plain", "\n", "{{iot:thingName}}", "{configuration:bad}",
        "{configuration:/recursive}", "{configuration:/tail}:work:path}",
    ]
)  # fmt: skip


def expected(piece: str) -> str:
    """What each piece becomes, written down by hand."""
    return {
        "{configuration:/text}": "t", "{other.dep:configuration:/text}": "theirs",
        "{iot:thingName}": "pi", "{{iot:thingName}}": "{pi}",
        "{configuration:/recursive}": "{iot:thingName}",
    }.get(piece, piece)  # fmt: skip


@settings(deadline=None)
@given(st.lists(PIECES, max_size=6))
def test_only_what_has_a_meaning_changes_and_all_else_stays_byte_for_byte(
    pieces: list[str],
) -> None:
    # a line between them, so that two pieces never make a third
    left: list[str] = []
    text = "\n".join(pieces)
    assert fill_text(text, VARIABLES, left.append) == "\n".join(map(expected, pieces))
    assert all(placeholder in text for placeholder in left)


def test_the_own_pass_comes_first_and_its_text_is_seen_by_the_pass_for_others() -> None:
    own = subject("own", "1.0.0", dep="{other.dep:configuration:/text}", own="{iot:thingName}")
    other = subject("other.dep", "2.0.0", text="{iot:thingName}")
    variables = Variables(Layout(ROOT), "pi", own, {"other.dep": other})
    assert fill_text("{configuration:/dep}", variables, pytest.fail) == "{iot:thingName}"
    # in the same pass nothing is looked at again
    assert fill_text("{configuration:/own}", variables, pytest.fail) == "{iot:thingName}"


def test_in_a_configuration_only_what_is_the_systems_is_filled_in() -> None:
    left: list[str] = []
    written = {
        "{work:path}": ["{work:path}/x", 3, None],
        "deep": {"a": "{configuration:/text} {iot:thingName} {other.dep:artifacts:path}"},
    }
    filled = fill_configuration(written, VARIABLES, left.append)
    assert filled == {
        "{work:path}": ["/gg/work/own/x", 3, None],
        "deep": {"a": "{configuration:/text} pi /gg/packages/artifacts/other.dep/2.0.0"},
    }
    assert left == ["{configuration:/text}"]


@pytest.mark.parametrize(
    ("nucleus", "wanted"),
    [
        ({}, False), ({"interpolateComponentConfiguration": True}, True),
        ({"INTERPOLATEcomponentconfiguration": "true"}, True),
        ({"interpolateComponentConfiguration": "no"}, False),
    ],
)  # fmt: skip
def test_the_nucleus_says_whether(nucleus: dict[str, object], wanted: bool) -> None:
    assert interpolates(nucleus) is wanted


def test_lites_folders_end_with_a_slash() -> None:
    lite = Variables(Layout(ROOT), "pi", OWN, {}, "lite")
    text = "{work:path} {artifacts:path} {artifacts:decompressedPath} {kernel:rootPath}"
    assert fill_text(text, lite, pytest.fail) == (
        "/gg/work/own/ /gg/packages/artifacts/own/1.0.0/ "
        "/gg/packages/artifacts-unarchived/own/1.0.0/ /gg"
    )


def test_json_in_a_text_is_compact_sorted_and_in_its_own_letters() -> None:
    variables = Variables(Layout(ROOT), "pi", subject("own", "1.0.0", b={"ü": 1, "a": [True]}))
    assert fill_text("{configuration:/b}", variables, pytest.fail) == '{"a":[true],"ü":1}'
    assert fill_text("{configuration:}", variables, pytest.fail) == '{"b":{"a":[true],"ü":1}}'
