"""Which version of which component a device shall have (EDGE-CORE 2).

Breadth first from the root components of all groups; each is resolved under all constraints
known by then, and again when a new constraint does not fit what was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nodesemver import rsort, satisfies  # type: ignore[import-untyped]  # it ships no types

from ggml_magic.core import recipe as recipes
from ggml_magic.core.cloud import Candidate
from ggml_magic.core.disk import UNFINISHED, Layout
from ggml_magic.core.recipe import Recipe
from ggml_magic.errors import CloudError, UnreachableError

# What this core does itself and recipes may depend on; the versions are those whose behaviour
# it follows.
PROVIDED = {"aws.greengrass.Nucleus": "2.18.0", "aws.greengrass.ShadowManager": "2.3.11"}


# Versions whose dependencies undo each other could go round for ever.
MOST_ROUNDS = 1000


class ResolutionError(Exception):
    """No set of versions meets every requirement; the text names who asked for what."""


class Registry(Protocol):
    """Where versions come from when the device has none that fits."""

    async def resolve(
        self, platform: Mapping[str, str], name: str, requirements: Mapping[str, str]
    ) -> Candidate:
        """The version that meets all requirements."""


@dataclass
class Resolution:
    """Recipes by component, and who asked for which versions of it."""

    recipes: dict[str, Recipe] = field(default_factory=dict)
    constraints: dict[str, dict[str, str]] = field(default_factory=dict)


class Resolver:
    """Resolves for one device; ``running`` maps its components to their versions."""

    def __init__(
        self, layout: Layout, registry: Registry, platform: Mapping[str, str],
        running: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._layout = layout
        self._registry = registry
        self._platform = platform
        self._running = running

    async def resolve(self, roots: Mapping[str, Mapping[str, str]]) -> Resolution:
        """Versions for root components, given as ``{group: {component: requirement}}``.

        Raises ``ResolutionError``, and ``UnreachableError`` when the cloud is needed and away.
        """
        found = Resolution()
        for group, components in roots.items():
            for name, requirement in components.items():
                found.constraints.setdefault(name, {})[group] = requirement
        waiting = list(found.constraints)
        rounds = 0
        while waiting:
            name, rounds = waiting.pop(0), rounds + 1
            if rounds > MOST_ROUNDS:
                raise ResolutionError(f"the requirements of {name} and others never come to rest")
            if name in PROVIDED:
                _check_provided(name, found.constraints[name])
                continue
            waiting += await self._settle(found, name)
        _drop_unasked(found)
        _check_circles(found)
        return found

    async def _settle(self, found: Resolution, name: str) -> list[str]:
        """Choose a version; returns the components whose constraints changed by it."""
        chosen = await self._choose(name, found.constraints[name])
        before = found.recipes.get(name)
        if before is not None and before.version == chosen.version:
            return []
        found.recipes[name] = chosen
        changed = []
        for constraints in found.constraints.values():
            constraints.pop(name, None)
        for dependency in chosen.dependencies:
            found.constraints.setdefault(dependency.name, {})[name] = dependency.requirement
            changed.append(dependency.name)
        return changed

    async def _choose(self, name: str, constraints: Mapping[str, str]) -> Recipe:
        local = self._local(name, constraints)
        try:
            candidate = await self._registry.resolve(self._platform, name, constraints)
        except UnreachableError:
            if local is None:
                raise
            return local
        except CloudError as error:
            if local is None:
                raise ResolutionError(_no_version(name, constraints, error.why)) from None
            return local
        return self._kept(candidate)

    def _local(self, name: str, constraints: Mapping[str, str]) -> Recipe | None:
        """The running version if it fits, else the highest in the local store that does."""
        running = self._running.get(name)
        stored = {}
        for file in self._layout.recipes.glob("*.json"):
            recipe = recipes.parse(file.read_bytes())
            if recipe.name == name and fits(recipe.version, constraints.values()):
                stored[recipe.version] = recipe
        if running in stored:
            return stored[running]
        return stored[rsort(list(stored), loose=False)[0]] if stored else None

    def _kept(self, candidate: Candidate) -> Recipe:
        recipe = recipes.parse(candidate.recipe)
        file = self._layout.recipes / f"{recipe.name}-{recipe.version}.json"
        if not file.exists() or file.read_bytes() != candidate.recipe:
            aside = file.with_name(f".{file.name}{UNFINISHED}")
            aside.write_bytes(candidate.recipe)
            aside.replace(file)
        return recipe


def fits(version: str, requirements: Iterable[str]) -> bool:
    """Whether a version meets npm ranges; a malformed range is met by nothing."""
    try:
        return all(satisfies(version, requirement, loose=False) for requirement in requirements)
    except ValueError:
        return False


def _check_provided(name: str, constraints: Mapping[str, str]) -> None:
    if not fits(PROVIDED[name], constraints.values()):
        raise ResolutionError(_no_version(name, constraints, f"this core is {PROVIDED[name]}"))


def _no_version(name: str, constraints: Mapping[str, str], why: str) -> str:
    asked = " and ".join(f"{who} asks for {what}" for who, what in sorted(constraints.items()))
    return f"no version of {name} fits: {asked} ({why})"


def _drop_unasked(found: Resolution) -> None:
    """Forget components that only a version asked for which was not taken in the end."""
    while unasked := [name for name in found.recipes if not found.constraints.get(name)]:
        for name in unasked:
            del found.recipes[name]
            for constraints in found.constraints.values():
                constraints.pop(name, None)


def _check_circles(found: Resolution) -> None:
    done: set[str] = set()

    def visit(name: str, chain: tuple[str, ...]) -> None:
        if name in chain:
            circle = " -> ".join((*chain[chain.index(name) :], name))
            raise ResolutionError(f"the components depend on each other: {circle}")
        if name in done or name not in found.recipes:
            return
        for dependency in found.recipes[name].dependencies:
            visit(dependency.name, (*chain, name))
        done.add(name)

    for name in found.recipes:
        visit(name, ())
