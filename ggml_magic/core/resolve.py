"""Which version of which component a device shall have (EDGE-CORE 2).

Breadth first from the root components of all groups; each is resolved under all constraints
known by then, and again when a new constraint does not fit what was chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ggml_magic.core import dialects, packages, provided
from ggml_magic.core import recipe as recipes
from ggml_magic.core.cloud import Candidate
from ggml_magic.core.disk import Layout
from ggml_magic.core.orders import LOCAL_DEPLOYMENTS
from ggml_magic.core.platforms import dialect_of
from ggml_magic.core.recipe import Recipe, RecipeError
from ggml_magic.core.versions import fits, highest
from ggml_magic.errors import CloudError, UnreachableError

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
    """Recipes by component, and who asked for which versions of it.

    What the core provides itself is among them, as far as someone asked for it.
    """

    recipes: dict[str, Recipe] = field(default_factory=dict)
    constraints: dict[str, dict[str, str]] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()


class Resolver:
    """Resolves for one device; ``running`` maps its components to their versions.

    The device's dialect is told by its platform.
    """

    def __init__(
        self, layout: Layout, registry: Registry, platform: Mapping[str, str],
        running: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._layout = layout
        self._registry = registry
        self._platform = platform
        self._running = running
        self._dialect = dialect_of(platform)

    async def resolve(self, roots: Mapping[str, Mapping[str, str]]) -> Resolution:
        """Versions for root components, given as ``{group: {component: requirement}}``.

        Raises ``ResolutionError``, ``RecipeError`` for a recipe that this device refuses, and
        ``UnreachableError`` when the cloud is needed and away.
        """
        found = Resolution(groups=frozenset(roots))
        for group, components in roots.items():
            for name, requirement in components.items():
                found.constraints.setdefault(name, {})[group] = requirement
        waiting = list(found.constraints)
        rounds = 0
        while waiting:
            name, rounds = waiting.pop(0), rounds + 1
            if rounds > MOST_ROUNDS:
                raise ResolutionError(f"the requirements of {name} and others never come to rest")
            if found.constraints[name]:
                waiting += await self._settle(found, name)
        _drop_unasked(found)
        _check_circles(found)
        return found

    async def _settle(self, found: Resolution, name: str) -> list[str]:
        """Choose a version; returns the components whose constraints changed by it."""
        chosen = await self._choose(found, name)
        self._check_platform(found, chosen)
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
        if before is not None:
            # what only the version before asked for must not constrain anything any more
            _drop_unasked(found)
        return changed

    async def _choose(self, found: Resolution, name: str) -> Recipe:
        own = provided.versions(self._dialect).get(name)
        if own is not None:
            if not fits(own, found.constraints[name].values()):
                raise ResolutionError(_no_version(found, name, f"this core is {own}"))
            return provided.recipe(name, self._dialect)
        local = self._local(name, found.constraints[name])
        if local is not None and self._stays_local(found, name):
            return self._accepted(local)
        return await self._asked(found, name, local)

    async def _asked(self, found: Resolution, name: str, local: Recipe | None) -> Recipe:
        """The cloud's choice; the local candidate where the cloud does not answer or has none."""
        constraints = found.constraints[name]
        try:
            candidate = await self._registry.resolve(self._platform, name, constraints)
        except UnreachableError:
            if local is None:
                raise
            return self._accepted(local)
        except CloudError as error:
            if local is None:
                raise ResolutionError(_no_version(found, name, error.why)) from None
            return self._accepted(local)
        return self._kept(candidate)

    def _stays_local(self, found: Resolution, name: str) -> bool:
        """Whether a local candidate is taken without asking the cloud.

        The classic nucleus does so for what a local deployment names, nucleus lite also for what
        that depends on.
        """
        if self._dialect == "classic":
            return LOCAL_DEPLOYMENTS in found.constraints[name]
        return any(chain[0][0] == LOCAL_DEPLOYMENTS for chain in _chains(found, name))

    def _local(self, name: str, constraints: Mapping[str, str]) -> Recipe | None:
        """The running version if it fits, else the highest in the local store that does."""
        files = packages.stored(self._layout, name)
        left = {version for version in files if fits(version, constraints.values())}
        running = self._running.get(name)
        while best := running if running in left else highest(left):
            recipe = recipes.parse(files[best].read_bytes(), self._dialect)
            # "a-1.0.0-2.json" may be of "a" or of "a-1.0.0"
            if recipe.name == name:
                return recipe
            left.discard(best)
        return None

    def _accepted(self, local: Recipe) -> Recipe:
        content = packages.stored(self._layout, local.name)[local.version].read_bytes()
        self._check(local, content)
        return local

    def _kept(self, candidate: Candidate) -> Recipe:
        recipe = recipes.parse(candidate.recipe, self._dialect)
        self._check(recipe, candidate.recipe)
        return packages.keep(self._layout, candidate.recipe, candidate.arn, self._dialect)

    def _check_platform(self, found: Resolution, chosen: Recipe) -> None:
        """A version that is not for this device is none for whoever asks for it."""
        try:
            recipes.choose(chosen, self._platform)
        except RecipeError as error:
            raise ResolutionError(_no_version(found, chosen.name, str(error))) from None

    def _check(self, recipe: Recipe, content: bytes) -> None:
        try:
            dialects.check(content, self._dialect)
        except RecipeError as error:
            raise RecipeError(f"{recipe.name} {recipe.version}: {error}") from None


def _no_version(found: Resolution, name: str, why: str) -> str:
    asked = "; ".join(_told(chain) for chain in _chains(found, name))
    return f"no version of {name} fits: {asked} ({why})"


Chain = tuple[tuple[str, str, str], ...]


def _chains(found: Resolution, name: str) -> Iterator[Chain]:
    """For each who asks for a component: the way down to it from a group.

    A link is who asks, for which component, and for which versions of it.
    """
    for who, what in sorted(found.constraints[name].items()):
        chain: Chain = ((who, name, what),)
        met = {name}
        while (asks := chain[0][0]) not in found.groups and asks not in met:
            met.add(asks)
            parents = found.constraints.get(asks)
            if not parents:
                break
            # a group ends the chain soonest
            parent = min(parents, key=lambda each: (each not in found.groups, each))
            chain = ((parent, asks, parents[parent]), *chain)
        yield chain


def _told(chain: Chain) -> str:
    return " -> ".join(f"{who} asks for {name} {what}" for who, name, what in chain)


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
            circle = (*chain[chain.index(name) :], name)
            links = itertools.pairwise(circle)
            told = _told(tuple((who, what, found.constraints[what][who]) for who, what in links))
            raise ResolutionError(f"the components depend on each other: {told}")
        if name in done or name not in found.recipes:
            return
        for dependency in found.recipes[name].dependencies:
            visit(dependency.name, (*chain, name))
        done.add(name)

    for name in found.recipes:
        visit(name, ())
