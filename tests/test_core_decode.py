"""A recipe's text as plain values (EDGE-CORE 1)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core.decode import DEEPEST, LARGEST_TEXT_BYTES, RecipeError, decode

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)


@settings(deadline=None)
@given(DOCUMENTS)
def test_json_comes_back_as_it_was(document: dict[str, Any]) -> None:
    found = decode(json.dumps(document).encode())
    assert (found.document, found.kind) == (document, "json")


@settings(deadline=None)
@given(st.dictionaries(st.text("abXY", min_size=1), VALUES, min_size=1, max_size=4))
def test_a_quoted_yaml_text_stays_text(document: dict[str, Any]) -> None:
    texts = json.loads(json.dumps(document), parse_int=str, parse_float=str)
    written = yaml.safe_dump(texts, default_style='"', default_flow_style=False)
    if "!!" not in written:  # nulls and booleans carry a tag then
        assert decode(written).document == texts


def test_yaml_keeps_the_types_that_json_has_and_no_others() -> None:
    text = """
    RecipeFormatVersion: 2020-01-25
    ComponentVersion: 1.0.0
    number: 900
    real: 1.5
    small: 1e-3
    version: 1.10
    yes: yes
    on: on
    true: true
    null: ~
    empty:
    quoted: "900"
    octal: 010
    hour: 1:30
    infinite: .inf
    block: |
      echo hi
    list: [1, a]
    1: one
    """
    assert decode(text) .document == {
        "RecipeFormatVersion": "2020-01-25", "ComponentVersion": "1.0.0", "number": 900,
        "real": 1.5, "small": 1e-3, "version": 1.1, "yes": "yes", "on": "on", "true": True,
        "null": None, "empty": None, "quoted": "900", "octal": "010", "hour": "1:30",
        "infinite": ".inf", "block": "echo hi\n", "list": [1, "a"], "1": "one",
    }  # fmt: skip
    assert decode(text).kind == "yaml"


def test_a_byte_order_mark_is_no_content() -> None:
    assert decode(b'\xef\xbb\xbf{"a": 1}').document == {"a": 1}


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "aliases"),
        ("a: &x 1\nb: *x", "aliases"),
        ("{" + '"a":{' * DEEPEST * 2 + "}" * (DEEPEST * 2 + 1), "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ("a: " + "[" * DEEPEST * 2 + "]" * DEEPEST * 2, "nested deeper"),
        ('{"a": "' + "x" * LARGEST_TEXT_BYTES + '"}', "bytes; more than"),
        ("a: !!python/object/apply:os.system [echo]", "neither JSON nor YAML"),
        ("a: !!binary aGk=", "neither JSON nor YAML"),
        ("a: !!set {x}", "neither JSON nor YAML"),
        ("? [a, b]\n: c", "neither JSON nor YAML"),
        ("a: 1\n b: 2\n", "neither JSON nor YAML"),
        ("a: 1\n---\nb: 2", "neither JSON nor YAML"),
        ('{"a": NaN', "no JSON"),
        ('{"a": 1,,}', "no JSON"),
        ("[]", "no object"),
        ("", "no object"),
        ("text", "no object"),
    ],
)
def test_what_is_no_recipe_is_refused(text: str, why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        decode(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: [\n", "line 3, column 1: expected the node content, but found the end"),
        ("a: 1\n b: 2\n", "line 2, column 3: mapping values are not allowed here"),
        ("a: 1\nb: x\x01", "line 2, column 5: a character that YAML does not have, U+0001"),
        ("a: !!binary aGk=", "tag:yaml.org,2002:binary is not JSON"),
    ],
)
def test_what_yaml_s_parser_says_is_one_sentence_with_the_place(text: str, why: str) -> None:
    with pytest.raises(RecipeError) as caught:
        decode(text)
    assert str(caught.value) == f"the recipe is neither JSON nor YAML: {why}"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(RecipeError, match="UTF-8"):
        decode(b"\xff\xfe{}")


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.binary(max_size=60), st.text("{}[]:,-&*!|>?#'\"%@`~ \nab1.", max_size=40)))
def test_anything_is_read_or_refused(content: bytes | str) -> None:
    try:
        found = decode(content)
    except RecipeError:
        return
    json.dumps(found.document, allow_nan=False)


@pytest.mark.real
def test_json_needs_no_yaml() -> None:
    code = (
        "import sys; from ggml_magic.core import recipe, resolve, artifacts, dialects, nucleus\n"
        "from ggml_magic.core.decode import decode; decode('{}')\n"
        "heavy = {'yaml', 'boto3', 'numpy'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
