"""MQTT's packets: what is written is read again, and no bytes make the reader do anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.core import packets
from ggml_magic.core.packets import Kind, Message, Packet, PacketError

BODIES = st.binary(max_size=300)
TEXTS = st.text(max_size=40).filter(lambda text: text.isprintable())


@given(st.lists(st.builds(Packet, st.integers(1, 15), st.integers(0, 15), BODIES)), st.data())
def test_packets_are_read_as_they_were_written_however_they_come(
    sent: list[Packet], data: st.DataObject
) -> None:
    content, buffer, come = b"".join(map(packets.encode, sent)), bytearray(), []
    while content:
        size = data.draw(st.integers(1, len(content)))
        buffer += content[:size]
        content = content[size:]
        while (packet := packets.take(buffer)) is not None:
            come.append(packet)
    assert come == sent
    assert not buffer


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_each_length_of_a_length(size: int) -> None:
    packet = Packet(Kind.PUBLISH, 0, bytes(size))
    assert packets.take(bytearray(packets.encode(packet)), size) == packet
    with pytest.raises(PacketError, match=f"{size} bytes"):
        packets.take(bytearray(packets.encode(packet)), size - 1)


@given(TEXTS, BODIES, st.sampled_from([0, 1]), st.integers(1, 65_535))
def test_a_message_is_the_same_at_the_other_end(
    topic: str, payload: bytes, qos: int, number: int
) -> None:
    message = Message(topic, payload, qos)
    packet = packets.take(bytearray(packets.publish(message, number)))
    assert packet is not None
    assert packets.published(packet) == (message, number if qos else 0)


@given(TEXTS, TEXTS, st.integers(0, 65_535))
def test_a_greeting_says_who_it_is(client: str, user: str, seconds: int) -> None:
    packet = packets.take(bytearray(packets.connect(client, user, seconds)))
    assert packet is not None
    assert packets.greeting(packet) == (client, user)


@given(st.builds(Packet, st.sampled_from(Kind), st.integers(0, 15), BODIES))
def test_bytes_that_are_no_packet_are_refused_and_nothing_worse(packet: Packet) -> None:
    for read in (packets.published, packets.greeting, packets.connack, packets.acknowledged):
        try:
            read(packet)
        except PacketError:
            continue


@given(st.binary(max_size=40))
def test_a_buffer_never_gives_more_than_it_has(content: bytes) -> None:
    buffer = bytearray(content)
    try:
        packet = packets.take(buffer)
    except PacketError:
        return
    if packet is None:
        assert buffer == content
    else:
        assert packet.body + buffer == content[len(content) - len(packet.body) - len(buffer) :]


def test_an_acknowledgement_may_be_a_no() -> None:
    assert packets.acknowledged(Packet(Kind.SUBACK, 0, b"\x00\x07\x01")) == (7, True)
    assert packets.acknowledged(Packet(Kind.SUBACK, 0, b"\x00\x07\x80")) == (7, False)
    assert packets.acknowledged(Packet(Kind.PUBACK, 0, b"\x00\x07")) == (7, True)


@pytest.mark.parametrize(
    ("topic", "wildcards", "why"),
    [
        ("a/b/c/d/e/f/g/h", False, ""),
        ("a/b/c/d/e/f/g/h/i", False, "7 slashes"),
        ("ä" * 128, False, ""),
        ("ä" * 129, False, "256 bytes"),
        ("", False, "empty"),
        ("a\0b", True, "zero"),
        ("a/+", False, "no +"),
        ("a/+/#", True, ""),
        ("$aws/things/pi/shadow/name/n/update/accepted", False, ""),
        ("$aws/rules/store/" + "a/" * 7, False, ""),
        ("$AWS/rules/store/" + "a/" * 8, False, "7 slashes"),
    ],
)
def test_topics_are_those_of_iot_core(topic: str, wildcards: bool, why: str) -> None:
    found = packets.refusal(topic, wildcards=wildcards)
    assert why in found
    assert bool(found) == bool(why)
