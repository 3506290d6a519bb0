"""Frames of the event-stream protocol (EDGE-CORE 8, wire).

A frame is ``total u32 | headers u32 | crc32 of these 8 bytes | headers | payload | crc32 of all
before``; a header is ``u8 length, name, u8 type, value``. All numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

Value = bool | int | bytes | str

PRELUDE = struct.Struct(">III")
PROMISE = struct.Struct(">II")
CRC = struct.Struct(">I")
NUMBER = struct.Struct(">i")
OVERHEAD = PRELUDE.size + CRC.size
# The event-stream library's own limits, which the SDK keeps to.
MAX_HEADERS = 128 * 1024
MAX_FRAME = 24 * 1024 * 1024

TYPE_TRUE, TYPE_FALSE, TYPE_INT32, TYPE_INT64 = 0, 1, 4, 5
TYPE_BYTES, TYPE_STRING, TYPE_UUID = 6, 7, 9
INTEGERS = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    TYPE_INT32: NUMBER,
    TYPE_INT64: struct.Struct(">q"),
    8: struct.Struct(">q"),
}
LENGTH = struct.Struct(">H")
UUID_BYTES = 16

TYPE, FLAGS, STREAM = ":message-type", ":message-flags", ":stream-id"
VERSION, OPERATION, SHAPE = ":version", "operation", "service-model-type"
# A header as its bytes stand before its value.
STREAM_MARK = bytes([len(STREAM)]) + STREAM.encode() + bytes([TYPE_INT32])
# How many kinds of preludes, headers and sizes are remembered, and how long headers may be.
MOST_KNOWN = 64
LONGEST_KNOWN = 512


class FrameError(Exception):
    """Bytes that are no frame: wrong length, wrong checksum, unknown header type."""


class MessageType(IntEnum):
    """``:message-type``."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


CONNECTION_ACCEPTED = 1
TERMINATE_STREAM = 2
NO_HEADERS: Mapping[str, Value] = MappingProxyType({})


class Frame(NamedTuple):
    """Headers by name, and a payload."""

    headers: Mapping[str, Value] = NO_HEADERS
    payload: bytes = b""

    def number(self, name: str) -> int:
        """An integer header; 0 when it is absent or no number."""
        value = self.headers.get(name, 0)
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str:
        """A string header; empty when it is absent or no string."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


def encode(frame: Frame) -> bytes:
    """A frame as bytes. Integers are written as i32, and as i64 where that is too short."""
    headers = b"".join(_header(name, value) for name, value in frame.headers.items())
    body = b"".join((_prelude(len(headers), len(frame.payload)), headers, frame.payload))
    return body + CRC.pack(zlib.crc32(body))


def _prelude(headers: int, payload: int) -> bytes:
    promise = PROMISE.pack(OVERHEAD + headers + payload, headers)
    return promise + CRC.pack(zlib.crc32(promise))


def _header(name: str, value: Value) -> bytes:
    label = name.encode()
    head = bytes([len(label)]) + label
    if isinstance(value, bool):
        return head + bytes([TYPE_TRUE if value else TYPE_FALSE])
    if isinstance(value, int):
        kind = TYPE_INT32 if -(2**31) <= value < 2**31 else TYPE_INT64
        return head + bytes([kind]) + INTEGERS[kind].pack(value)
    content, kind = (value.encode(), TYPE_STRING) if isinstance(value, str) else (value, TYPE_BYTES)
    return head + bytes([kind]) + LENGTH.pack(len(content)) + content


class Envelope:
    """Frames whose headers differ in nothing but the stream's number, which stands last."""

    def __init__(
        self, kind: MessageType, flags: int = 0, shape: str = "", content_type: str = ""
    ) -> None:
        headers: dict[str, Value] = {TYPE: int(kind), FLAGS: flags}
        if content_type:
            headers[":content-type"] = content_type
        if shape:
            headers[SHAPE] = shape
        self._before = b"".join(_header(name, value) for name, value in headers.items())
        self._before += STREAM_MARK
        self._known: dict[int, tuple[bytes, int]] = {}

    def sealed(self, stream: int, payload: bytes = b"") -> bytes:
        """The frame of one stream as bytes."""
        start, crc = self._known.get(len(payload)) or self._start(len(payload))
        rest = NUMBER.pack(stream) + payload
        return start + rest + CRC.pack(zlib.crc32(rest, crc))

    def _start(self, payload: int) -> tuple[bytes, int]:
        """What stands before the stream's number, and its checksum."""
        start = _prelude(len(self._before) + NUMBER.size, payload) + self._before
        known = start, zlib.crc32(start)
        if len(self._known) < MOST_KNOWN:
            self._known[payload] = known
        return known


def decode(data: bytes) -> Frame:
    """The frame that exactly these bytes are; raises ``FrameError``."""
    if len(data) < OVERHEAD:
        raise FrameError("shorter than a frame can be")
    total, headers = lengths(data[: PRELUDE.size], MAX_FRAME)
    if total != len(data):
        raise FrameError(f"says {total} bytes and has {len(data)}")
    if CRC.unpack_from(data, total - CRC.size)[0] != zlib.crc32(data[: -CRC.size]):
        raise FrameError("its checksum is wrong")
    start = PRELUDE.size
    found = {name: value for name, value, _ in _scan(data[start : start + headers])}
    return Frame(found, data[start + headers : -CRC.size])


