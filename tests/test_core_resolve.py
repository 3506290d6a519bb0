"""Dependency resolution (EDGE-CORE 2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodesemver import max_satisfying

from ggml_magic.core.cloud import Candidate
from ggml_magic.core.disk import Layout
from ggml_magic.core.resolve import ResolutionError, Resolver, fits
from ggml_magic.errors import CloudError, UnreachableError

PLATFORM = {"os": "linux"}


def recipe(name: str, version: str, **dependencies: str) -> bytes:
    needed = {
        dependency: {"VersionRequirement": requirement, "DependencyType": "HARD"}
        for dependency, requirement in dependencies.items()
    }
    document = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentDependencies": needed, "Manifests": [{"Lifecycle": {"Run": "true"}}],
    }  # fmt: skip
    return json.dumps(document).encode()


class Registry:
    def __init__(self, *recipes: bytes) -> None:
        self.recipes: dict[str, dict[str, bytes]] = {}
        self.away = False
        self.asked: list[str] = []
        for each in recipes:
            document = json.loads(each)
            versions = self.recipes.setdefault(document["ComponentName"], {})
            versions[document["ComponentVersion"]] = each

    async def resolve(
        self, platform: Mapping[str, str], name: str, requirements: Mapping[str, str]
    ) -> Candidate:
        if self.away:
            raise UnreachableError("away")
        self.asked.append(name)
        held = self.recipes.get(name, {})
        fitting = [version for version in held if fits(version, requirements.values())]
        if not fitting:
            raise CloudError("ResolveComponentCandidates was refused", f"no version of {name}")
        best = max_satisfying(fitting, "*", loose=False)
        return Candidate(name, best, held[best])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.make()
    return made


def resolve(
    layout: Layout, registry: Registry, roots: dict[str, dict[str, str]],
    running: dict[str, str] | None = None,
) -> dict[str, str]:  # fmt: skip
    resolver = Resolver(layout, registry, PLATFORM, running or {})
    found = asyncio.run(resolver.resolve(roots))
    return {name: each.version for name, each in found.recipes.items()}


def test_a_root_and_what_it_needs(layout: Layout) -> None:
    registry = Registry(
        recipe("a", "1.0.0", b="^1.0.0"), recipe("b", "1.0.0"), recipe("b", "1.4.0", c="*"),
        recipe("b", "2.0.0"), recipe("c", "0.1.0"),
    )  # fmt: skip
    assert resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}}) == {
        "a": "1.0.0", "b": "1.4.0", "c": "0.1.0"
    }  # fmt: skip
    assert (layout.recipes / "b-1.4.0.json").read_bytes() == recipe("b", "1.4.0", c="*")


def test_a_later_constraint_moves_an_earlier_choice_and_forgets_what_it_asked_for(
    layout: Layout,
) -> None:
    registry = Registry(
        recipe("a", "1.0.0", b=">=1.0.0"), recipe("z", "1.0.0", b="<2.0.0"),
        recipe("b", "2.0.0", only="*"), recipe("b", "1.0.0"), recipe("only", "1.0.0"),
    )  # fmt: skip
    assert resolve(layout, registry, {"thing/pi": {"a": "1.0.0", "z": "1.0.0"}}) == {
        "a": "1.0.0", "z": "1.0.0", "b": "1.0.0"
    }  # fmt: skip


def test_all_groups_on_a_device_count(layout: Layout) -> None:
    registry = Registry(
        recipe("a", "1.0.0"), recipe("a", "1.1.0"), recipe("b", "1.0.0", a="<1.1.0")
    )
    roots = {"thinggroup/g": {"a": "^1.0.0"}, "thing/pi": {"b": "1.0.0"}}
    assert resolve(layout, registry, roots) == {"a": "1.0.0", "b": "1.0.0"}


def test_no_version_names_who_asked_for_what(layout: Layout) -> None:
    registry = Registry(
        recipe("a", "1.0.0", c="^1.0.0"),
        recipe("b", "1.0.0", c="^2.0.0"),
        recipe("c", "1.0.0"),
        recipe("c", "2.0.0"),
    )
    with pytest.raises(ResolutionError, match=r"a asks for \^1.0.0 and b asks for \^2.0.0"):
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0", "b": "1.0.0"}})


def test_a_circle_is_named(layout: Layout) -> None:
    registry = Registry(
        recipe("a", "1.0.0", b="*"), recipe("b", "1.0.0", c="*"), recipe("c", "1.0.0", b="*")
    )
    with pytest.raises(ResolutionError, match="b -> c -> b"):
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}})


def test_what_the_core_is_itself_is_not_asked_for(layout: Layout) -> None:
    nucleus = {"aws.greengrass.Nucleus": ">=2.0.0 <3.0.0"}
    registry = Registry(recipe("a", "1.0.0", **nucleus))
    assert resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}}) == {"a": "1.0.0"}
    assert registry.asked == ["a"]
    registry = Registry(recipe("a", "1.0.0", **{"aws.greengrass.Nucleus": ">=3.0.0"}))
    with pytest.raises(ResolutionError, match=r"this core is 2\."):
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}})


def test_offline_the_running_version_then_the_highest_local_one_is_taken(layout: Layout) -> None:
    for version in ("1.0.0", "1.9.0", "1.10.0"):
        (layout.recipes / f"a-{version}.json").write_bytes(recipe("a", version))
    registry = Registry()
    registry.away = True
    roots = {"thing/pi": {"a": "^1.0.0"}}
    assert resolve(layout, registry, roots) == {"a": "1.10.0"}
    assert resolve(layout, registry, roots, {"a": "1.9.0"}) == {"a": "1.9.0"}
    with pytest.raises(UnreachableError):
        resolve(layout, registry, {"thing/pi": {"a": "^2.0.0"}})


def test_a_local_version_serves_when_the_cloud_refuses(layout: Layout) -> None:
    (layout.recipes / "a-1.0.0.json").write_bytes(recipe("a", "1.0.0"))
    assert resolve(layout, Registry(), {"thing/pi": {"a": "1.0.0"}}) == {"a": "1.0.0"}


@pytest.mark.parametrize(
    ("version", "requirement", "met"),
    [
        ("1.0.0", "1.0.0", True), ("1.0.1", "1.0.0", False), ("1.9.0", ">=1.0.0 <2.0.0", True),
        ("2.0.0", ">=1.0.0 <2.0.0", False), ("3.1.0", "1.x || 3.x", True),
        ("1.2.9", "~1.2.3", True),
        ("1.3.0", "~1.2.3", False), ("1.3.0", "^1.2.3", True), ("0.3.0", "^0.2.3", False),
        ("1.5.0", "1.0.0 - 2.0.0", True), ("9.9.9", "*", True), ("1.0.0", "no range", False),
    ],
)  # fmt: skip
def test_npm_ranges(version: str, requirement: str, met: bool) -> None:
    assert fits(version, [requirement]) is met


NUMBERS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_a_caret_is_a_range_within_the_first_nonzero_number(
    low: tuple[int, int, int], version: tuple[int, int, int]
) -> None:
    major, minor, patch = low
    above = (major + 1, 0, 0) if major else (0, minor + 1, 0) if minor else (0, 0, patch + 1)
    text = ".".join(map(str, version))
    caret = "^" + ".".join(map(str, low))
    assert fits(text, [caret]) is (low <= version < above)
