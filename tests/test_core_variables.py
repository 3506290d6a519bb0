"""Recipe variables (EDGE-CORE 4)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.variables import Subject, Variables, fill, fill_text

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