def lengths(prelude: bytes, limit: int) -> tuple[int, int]:
    """Total and header length that a prelude promises; raises ``FrameError``."""
    total, headers, crc = PRELUDE.unpack(prelude)
    if zlib.crc32(prelude[: PROMISE.size]) != crc:
        raise FrameError("the checksum of its prelude is wrong")
    if total > limit or headers > MAX_HEADERS:
        raise FrameError(f"{total} bytes are more than the {limit} allowed here")
    if OVERHEAD + headers > total:
        raise FrameError("its headers are longer than the frame")
    return total, headers


@dataclass(frozen=True)
class Head:
    """What the headers of a message say, beside its stream; empty and 0 where they do not."""

    kind: int
    flags: int
    operation: str
    shape: str
    version: str


class Message(NamedTuple):
    """A frame as the protocol reads it."""

    head: Head
    stream: int
    payload: bytes


def message(frame: Frame) -> Message:
    """What a frame says."""
    texts = (frame.text(name) for name in (OPERATION, SHAPE, VERSION))
    head = Head(frame.number(TYPE), frame.number(FLAGS), *texts)
    return Message(head, frame.number(STREAM), frame.payload)


class Splitter:
    """Bytes as they come, cut into messages. After a ``FrameError`` it is of no more use.

    ``limit`` is the longest frame in bytes; it may grow between frames. Preludes and headers
    that came before are known again, so that they are checked and read only once.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._data: bytes | bytearray = b""
        self._place = 0
        self._preludes: dict[bytes, tuple[int, int, int]] = {}
        self._heads: dict[bytes, tuple[int, Head]] = {}

    def __len__(self) -> int:
        """How many bytes wait."""
        return len(self._data) - self._place

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if not self._data:
            self._data = data
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)
        self._data += data

    def next(self) -> Message | None:
        """The next whole message, ``None`` until there is one; raises ``FrameError``."""
        data, place = self._data, self._place
        start = place + PRELUDE.size
        if len(data) < start:
            self._trim()
            return None
        prelude = bytes(data[place:start])
        total, size, crc = self._preludes.get(prelude) or self._promised(prelude)
        end = place + total
        if len(data) < end:
            self._trim()
            return None
        middle, last = start + size, end - CRC.size
        headers, payload = bytes(data[start:middle]), bytes(data[middle:last])
        if CRC.unpack_from(data, last)[0] != zlib.crc32(payload, zlib.crc32(headers, crc)):
            raise FrameError("its checksum is wrong")
        if end == len(data):
            self._data, self._place = b"", 0
        else:
            self._place = end
        at = headers.find(STREAM_MARK) + len(STREAM_MARK)
        known = self._heads.get(headers[:at] + headers[at + NUMBER.size :])
        # the same bytes before and after the number; were it cut off, they would be as many less
        if known is None or known[0] != at or at + NUMBER.size > size:
            return self._learnt(headers, at, payload)
        return Message(known[1], NUMBER.unpack_from(headers, at)[0], payload)

    def _trim(self) -> None:
        """Let go what was handed out."""
        if self._place:
            self._data, self._place = bytearray(self._data[self._place :]), 0

    def _promised(self, prelude: bytes) -> tuple[int, int, int]:
        """Total and header length that a prelude promises, and its checksum."""
        total, headers = lengths(prelude, self.limit)
        promised = total, headers, zlib.crc32(prelude)
        if len(self._preludes) < MOST_KNOWN:
            self._preludes[prelude] = promised
        return promised

    def _learnt(self, headers: bytes, at: int, payload: bytes) -> Message:
        """Headers read one by one, and remembered where ``at`` is the place of the stream's."""
        found = list(_scan(headers))
        said = message(Frame({name: value for name, value, _ in found}, payload))
        streams = [place for name, _, place in found if name == STREAM]
        # the mark may also stand within a value; then such headers are always read one by one
        if streams == [at] and len(headers) <= LONGEST_KNOWN and len(self._heads) < MOST_KNOWN:
            self._heads[headers[:at] + headers[at + NUMBER.size :]] = at, said.head
        return said


def _scan(data: bytes) -> Iterator[tuple[str, Value, int]]:
    """Each header's name, value, and where its value begins."""
    place = 0
    try:
        while place < len(data):
            end = place + 1 + data[place]
            name, start = data[place + 1 : end].decode(), end + 1
            value, place = _value(data, data[end], start)
            yield name, value, start
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FrameError(f"a header cannot be read: {error}") from None


def _value(data: bytes, kind: int, place: int) -> tuple[Value, int]:
    if kind in (TYPE_TRUE, TYPE_FALSE):
        return kind == TYPE_TRUE, place
    if kind in INTEGERS:
        number: int = INTEGERS[kind].unpack_from(data, place)[0]
        return number, place + INTEGERS[kind].size
    if kind in (TYPE_BYTES, TYPE_STRING):
        (size,) = LENGTH.unpack_from(data, place)
        place += LENGTH.size
    elif kind == TYPE_UUID:
        size = UUID_BYTES
    else:
        raise FrameError(f"header type {kind} is unknown")
    content = data[place : place + size]
    if len(content) != size:
        raise FrameError("a header is cut off")
    return content.decode() if kind == TYPE_STRING else content, place + size
