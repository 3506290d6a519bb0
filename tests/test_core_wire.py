"""Frames: whole or refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import pytest
from awscrt.eventstream import Header
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import wire
from ggml_magic.core.wire import (
    Envelope,
    Frame,
    FrameError,
    Message,
    MessageType,
    Splitter,
)

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.binary(max_size=300),
    st.text(max_size=60),
)
FRAMES = st.builds(
    Frame, st.dictionaries(st.text(min_size=1, max_size=40), VALUES, max_size=6), st.binary()
)


PLAIN = Frame({":message-type": 0, ":message-flags": 2, ":stream-id": 1, "operation": "a#B"}, b"{}")


def sealed(headers: bytes, payload: bytes = b"") -> bytes:
    """A frame with right checksums around any header bytes."""
    prelude = struct.pack(">II", wire.OVERHEAD + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


def split(pieces: Iterable[bytes], splitter: Splitter | None = None) -> list[Message]:
    """All messages of bytes that come in pieces."""
    splitter = Splitter() if splitter is None else splitter
    messages = []
    for piece in pieces:
        splitter.feed(piece)
        while (message := splitter.next()) is not None:
            messages.append(message)
    assert not len(splitter)
    return messages


@settings(deadline=None)
@given(FRAMES)
def test_a_frame_comes_back_as_it_went(frame: Frame) -> None:
    assert wire.decode(wire.encode(frame)) == frame


@settings(deadline=None)
@given(FRAMES, st.data())
def test_no_changed_byte_goes_unnoticed(frame: Frame, data: st.DataObject) -> None:
    content = bytearray(wire.encode(frame))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError):
        wire.decode(bytes(content))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        frame = wire.decode(data)
    except FrameError:
        return
    assert wire.decode(wire.encode(frame)) == frame


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_header_bytes_under_right_checksums_are_read_or_refused(headers: bytes) -> None:
    prelude = struct.pack(">II", wire.OVERHEAD + len(headers), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers
    try:
        wire.decode(body + struct.pack(">I", zlib.crc32(body)))
    except FrameError:
        return


def test_the_bytes_are_those_of_the_protocol() -> None:
    frame = Frame({":message-type": 4, ":version": "0.1.0"}, b"{}")
    content = wire.encode(frame)
    assert struct.unpack(">II", content[:8]) == (len(content), len(content) - 16 - 2)
    assert content[12:].startswith(b"\x0d:message-type\x04\x00\x00\x00\x04")
    assert Header.from_string(":version", "0.1.0").value == wire.decode(content).text(":version")


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_of_any_size_come_back(number: int) -> None:
    assert wire.decode(wire.encode(Frame({"n": number}))).headers == {"n": number}


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\xff", -1),
        (3, b"\xff\xfe", -2),
        (4, b"\xff\xff\xff\xfd", -3),
        (5, b"\xff" * 7 + b"\xfc", -4),
        (6, b"\x00\x02\x00\xff", b"\x00\xff"),
        (7, b"\x00\x02\xc3\xa4", "\u00e4"),
        (8, b"\x00" * 7 + b"\x05", 5),
        (9, bytes(range(16)), bytes(range(16))),
    ],
)
def test_each_type_of_header_is_read_and_none_cut_off(
    kind: int, value: bytes, read: wire.Value
) -> None:
    content = header(b"x", kind, value)
    assert wire.decode(sealed(content + header(b"y", 0, b""))).headers == {"x": read, "y": True}
    for cut in range(1, len(value) + 1):
        with pytest.raises(FrameError, match="header"):
            wire.decode(sealed(content[:-cut]))
    assert wire.decode(wire.encode(Frame({"x": read}))).headers == {"x": read}


@pytest.mark.parametrize("kind", [10, 127, 255])
def test_other_types_of_header_are_refused(kind: int) -> None:
    with pytest.raises(FrameError, match="unknown"):
        wire.decode(sealed(header(b"x", kind, b"\x00" * 16)))


@settings(deadline=None)
@given(st.lists(FRAMES, max_size=4), st.data())
def test_bytes_may_be_cut_anywhere(frames: list[Frame], data: st.DataObject) -> None:
    content = b"".join(wire.encode(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert split(pieces) == [wire.message(frame) for frame in frames]


def test_bytes_may_come_one_by_one() -> None:
    content = wire.encode(PLAIN) * 3
    assert split(content[i : i + 1] for i in range(len(content))) == [wire.message(PLAIN)] * 3


@settings(deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_pieces_are_messages_or_refused(pieces: list[bytes]) -> None:
    splitter = Splitter()
    try:
        for piece in pieces:
            splitter.feed(piece)
            while splitter.next() is not None:
                pass
    except FrameError:
        return


HIDDEN = b"\x00\x10" + wire.STREAM_MARK
NUMBERS = st.binary(min_size=4, max_size=4)
# what the short way could take for the stream's number, and what must not be
TRICKS = st.one_of(
    st.builds(lambda value: header(b":stream-id", 4, value), NUMBERS),
    st.builds(
        lambda value: header(b"operation", 7, b"\x00\x10" + wire.STREAM_MARK + value), NUMBERS
    ),
    st.builds(lambda value: header(b":message-type", 4, value), NUMBERS),
    st.builds(lambda value: header(b":stream-id", 5, value + value), NUMBERS),
    st.just(header(b":stream-id", 0, b"")),
    st.just(header(b"operation", 7, b"\x00\x01a")),
    st.just(wire.STREAM_MARK),
    NUMBERS,
)


@settings(deadline=None, max_examples=400)
@given(st.lists(TRICKS, max_size=4), st.lists(NUMBERS, min_size=1, max_size=3), st.integers(0, 4))
def test_the_short_way_reads_what_the_long_way_reads(
    parts: list[bytes], numbers: list[bytes], cut: int
) -> None:
    content = b"".join(parts)
    at = content.find(wire.STREAM_MARK) + len(wire.STREAM_MARK)
    variants = [content]
    for number in numbers:
        variants.append(content[:at] + number + content[at + 4 :])
        variants.append(content[: at + cut])
    splitter = Splitter()
    for variant in variants:
        frame = sealed(variant, b"x")
        try:
            expected = wire.message(wire.decode(frame))
        except FrameError:
            with pytest.raises(FrameError):
                split([frame], splitter)
            splitter._data, splitter._place = b"", 0  # go on as if it had not come
            continue
        assert split([frame], splitter) == [expected]


def test_bytes_that_would_be_known_without_four_of_them_are_read_in_full() -> None:
    known = header(b"b", 0, b"") + header(b":stream-id", 4, b"")
    splitter = Splitter()
    split([sealed(known + b"\x00\x00\x00\x01")], splitter)
    assert list(splitter._heads) == [known]
    at = len(wire.STREAM_MARK) - 1  # where no mark is found
    with pytest.raises(FrameError):
        split([sealed(known[:at] + b"abc\x00" + known[at:])], splitter)


def test_known_headers_are_read_once_and_only_so_many_are_known() -> None:
    splitter = Splitter()
    frames = [Frame({**PLAIN.headers, ":stream-id": number}) for number in range(1, 100)]
    split(map(wire.encode, frames), splitter)
    assert len(splitter._heads) == 1
    frames = [Frame({**PLAIN.headers, "operation": f"a#{'x' * number}"}) for number in range(400)]
    split(map(wire.encode, frames), splitter)
    assert len(splitter._heads) == len(splitter._preludes) == wire.MOST_KNOWN
    assert all(len(key) <= wire.LONGEST_KNOWN for key in splitter._heads)


def test_what_was_handed_out_is_let_go() -> None:
    splitter = Splitter()
    large = wire.encode(Frame({}, bytes(100_000)))
    split([large[:10], large[10:]], splitter)
    splitter.feed(large + b"x")
    assert splitter.next() is not None
    assert splitter.next() is None
    assert len(splitter._data) == len(splitter) == 1


@given(st.sampled_from(MessageType), st.integers(0, 3), st.integers(0, 2**31 - 1), st.binary())
def test_an_envelope_makes_what_the_encoder_makes(
    kind: MessageType, flags: int, stream: int, payload: bytes
) -> None:
    envelope = Envelope(kind, flags, "a#Shape", "application/json")
    for _ in range(2):
        assert wire.decode(envelope.sealed(stream, payload)) == Frame(
            {
                ":message-type": kind, ":message-flags": flags, ":stream-id": stream,
                ":content-type": "application/json", "service-model-type": "a#Shape",
            },
            payload,
        )  # fmt: skip
    assert wire.decode(Envelope(kind).sealed(0)).headers == {
        ":message-type": kind, ":message-flags": 0, ":stream-id": 0,
    }  # fmt: skip


def test_an_envelope_remembers_only_so_many_sizes() -> None:
    envelope = Envelope(MessageType.APPLICATION_MESSAGE)
    for size in range(300):
        assert wire.decode(envelope.sealed(1, bytes(size))).payload == bytes(size)
    assert len(envelope._known) == wire.MOST_KNOWN


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    prelude = struct.pack(">II", 2_000, 0)
    splitter = Splitter(limit=1_000)
    splitter.feed(prelude + struct.pack(">I", zlib.crc32(prelude)))
    with pytest.raises(FrameError, match="2000 bytes are more than the 1000"):
        splitter.next()
    headers = struct.pack(">II", 200_000, wire.MAX_HEADERS + 1)
    splitter = Splitter()
    splitter.feed(headers + struct.pack(">I", zlib.crc32(headers)))
    with pytest.raises(FrameError):
        splitter.next()


def test_absent_and_wrong_kinds_of_header_read_as_nothing() -> None:
    frame = Frame({"number": "one", "text": 1})
    assert frame.number("number") == 0
    assert frame.text("text") == ""
    assert (frame.number("absent"), frame.text("absent")) == (0, "")
