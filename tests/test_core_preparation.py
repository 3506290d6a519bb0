"""What a device shall hold after a deployment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from deploying import STAYS, Cloud
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.core import nucleus, packages
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Contents, Group
from ggml_magic.core.logs import Log
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS, Document, Limits, Wanted
from ggml_magic.core.preparation import MILLISECONDS, Preparation, not_from_the_future

NOW = 2_000_000.0
YEAR = 365 * 24 * 3600


class Scene:
    """A device without an engine, at a time of one's own."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.cloud = Cloud()
        self.now = NOW
        self.log = Log(root / "core.log")
        self.held = Contents()
        self.preparation = Preparation(
            self.layout, self.cloud, self.log, lambda: self.now  # type: ignore[arg-type]
        )  # fmt: skip

    def prepare(
        self, components: dict[str, Wanted], group: str = "thing/pi", arn: str = "arn"
    ) -> Contents:
        document = Document("d", group, int(self.now * MILLISECONDS), components, arn=arn)
        found = asyncio.run(
            self.preparation.resolved(document, self.held, lambda stage: None)
        )  # fmt: skip
        self.held = self.preparation.contents(document, self.held, found)
        self.log.close()
        return self.held

    def configured(self, **merge: Any) -> Any:
        held = self.prepare({"a": Wanted("1.0.0", merge=merge)})
        return held.components["a"].configuration.read(())


@pytest.fixture
def at(tmp_path: Path) -> Scene:
    made = Scene(tmp_path / "root")
    made.cloud.add("a", "1.0.0", STAYS, defaults={"x": 0, "y": 0})
    made.cloud.add("b", "1.0.0", STAYS)
    return made


def test_each_group_keeps_its_own_roots(at: Scene) -> None:
    at.prepare({"a": Wanted("1.0.0")}, "thinggroup/g")
    held = at.prepare({"b": Wanted("1.0.0")})
    assert held.roots == {"a", "b"}
    now = int(NOW * MILLISECONDS)
    assert held.groups["thinggroup/g"] == Group({"a": "1.0.0"}, now, "d", 0, "arn")
    assert set(at.prepare({}, "thinggroup/g").components) == {"b"}


@pytest.mark.parametrize(
    ("member_of", "away", "left"),
    [
        (None, False, {"a", "b"}),
        (frozenset({"g", "other"}), False, {"a", "b"}),
        (frozenset({"other"}), True, {"a", "b"}),
        (frozenset({"other"}), False, {"b"}),
        (frozenset(), False, {"b"}),
    ],
)
def test_the_components_of_a_thing_group_go_when_the_cloud_says_that_the_device_left_it(
    at: Scene, member_of: frozenset[str] | None, away: bool, left: set[str]
) -> None:
    at.prepare({"a": Wanted("1.0.0")}, "thinggroup/g")
    at.prepare({"b": Wanted("1.0.0")})
    at.cloud.member_of, at.cloud.away = member_of, away
    held = at.prepare({"b": Wanted("1.0.0")})
    assert set(held.components) == held.roots == left


def test_what_was_deployed_on_the_device_itself_or_right_now_is_of_no_group_that_it_left(
    at: Scene,
) -> None:
    at.cloud.member_of = frozenset()
    at.prepare({"a": Wanted("1.0.0")}, LOCAL_DEPLOYMENTS)
    at.prepare({"a": Wanted("1.0.0")})
    at.prepare({"a": Wanted("1.0.0")}, "thinggroup/roof", arn="")
    held = at.prepare({"b": Wanted("1.0.0")}, "thinggroup/g")
    assert set(held.groups) == {LOCAL_DEPLOYMENTS, "thing/pi", "thinggroup/roof", "thinggroup/g"}


def test_what_a_deployment_does_not_say_of_a_user_stays(at: Scene) -> None:
    limits = Limits(0.5, 1024)
    at.prepare({"a": Wanted("1.0.0", run_with="me", limits=limits)})
    at.prepare({"a": Wanted("1.0.0")})
    held = at.prepare({"b": Wanted("1.0.0")}, "thinggroup/g").components["a"]
    assert (held.run_with, held.limits) == ("me", limits)
    held = at.prepare({"a": Wanted("1.0.0", run_with="", limits=Limits())}).components["a"]
    assert (held.run_with, held.limits) == ("", Limits())


