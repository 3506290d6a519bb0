"""What a device has, over its restarts."""

from __future__ import annotations

from pathlib import Path

from ggml_magic.core.config import Tree
from ggml_magic.core.inventory import Component, Contents, Group, Inventory
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
        {"thing/pi": Group({"a": "1.0.0"}, 5, "id")},
        {
            "a": Component("1.0.0", {"Run": "x", "setenv": {"K": 1}}, dependencies, tree, "me"),
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
    assert (services["a"].version, services["a"].run_with) == ("1.0.0", "me")
    assert contents().roots == {"a"}
