"""What IoT Core takes: topics, filters, payloads."""

from __future__ import annotations

import pytest

from ggml_magic.core import quotas
from ggml_magic.core.quotas import LARGEST_PAYLOAD, LONGEST_TOPIC, Message


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
    found = quotas.refusal(topic, wildcards=wildcards)
    assert why in found
    assert bool(found) == bool(why)


def test_messages_are_those_of_iot_core() -> None:
    assert not quotas.refused(Message("a" * LONGEST_TOPIC, b"x" * LARGEST_PAYLOAD, 1))
    assert "131072" in quotas.refused(Message("a", b"x" * (LARGEST_PAYLOAD + 1)))
    assert "QoS 2" in quotas.refused(Message("a", b"", 2))
    assert "slashes" in quotas.refused(Message("/".join("a" * 9), b""))
