"""Dependency resolution (EDGE-CORE 2)."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodesemver import max_satisfying

from ggml_magic.core import packages, provided
from ggml_magic.core.cloud import Candidate
from ggml_magic.core.disk import Layout
from ggml_magic.core.recipe import RecipeError
from ggml_magic.core.resolve import ResolutionError, Resolver
from ggml_magic.core.versions import fits
from ggml_magic.errors import CloudError, UnreachableError

PLATFORM = {"os": "linux"}


def recipe(name: str, version: str, lite: bool = False, **dependencies: str) -> bytes:
    needed = {
        dependency: {"VersionRequirement": requirement, "DependencyType": "HARD"}
        for dependency, requirement in dependencies.items()
    }
    document = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentDependencies": needed, "Manifests": [
            {"Lifecycle": {"run": "true"}, **({"Platform": {"runtime": "*"}} if lite else {})}
        ],
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
        return Candidate(name, best, held[best], f"arn:{name}:{best}")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.make()
    return made


def resolve(
    layout: Layout, registry: Registry, roots: dict[str, dict[str, str]],
    running: dict[str, str] | None = None, platform: dict[str, str] = PLATFORM,
) -> dict[str, str]:  # fmt: skip
    resolver = Resolver(layout, registry, platform, running or {})
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
    with pytest.raises(ResolutionError) as caught:
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}, "thinggroup/g": {"b": "1.x"}})
    assert str(caught.value) == (
        "no version of c fits: thing/pi asks for a 1.0.0 -> a asks for c ^1.0.0; "
        "thinggroup/g asks for b 1.x -> b asks for c ^2.0.0 (no version of c)"
    )


def test_a_long_chain_is_told_from_the_group_down(layout: Layout) -> None:
    registry = Registry(
        recipe("a", "1.0.0", b="*"), recipe("b", "1.0.0", c="~1.2"), recipe("c", "1.0.0")
    )
    with pytest.raises(ResolutionError) as caught:
        resolve(layout, registry, {"thinggroup/x": {"a": "1.0.0"}})
    assert str(caught.value) == (
        "no version of c fits: thinggroup/x asks for a 1.0.0 -> a asks for b * "
        "-> b asks for c ~1.2 (no version of c)"
    )


def test_a_version_for_other_devices_is_none(layout: Layout) -> None:
    document = json.loads(recipe("b", "1.0.0"))
    document["Manifests"][0]["Platform"] = {"os": "windows"}
    registry = Registry(recipe("a", "1.0.0", b="*"), json.dumps(document).encode())
    with pytest.raises(ResolutionError) as caught:
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}})
    assert str(caught.value) == (
        "no version of b fits: thing/pi asks for a 1.0.0 -> a asks for b * "
        "(no manifest of b 1.0.0 fits os=linux)"
    )


def test_a_circle_is_named(layout: Layout) -> None:
    registry = Registry(
        recipe("a", "1.0.0", b="*"), recipe("b", "1.0.0", c="*"), recipe("c", "1.0.0", b="*")
    )
    with pytest.raises(ResolutionError, match=r"b asks for c \* -> c asks for b \*$"):
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}})


def test_a_component_that_needs_itself_is_a_circle(layout: Layout) -> None:
    with pytest.raises(ResolutionError, match=r"each other: a asks for a \*$"):
        resolve(layout, Registry(recipe("a", "1.0.0", a="*")), {"thing/pi": {"a": "1.0.0"}})


def test_what_the_core_is_itself_is_not_asked_for(layout: Layout) -> None:
    nucleus = {"aws.greengrass.Nucleus": ">=2.0.0 <3.0.0"}
    registry = Registry(recipe("a", "1.0.0", **nucleus))
    roots = {"thing/pi": {"a": "1.0.0", "aws.greengrass.Cli": "*"}}
    found = asyncio.run(Resolver(layout, registry, PLATFORM, {}).resolve(roots))
    assert set(found.recipes) == {"a", "aws.greengrass.Nucleus", "aws.greengrass.Cli"}
    assert found.recipes["aws.greengrass.Nucleus"] == provided.recipe(provided.NUCLEUS, "classic")
    assert registry.asked == ["a"]
    registry = Registry(recipe("a", "1.0.0", **{"aws.greengrass.Nucleus": ">=3.0.0"}))
    with pytest.raises(ResolutionError, match=r"this core is 2\."):
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}})


def test_only_what_was_dropped_asked_for_does_not_constrain(layout: Layout) -> None:
    # c is only b 2.0.0's, which y does not allow: nobody needs the d that is not there
    registry = Registry(
        recipe("a", "1.0.0", b="*", y="*"), recipe("y", "1.0.0", b="1.x"), recipe("b", "1.0.0"),
        recipe("b", "2.0.0", c="*"), recipe("c", "1.0.0", d="9.0.0"),
    )  # fmt: skip
    assert resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}}) == {
        "a": "1.0.0", "b": "1.0.0", "y": "1.0.0"
    }  # fmt: skip


def stored(layout: Layout, *recipes: bytes) -> None:
    for each in recipes:
        packages.keep(layout, each)


def test_the_local_group_takes_what_is_local_without_the_cloud(layout: Layout) -> None:
    stored(layout, recipe("a", "1.0.0", b="*"), recipe("b", "1.0.0"))
    registry = Registry(recipe("a", "1.5.0"), recipe("b", "2.0.0"))
    found = resolve(layout, registry, {"LOCAL_DEPLOYMENTS": {"a": "^1.0.0"}})
    # what a local root depends on is the cloud's matter still
    assert found == {"a": "1.0.0", "b": "2.0.0"}
    assert registry.asked == ["b"]
    assert resolve(layout, registry, {"thing/pi": {"a": "^1.0.0"}})["a"] == "1.5.0"


def test_the_local_group_asks_the_cloud_for_what_is_not_here(layout: Layout) -> None:
    registry = Registry(recipe("a", "1.0.0"))
    assert resolve(layout, registry, {"LOCAL_DEPLOYMENTS": {"a": "1.0.0"}}) == {"a": "1.0.0"}


LITE = {"os": "linux", "runtime": "aws_nucleus_lite"}


def test_lite_takes_all_of_a_local_deployment_from_here(layout: Layout) -> None:
    registry = Registry(recipe("b", "2.0.0", lite=True))
    stored(layout, recipe("a", "1.0.0", lite=True, b="*"), recipe("b", "1.0.0", lite=True))
    roots = {"LOCAL_DEPLOYMENTS": {"a": "1.0.0"}}
    assert resolve(layout, registry, roots, platform=LITE) == {"a": "1.0.0", "b": "1.0.0"}
    assert registry.asked == []


@pytest.mark.parametrize("local", [True, False])
def test_lite_refuses_a_recipe_of_the_classic_core_with_the_reason(
    layout: Layout, local: bool
) -> None:
    registry = Registry()
    if local:
        stored(layout, recipe("a", "1.0.0"))
    else:
        registry = Registry(recipe("a", "1.0.0"))
    with pytest.raises(RecipeError, match=r"^a 1.0.0: nucleus lite refuses it: Manifests\[0\]"):
        resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}}, platform=LITE)
    assert resolve(layout, registry, {"thing/pi": {"a": "1.0.0"}}) == {"a": "1.0.0"}


def test_the_cloud_arn_is_kept_beside_the_recipe(layout: Layout) -> None:
    resolve(layout, Registry(recipe("a", "1.0.0")), {"thing/pi": {"a": "1.0.0"}})
    assert packages.arn_of(layout, "a", "1.0.0") == "arn:a:1.0.0"


def test_a_yaml_recipe_of_the_store_is_a_candidate(layout: Layout) -> None:
    text = "RecipeFormatVersion: 2020-01-25\nComponentName: a\nComponentVersion: 1.0.0\n"
    stored(layout, f"{text}Manifests: [{{}}]\n".encode())
    assert resolve(layout, Registry(), {"thing/pi": {"a": "*"}}) == {"a": "1.0.0"}


def test_a_name_that_looks_like_a_version_is_not_mixed_up(layout: Layout) -> None:
    stored(layout, recipe("a-1.0.0", "2.0.0"), recipe("a", "1.0.0-1.0.0"))
    roots = {"thing/pi": {"a": "1.0.0-2.0.0 || 1.0.0-1.0.0"}}
    assert resolve(layout, Registry(), roots) == {"a": "1.0.0-1.0.0"}


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


NAMES = ["a", "b", "c", "d"]
RANGES = st.sampled_from(["*", "1.x", "2.x", ">=1.0.0 <3.0.0", "^1.1.0", "1.0.0"])
VERSIONS = ["1.0.0", "1.1.0", "2.0.0"]


@st.composite
def worlds(draw: st.DrawFn) -> list[bytes]:
    """Components that depend only on those behind them, so that there is no circle."""
    found = []
    for at, name in enumerate(NAMES):
        for version in draw(st.lists(st.sampled_from(VERSIONS), unique=True, min_size=1)):
            names = draw(st.lists(st.sampled_from(NAMES[at + 1 :]), unique=True, max_size=2)) if (
                NAMES[at + 1 :]
            ) else []  # fmt: skip
            found.append(recipe(name, version, **{each: draw(RANGES) for each in names}))
    return found


@settings(deadline=None, max_examples=80)
@given(worlds(), st.dictionaries(st.sampled_from(NAMES), RANGES, min_size=1, max_size=3))
def test_what_is_resolved_meets_everybody_and_holds_nothing_more(
    world: list[bytes], roots: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        layout.make()
        resolver = Resolver(layout, Registry(*world), PLATFORM, {})
        try:
            found = asyncio.run(resolver.resolve({"thing/pi": roots}))
        except ResolutionError as error:
            assert "asks for" in str(error)
            return
    asked = dict.fromkeys(roots, 1)
    for name, wanted in roots.items():
        assert fits(found.recipes[name].version, [wanted])
    for each in found.recipes.values():
        for dependency in each.dependencies:
            asked[dependency.name] = 1
            assert fits(found.recipes[dependency.name].version, [dependency.requirement])
    assert set(found.recipes) == set(asked)
