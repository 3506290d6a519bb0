"""What a message may hold, and what it may cost."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.core import payload
from ggml_magic.core.payload import PayloadError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False).filter(
        lambda number: abs(number) != float("inf")
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_an_object_comes_back_without_spaces(value: dict[str, object]) -> None:
    content = payload.write(value)
    assert payload.read(content) == value
    assert content == json.dumps(value, separators=(",", ":")).encode()


@given(st.binary(max_size=80))
def test_any_bytes_are_an_object_or_refused(content: bytes) -> None:
    try:
        assert isinstance(payload.read(content), dict)
    except PayloadError:
        return


def test_nothing_is_the_empty_object() -> None:
    assert payload.read(b"") == {}


@pytest.mark.parametrize("content", [b"[]", b"1", b"null", b"{", b"\xff", b"{} {}", b'{"a":NaN}',
                                     b'{"a":-Infinity}', b'{"a":' + b"9" * 5000])  # fmt: skip
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(PayloadError):
        payload.read(content)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"v":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"

    payload.read(nested(payload.MOST_DEPTH))
    for depth in (payload.MOST_DEPTH + 1, 5_000, 4_000_000):
        with pytest.raises(PayloadError):
            payload.read(nested(depth))


def test_many_brackets_in_a_text_are_no_depth() -> None:
    value = {"text": "[{" * 1_000, "list": [[]] * 1_000}
    assert payload.read(payload.write(value)) == value


@pytest.mark.parametrize("item", [b"[]", b"{}", b"0", b'""'])
def test_parts_are_counted_before_they_are_made(item: bytes) -> None:
    def many(count: int) -> bytes:
        return b'{"a":[' + b",".join([item] * count) + b"]}"

    begin = time.process_time()
    with pytest.raises(PayloadError, match="more than 500000 objects, lists and items"):
        payload.read(many(6_000_000))
    assert time.process_time() - begin < 1.0
    assert payload.read(many(200_000))


def test_several_megabytes_are_read() -> None:
    value = {"message": {"text": "x" * 5_000_000, "numbers": list(range(400_000))}}
    assert payload.read(payload.write(value)) == value
