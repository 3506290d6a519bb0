"""From a local deployment that was asked for to the word on how it ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ggml_magic.core import causes, dialects, exchange, local, nucleus, packages, store_import
from ggml_magic.core.causes import FAILED, SUCCEEDED, Result
from ggml_magic.core.deployment import Deployer
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.local import Request, RequestError
from ggml_magic.core.local_queue import IN_PROGRESS, QUEUED, Entry, Queue
from ggml_magic.core.logs import Log
from ggml_magic.core.orders import Document
from ggml_magic.core.packages import ArtifactError, Room
from ggml_magic.core.platforms import dialect_of
from ggml_magic.core.resolve import ResolutionError
from ggml_magic.core.store_import import Found, ImportRefusedError
from ggml_magic.core.versions import fits
from ggml_magic.errors import UnreachableError

# Where what is brought lies until its deployment has ended, beside the deployment's own file.
ASIDE = ".brought"
RESOLVING = "resolving"
# The cloud has been asked and has none that fits either; it says which it has.
NO_VERSION = re.compile(r"(no version of (\S+) fits: .*) \(.*; deployable: (.*)\)")
RECIPE = "RECIPE_PARSE_ERROR"
NUMBER = re.compile(r"[0-9]+")
# After these the device holds, in whole or in part, what was brought.
KEPT = ("SUCCESSFUL", "FAILED_ROLLBACK_NOT_REQUESTED", "FAILED_UNABLE_TO_ROLLBACK")


class LocalJobs:
    """Carries out one local deployment after another, in turn with those of the cloud."""

    def __init__(
        self, layout: Layout, queue: Queue, deployer: Deployer, held: Inventory, log: Log,
        platform: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._layout = layout
        self._queue = queue
        self._deployer = deployer
        self._held = held
        self._log = log
        self._platform = platform
        # what the deployment that goes on has brought
        self._found = Found()
        deployer.on_end.append(self._heard)

    def recover(self) -> None:
        """Before anything goes on: a deployment that was begun finds what it had brought."""
        for entry in self._queue.newest_first():
            aside = self._aside(entry)
            if entry.status == IN_PROGRESS and exchange.staged(aside):
                exchange.publish(self._layout, aside)
            elif aside.exists():
                exchange.forget(aside)

    async def work(self) -> None:
        """Carry out all that wait, first what was interrupted."""
        # the deployer may be able to bring one to its end that a core before this one began
        await self._deployer.take_up()
        self._told()
        while (entry := self._queue.next()) is not None:
            self._end(entry, await self._carried_out(entry))
            self._told()

    def _told(self) -> None:
        """The deployer need not keep the results that the queue has."""
        for entry in self._queue.newest_first():
            if not entry.waits:
                self._deployer.told(entry.identifier)

    async def _carried_out(self, entry: Entry) -> Result:
        self._found = Found()
        try:
            request = local.parse(entry.request)
            aside = self._aside(entry)
            if entry.status == QUEUED or not exchange.staged(aside):
                self._found = await self._staged(request, aside)
            present = self._held.contents.groups.get(request.group)
            roots = present.roots if present else {}
            document = local.document(request, entry.identifier, entry.created, roots)
        except (ImportRefusedError, RequestError, ArtifactError, OSError) as error:
            return causes.unchanged(error)
        warnings = self._warnings(self._found) or entry.warnings
        self._queue.put(replace(entry, status=IN_PROGRESS, warnings=warnings))

        def reporting(stage: str) -> None:
            # within the deployer's turn: a deployment before ours would tidy what it did not know
            if stage == RESOLVING and exchange.staged(aside):
                exchange.publish(self._layout, aside)

        try:
            return await self._deployer.carry_out(document, reporting)
        except UnreachableError as error:
            return self._alone(document, error)

    async def _staged(self, request: Request, aside: Path) -> Found:
        """What the request brings lies aside; where room is short, after all that may go went."""
        own = nucleus.read(self._layout, self._held.contents)
        room = Room(self._layout, store_bytes=own.store_bytes)
        try:
            found = await asyncio.to_thread(self._stage, request, aside, room)
        except ArtifactError:
            # not by the room itself: a deployment of the cloud's may need what it has just loaded
            await self._deployer.tidied()
            found = await asyncio.to_thread(self._stage, request, aside, room)
        for broken in found.broken:
            self._log.warn(f"passed over: {broken}")
        return found

    def _stage(self, request: Request, aside: Path, room: Room) -> Found:
        """Read and check what the request brings, and copy it; in a thread."""
        dialect = dialect_of(self._platform)
        found = store_import.look(self._layout, request.recipes, request.artifacts, dialect)
        store_import.check_readable(self._layout, found, request.add)
        store_import.check_artifacts(
            self._layout, found, request.add, self._platform, request.artifacts
        )
        exchange.stage(self._layout, found, aside, room)
        return found

    def _warnings(self, found: Found) -> tuple[str, ...]:
        """What the core's dialect reads otherwise in the recipes that were brought."""
        dialect = dialect_of(self._platform)
        return tuple(
            f"{each.recipe.name} {each.recipe.version}: {warning}"
            for each in found.recipes
            for warning in dialects.warnings(each.content, dialect)
        )

    def _explained(self, result: Result) -> Result:
        """With the folder's part in it: its versions where none fits, a file that is refused."""
        if told := NO_VERSION.fullmatch(result.cause):
            cause = f"{told[1]} ({self._versions(told[2])}, the cloud {told[3]})"
            return replace(result, cause=cause)
        if RECIPE in result.errors:
            file = store_import.blamed(self._found, result.cause, self._platform)
            return (
                replace(result, cause=f"{file} cannot be used: {result.cause}") if file else result
            )
        return result

    def _versions(self, name: str) -> str:
        brought = self._found.versions(name)
        # what was brought may stand in the store until the deployment has ended
        held = set(packages.stored(self._layout, name)) - set(brought)
        if name in self._held.contents.components:
            held.add(self._held.contents.components[name].version)
        return f"of it the folder has {_listed(brought)}, this device {_listed(held)}"

    def _alone(self, document: Document, error: UnreachableError) -> Result:
        """The end where the cloud is needed and away: a person waits, so this does not."""
        for name, wanted in document.components.items():
            there = packages.stored(self._layout, name)
            if not any(fits(version, (wanted.version,)) for version in there):
                held = self._versions(name)
                text = f"{name} {wanted.version} is not among the recipes ({held})"
                return causes.unchanged(ResolutionError(f"{text}, and the cloud does not answer"))
        return causes.unchanged(error)

    def _heard(self, document: Document, result: Result) -> None:
        """A deployment has ended; of ours this may be one that was taken up."""
        entry = self._queue.find(document.identifier)
        if entry is not None:
            self._end(entry, result)

    def _end(self, entry: Entry, result: Result) -> None:
        """Once for each: what was brought stays or goes, and the outcome is kept."""
        known = self._queue.find(entry.identifier)
        if known is None or not known.waits:
            return
        result = self._explained(result)
        try:
            if result.detail in KEPT:
                exchange.forget(self._aside(entry))
            else:
                exchange.undo(self._layout, self._aside(entry))
        except OSError as error:
            self._log.warn(f"deployment {entry.identifier}: its packages stay as they are: {error}")
        status = SUCCEEDED if result.status == SUCCEEDED else FAILED
        self._queue.put(
            replace(
                known, status=status, detail=result.detail, cause=result.cause,
                errors=result.errors, types=result.types,
            )
        )  # fmt: skip

    def _aside(self, entry: Entry) -> Path:
        return self._queue.folder / f"{entry.identifier}{ASIDE}"


def _listed(versions: Iterable[str]) -> str:
    """Versions, the lowest first."""
    numbers = {each: [int(part) for part in NUMBER.findall(each)[:3]] for each in versions}
    return ", ".join(sorted(numbers, key=lambda each: numbers[each])) or "none"
