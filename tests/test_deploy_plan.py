"""A plan keeps whatever the target has, and shows each difference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.cloud.deployments import DeployedComponent, DeploymentDocument
from ggml_magic.component.bundle import Bundle, Component
from ggml_magic.deploy.plan import POLICIES, Plan, changes, merged, plan, removed
from ggml_magic.deploy.target import parse
from ggml_magic.errors import TargetNotFoundError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

ARN = "arn:aws:iot:eu-west-1:123456789012:thing/pi"

components = st.builds(
    DeployedComponent,
    name=st.sampled_from(["a", "b", "c", "d", "e"]),
    version=st.sampled_from(["1.0.0", "1.0.1", "2.0.0"]),
    merge=st.sampled_from(["", '{"a": 1}']),
    reset=st.sampled_from([(), ("",), ("/a",)]),
    run_with=st.sampled_from([{}, {"posixUser": "u:g"}]),
)
sets = st.lists(components, unique_by=lambda told: told.name).map(tuple)
bases = st.none() | st.builds(
    DeploymentDocument,
    name=st.just("before"),
    target_arn=st.just(ARN),
    components=sets,
    policies=st.sampled_from([{}, {"failureHandlingPolicy": "DO_NOTHING"}]),
    job=st.sampled_from([{}, {"timeoutConfig": {"inProgressTimeoutInMinutes": 3}}]),
    tags=st.sampled_from([{}, {"team": "weather"}]),
    id=st.just("old"),
    status=st.just("COMPLETED"),
)
new = st.lists(
    st.builds(DeployedComponent, st.sampled_from("abcde"), st.just("3.0.0")),
    unique_by=lambda told: told.name,
)


def by_name(document: DeploymentDocument | None) -> dict[str, DeployedComponent]:
    return {told.name: told for told in document.components} if document else {}


@given(bases, new, st.sets(st.sampled_from("abcde")))
@settings(deadline=None)
def test_nothing_is_dropped_that_was_not_told_to_go(
    base: DeploymentDocument | None, wanted: list[DeployedComponent], remove: set[str]
) -> None:
    before, after = by_name(base), by_name(merged(base, wanted, ARN, "rain", remove))
    named = {told.name for told in wanted}
    assert set(after) == (set(before) - remove) | named
    for name in set(after) - named:
        assert after[name] == before[name]


@given(bases, new)
@settings(deadline=None)
def test_a_new_version_keeps_the_configuration_that_somebody_gave(
    base: DeploymentDocument | None, wanted: list[DeployedComponent]
) -> None:
    before, after = by_name(base), by_name(merged(base, wanted, ARN, "rain"))
    for told in wanted:
        assert after[told.name].version == told.version
        if told.name in before:
            assert after[told.name] == replace(before[told.name], version=told.version)


@given(bases, new)
@settings(deadline=None)
def test_merging_twice_is_merging_once(
    base: DeploymentDocument | None, wanted: list[DeployedComponent]
) -> None:
    once = merged(base, wanted, ARN, "rain")
    assert merged(once, wanted, ARN, "rain") == once
    assert all(change.action == "=" for change in changes(once.components, once.components))


@given(bases, new)
@settings(deadline=None)
def test_the_rollout_and_the_policies_of_somebody_else_stay(
    base: DeploymentDocument | None, wanted: list[DeployedComponent]
) -> None:
    document = merged(base, wanted, ARN, "rain")
    assert document.id == ""
    if base is None:
        assert document.policies == POLICIES
        return
    assert document.policies == (base.policies or POLICIES)
    assert (document.job, document.name) == (base.job, base.name)
    assert document.tags.items() >= base.tags.items()


@given(sets, sets)
@settings(deadline=None)
def test_changes_lead_from_one_side_to_the_other(
    before: tuple[DeployedComponent, ...], after: tuple[DeployedComponent, ...]
) -> None:
    found = changes(before, after)
    names = [change.component for change in found]
    assert names == sorted({told.name for told in (*before, *after)})
    old, new_ = ({told.name: told for told in side} for side in (before, after))
    for change in found:
        a, b = old.get(change.component), new_.get(change.component)
        wanted = "+" if a is None else "-" if b is None else "=" if a == b else "~"
        assert change.action == wanted
        assert change.before == (a.version if a else "")
        assert change.after == (b.version if b else "")
    assert set(removed(found)) == set(old) - set(new_)


def test_a_card_shows_each_kind_of_change() -> None:
    before = (
        DeployedComponent("changed", "1.0.0", merge='{"a": 1}'),
        DeployedComponent("gone", "1.0.0"),
        DeployedComponent("kept", "2.0.0", run_with={"posixUser": "pi"}),
    )
    after = (
        DeployedComponent("added", "1.0.0"),
        DeployedComponent("changed", "1.0.1", merge='{"a": 1}'),
        DeployedComponent("kept", "2.0.0", run_with={"posixUser": "pi"}),
    )
    document = DeploymentDocument("d", ARN, after)
    found = Plan(
        "rain", "thing/pi", "sandbox", changes(before, after), ("pi",), ("pi",), "x", document
    )
    lines = [line.split() for line in str(found).splitlines()]
    assert lines[0] == ["rain", "→", "thing/pi", "on", "sandbox"]
    assert ["+", "added", "1.0.0", "added"] in lines
    assert ["~", "changed", "1.0.0", "→", "1.0.1", "changed", "its", "merge", "kept"] in lines
    assert ["-", "gone", "1.0.0", "removed"] in lines
    assert ["=", "kept", "2.0.0", "kept", "its", "runWith", "kept"] in lines
    assert "it would stay queued" in str(found)
    assert not found.empty


def test_a_plan_for_many_devices_stays_short() -> None:
    names = tuple(f"pi-{i:03}" for i in range(300))
    document = DeploymentDocument("d", ARN, ())
    found = Plan("rain", "thinggroup/all", "aws", (), names, names, None, document)
    assert "300 devices" in str(found)
    assert "and 290 more" in str(found)
    assert len(str(found).splitlines()) < 20


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("plan") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


def recipe(name: str, version: str) -> dict[str, object]:
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "Manifests": [
            {"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": {"Run": "sleep 9"}}
        ],
    }


def bundle(version: str) -> Bundle:
    name = "com.example.Rain.Inference"
    component = Component(name, version, recipe(name, version), (), version)
    return Bundle("rain", (component,), "m", "ai-edge-litert", "2.3.0", new=True)


@pytest.mark.real
def test_a_target_that_does_not_exist_is_told_with_those_that_do(cloud: Cloud) -> None:
    cloud.things.iot.call("CreateThing", thingName="there")
    with pytest.raises(TargetNotFoundError, match="thing/there"):
        plan(cloud, bundle("1.0.0"), parse("thing/not-there"))


@pytest.mark.real
def test_somebody_elses_components_come_through_untouched(cloud: Cloud, tmp_path: Path) -> None:
    arn = cloud.things.iot.call("CreateThing", thingName="shared")["thingArn"]
    for name in ("com.other.Reader", "com.other.Sender"):
        cloud.components.create(json.dumps(recipe(name, "1.0.0")).encode(), "", {})
        cloud.components.wait_deployable(name, "1.0.0")
    theirs = (
        DeployedComponent("com.other.Reader", "1.0.0", merge='{"pin":4}', reset=("/old",)),
        DeployedComponent("com.other.Sender", "1.0.0", run_with={"posixUser": "pi:pi"}),
    )
    job = {"timeoutConfig": {"inProgressTimeoutInMinutes": 7}}
    base = cloud.deployments.create(DeploymentDocument("theirs", arn, theirs, job=job))
    found = plan(cloud, bundle("1.0.0"), parse("thing/shared"))
    assert [str(change) for change in found.changes] == [
        "+ com.example.Rain.Inference 1.0.0",
        "= com.other.Reader 1.0.0",
        "= com.other.Sender 1.0.0",
    ]
    assert found.base_deployment == base
    assert found.devices == found.unseen == ("shared",)
    assert found.document.components[1:] == theirs
    assert (found.document.name, found.document.job) == ("theirs", job)


@pytest.mark.real
def test_a_group_shows_its_devices_and_an_empty_one_none(cloud: Cloud) -> None:
    cloud.things.iot.call("CreateThingGroup", thingGroupName="station")
    empty = plan(cloud, bundle("1.0.0"), parse("thinggroup/station"))
    assert empty.devices == ()
    assert "none yet" in str(empty)
    for name in ("north", "south"):
        cloud.things.iot.call("CreateThing", thingName=name)
        cloud.things.iot.call("AddThingToThingGroup", thingGroupName="station", thingName=name)
    found = plan(cloud, bundle("1.0.0"), parse("thinggroup/station"))
    assert found.devices == found.unseen == ("north", "south")
