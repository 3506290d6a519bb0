from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandboxes import (
    Connect,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
)

from ggml_magic.sandbox import shadows

LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
KEYS = st.sampled_from("abcd")
STATES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(KEYS, LEAVES | inner, max_size=3),
    max_leaves=8,
)


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(first)
    shadows.merge(result, second)
    return result


@given(STATES, STATES)
@settings(deadline=None)
def test_merging_twice_is_merging_once(state: dict[str, Any], change: dict[str, Any]) -> None:
    base = merged({}, state)
    once = merged(base, change)
    assert merged(once, change) == once


@given(STATES)
@settings(deadline=None)
def test_nothing_that_was_null_stays(change: dict[str, Any]) -> None:
    def nulls(value: Any) -> bool:
        return value is None or (isinstance(value, dict) and any(map(nulls, value.values())))

    assert not any(map(nulls, merged({}, change).values()))


@given(STATES, STATES)
@settings(deadline=None)
def test_reporting_the_difference_ends_it(
    desired: dict[str, Any], reported: dict[str, Any]
) -> None:
    wanted, own = merged({}, desired), merged({}, reported)
    delta = shadows.difference(wanted, own)
    assert shadows.difference(wanted, merged(own, delta)) == {}


def test_the_difference_is_of_what_is_desired() -> None:
    desired = {"on": True, "at": {"h": 1, "m": 2}, "same": 1}
    reported = {"at": {"h": 1}, "same": 1, "own": 3}
    assert shadows.difference(desired, reported) == {"on": True, "at": {"m": 2}}


@pytest.mark.real
def test_a_shadow_lives_as_iots_do(aws: Connect) -> None:
    data, (device, _) = aws("iot-data"), thing(aws)

    def update(**document: Any) -> dict[str, Any]:
        answer = data.update_thing_shadow(thingName=device, payload=json.dumps(document))
        found: dict[str, Any] = json.loads(answer["payload"].read())
        return found

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            data.get_thing_shadow(thingName=device)["payload"].read()
        )
        return found

    assert refused(shown)["Error"]["Code"] == "ResourceNotFoundException"
    first = update(state={"reported": {"a": 1, "b": {"c": 2}}}, clientToken="t")
    assert (first["version"], first["clientToken"]) == (1, "t")
    update(state={"desired": {"a": 5}, "reported": {"b": {"c": None, "d": 3}}}, version=1)
    document = shown()
    assert document["version"] == 2
    assert document["state"] == {
        "desired": {"a": 5},
        "reported": {"a": 1, "b": {"d": 3}},
        "delta": {"a": 5},
    }
    assert set(document["metadata"]["reported"]["b"]) == {"d"}
    stale = refused(lambda: update(state={"reported": {}}, version=1))
    assert stale["Error"]["Code"] == "ConflictException"
    for bad in ({}, {"state": []}, {"state": {"other": {}}}, {"state": {"reported": 1}}):
        assert refused(lambda b=bad: update(**b))["Error"]["Code"] == "InvalidRequestException"
    large = refused(lambda: update(state={"reported": {"a": "x" * 9000}}))
    assert large["Error"]["Code"] == "RequestEntityTooLargeException"
    data.update_thing_shadow(thingName=device, shadowName="n", payload=b'{"state": {}}')
    assert data.list_named_shadows_for_thing(thingName=device)["results"] == ["n"]
    data.delete_thing_shadow(thingName=device)
    refused(shown)
    assert update(state={"reported": {"a": 1}})["version"] == 3
