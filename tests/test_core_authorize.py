"""accessControl (EDGE-CORE 8, Authorization)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import authorize
from ggml_magic.core.authorize import MQTT_PROXY, PUBSUB, SHADOWS, allowed, covers
from ggml_magic.core.config import Tree

PI = "$aws/things/pi/shadow"


def tree(access: Any) -> Tree:
    made = Tree()
    made.merge((), {"accessControl": access}, 1)
    return made


def policy(operations: Any, resources: Any, service: str = SHADOWS) -> Tree:
    return tree({service: {"p": {"operations": operations, "resources": resources}}})


def test_nothing_is_allowed_by_default() -> None:
    assert not allowed(Tree(), SHADOWS, "GetThingShadow", PI)


def test_what_a_policy_names_is_allowed_and_nothing_else() -> None:
    held = policy(["aws.greengrass#GetThingShadow"], [PI])
    assert allowed(held, SHADOWS, "GetThingShadow", PI)
    assert not allowed(held, SHADOWS, "UpdateThingShadow", PI)
    assert not allowed(held, SHADOWS, "GetThingShadow", "$aws/things/other/shadow")
    assert not allowed(held, SHADOWS, "GetThingShadow", f"{PI}/name/x")
    assert not allowed(held, PUBSUB, "GetThingShadow", PI)


def test_a_star_is_all_operations_of_that_service() -> None:
    held = policy(["*"], ["$aws/things/*/shadow"])
    assert allowed(held, SHADOWS, "DeleteThingShadow", PI)
    assert not allowed(held, PUBSUB, "PublishToTopic", PI)


def test_the_second_of_two_policies_counts_too() -> None:
    entry = {"operations": ["*"], "resources": ["a"]}
    held = tree({SHADOWS: {"1": entry, "2": {**entry, "resources": ["b"]}}})
    assert allowed(held, SHADOWS, "GetThingShadow", "b")


@pytest.mark.parametrize(
    "access",
    [
        {SHADOWS: {"p": {"operations": ["aws.greengrass#Fly"], "resources": ["*"]}}},
        {SHADOWS: {"p": {"operations": ["*", "aws.greengrass#Fly"], "resources": ["*"]}}},
        {SHADOWS: {"p": {"operations": [], "resources": ["*"]}}},
        {SHADOWS: {"p": {"operations": ["*"], "resources": ["*", "a?"]}}},
        {SHADOWS: {"p": {"operations": "*", "resources": "*"}}},
        {SHADOWS: {"p": "text"}},
        {SHADOWS: "text"},
        {"aws.greengrass.Unknown": {"p": {"operations": ["*"], "resources": ["*"]}}},
        "text",
    ],
)
def test_a_policy_that_is_wrong_is_not_loaded(access: Any) -> None:
    assert list(authorize.policies(tree(access))) == []
    assert not allowed(tree(access), SHADOWS, "GetThingShadow", PI)


@pytest.mark.parametrize(
    ("pattern", "resource", "service", "covered"),
    [
        ("*", "a/b/c", SHADOWS, True),
        ("a*c", "a/b/c", SHADOWS, True),
        ("a*c", "abcd", SHADOWS, False),
        ("a${*}b", "a*b", SHADOWS, True),
        ("a${*}b", "axb", SHADOWS, False),
        ("a${?}b${$}", "a?b$", SHADOWS, True),
        ("a.b", "axb", SHADOWS, False),
        ("a/+/c", "a/b/c", SHADOWS, False),
        ("a/+/c", "a/b/c", PUBSUB, True),
        ("a/+/c", "a/b/d/c", PUBSUB, False),
        ("a/#", "a/b/c", MQTT_PROXY, True),
        ("a/#", "a", MQTT_PROXY, True),
        ("#", "a/b", PUBSUB, True),
        ("a/#", "a/#", PUBSUB, True),
        ("a/b", "a/#", PUBSUB, False),
        ("a/${#}", "a/b", PUBSUB, False),
        ("a/*", "a/b/c", PUBSUB, True),
    ],
)
def test_resources(pattern: str, resource: str, service: str, covered: bool) -> None:
    assert covers(pattern, resource, service) is covered


@settings(deadline=None)
@given(st.text(alphabet="ab/.$*+#(", max_size=12))
def test_an_escaped_text_covers_itself_only(text: str) -> None:
    escaped = "".join(f"${{{c}}}" if c in "*$+#?" else c for c in text)
    if not escaped:
        return
    assert covers(escaped, text, SHADOWS)
    assert not covers(escaped, f"{text}x", SHADOWS)
