"""Policies are kept while nothing changes, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core import policies
from ggml_magic.core.authorize import PUBSUB
from ggml_magic.core.config import Tree
from ggml_magic.core.inventory import Component, Contents, Inventory
from ggml_magic.core.logs import Log

C, D = "com.example.C", "com.example.D"


def access(*resources: str) -> dict[str, Any]:
    operations = ["aws.greengrass#PublishToTopic"]
    return {PUBSUB: {"p": {"operations": operations, "resources": list(resources)}}}


def contents(**configurations: Any) -> Contents:
    components = {}
    for name, written in configurations.items():
        tree = Tree()
        tree.merge((), {"accessControl": written, "Other": 1}, 5)
        components[f"com.example.{name}"] = Component("1.0.0", {}, (), tree)
    return Contents({}, components)


@pytest.fixture(name="held")
def inventory(tmp_path: Path) -> Inventory:
    made = Inventory(tmp_path / "config.json")
    made.replace(contents(C=access("a")))
    return made


@pytest.fixture(name="log")
def open_log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "core.log")
    yield log
    log.close()


def may(held: Inventory, topic: str, component: str = C) -> bool:
    return policies.of(held, component).allows(component, PUBSUB, "PublishToTopic", topic)


def test_they_are_loaded_once_whatever_else_changes(held: Inventory) -> None:
    first = policies.of(held, C)
    held.contents.components[C].configuration.merge((), {"Other": 2}, 6)
    assert policies.of(held, C) is first
    assert policies.of(held, D) is first


def test_a_deployment_that_changes_an_access_control_counts_at_once(held: Inventory) -> None:
    assert may(held, "a")
    held.replace(contents(C=access("b")))
    assert not may(held, "a")
    assert may(held, "b")


def test_a_component_that_comes_or_goes_counts_at_once(held: Inventory) -> None:
    assert not may(held, "d", D)
    held.replace(contents(C=access("a"), D={PUBSUB: {"q": access("d")[PUBSUB]["p"]}}))
    assert may(held, "d", D)
    held.replace(contents(C=access("a")))
    assert not may(held, "d", D)


def test_an_access_control_that_is_changed_in_place_counts_at_once(held: Inventory) -> None:
    tree = held.contents.components[C].configuration
    assert may(held, "a")
    tree.merge((), {"accessControl": access("b")}, 6)
    assert not may(held, "a")
    tree.reset("/accessControl")
    assert not may(held, "b")
    tree.fill({"accessControl": access("c")})
    assert may(held, "c")


def test_what_is_not_loaded_is_told_once(held: Inventory, log: Log) -> None:
    policies.log_to(held, log)
    for resource in ("a", "b"):
        held.replace(contents(C=access(resource), D=access("d")))
        assert not may(held, resource)
        assert not may(held, "d", D)
    told = log.path.read_text().splitlines()
    assert [line.count("carry that id") for line in told] == [1]
