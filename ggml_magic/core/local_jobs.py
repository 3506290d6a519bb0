"""From a local deployment that was asked for to the word on how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ggml_magic.core import causes, exchange, local, packages, store_import
from ggml_magic.core.causes import FAILED, SUCCEEDED, Result
from ggml_magic.core.deployment import Deployer
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.local import Request, RequestError
from ggml_magic.core.local_queue import IN_PROGRESS, QUEUED, Entry, Queue
from ggml_magic.core.logs import Log
from ggml_magic.core.orders import Document
from ggml_magic.core.packages import ArtifactError
from ggml_magic.core.platforms import dialect_of
from ggml_magic.core.resolve import ResolutionError
from ggml_magic.core.store_import import ImportRefusedError
from ggml_magic.core.versions import fits
from ggml_magic.errors import UnreachableError

# Where what is brought lies until its deployment has ended, beside the deployment's own file.
ASIDE = ".brought"
RESOLVING = "resolving"
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
        try:
            request = local.parse(entry.request)
            aside = self._aside(entry)
            if entry.status == QUEUED or not exchange.staged(aside):
                await asyncio.to_thread(self._stage, request, aside)
            present = self._held.contents.groups.get(request.group)
            roots = present.roots if present else {}
            document = local.document(request, entry.identifier, entry.created, roots)
        except (ImportRefusedError, RequestError, ArtifactError, OSError) as error:
            return causes.unchanged(error)
        self._queue.put(replace(entry, status=IN_PROGRESS))

        def reporting(stage: str) -> None:
            # within the deployer's turn: a deployment before ours would tidy what it did not know
            if stage == RESOLVING and exchange.staged(aside):
                exchange.publish(self._layout, aside)

        try:
            return await self._deployer.carry_out(document, reporting)
        except UnreachableError as error:
            return self._alone(document, error)

    def _stage(self, request: Request, aside: Path) -> None:
        """Read and check what the request brings, and copy it; in a thread."""
        dialect = dialect_of(self._platform)
        found = store_import.look(self._layout, request.recipes, request.artifacts, dialect)
        store_import.check_artifacts(self._layout, found, request.add, self._platform)
        exchange.stage(self._layout, found, aside)

    def _alone(self, document: Document, error: UnreachableError) -> Result:
        """The end where the cloud is needed and away: a person waits, so this does not."""
        for name, wanted in document.components.items():
            there = packages.stored(self._layout, name)
            if not any(fits(version, (wanted.version,)) for version in there):
                held = ", ".join(sorted(there)) or "none"
                text = f"{name} {wanted.version} is not among the recipes (of it there: {held})"
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
