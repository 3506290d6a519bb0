"""Deployments on the device (EDGE-CORE 7).

Resolve, download, compute the configuration; nothing has changed until here. Then merge: the new
contents are written, what changed starts again, and when all run or are finished what is no
longer named goes. A failure restores the contents from before. A core that is killed in between
starts with the contents from before; the cloud hands it the same deployment again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ggml_magic.core import artifacts, config, inventory, recipe
from ggml_magic.core.artifacts import ArtifactError
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.config import PointerError, Tree
from ggml_magic.core.disk import Layout, read_json, write_json
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Component, Contents, Group, Inventory
from ggml_magic.core.logs import Log
from ggml_magic.core.recipe import Recipe, RecipeError
from ggml_magic.core.resolve import Resolution, ResolutionError, Resolver
from ggml_magic.core.variables import Subject, Variables, fill

SUCCEEDED, FAILED, REJECTED = "SUCCEEDED", "FAILED", "REJECTED"
ONGOING = "ongoing.json"
CONFIGURATION = ":configuration:"


class DocumentError(Exception):
    """A deployment that cannot be done as it is written."""


@dataclass(frozen=True)
class Wanted:
    """One root component of a deployment."""

    version: str
    reset: tuple[str, ...] = ()
    merge: Mapping[str, Any] = field(default_factory=dict)
    run_with: str = ""


@dataclass(frozen=True)
class Document:
    """A deployment; ``timestamp`` in milliseconds, ``group`` its target."""

    identifier: str
    group: str
    timestamp: int
    components: Mapping[str, Wanted]
    rolls_back: bool


@dataclass(frozen=True)
class Result:
    """How a deployment ended: the job's status, the nucleus's word for it, and one line why."""

    status: str
    detail: str
    cause: str = ""
    errors: tuple[str, ...] = ()


def parse(text: str) -> Document:
    """Read a job's document; raises ``DocumentError``."""
    try:
        written = json.loads(text)
        arn = str(written["configurationArn"])
        target = arn.partition(CONFIGURATION)[2] or arn
        return Document(
            str(written["deploymentId"]),
            target.rpartition(":")[0] or target,
            int(written["creationTimestamp"]),
            {name: _wanted(entry) for name, entry in written["components"].items()},
            written.get("failureHandlingPolicy", "ROLLBACK") != "DO_NOTHING",
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"the deployment document cannot be read: {error!r}") from None


def _wanted(entry: Mapping[str, Any]) -> Wanted:
    update = entry.get("configurationUpdate") or {}
    user = (entry.get("runWith") or {}).get("posixUser") or ""
    merge = update.get("merge") or {}
    if not isinstance(merge, Mapping):
        raise DocumentError("configurationUpdate.merge is no object")
    return Wanted(str(entry["version"]), tuple(update.get("reset") or ()), merge, user)


