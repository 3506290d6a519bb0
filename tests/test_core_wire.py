"""Frames: whole or refused."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest
from awscrt.eventstream import Header
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import wire
from ggml_magic.core.wire import Frame, FrameError

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.binary(max_size=300),
    st.text(max_size=60),
)
FRAMES = st.builds(
    Frame, st.dictionaries(st.text(min_size=1, max_size=40), VALUES, max_size=6), st.binary()
)


async def read_all(data: bytes, limit: int = wire.MAX_FRAME) -> list[Frame]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frames = []
    while (frame := await wire.read(reader, limit)) is not None:
        frames.append(frame)
    return frames


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


def test_a_stream_of_frames_ends_where_it_ends() -> None:
    frames = [Frame({"a": 1}, b"x"), Frame({}, b"")]
    data = b"".join(wire.encode(frame) for frame in frames)
    assert asyncio.run(read_all(data)) == frames
    for cut in (len(data) - 1, 5, 20):
        with pytest.raises(FrameError, match="within a frame"):
            asyncio.run(read_all(data[:cut]))


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    prelude = struct.pack(">II", 2_000, 0)
    with pytest.raises(FrameError, match="2000 bytes are more than the 1000"):
        asyncio.run(read_all(prelude + struct.pack(">I", zlib.crc32(prelude)), limit=1_000))


def test_absent_and_wrong_kinds_of_header_read_as_nothing() -> None:
    frame = Frame({"number": "one", "text": 1})
    assert frame.number("number") == 0
    assert frame.text("text") == ""
    assert (frame.number("absent"), frame.text("absent")) == (0, "")
