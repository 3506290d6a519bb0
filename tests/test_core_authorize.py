"""accessControl (EDGE-CORE 8, Authorization)."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import authorize
from ggml_magic.core.authorize import MQTT_PROXY, PUBSUB, SERVICES, SHADOWS, Policies, covers
from ggml_magic.core.config import Tree

C, D = "com.example.C", "com.example.D"
PI = "$aws/things/pi/shadow"
ALL_SERVICES = st.sampled_from(sorted(SERVICES))
# what a person may write, with all that has a meaning in it
RESOURCES = st.text(alphabet="ab/.$*+#?{}(é\n", min_size=1, max_size=12)


def tree(access: Any) -> Tree:
    made = Tree()
    made.merge((), {"accessControl": access}, 1)
    return made


def entry(operations: Any, resources: Any) -> dict[str, Any]:
    return {"operations": operations, "resources": resources}


def policy(operations: Any, resources: Any, service: str = SHADOWS) -> Policies:
    return Policies({C: tree({service: {"p": entry(operations, resources)}})})


def escaped(text: str) -> str:
    return "".join(f"${{{c}}}" if c in "*$+#?" else c for c in text)


def test_nothing_is_allowed_by_default() -> None:
    assert not Policies({}).allows(C, SHADOWS, "GetThingShadow", PI)
    assert not Policies({C: Tree()}).allows(C, SHADOWS, "GetThingShadow", PI)


@settings(deadline=None)
@given(ALL_SERVICES, RESOURCES)
def test_no_policy_covers_nothing_and_a_star_everything(service: str, resource: str) -> None:
    for operation in SERVICES[service]:
        assert not Policies({C: Tree()}).allows(C, service, operation, resource)
        held = policy(["*"], ["*"], service)
        assert held.allows(C, service, operation, resource)
        assert not held.allows(D, service, operation, resource)


def test_what_a_policy_names_is_allowed_and_nothing_else() -> None:
    held = policy(["aws.greengrass#GetThingShadow"], [PI])
    assert held.refusals == []
    assert held.allows(C, SHADOWS, "GetThingShadow", PI)
    assert not held.allows(D, SHADOWS, "GetThingShadow", PI)
    assert not held.allows(C, SHADOWS, "UpdateThingShadow", PI)
    assert not held.allows(C, SHADOWS, "GetThingShadow", "$aws/things/other/shadow")
    assert not held.allows(C, SHADOWS, "GetThingShadow", f"{PI}/name/x")
    assert not held.allows(C, PUBSUB, "GetThingShadow", PI)


def test_a_star_is_all_operations_of_that_service() -> None:
    held = policy(["*"], ["$aws/things/*/shadow"])
    assert held.allows(C, SHADOWS, "DeleteThingShadow", PI)
    assert not held.allows(C, PUBSUB, "PublishToTopic", PI)


def test_the_second_of_two_policies_counts_too() -> None:
    held = Policies({C: tree({SHADOWS: {"1": entry(["*"], ["a"]), "2": entry(["*"], ["b"])}})})
    assert held.allows(C, SHADOWS, "GetThingShadow", "b")


def test_the_key_and_the_names_in_it_are_of_any_case() -> None:
    made = Tree()
    body = {"Operations": ["*"], "RESOURCES": ["a"], "policyDescription": "for a"}
    made.merge((), {"AccessCONTROL": {SHADOWS: {"p": body}}}, 1)
    assert Policies({C: made}).allows(C, SHADOWS, "GetThingShadow", "a")


@pytest.mark.parametrize(
    ("access", "why"),
    [
        ({SHADOWS: {"p": entry(["aws.greengrass#Fly"], ["*"])}}, "aws.greengrass#Fly"),
        ({SHADOWS: {"p": entry(["*", "aws.greengrass#Fly"], ["*"])}}, "is no operation"),
        ({SHADOWS: {"p": entry(["GetThingShadow"], ["*"])}}, "GetThingShadow is no operation"),
        ({SHADOWS: {"p": entry([], ["*"])}}, "operations is no list"),
        ({SHADOWS: {"p": entry(["*"], [])}}, "resources is no list"),
        ({SHADOWS: {"p": entry(["*"], [""])}}, "a resource is empty"),
        ({SHADOWS: {"p": entry(["*"], ["*", "a?"])}}, "'a?' has a ?"),
        ({SHADOWS: {"p": entry("*", "*")}}, "operations is no list"),
        ({SHADOWS: {"p": "text"}}, "p is no map"),
        ({SHADOWS: "text"}, f"no policy of {SHADOWS}"),
        ({"aws.greengrass.Unknown": {"p": entry(["*"], ["*"])}}, "aws.greengrass.Unknown is no"),
        ("text", "accessControl is no map"),
    ],
)
def test_a_policy_that_is_wrong_is_not_loaded_and_one_sentence_says_why(
    access: Any, why: str
) -> None:
    held = Policies({C: tree(access)})
    (refusal,) = held.refusals
    assert refusal.startswith(C)
    assert why in refusal
    for service, operations in SERVICES.items():
        assert not any(held.allows(C, service, each, PI) for each in operations)


def test_a_wrong_policy_takes_no_other_with_it() -> None:
    held = Policies({C: tree({SHADOWS: {"1": entry(["x"], ["*"]), "2": entry(["*"], ["a"])}})})
    assert held.allows(C, SHADOWS, "GetThingShadow", "a")
    assert len(held.refusals) == 1


def test_of_two_policies_with_one_id_none_is_loaded_and_both_carriers_are_told() -> None:
    mine, theirs = (tree({PUBSUB: {"p": entry(["*"], [each])}}) for each in ("mine", "theirs"))
    held = Policies({C: mine, D: theirs})
    assert not held.allows(C, PUBSUB, "PublishToTopic", "mine")
    assert not held.allows(D, PUBSUB, "PublishToTopic", "theirs")
    (refusal,) = held.refusals
    assert f"{C} and {D}" in refusal
    assert Policies({C: mine}).allows(C, PUBSUB, "PublishToTopic", "mine")


def test_the_same_id_in_two_services_is_no_clash() -> None:
    access = {service: {"p": entry(["*"], ["*"])} for service in (PUBSUB, SHADOWS)}
    assert Policies({C: tree(access)}).refusals == []


@pytest.mark.parametrize(
    ("pattern", "resource", "service", "covered"),
    [
        ("*", "a/b/c", SHADOWS, True),
        ("a*c", "a/b/c", SHADOWS, True),
        ("a*c", "abcd", SHADOWS, False),
        ("*a*b*c*", "xaxbxcx", SHADOWS, True),
        ("*a*b*c*", "xaxcxbx", SHADOWS, False),
        ("a*ab", "ab", SHADOWS, False),
        ("a**b", "ab", SHADOWS, True),
        ("a${*}b", "a*b", SHADOWS, True),
        ("a${*}b", "axb", SHADOWS, False),
        ("a${?}b${$}", "a?b$", SHADOWS, True),
        ("a${b", "a${b", SHADOWS, True),
        ("a.b", "axb", SHADOWS, False),
        ("a/+/c", "a/b/c", SHADOWS, False),
        ("a/+/c", "a/+/c", SHADOWS, True),
        ("a/#", "a/b", SHADOWS, False),
        ("a/+/c", "a/b/c", PUBSUB, True),
        ("a/+/c", "a//c", PUBSUB, True),
        ("a/+/c", "a/b/d/c", PUBSUB, False),
        ("a/b+/c", "a/bx/c", PUBSUB, False),
        ("a/b+/c", "a/b+/c", PUBSUB, True),
        ("+/b", "a/b", PUBSUB, True),
        ("*/+/c", "x/y/z/c", PUBSUB, True),
        ("*/+/c", "z/c", PUBSUB, False),
        ("a/#", "a/b/c", MQTT_PROXY, True),
        ("a/#", "a", MQTT_PROXY, True),
        ("a/#", "ab", MQTT_PROXY, False),
        ("a/#/c", "a/b/c", PUBSUB, False),
        ("a#", "ab", PUBSUB, False),
        ("*b/#", "a/xb/c", PUBSUB, True),
        ("#", "a/b", PUBSUB, True),
        # a subscription's filter is a string like any other
        ("a/#", "a/#", PUBSUB, True),
        ("a/b", "a/#", PUBSUB, False),
        ("a/b", "a/+", PUBSUB, False),
        ("a/+", "a/+", PUBSUB, True),
        ("a/+", "#", PUBSUB, False),
        ("a/+", "a/#", PUBSUB, False),
        ("a/+/c", "a/#", MQTT_PROXY, False),
        ("a/${#}", "a/b", PUBSUB, False),
        ("a/${#}", "a/#", PUBSUB, True),
        ("a/${+}", "a/b", PUBSUB, False),
        ("a/*", "a/b/c", PUBSUB, True),
        ("$aws/things/*/shadow/name/*", f"{PI}/name/x", SHADOWS, True),
        ("$aws/things/*/shadow", f"{PI}/name/x", SHADOWS, False),
    ],
)
def test_resources(pattern: str, resource: str, service: str, covered: bool) -> None:
    assert covers(pattern, resource, service) is covered


@settings(deadline=None)
@given(ALL_SERVICES, RESOURCES, RESOURCES)
def test_an_escaped_text_covers_itself_only(service: str, text: str, other: str) -> None:
    assert covers(escaped(text), text, service)
    assert covers(escaped(text), other, service) is (text == other)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(alphabet="ab/", max_size=3), min_size=1, max_size=5), st.text("ab/"))
def test_stars_stand_for_any_runs(parts: list[str], resource: str) -> None:
    """The quick expression agrees with the plain one, which may take for ever."""
    plain = re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
    pattern = "*".join(parts)
    if pattern:
        assert covers(pattern, resource, SHADOWS) is bool(plain.fullmatch(resource))


def test_many_stars_take_no_time_that_grows_with_their_number() -> None:
    started = time.perf_counter()
    assert not covers("*a" * 20 + "b", "a" * 3000, SHADOWS)
    assert time.perf_counter() - started < 1


def test_a_component_that_asks_for_ever_new_topics_fills_no_memory() -> None:
    held = policy(["*"], ["a/*"], PUBSUB)
    for number in range(authorize.MOST_DECISIONS + 10):
        assert held.allows(C, PUBSUB, "PublishToTopic", f"a/{number}")
    assert len(held._decisions) <= authorize.MOST_DECISIONS