class Deployer:
    """Carries out one deployment after another on a device.

    ``configured`` hears of each component with the paths of its configuration that changed.
    """

    def __init__(
        self, layout: Layout, cloud: Cloud, engine: Engine, held: Inventory, log: Log,
        configured: Callable[[str, list[config.Path]], None],
    ) -> None:  # fmt: skip
        self._layout = layout
        self._cloud = cloud
        self._engine = engine
        self._held = held
        self._log = log
        self._configured = configured
        self._platform = recipe.device_platform()
        self._ongoing = layout.deployments / ONGOING

    def recover(self) -> None:
        """Go back to before a deployment during which the core was killed."""
        found = read_json(self._ongoing)
        if found:
            self._log.warn(f"deployment {found['deployment']} was interrupted; going back")
            self._held.replace(inventory.load(found["before"]))
            self._ongoing.unlink()

    async def deploy(self, text: str) -> Result:
        """Carry out a deployment.

        Raises ``UnreachableError`` when the cloud is needed and away; nothing changed then.
        """
        try:
            document = parse(text)
            self._log.info(f"deployment {document.identifier} for {document.group}")
            if stale := self._stale(document):
                return stale
            wanted = await self._prepared(document)
            before = self._held.contents.dump()
            write_json(self._ongoing, {"deployment": document.identifier, "before": before})
        except (DocumentError, ResolutionError, RecipeError, ArtifactError, OSError) as error:
            kind = CODES.get(type(error), "IO_ERROR")
            return self._told(
                Result(FAILED, "FAILED_NO_STATE_CHANGE", str(error), ("DEPLOYMENT_FAILURE", kind))
            )
        except (AttributeError, TypeError, KeyError, ValueError) as error:
            cause = f"a recipe cannot be read: {error!r}"
            return self._told(Result(FAILED, "FAILED_NO_STATE_CHANGE", cause, UNREADABLE))
        try:
            return self._told(await self._merge(document, wanted))
        except OSError as error:  # what is ongoing stays written: the next start goes back
            errors = ("DEPLOYMENT_FAILURE", "IO_ERROR")
            return self._told(Result(FAILED, "FAILED_UNABLE_TO_ROLLBACK", str(error), errors))

    def _told(self, result: Result) -> Result:
        said = f"deployment ended: {result.detail}" + (f": {result.cause}" if result.cause else "")
        (self._log.info if result.status == SUCCEEDED else self._log.warn)(said)
        return result

    def _stale(self, document: Document) -> Result | None:
        last = self._held.contents.groups.get(document.group)
        if last is None or document.timestamp >= last.timestamp:
            return None
        cause = f"deployment {last.deployment}, which is newer, was done before it"
        return self._told(Result(REJECTED, "REJECTED", cause, ("DEPLOYMENT_REJECTED",)))

    async def _prepared(self, document: Document) -> Contents:
        """The contents that the device shall have; all their artifacts are here."""
        before = self._held.contents
        roots = {name: wanted.version for name, wanted in document.components.items()}
        group = Group(roots, document.timestamp, document.identifier)
        groups = {**before.groups, document.group: group}
        running = {name: each.version for name, each in before.components.items()}
        resolver = Resolver(self._layout, self._cloud, self._platform, running)
        found = await resolver.resolve({name: each.roots for name, each in groups.items()})
        chosen = {name: recipe.choose(each, self._platform) for name, each in found.recipes.items()}
        for name, (_, files) in chosen.items():
            version = found.recipes[name].version
            await artifacts.prepare(self._layout, self._cloud, name, version, files)
        trees = {
            name: self._configuration(each, document.components.get(name), document.timestamp)
            for name, each in found.recipes.items()
        }
        components = {
            name: self._component(found, trees, name, lifecycle, document.components.get(name))
            for name, (lifecycle, _) in chosen.items()
        }
        return _checked(Contents(groups, components))

    def _configuration(self, wanted: Recipe, update: Wanted | None, timestamp: int) -> Tree:
        """Reset, then defaults where nothing is, then merge: with the time of the deployment."""
        before = self._held.contents.components.get(wanted.name)
        tree = before.configuration.copy() if before else Tree()
        for pointer in update.reset if update else ():
            try:
                tree.reset(pointer)
            except PointerError as error:
                self._log.warn(f"{wanted.name}: reset is skipped: {error}")
        tree.fill(wanted.defaults)
        if update:
            tree.merge((), update.merge, timestamp)
        return tree

    def _component(
        self, found: Resolution, trees: Mapping[str, Tree], name: str,
        lifecycle: Mapping[str, Any], update: Wanted | None,
    ) -> Component:  # fmt: skip
        own = found.recipes[name]
        subjects = {
            each: Subject(each, found.recipes[each].version, trees[each])
            for each in (name, *(dependency.name for dependency in own.dependencies))
            if each in trees
        }
        variables = Variables(self._layout, self._cloud.thing, subjects.pop(name), subjects)
        filled = fill(
            lifecycle, variables, lambda text: self._log.warn(f"{name}: {text} stays as it is")
        )
        before = self._held.contents.components.get(name)
        user = update.run_with if update else before.run_with if before else ""
        if user and user != (before.run_with if before else ""):
            self._log.warn(f"{name}: runWith {user} is not followed; it runs as the core's user")
        return Component(own.version, filled, own.dependencies, trees[name], user)

    async def _merge(self, document: Document, wanted: Contents) -> Result:
        before = self._held.contents
        broken = await self._become(wanted)
        if not broken:
            await self._tidy(wanted)
            self._ongoing.unlink()
            return Result(SUCCEEDED, "SUCCESSFUL")
        errors = ("DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR", "COMPONENT_BROKEN")
        if not document.rolls_back:
            self._ongoing.unlink()
            return Result(FAILED, "FAILED_ROLLBACK_NOT_REQUESTED", broken, errors)
        self._log.warn(f"rolling back: {broken}")
        again = await self._become(before)
        await self._tidy(before)
        self._ongoing.unlink()
        if again:
            cause = f"{broken}; and the rollback failed: {again}"
            return Result(FAILED, "FAILED_UNABLE_TO_ROLLBACK", cause, errors)
        return Result(FAILED, "FAILED_ROLLBACK_COMPLETE", broken, errors)

    async def _become(self, wanted: Contents) -> str:
        """Make the device hold these contents; empty when they run, else why they do not."""
        before = self._held.contents
        self._held.replace(wanted)
        for name, each in wanted.components.items():
            if name in before.components:
                changed = config.changes(before.components[name].configuration, each.configuration)
                self._configured(name, changed)
        await self._engine.become(wanted.services())
        broken = await self._engine.settled(wanted.components)
        return broken.reason if broken else ""

    async def _tidy(self, held: Contents) -> None:
        """End and remove what the device no longer holds."""
        await self._engine.drop(
            [name for name in self._engine.supervisors if name not in held.components]
        )
        kept = [(name, each.version) for name, each in held.components.items()]
        try:
            await asyncio.to_thread(artifacts.tidy, self._layout, kept)
        except OSError as error:
            self._log.warn(f"old packages could not be removed: {error}")


UNREADABLE = ("DEPLOYMENT_FAILURE", "RECIPE_PARSE_ERROR")
CODES: dict[type[Exception], str] = {
    DocumentError: "INVALID_DEPLOYMENT_DOCUMENT",
    ResolutionError: "NO_AVAILABLE_COMPONENT_VERSION",
    RecipeError: "RECIPE_PARSE_ERROR",
    ArtifactError: "ARTIFACT_DOWNLOAD_ERROR",
}


def _checked(contents: Contents) -> Contents:
    """Refuse before anything changed what this core cannot run."""
    for name, service in contents.services().items():
        if "bootstrap" in service.lifecycle.steps:
            raise RecipeError(
                f"{name} {service.version} has a Bootstrap step, which this core does not run"
            )
    return contents
