"""Section 6: a component's configuration, and what a deployment makes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rules import rule

from ggml_magic.core import nucleus
from ggml_magic.core.config import DEFAULTS_TIMESTAMP, Leaf, Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Contents
from ggml_magic.core.logs import Log
from ggml_magic.core.orders import Document, Wanted
from ggml_magic.core.preparation import Preparation
from tests.deploying import Cloud, Scene, play

# milliseconds since 1970
EARLIER, NOW, LATER = 1_000_000_000_000, 1_000_000_000_001, 1_000_000_000_002


def tree(value: dict[str, Any], timestamp: int = NOW) -> Tree:
    made = Tree()
    made.merge((), value, timestamp)
    return made


def leaf(found: Tree, *path: str) -> Leaf:
    node = found.node(path)
    assert isinstance(node, Leaf)
    return node


class Device:
    """Deploys component ``a``, as far as nothing is started."""

    def __init__(self, root: Path, dialect: str = "classic") -> None:
        self.layout = Layout(root)
        self.layout.make()
        nucleus.dialect(self.layout, dialect)
        self.cloud = Cloud()
        self.log = Log(root / "core.log")
        self.held = Contents()
        self.time = NOW
        self.preparation = Preparation(self.layout, self.cloud, self.log)  # type: ignore[arg-type]

    def publish(self, version: str, name: str = "a", **how: Any) -> None:
        """A recipe for either nucleus."""
        self.cloud.add(name, version, {"run": "true"}, **how)
        manifest = self.cloud.recipes[name][version]["Manifests"][0]
        manifest["Platform"]["runtime"] = "*"

    def deploy(self, version: str = "1.0.0", reset: tuple[str, ...] = (), **merge: Any) -> Any:
        """The configuration that ``a`` has afterwards; each deployment is later than the last."""
        self.time += 1
        wanted = {"a": Wanted(version, reset, merge)}
        document = Document(f"d{self.time}", "thing/pi", self.time, wanted)
        found = asyncio.run(self.preparation.resolved(document, self.held, lambda stage: None))
        self.held = self.preparation.contents(document, self.held, found)
        self.log.close()
        return self.tree().read(())

    def tree(self, name: str = "a") -> Tree:
        return self.held.components[name].configuration

    def said(self) -> str:
        file = self.layout.root / "core.log"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def device(tmp_path: Path) -> Device:
    made = Device(tmp_path / "root")
    made.publish("1.0.0", defaults={"x": "default", "deep": {"y": "default"}})
    return made


# The tree


@rule("6.01", "both", "A key is the same in any case.")
def test_rule_6_01_any_case() -> None:
    found = tree({"Interval": 1})
    assert found.merge((), {"INTERVAL": 2}, LATER) == [("Interval",)]
    assert found.read(("interval",)) == 2
    assert found.read(()) == {"Interval": 2}


@rule("6.02", "both", "Each single value has the time of its writing, in milliseconds.")
def test_rule_6_02_time_of_writing() -> None:
    found = tree({"a": 1, "deep": {"b": 2}})
    found.merge((), {"deep": {"b": 3}}, LATER)
    assert leaf(found, "a") == Leaf(1, NOW)
    assert leaf(found, "deep", "b") == Leaf(3, LATER)


@rule("6.03", "both", "A list is one value: it is replaced whole, and never merged.")
def test_rule_6_03_lists() -> None:
    found = tree({"list": [1, {"a": 1}]})
    assert found.merge((), {"list": [{"b": 2}]}, LATER) == [("list",)]
    assert leaf(found, "list").value == [{"b": 2}]


@rule("6.04", "both", "Writing an equal value is nothing, whatever its time.")
def test_rule_6_04_equal_value() -> None:
    for timestamp in (EARLIER, NOW, LATER):
        found = tree({"a": {"b": [1]}})
        assert found.merge((), {"a": {"b": [1]}}, timestamp) == []
        assert leaf(found, "a", "b") == Leaf([1], NOW)


@rule("6.05", "both", "A write that is older than what is there is ignored.")
def test_rule_6_05_older() -> None:
    found = tree({"a": 1})
    assert found.merge((), {"a": 2}, EARLIER) == []
    assert leaf(found, "a") == Leaf(1, NOW)


@rule("6.06", "both", "A write of the same time or newer replaces, and is told as a change.")
def test_rule_6_06_newer() -> None:
    for timestamp in (NOW, LATER):
        found = tree({"deep": {"a": 1}})
        assert found.merge((), {"deep": {"a": 2}}, timestamp) == [("deep", "a")]
        assert leaf(found, "deep", "a") == Leaf(2, timestamp)


# At a deployment


@rule("6.07", "both", "A deployment begins with the configuration that the component has.")
def test_rule_6_07_running_configuration(device: Device) -> None:
    device.deploy(own=1)
    device.tree().merge((), {"written by itself": 2}, device.time)
    before = device.tree().dump()
    held = device.tree()
    assert device.deploy(more=3)["written by itself"] == 2
    assert device.deploy()["own"] == 1
    # of a copy: what is not to be in the end has changed nothing
    assert held.dump() == before


@rule("6.08", "both", "Then all that the pointers of reset name is removed.")
def test_rule_6_08_reset(device: Device) -> None:
    device.deploy(gone=1, stays=2, inner={"gone": 3, "stays": 4}, **{"sl/ash": 5})
    found = device.deploy("1.0.0", ("/gone", "/INNER/gone", "/sl~1ash"))
    assert found == {
        "stays": 2, "inner": {"stays": 4}, "x": "default", "deep": {"y": "default"}
    }  # fmt: skip


@rule("6.09", "both", "The empty pointer clears everything.")
def test_rule_6_09_reset_all(device: Device) -> None:
    device.deploy(own=1, x="own")
    assert device.deploy("1.0.0", ("",)) == {"x": "default", "deep": {"y": "default"}}


@rule("6.10", "both", "A pointer to an element of a list is logged as an error and passed over.")
def test_rule_6_10_reset_in_a_list(device: Device) -> None:
    device.deploy(list=[1, 2], gone=1)
    found = device.deploy("1.0.0", ("/list/0", "/gone"))
    assert found["list"] == [1, 2]
    assert "gone" not in found
    assert "'/list/0' points into a list" in device.said()


@rule("6.11", "both", "A pointer to nothing is ignored.")
def test_rule_6_11_reset_of_nothing(device: Device) -> None:
    before = device.deploy(own=1)
    assert device.deploy("1.0.0", ("/none", "/own/none", "/none/deeper")) == before
    assert device.said() == ""


@rule("6.12", "both", "The recipe's defaults are merged next, with the time 1.")
def test_rule_6_12_defaults(device: Device) -> None:
    assert device.deploy() == {"x": "default", "deep": {"y": "default"}}
    assert DEFAULTS_TIMESTAMP == 1
    for path in (("x",), ("deep", "y")):
        assert leaf(device.tree(), *path) == Leaf("default", 1)


@rule("6.13", "both", "So defaults only fill in what is absent, an upgrade changes no value.")
def test_rule_6_13_upgrade(device: Device) -> None:
    device.deploy()
    device.publish("2.0.0", defaults={"x": "new", "deep": {"y": "new", "z": "new"}, "w": "new"})
    found = device.deploy("2.0.0")
    assert found == {"x": "default", "deep": {"y": "default", "z": "new"}, "w": "new"}


@rule("6.14", "both", "Last comes what the deployment merges, with the time of the deployment.")
def test_rule_6_14_merge(device: Device) -> None:
    assert device.deploy(x="merged") == {"x": "merged", "deep": {"y": "default"}}
    assert leaf(device.tree(), "x") == Leaf("merged", device.time)
    # what the component wrote after the deployment was made is newer
    device.tree().merge((), {"x": "its own"}, device.time + 5)
    assert device.deploy(x="too old")["x"] == "its own"


@rule("6.15", "both", "The order is always reset, defaults, merge.")
def test_rule_6_15_order(device: Device) -> None:
    device.deploy(x="own", deep={"y": "own"})
    # x is reset, filled with its default, and merged; y is reset and filled
    found = device.deploy("1.0.0", ("/x", "/deep"), x="merged")
    assert found == {"x": "merged", "deep": {"y": "default"}}


@rule("6.16", "both", "Only a root component of the deployment can be configured by it.")
def test_rule_6_16_roots_only(device: Device) -> None:
    device.publish("1.0.0", "b", defaults={"x": "of b"})
    device.publish("2.0.0", needs={"b": "*"})
    device.deploy("2.0.0", ("",), x="merged")
    assert device.tree("a").read(()) == {"x": "merged"}
    assert device.tree("b").read(()) == {"x": "of b"}


@rule("6.17", "both", "Maps are merged key by key, to any depth.")
def test_rule_6_17_deep(device: Device) -> None:
    device.deploy(one={"two": {"three": 3, "kept": 4}, "kept": 5})
    found = device.deploy(one={"two": {"three": 33, "new": 6}})
    assert found["one"] == {"two": {"three": 33, "kept": 4, "new": 6}, "kept": 5}


@rule("6.18", "both", "Merging null keeps the key, with null as its value.")
def test_rule_6_18_null(device: Device) -> None:
    found = device.deploy(x=None)
    assert found == {"x": None, "deep": {"y": "default"}}
    assert device.deploy() == found


async def deployed(at: Scene, version: str, **update: Any) -> None:
    result = await at.deploy({"a": {"version": version, "configurationUpdate": update}})
    assert result.detail == "SUCCESSFUL"


@rule("6.19", "both", "The new version's lifecycle and dependencies replace those of the old one.")
def test_rule_6_19_lifecycle_is_replaced(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("b", "1.0.0", {})
        at.cloud.add("a", "1.0.0", {"Setenv": {"old": "1"}}, needs={"b": "*"})
        at.cloud.add("a", "2.0.0", {"Setenv": {"new": "1"}})
        await deployed(at, "1.0.0")
        await deployed(at, "2.0.0")
        found = at.held.contents.components["a"]
        assert (found.lifecycle, found.dependencies) == ({"Setenv": {"new": "1"}}, ())
        assert set(at.held.contents.components) == {"a"}

    play(tmp_path, scene)


@rule("6.20", "both", "The computed configuration replaces the old one, and changes are told.")
def test_rule_6_20_configuration_is_replaced(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", {}, defaults={"x": 1, "stays": 1})
        await deployed(at, "1.0.0", merge={"gone": 1})
        await deployed(at, "1.0.0", reset=["/gone"], merge={"x": 2})
        assert at.configuration("a") == {"x": 2, "stays": 1}
        (told,) = (set(paths) for name, paths in at.configured if name == "a")
        assert told == {("x",), ("gone",)}

    play(tmp_path, scene)


@rule("6.21", "lite", "Reset, defaults and merge are the same in a deployment by the cloud's jobs.")
def test_rule_6_21_lite(tmp_path: Path) -> None:
    device = Device(tmp_path / "root", "lite")
    device.publish("1.0.0", defaults={"x": 1, "y": 1})
    device.publish("2.0.0", defaults={"x": 2, "y": 2, "z": 2})
    assert device.deploy(own=1, x=5) == {"own": 1, "x": 5, "y": 1}
    assert device.deploy("2.0.0", ("/x",), own=2) == {"own": 2, "x": 2, "y": 1, "z": 2}
