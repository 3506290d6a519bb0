"""Frames of the event-stream protocol (EDGE-CORE 8, wire).

A frame is ``total u32 | headers u32 | crc32 of these 8 bytes | headers | payload | crc32 of all
before``; a header is ``u8 length, name, u8 type, value``. All numbers are big-endian.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

Value = bool | int | bytes | str

PRELUDE = struct.Struct(">III")
CRC = struct.Struct(">I")
OVERHEAD = PRELUDE.size + CRC.size
# The event-stream library's own limits, which the SDK keeps to.
MAX_HEADERS = 128 * 1024
MAX_FRAME = 24 * 1024 * 1024

TYPE_TRUE, TYPE_FALSE, TYPE_INT32, TYPE_BYTES, TYPE_STRING, TYPE_UUID = 0, 1, 4, 6, 7, 9
INTEGERS = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),
}
LENGTH = struct.Struct(">H")
UUID_BYTES = 16


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


@dataclass(frozen=True)
class Frame:
    """Headers by name, and a payload."""

    headers: Mapping[str, Value] = field(default_factory=dict)
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
    """A frame as bytes. Integers are written as i32."""
    headers = b"".join(_header(name, value) for name, value in frame.headers.items())
    prelude = struct.pack(">II", OVERHEAD + len(headers) + len(frame.payload), len(headers))
    body = b"".join((prelude, CRC.pack(zlib.crc32(prelude)), headers, frame.payload))
    return body + CRC.pack(zlib.crc32(body))


def _header(name: str, value: Value) -> bytes:
    label = name.encode()
    head = bytes([len(label)]) + label
    if isinstance(value, bool):
        return head + bytes([TYPE_TRUE if value else TYPE_FALSE])
    if isinstance(value, int):
        return head + bytes([TYPE_INT32]) + INTEGERS[TYPE_INT32].pack(value)
    content, kind = (value.encode(), TYPE_STRING) if isinstance(value, str) else (value, TYPE_BYTES)
    return head + bytes([kind]) + LENGTH.pack(len(content)) + content


def decode(data: bytes) -> Frame:
    """The frame that exactly these bytes are; raises ``FrameError``."""
    if len(data) < OVERHEAD:
        raise FrameError("shorter than a frame can be")
    total, headers = lengths(data[: PRELUDE.size], MAX_FRAME)
    if total != len(data):
        raise FrameError(f"says {total} bytes and has {len(data)}")
    (crc,) = CRC.unpack(data[-CRC.size :])
    if zlib.crc32(data[: -CRC.size]) != crc:
        raise FrameError("its checksum is wrong")
    start = PRELUDE.size
    return Frame(_headers(data[start : start + headers]), data[start + headers : -CRC.size])


def lengths(prelude: bytes, limit: int) -> tuple[int, int]:
    """Total and header length that a prelude promises; raises ``FrameError``."""
    total, headers, crc = PRELUDE.unpack(prelude)
    if zlib.crc32(prelude[:8]) != crc:
        raise FrameError("the checksum of its prelude is wrong")
    if total > limit or headers > MAX_HEADERS:
        raise FrameError(f"{total} bytes are more than the {limit} allowed here")
    if OVERHEAD + headers > total:
        raise FrameError("its headers are longer than the frame")
    return total, headers


def _headers(data: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    place = 0
    try:
        while place < len(data):
            end = place + 1 + data[place]
            name = data[place + 1 : end].decode()
            headers[name], place = _value(data, data[end], end + 1)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FrameError(f"a header cannot be read: {error}") from None
    return headers


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


async def read(reader: asyncio.StreamReader, limit: int = MAX_FRAME) -> Frame | None:
    """The next frame, or ``None`` at the end; raises ``FrameError``. ``limit`` is in bytes."""
    try:
        prelude = await reader.readexactly(PRELUDE.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FrameError("the connection ended within a frame") from None
        return None
    total, _ = lengths(prelude, limit)
    try:
        rest = await reader.readexactly(total - PRELUDE.size)
    except asyncio.IncompleteReadError:
        raise FrameError("the connection ended within a frame") from None
    return decode(prelude + rest)
