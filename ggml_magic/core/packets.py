"""MQTT 3.1.1's packets, as far as IoT Core speaks it: QoS 0 and 1, no retained messages.

The core, a notebook and the sandbox's door all read and write them here. A client library would
cost each of fifty cores 5 MB; these are a hundred lines.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

PROTOCOL = "MQTT"
LEVEL = 4
CLEAN_SESSION = 0x02
USER_NAME = 0x80
# What the protocol wants in the lower half of these packets' first byte.
RESERVED_FLAGS = 0x02
ACCEPTED = 0
REFUSED_FILTER = 0x80
RETAIN, QOS_SHIFT, QOS_MASK = 0x01, 1, 0x03
AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1
LENGTH_BYTES = 4
# IoT Core's quotas: the payload of a message; a topic's bytes and slashes (AWS 6).
LARGEST_PAYLOAD = 128 * 1024
LONGEST_TOPIC = 256
MOST_SLASHES = 7
# The rule's name in a Basic Ingest topic counts for neither.
INGEST = "$aws/rules/"
INGEST_LEVELS = 3
# A packet around the largest payload: a topic, and what a CONNECT or a SUBSCRIBE carries.
LARGEST_PACKET = LARGEST_PAYLOAD + 16 * 1024


class PacketError(Exception):
    """What came is no packet, or none that is taken here."""


class Kind(IntEnum):
    """A packet's type."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


@dataclass(frozen=True)
class Packet:
    """One packet; ``flags`` are the lower half of its first byte."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Message:
    """What is published."""

    topic: str
    payload: bytes
    qos: int = AT_MOST_ONCE


def encode(packet: Packet) -> bytes:
    """A packet's bytes."""
    length, left = bytearray(), len(packet.body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([packet.kind << 4 | packet.flags]) + bytes(length) + packet.body


def take(buffer: bytearray, largest: int = LARGEST_PACKET) -> Packet | None:
    """Remove the first packet from what has come; ``None`` while it is not all there.

    Raises ``PacketError`` as soon as it is known to be too large or malformed.
    """
    size = shift = 0
    for place in range(1, len(buffer)):
        size |= (buffer[place] & 0x7F) << shift
        if not buffer[place] & 0x80:
            break
        shift += 7
        if place == LENGTH_BYTES:
            raise PacketError("a packet's length has more than four bytes")
    else:
        return None
    if size > largest:
        raise PacketError(f"a packet of {size} bytes; {largest} are the most")
    start = place + 1
    if len(buffer) < start + size:
        return None
    first, body = buffer[0], bytes(buffer[start : start + size])
    del buffer[: start + size]
    return Packet(first >> 4, first & 0x0F, body)


def connect(client: str, user: str, keep_alive_seconds: int) -> bytes:
    """CONNECT with a clean session; ``user`` says who it is and is no secret."""
    flags = CLEAN_SESSION | USER_NAME
    body = _text(PROTOCOL) + struct.pack(">BBH", LEVEL, flags, keep_alive_seconds)
    return encode(Packet(Kind.CONNECT, 0, body + _text(client) + _text(user)))


def connack(packet: Packet) -> int:
    """The return code of a CONNACK."""
    if packet.kind != Kind.CONNACK or len(packet.body) != struct.calcsize(">BB"):
        raise PacketError("the first answer is no CONNACK")
    return packet.body[1]


def greeting(packet: Packet) -> tuple[str, str]:
    """The client's and the user's name in a CONNECT, empty where it gives none."""
    if packet.kind != Kind.CONNECT:
        raise PacketError("the first packet is no CONNECT")
    _, rest = _split(packet.body)
    if len(rest) < struct.calcsize(">BBH"):
        raise PacketError("a CONNECT is cut short")
    flags = rest[1]
    client, rest = _split(rest[struct.calcsize(">BBH") :])
    if flags & 0x04:  # a will: its topic and its message
        _, rest = _split_bytes(rest)
        _, rest = _split_bytes(rest)
    user = _split(rest)[0] if flags & USER_NAME else ""
    return client, user


def publish(message: Message, number: int = 0) -> bytes:
    """PUBLISH; ``number`` is the packet's, for QoS 1."""
    body = _text(message.topic)
    if message.qos:
        body += struct.pack(">H", number)
    return encode(Packet(Kind.PUBLISH, message.qos << QOS_SHIFT, body + message.payload))


def published(packet: Packet) -> tuple[Message, int]:
    """The message of a PUBLISH and the packet's number, 0 with QoS 0."""
    topic, rest = _split(packet.body)
    qos, number = packet.flags >> QOS_SHIFT & QOS_MASK, 0
    if qos:
        number, rest = _number(rest), rest[2:]
    return Message(topic, rest, qos), number


def puback(number: int) -> bytes:
    """PUBACK."""
    return encode(Packet(Kind.PUBACK, 0, struct.pack(">H", number)))


def subscribe(number: int, topic_filter: str, qos: int) -> bytes:
    """SUBSCRIBE to one filter."""
    body = struct.pack(">H", number) + _text(topic_filter) + bytes([qos])
    return encode(Packet(Kind.SUBSCRIBE, RESERVED_FLAGS, body))


def unsubscribe(number: int, topic_filter: str) -> bytes:
    """UNSUBSCRIBE from one filter."""
    body = struct.pack(">H", number) + _text(topic_filter)
    return encode(Packet(Kind.UNSUBSCRIBE, RESERVED_FLAGS, body))


def ping() -> bytes:
    """PINGREQ."""
    return encode(Packet(Kind.PINGREQ, 0, b""))


def disconnect() -> bytes:
    """DISCONNECT."""
    return encode(Packet(Kind.DISCONNECT, 0, b""))


def acknowledged(packet: Packet) -> tuple[int, bool]:
    """The number that an acknowledgement is for, and whether it is a yes."""
    refused = packet.kind == Kind.SUBACK and packet.body[2:3] == bytes([REFUSED_FILTER])
    return _number(packet.body), not refused


def refusal(topic: str, *, wildcards: bool = False) -> str:
    """Why IoT Core takes no such topic, or no such filter; empty when it does."""
    if not topic:
        return "a topic is empty"
    if "\0" in topic:
        return "a topic holds a zero"
    if not wildcards and ("#" in topic or "+" in topic):
        return "a message's topic holds no + and no #"
    counted = topic
    if topic.lower().startswith(INGEST) and topic.count("/") >= INGEST_LEVELS:
        counted = topic.split("/", INGEST_LEVELS)[-1]
    if len(counted.encode()) > LONGEST_TOPIC:
        return f"a topic has at most {LONGEST_TOPIC} bytes"
    if counted.count("/") > MOST_SLASHES:
        return f"a topic has at most {MOST_SLASHES} slashes"
    return ""


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _split(content: bytes) -> tuple[str, bytes]:
    """The text that stands first, and the rest."""
    encoded, rest = _split_bytes(content)
    try:
        return encoded.decode(), rest
    except UnicodeDecodeError:
        raise PacketError("a text is no UTF-8") from None


def _split_bytes(content: bytes) -> tuple[bytes, bytes]:
    length = _number(content)
    if len(content) < 2 + length:
        raise PacketError("a text is cut short")
    return content[2 : 2 + length], content[2 + length :]


def _number(content: bytes) -> int:
    if len(content) < struct.calcsize(">H"):
        raise PacketError("a packet is cut short")
    return int.from_bytes(content[:2], "big")
