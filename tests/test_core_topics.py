"""Topics and filters (EDGE-CORE 8, Semantics)."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import topics
from ggml_magic.core.topics import TopicError, Topics, matches

Events = list[Mapping[str, Any]]
LEVELS = st.sampled_from(["", "a", "b", "$x"])
NAMES = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.builds(
    lambda levels, last: "/".join([*levels, *last]),
    st.lists(LEVELS | st.just("+"), min_size=1, max_size=3),
    st.sampled_from([[], ["#"], ["+"]]),
).filter(bool) | st.sampled_from(["#", "+"])


def text(content: Any) -> dict[str, Any]:
    return {"jsonMessage": {"message": content, "context": {"topic": "a lie"}}}


def oracle(topic_filter: str, topic: str) -> bool:
    """MQTT 3.1.1, section 4.7, as an expression."""
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    body = re.escape(topic_filter).replace(r"\+", "[^/]*")
    if topic_filter == "#":
        return True
    if topic_filter.endswith("/#"):
        body = body[: -len(re.escape("/#"))] + "(/.*)?"
    return re.fullmatch(body, topic) is not None


@pytest.mark.parametrize(
    ("topic_filter", "topic", "match"),
    [
        ("a/b", "a/b", True),
        ("a/b", "A/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/+", "/a", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/x", True),
        ("a", "a/b", False),
    ],
)
def test_a_filter_matches_as_mqtt_has_it(topic_filter: str, topic: str, match: bool) -> None:
    assert matches(topic_filter, topic) is match


@settings(deadline=None, max_examples=300)
@given(st.lists(FILTERS, max_size=6), NAMES)
def test_who_hears_a_topic_is_who_has_a_filter_that_matches(filters: list[str], topic: str) -> None:
    local, heard = Topics(), []
    for place, topic_filter in enumerate(filters):
        local.subscribe(topic_filter, lambda event, place=place: heard.append(place))
    local.publish(topic, text({}), "c")
    expected = [place for place, each in enumerate(filters) if oracle(each, topic)]
    assert sorted(heard) == expected
    assert [place for place, each in enumerate(filters) if matches(each, topic)] == expected


@settings(deadline=None)
@given(st.lists(FILTERS, max_size=6), st.randoms())
def test_subscriptions_that_end_leave_nothing(filters: list[str], random: Any) -> None:
    local, heard = Topics(), Events()
    ends = [local.subscribe(each, heard.append) for each in filters]
    random.shuffle(ends)
    for end in ends:
        end()
        end()
    local.publish("a/b", text({}), "c")
    assert not heard
    assert not local._root.below


def test_a_message_carries_its_topic_and_nothing_that_the_publisher_said_of_it() -> None:
    local, heard = Topics(), Events()
    local.subscribe("a/+", heard.append)
    local.publish("a/b", text({"x": 1}), "c")
    local.publish_text("a/c", b"\x00bytes", "c")
    coded = base64.b64encode(b"\x00bytes").decode()
    assert heard == [
        {"jsonMessage": {"message": {"x": 1}, "context": {"topic": "a/b"}}},
        {"binaryMessage": {"message": coded, "context": {"topic": "a/c"}}},
    ]


def test_who_is_not_told_of_its_own_messages_hears_those_of_others() -> None:
    local, heard = Topics(), []
    local.subscribe("a", lambda event: heard.append("all"))
    local.subscribe("a", lambda event: heard.append("others"), silent_to="me")
    local.publish("a", text({}), "me")
    local.publish("a", text({}), "you")
    assert heard == ["all", "all", "others"]


def test_each_publishers_messages_come_in_their_order_to_each_of_many() -> None:
    local = Topics()
    heard: list[Events] = [[] for _ in range(200)]
    for events in heard:
        local.subscribe("a/+", events.append)
    for number in range(50):
        local.publish("a/b", text({"n": number}), "c")
    numbers = [[event["jsonMessage"]["message"]["n"] for event in events] for events in heard]
    assert numbers == [list(range(50))] * 200


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a*", "a\0b", "x" * 65_536])
def test_what_nothing_can_be_published_to(topic: str) -> None:
    with pytest.raises(TopicError):
        topics.check_topic(topic)


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a+", "a/b#", "##", "+a/b", "x" * 65_536])
def test_what_nobody_can_subscribe_to(topic_filter: str) -> None:
    with pytest.raises(TopicError):
        Topics().subscribe(topic_filter, lambda event: None)


def test_shadow_topics_have_more_levels_than_iot_core_allows() -> None:
    topics.check_topic("$aws/things/T/shadow/name/N/update/delta")
    topics.check_filter("$aws/things/+/shadow/name/+/update/#")


def test_a_thousand_filters_that_do_not_match_cost_nothing() -> None:
    """5,000 messages a second through the whole core leave 200 us for each (issue 4)."""
    local, heard = Topics(), Events()
    for number in range(1000):
        local.subscribe(f"other/{number}/+", heard.append)
        local.subscribe(f"exact/{number}", heard.append)
    local.subscribe("mine/+", heard.append)
    started = time.perf_counter()
    for _ in range(1000):
        local.publish("mine/x", text({}), "c")
    assert len(heard) == 1000
    assert time.perf_counter() - started < 0.2
