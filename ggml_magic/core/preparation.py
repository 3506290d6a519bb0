"""The part of a deployment that changes nothing: resolve, download, compute (EDGE-CORE 7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ggml_magic.core import artifacts, dialects, nucleus, packages, provided, recipe
from ggml_magic.core.artifacts import Wishes
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.config import Branch, Node, PointerError, Tree
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Component, Contents, Group
from ggml_magic.core.local import OF_THINGS
from ggml_magic.core.logs import Log
from ggml_magic.core.orders import Document, Wanted
from ggml_magic.core.packages import Room
from ggml_magic.core.recipe import Recipe
from ggml_magic.core.resolve import Resolution, Resolver
from ggml_magic.core.variables import (
    Subject,
    Variables,
    fill,
    fill_configuration,
)

MILLISECONDS = 1000


class Preparation:
    """Computes what a device shall hold after a deployment; ``clock`` gives seconds since 1970."""

    def __init__(
        self, layout: Layout, cloud: Cloud, log: Log, clock: Callable[[], float] = time.time
    ) -> None:
        self._layout = layout
        self._cloud = cloud
        self._log = log
        self._clock = clock

    async def resolved(
        self, document: Document, held: Contents, reporting: Callable[[str], None]
    ) -> Resolution:
        """The recipes of all groups' components; their artifacts are on the device then.

        Raises ``ResolutionError``, ``RecipeError``, ``ArtifactError``, and ``UnreachableError``
        when the cloud is needed and away.
        """
        reporting("resolving")
        left = await self._left_groups(document, held)
        groups = _groups(document, held).items()
        roots = {name: group.roots for name, group in groups if name not in left}
        running = {name: each.version for name, each in held.components.items()}
        own = nucleus.read(self._layout, held)
        found = await Resolver(self._layout, self._cloud, own.platform, running).resolve(roots)
        for name, each in found.recipes.items():
            self._warn(name, each.version, own.dialect)
        reporting("downloading")
        needed = {*running.items(), *((name, each.version) for name, each in found.recipes.items())}
        wishes = Wishes(Room(self._layout, lambda: needed, own.store_bytes))
        for name, each in found.recipes.items():
            _, files = recipe.choose(each, own.platform)
            if files:
                await artifacts.prepare(
                    self._layout, self._cloud, name, each.version, files, wishes
                )
        return found

    async def _left_groups(self, document: Document, held: Contents) -> set[str]:
        """Thing groups by whose deployments the device has something, and that it is not in.

        Only the cloud knows; what was asked for on the device itself is no matter of its.
        """
        asked = {
            name for name, group in held.groups.items()
            if name.startswith(OF_THINGS) and group.arn and name != document.group
        }  # fmt: skip
        present = await self._cloud.groups() if asked else None
        if present is None:
            return set()
        left = {name for name in asked if name.removeprefix(OF_THINGS) not in present}
        for name in sorted(left):
            self._log.info(f"{self._cloud.thing} is not in {name} any more, whose components go")
        return left

    def _warn(self, name: str, version: str, dialect: str) -> None:
        file = packages.stored(self._layout, name).get(version)
        if file is not None:  # what the core provides has none
            for warning in dialects.warnings(file.read_bytes(), dialect):
                self._log.warn(f"{name} {version}: {warning}")

    def contents(self, document: Document, held: Contents, found: Resolution) -> Contents:
        """What the device shall hold: configurations merged and variables filled in."""
        roots = document.roots
        trees: dict[str, Tree] = {}
        as_configured = held
        # the nucleus's own configuration first: it says how the others are read
        for name in sorted(found.recipes, key=lambda name: name not in provided.NUCLEI):
            each = found.recipes[name]
            trees[name] = self._configuration(
                each, roots.get(name), as_configured, document.timestamp
            )
            if name in provided.NUCLEI:
                nucleus_now = Component(each.version, {}, (), trees[name])
                as_configured = Contents(held.groups, {**held.components, name: nucleus_now})
        components = {
            name: self._component(each, trees, found, roots.get(name), held)
            for name, each in found.recipes.items()
        }
        groups = _groups(document, held).items()
        return Contents(
            {name: group for name, group in groups if name in found.groups}, components
        )  # fmt: skip

    def _configuration(
        self, wanted: Recipe, update: Wanted | None, held: Contents, timestamp: int
    ) -> Tree:
        """Reset, then defaults where nothing is, then merge: with the time of the deployment."""
        before = held.components.get(wanted.name)
        tree = before.configuration.copy() if before else Tree()
        for pointer in update.reset if update else ():
            try:
                tree.reset(pointer)
            except PointerError as error:
                self._log.warn(f"{wanted.name}: reset is skipped: {error}")
        defaults, merge = wanted.defaults, update.merge if update else {}
        own = nucleus.read(self._layout, held)
        if own.interpolates:
            subject = Subject(wanted.name, wanted.version, tree)
            variables = Variables(self._layout, self._cloud.thing, subject, {}, own.dialect)
            left = self._left(wanted.name)
            defaults, merge = (
                fill_configuration(each, variables, left) for each in (defaults, merge)
            )
        tree.fill(defaults)
        if merge:
            not_from_the_future(tree.root, int(self._clock() * MILLISECONDS), timestamp)
            tree.merge((), merge, timestamp)
        return tree

    def _left(self, component: str) -> Callable[[str], None]:
        """Says of a placeholder that it stays."""
        return lambda text: self._log.warn(f"{component}: {text} stays as it is")

    def _component(
        self, own: Recipe, trees: Mapping[str, Tree], found: Resolution, update: Wanted | None,
        held: Contents,
    ) -> Component:  # fmt: skip
        """A component as it shall be; what a deployment does not say of its user stays."""
        subjects = {
            each: Subject(each, found.recipes[each].version, trees[each])
            for each in (own.name, *(dependency.name for dependency in own.dependencies))
            if each in trees
        }
        core = nucleus.read(self._layout, held)
        variables = Variables(
            self._layout, self._cloud.thing, subjects.pop(own.name), subjects, core.dialect
        )
        written, _ = recipe.choose(own, core.platform)
        before = held.components.get(own.name)
        lifecycle = fill(written, variables, self._left(own.name))
        user = before.run_with if before else ""
        limits = before.limits if before else None
        if update is not None:
            user = user if update.run_with is None else update.run_with
            limits = limits if update.limits is None else update.limits
        return Component(
            own.version, lifecycle, own.dependencies, trees[own.name], user, limits
        )  # fmt: skip


def _groups(document: Document, held: Contents) -> dict[str, Group]:
    """All groups, that of the deployment as it wants it."""
    roots = {name: wanted.version for name, wanted in document.roots.items()}
    group = Group(
        roots, document.timestamp, document.identifier, document.revision, document.arn
    )  # fmt: skip
    return {**held.groups, document.group: group}


def not_from_the_future(node: Node, now: int, timestamp: int) -> None:
    """Let a deployment overwrite what was written while the clock was wrong, in place.

    All in milliseconds. What was written later than now was written by a clock that has been put
    back since; it counts as old as the deployment. Else it would win for as long as the clock
    was ahead.
    """
    if node.modified > now:
        node.modified = min(timestamp, now)
    if isinstance(node, Branch):
        for _, child in node.children.values():
            not_from_the_future(child, now, timestamp)
