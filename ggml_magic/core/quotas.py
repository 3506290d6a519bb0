"""A message of IoT Core's, and what it takes: QoS 0 and 1, topics and payloads up to a size."""

from __future__ import annotations

from dataclasses import dataclass

AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1
# IoT Core's quotas: the payload of a message; a topic's bytes and slashes (AWS 6).
LARGEST_PAYLOAD = 128 * 1024
LONGEST_TOPIC = 256
MOST_SLASHES = 7
# The rule's name in a Basic Ingest topic counts for neither.
INGEST = "$aws/rules/"
INGEST_LEVELS = 3


@dataclass(frozen=True)
class Message:
    """What is published."""

    topic: str
    payload: bytes
    qos: int = AT_MOST_ONCE


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


def refused(message: Message) -> str:
    """Why IoT Core does not take a message; empty when it does."""
    if message.qos > AT_LEAST_ONCE:
        return "there is no QoS 2"
    if len(message.payload) > LARGEST_PAYLOAD:
        return f"the payload has {len(message.payload)} bytes, {LARGEST_PAYLOAD} are the most"
    return refusal(message.topic)