def test_a_component_that_wrote_after_the_deployment_was_made_wins(at: Scene) -> None:
    at.configured()
    tree = at.held.components["a"].configuration
    tree.merge((), {"x": "its own"}, int((NOW + 10) * MILLISECONDS))
    at.now = NOW + 20
    document = Document(
        "d2", "thing/pi", int((NOW + 5) * MILLISECONDS), {"a": Wanted("1.0.0", merge={"x": 1})}
    )
    found = asyncio.run(at.preparation.resolved(document, at.held, lambda stage: None))
    held = at.preparation.contents(document, at.held, found)
    assert held.components["a"].configuration.read(("x",)) == "its own"


def test_what_was_written_by_a_clock_that_was_ahead_does_not_win_for_a_year(at: Scene) -> None:
    at.now = NOW + YEAR
    assert at.configured(x=1) == {"x": 1, "y": 0}
    at.now = NOW
    assert at.configured(x=2, y=2) == {"x": 2, "y": 2}


def test_a_clock_that_jumps_ahead_changes_nothing(at: Scene) -> None:
    assert at.configured(x=1) == {"x": 1, "y": 0}
    at.now = NOW + YEAR
    assert at.configured(y=1) == {"x": 1, "y": 1}


def test_variables_in_a_configuration_are_filled_in_when_the_nucleus_says_so(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, defaults={"thing": "{iot:thingName}", "x": 0})
    assert at.configured()["thing"] == "{iot:thingName}"
    at.held = Contents()
    switch = {"interpolateComponentConfiguration": True}
    nucleus = "aws.greengrass.Nucleus"
    at.prepare({nucleus: Wanted("2.18.0", merge=switch)}, "thinggroup/g")
    found = at.configured(own="{configuration:/x} {work:path}")
    assert found["thing"] == "pi"
    assert found["own"] == f"{{configuration:/x}} {at.layout.work('a')}"


def test_the_nucleus_may_say_so_in_the_same_deployment(at: Scene) -> None:
    at.cloud.add("a", "1.0.0", STAYS, defaults={"thing": "{iot:thingName}"})
    switch = Wanted("2.18.0", merge={"interpolateComponentConfiguration": True})
    held = at.prepare({"a": Wanted("1.0.0"), "aws.greengrass.Nucleus": switch})
    assert held.components["a"].configuration.read(("thing",)) == "pi"


TIMES = st.integers(0, 10**13)


@given(st.dictionaries(st.text("ab", max_size=2), TIMES, max_size=4), TIMES, TIMES)
def test_no_time_lies_ahead_and_none_that_does_not_is_touched(
    written: dict[str, int], now: int, timestamp: int
) -> None:
    tree = Tree()
    for key, moment in written.items():
        tree.merge((), {f"k{key}": {"v": moment}}, moment)
    before = dict(_times(tree))
    not_from_the_future(tree.root, now, timestamp)
    for path, modified in _times(tree):
        assert modified <= now
        if before[path] <= now:
            assert modified == before[path]
        else:
            assert modified == min(timestamp, now)


def _times(tree: Tree) -> list[tuple[tuple[str, ...], int]]:
    return [(path, tree.node(path).modified) for path, _ in tree.leaves()]


def test_what_nucleus_lite_reads_otherwise_is_told(at: Scene, tmp_path: Path) -> None:
    recipe = """
RecipeFormatVersion: "2020-01-25"
ComponentName: y
ComponentVersion: 1.0.0
ComponentConfiguration: {DefaultConfiguration: {Interval: 3}}
Manifests: [{Platform: {os: linux, runtime: "*"}, Lifecycle: {run: sleep 9}}]
"""
    for dialect, told in (("classic", 0), ("lite", 1)):
        nucleus.dialect(at.layout, dialect)
        packages.keep(at.layout, recipe.encode(), dialect=dialect)
        at.prepare({"y": Wanted("1.0.0")}, LOCAL_DEPLOYMENTS)
        log = (tmp_path / "root" / "core.log").read_text() if told else ""
        assert log.count("y 1.0.0: the recipe: nucleus lite reads numbers") == told
