"""The line of a magic: expanded as IPython does it, JSON left alone."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.notebook.expansion import expand

CONF = {"com.example.Hello": {"MERGE": {"Name": "it's x"}}}
TEXT = '{"a": {"MERGE": {"b": "c d"}}}'
VALUES = {"conf": CONF, "text": TEXT, "thing": "pi", "rows": {1: 2}, "odd": {"a": object()}}


def words(line: str) -> list[str]:
    done = expand(line, VALUES)
    return [done.whole(word) for word in shlex.split(done.line)]


@pytest.mark.parametrize("written", ["{conf}", "'{conf}'", '"{conf}"', "$conf", "{dict(conf)}"])
def test_a_dict_is_its_json_as_one_word(written: str) -> None:
    first, last = words(f"--configuration {written}")
    assert first == "--configuration"
    assert json.loads(last) == CONF
    (word,) = words(f"--configuration={written}")
    assert json.loads(word.removeprefix("--configuration=")) == CONF


@pytest.mark.parametrize("written", ["{text}", "'{text}'", '"{text}"', "$text"])
def test_json_text_of_a_variable_is_one_word(written: str) -> None:
    assert words(f"--configuration {written}") == ["--configuration", TEXT]


def test_quoted_json_stays_and_the_rest_of_the_line_is_expanded() -> None:
    assert words(f"--thing $thing --configuration '{TEXT}' x{{thing}}") == [
        "--thing", "pi", "--configuration", TEXT, "xpi"
    ]  # fmt: skip
    escaped = TEXT.replace('"', '\\"')
    assert words(f'--configuration "{escaped}"') == ["--configuration", TEXT]
    assert words("--configuration '{}' --thing {thing}") == ["--configuration", "{}", "--thing",
                                                             "pi"]  # fmt: skip
    assert words("""'{"$thing": "{thing}"}'""") == ['{"$thing": "{thing}"}']


def test_all_else_is_expanded_as_ipython_does() -> None:
    assert expand("thing/{thing} '{thing}' {thing.upper()} $$thing", VALUES).line == (
        "thing/pi 'pi' PI $thing"
    )
    # what has no value leaves the whole line as it is
    assert expand("{thing} {nothing}", VALUES).line == "{thing} {nothing}"
    assert expand("it\\'s {thing}", VALUES).line == "it\\'s pi"
    assert expand("{odd}", VALUES).line.startswith("{'a': <object")
    assert expand("'{\"a\": }'", VALUES).line == "'{\"a\": }'"
    assert expand("x 'stray {thing}", VALUES).line == "x 'stray pi"
    assert expand("\ue0007\ue001", VALUES).whole("\ue0007\ue001") == "\ue0007\ue001"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=3))
def test_any_json_object_comes_through_quoted_or_as_a_value(value: dict[str, object]) -> None:
    for line, values in (
        (f"a {shlex.quote(json.dumps(value))} b", {}),
        ("a '{value}' b", {"value": value}),
        ("a {value} b", {"value": json.dumps(value)}),
    ):
        done = expand(line, values)
        first, word, last = (done.whole(each) for each in shlex.split(done.line))
        assert (first, json.loads(word), last) == ("a", value, "b")
