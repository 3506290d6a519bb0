"""Topics and who listens to them, as MQTT has it (EDGE-CORE 8, Semantics).

The page gives no limit to a local topic. The 256 bytes and 7 slashes of IoT Core cannot hold
here: a named shadow's own topics have more levels. So MQTT's own limit holds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

ONE, MANY, SEPARATOR, HIDDEN = "+", "#", "/", "$"
# A receiver takes what it cannot refuse: an event that already has its topic in its context.
Receiver = Callable[[Mapping[str, Any]], None]
MOST_BYTES = 65_535
# No topic that is published to has one of these (EDGE-CORE 8).
WILDCARDS = "+#*"


class TopicError(ValueError):
    """A topic or a filter that MQTT does not have."""


@dataclass(frozen=True, eq=False)
class Subscription:
    """A receiver; what ``silent_to`` publishes does not reach it, empty: everything does."""

    receiver: Receiver
    silent_to: str = ""


@dataclass
class Level:
    """The subscriptions to a filter that ends here, and the levels below."""

    ends: list[Subscription] = field(default_factory=list)
    below: dict[str, Level] = field(default_factory=dict)


class Topics:
    """The device's local publish and subscribe.

    A message reaches its subscribers before ``publish`` returns, so each sees a publisher's
    messages in their order.
    """

    def __init__(self) -> None:
        self._root = Level()

    def publish(self, topic: str, message: Mapping[str, Any], sender: str) -> None:
        """Hand a message to all who subscribed to a filter of its topic; nobody is fine too.

        ``message`` is ``{"jsonMessage" or "binaryMessage": {"message": ...}}``; its context is
        set here. ``sender`` is a component.
        """
        subscriptions = self._of(topic)
        if not subscriptions:
            return
        context = {"topic": topic}
        event = {kind: {**content, "context": context} for kind, content in message.items()}
        for each in subscriptions:
            if not each.silent_to or each.silent_to != sender:
                each.receiver(event)

    def publish_text(self, topic: str, payload: bytes, sender: str) -> None:
        """Publish bytes as a binary message."""
        content = base64.b64encode(payload).decode()
        self.publish(topic, {"binaryMessage": {"message": content}}, sender)

    def subscribe(
        self, topic_filter: str, receiver: Receiver, silent_to: str = ""
    ) -> Callable[[], None]:
        """Receive what is published to the topics of a filter; returns what ends that.

        Raises ``TopicError`` for an illegal filter.
        """
        check_filter(topic_filter)
        levels, subscription = topic_filter.split(SEPARATOR), Subscription(receiver, silent_to)
        level = self._root
        for name in levels:
            level = level.below.setdefault(name, Level())
        level.ends.append(subscription)
        return partial(self._remove, levels, subscription)

    def _remove(self, levels: list[str], subscription: Subscription) -> None:
        """Forget a subscription, and the levels that nobody needs any more."""
        way = [self._root]
        for name in levels:
            following = way[-1].below.get(name)
            if following is None:
                return
            way.append(following)
        if subscription in way[-1].ends:
            way[-1].ends.remove(subscription)
        for above, name, level in reversed(list(zip(way, levels, way[1:], strict=False))):
            if level.ends or level.below:
                return
            del above.below[name]

    def _of(self, topic: str) -> list[Subscription]:
        """The subscriptions whose filter matches a topic."""
        found: list[Subscription] = []
        here = [self._root]
        hidden = topic.startswith(HIDDEN)
        for name in topic.split(SEPARATOR):
            here = [
                level for above in here for level in _entered(above, name, found, hidden=hidden)
            ]
            if not here:
                return found
            hidden = False
        for level in here:
            found += level.ends
            if MANY in level.below:  # "a/#" is "a" too
                found += level.below[MANY].ends
        return found


def _entered(
    above: Level, name: str, found: list[Subscription], *, hidden: bool
) -> Iterator[Level]:
    """The levels below one that a topic's next level may be; what takes all is found."""
    below = above.below
    if not hidden:
        if MANY in below:
            found += below[MANY].ends
        if ONE in below:
            yield below[ONE]
    if name in below and name not in (ONE, MANY):
        yield below[name]


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic is one of a filter's, by MQTT 3.1.1, section 4.7.

    A wildcard in the first level does not reach topics that begin with ``$``.
    """
    wanted, levels = topic_filter.split(SEPARATOR), topic.split(SEPARATOR)
    if topic.startswith(HIDDEN) and wanted[0] in (ONE, MANY):
        return False
    for place, name in enumerate(wanted):
        if name == MANY:
            return True
        if place == len(levels) or name not in (ONE, levels[place]):
            return False
    return len(wanted) == len(levels)


def check_topic(topic: str) -> None:
    """Raise ``TopicError`` for a topic that nothing may be published to."""
    _check(topic)
    if any(character in topic for character in WILDCARDS):
        raise TopicError(f"topic {topic!r} has a wildcard: only a subscription may")


def check_filter(topic_filter: str) -> None:
    """Raise ``TopicError`` for a filter that cannot be subscribed to."""
    _check(topic_filter)
    levels = topic_filter.split(SEPARATOR)
    for level in levels:
        if len(level) > 1 and (ONE in level or MANY in level):
            raise TopicError(f"filter {topic_filter!r}: + and # stand for whole levels")
    if MANY in levels[:-1]:
        raise TopicError(f"filter {topic_filter!r}: # may only be its last level")


def _check(text: str) -> None:
    if not text:
        raise TopicError("the topic is empty")
    if "\0" in text or len(text.encode(errors="replace")) > MOST_BYTES:
        raise TopicError(f"a topic is at most {MOST_BYTES} bytes of text, none of them NUL")
