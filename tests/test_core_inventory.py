"""What a device has, over its restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core.config import Tree
from ggml_magic.core.inventory import Component, Contents, Group, Inventory, caught_up
from ggml_magic.core.orders import Limits
from ggml_magic.core.recipe import Dependency, Step


def contents() -> Contents:
    tree = Tree()
    tree.merge((), {"A": {"b": [1]}}, 7)
    dependencies = (
        Dependency("b", "^1.0.0"),
        Dependency("c", "*", hard=False),
        Dependency("aws.greengrass.Nucleus", "*"),
    )
    return Contents(
        {"thing/pi": Group({"a": "1.0.0"}, 5, "id", 2, "arn")},
        {
            "a": Component(
                "1.0.0",
                {"Run": "x", "setenv": {"K": 1}},
                dependencies,
                tree,
                "me",
                Limits(0.5, 100),
            ),
            "b": Component("1.2.0", {}, (), Tree()),
            "c": Component("1.2.0", {}, (), Tree()),
        },
    )


def test_contents_survive_a_restart(tmp_path: Path) -> None:
    held = Inventory(tmp_path / "config.json")
    assert held.contents == Contents()
    held.replace(contents())
    held.contents.components["a"].configuration.merge(("A",), {"b": [2]}, 8)
    held.save()
    again = Inventory(tmp_path / "config.json").contents
    assert again.dump() == held.contents.dump()
    assert again.groups == contents().groups
    assert again.components["a"].dependencies == contents().components["a"].dependencies
    assert again.components["a"].configuration.read(("A", "b")) == [2]


def test_services_wait_for_hard_dependencies_that_are_components_here() -> None:
    services = contents().services()
    assert services["a"].hard == ("b",)
    assert services["a"].lifecycle.steps == {"run": Step("x")}
    assert services["a"].lifecycle.setenv == {"K": "1"}
    assert (services["a"].version, services["a"].user) == ("1.0.0", "me")
    assert services["a"].limits == Limits(0.5, 100)
    assert contents().roots == {"a"}


def test_a_higher_revision_is_newer_whatever_its_time() -> None:
    group = Group({}, 100, "d", 3)
    assert not group.newer_than(100, 3)
    assert group.newer_than(99, 3)
    assert group.newer_than(99, 2)
    assert not group.newer_than(99, 4)
    # of a target whose deployments nobody counts
    assert Group({}, 100, "d").newer_than(99, 0)
    assert Group({}, 100, "d").newer_than(99, 4)


def test_a_component_differs_by_its_values_not_by_their_times() -> None:
    one, other = Tree(), Tree()
    one.merge((), {"x": 1}, 5)
    other.merge((), {"x": 1}, 7)
    own = Component("1.0.0", {}, (), one)
    assert not own.differs_from(Component("1.0.0", {}, (), other))
    other.merge((), {"x": 2}, 8)
    assert own.differs_from(Component("1.0.0", {}, (), other))
    assert own.differs_from(Component("1.0.0", {}, (), one, "me"))


@pytest.mark.parametrize("nucleus", ["aws.greengrass.Nucleus", "aws.greengrass.NucleusLite"])
@pytest.mark.parametrize(
    ("written", "user"),
    [({"posixUser": "pi:pi"}, "pi:pi"), ({"posixUser": None}, ""), ({}, ""), ("pi", "")],
)
def test_who_names_no_user_has_the_nucleuss_default(nucleus: str, written: Any, user: str) -> None:
    tree = Tree()
    tree.merge((), {"runWithDefault": written}, 5)
    components = {
        "own": Component("1.0.0", {}, (), Tree(), "me"),
        "none": Component("1.0.0", {}, (), Tree()),
        nucleus: Component("2.18.0", {}, (), tree),
    }
    services = Contents({}, components).services()
    assert (services["own"].user, services["none"].user) == ("me", user)


def test_what_components_wrote_since_a_plan_is_in_it_and_all_else_is_planned() -> None:
    before, held = contents(), contents()
    held.components["a"].configuration.merge(("A",), {"own": 1}, 9)
    tree = contents().components["a"].configuration
    tree.merge(("A",), {"b": [2]}, 8)
    components = {
        "a": Component("2.0.0", {}, (), tree),
        "new": Component("1.0.0", {}, (), Tree()),
    }
    wanted = Contents({"thing/pi": Group({"a": "2.0.0"}, 6, "id2")}, components)
    found = caught_up(before, held, wanted)
    assert found.groups == wanted.groups
    assert {name: each.version for name, each in found.components.items()} == {
        "a": "2.0.0", "new": "1.0.0"
    }  # fmt: skip
    assert found.components["a"].configuration.read(("A",)) == {"b": [2], "own": 1}


def test_who_depends_on_what_no_deployment_names() -> None:
    assert contents().dependents("b") == ["a"]
    assert contents().dependents("a") == []
