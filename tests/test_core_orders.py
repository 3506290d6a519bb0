"""Deployment documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.core import orders
from ggml_magic.core.orders import CapabilityError, Document, DocumentError, Limits, Wanted, parse

ARN = "arn:aws:greengrass:eu-west-1:1:configuration:{target}"
TEXT = st.text(max_size=8)
LIMITS = st.builds(
    Limits, st.none() | st.floats(0.1, 64), st.none() | st.integers(1, 10**9)
)  # fmt: skip
WANTED = st.builds(
    Wanted, TEXT, st.lists(TEXT, max_size=2).map(tuple),
    st.dictionaries(TEXT, st.none() | st.integers() | TEXT, max_size=3),
    st.none() | TEXT, st.none() | LIMITS,
)  # fmt: skip
DOCUMENTS = st.builds(
    Document, TEXT, TEXT, st.integers(), st.dictionaries(TEXT, WANTED, max_size=3),
    st.booleans(), st.booleans(), st.floats(0, 100), st.floats(0, 100),
    st.lists(TEXT, max_size=2).map(tuple), st.integers(0, 99), TEXT,
)  # fmt: skip


def written(target: str = "thing/pi:1", **changes: Any) -> str:
    return json.dumps({
        "deploymentId": "d", "configurationArn": ARN.format(target=target), "creationTimestamp": 5,
        "components": {"a": {"version": "1.0.0"}}, **changes,
    })  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"deploymentId": "x", "configurationArn": "y"}', "null"]
)
def test_documents_that_cannot_be_read(text: str) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        parse(text)


def test_a_merge_that_is_no_object_is_refused() -> None:
    update = {"configurationUpdate": {"merge": "text"}}
    with pytest.raises(DocumentError, match="no object"):
        parse(written(components={"a": {"version": "1.0.0", **update}}))


def test_a_document_is_read() -> None:
    entry = {
        "version": "1.0.0",
        "runWith": {"posixUser": "me", "systemResourceLimits": {"cpus": 0.5, "memory": 1024}},
        "configurationUpdate": {"reset": [""], "merge": {"x": 1}},
    }
    found = parse(
        written(
            "thinggroup/stations:7",
            failureHandlingPolicy="DO_NOTHING",
            componentUpdatePolicy={"action": "SKIP_NOTIFY_COMPONENTS", "timeout": 12},
            configurationValidationPolicy={"timeout": 30},
            components={"a": entry},
            requiredCapabilities=["LARGE_CONFIGURATION"],
        )
    )
    assert (found.identifier, found.group, found.timestamp) == ("d", "thinggroup/stations", 5)
    assert (found.revision, found.rolls_back, found.notify) == (7, False, False)
    assert (found.notify_seconds, found.validate_seconds) == (12, 30)
    wanted = Wanted("1.0.0", ("",), {"x": 1}, "me", Limits(0.5, 1024))
    assert found.components == {"a": wanted}


def test_what_a_document_does_not_say_is_as_the_nucleus_has_it() -> None:
    found = parse(written())
    assert (found.rolls_back, found.notify) == (True, True)
    assert (found.notify_seconds, found.validate_seconds) == (60, 60)
    assert found.components == {"a": Wanted("1.0.0")}


@pytest.mark.parametrize(
    ("run_with", "user", "limits"),
    [
        (None, None, None),
        ({}, None, Limits()),
        ({"posixUser": ""}, "", Limits()),
        ({"posixUser": None}, "", Limits()),
        ({"posixUser": "me:us"}, "me:us", Limits()),
        ({"systemResourceLimits": {"cpus": 2}}, None, Limits(2.0)),
    ],
)
def test_what_run_with_leaves_out_stays_or_goes(
    run_with: Any, user: str | None, limits: Limits | None
) -> None:
    found = parse(written(components={"a": {"version": "1.0.0", "runWith": run_with}}))
    assert (found.components["a"].run_with, found.components["a"].limits) == (user, limits)


@pytest.mark.parametrize(
    ("target", "group", "revision"),
    [
        ("thing/pi:3", "thing/pi", 3),
        ("thinggroup/a:b:12", "thinggroup/a:b", 12),
        ("thing/pi", "thing/pi", 0),
    ],
)
def test_targets(target: str, group: str, revision: int) -> None:
    found = parse(written(target))
    assert (found.group, found.revision) == (group, revision)


def test_a_capability_that_is_not_here_is_named() -> None:
    with pytest.raises(CapabilityError, match="asks for FLYING, SWIMMING,"):
        parse(written(requiredCapabilities=["SUB_DEPLOYMENTS", "FLYING", "SWIMMING"]))


def test_removed_components_are_no_roots() -> None:
    components = {"a": Wanted("1.0.0"), "b": Wanted("1.0.0")}
    assert set(Document("d", "g", 1, components, removes=("a",)).roots) == {"b"}


def test_the_identifier_of_what_can_hardly_be_read() -> None:
    assert orders.identifier_of('{"deploymentId": "d"}') == "d"
    assert [orders.identifier_of(text) for text in ("", "[]", "null", "{}")] == ["", "", "", ""]


@given(DOCUMENTS)
def test_a_document_comes_back_from_the_disk_as_it_was(document: Document) -> None:
    assert orders.load(json.loads(json.dumps(document.dump()))) == document
