"""The local deployments of a core: asked for, carried out one by one, and how they ended.

Each is a file of its own, so that what was asked for outlives a killed core. The oldest of those
that ended are forgotten when there are many.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ggml_magic.core.disk import PRIVATE_FOLDER, read_json, write_json

QUEUED, IN_PROGRESS = "QUEUED", "IN_PROGRESS"
CANCELED = "CANCELED"
# The real core keeps its history for ever; a person looks back a few days.
MOST_ENDED = 50
# Each waits for those before it; more is a script that has gone wild.
MOST_WAITING = 32
SUFFIX = ".json"


class QueueFullError(Exception):
    """More deployments wait than a core takes."""


@dataclass(frozen=True)
class Entry:
    """One local deployment; ``created`` in milliseconds, later than that of each before it.

    ``request`` is as it came. ``detail`` is the nucleus's word for how it ended. ``warnings`` say
    what this nucleus takes otherwise than others do.
    """

    identifier: str
    created: int
    request: Mapping[str, Any]
    status: str = QUEUED
    detail: str = ""
    cause: str = ""
    errors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether it is still to be carried out, or to be taken up again."""
        return self.status in (QUEUED, IN_PROGRESS)


class Queue:
    """All local deployments that a core knows, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.on_change: list[Callable[[], None]] = []
        self.folder = folder
        found = (_read(file) for file in folder.glob(f"[!.]*{SUFFIX}"))
        ordered = sorted((entry for entry in found if entry), key=lambda entry: entry.created)
        self._entries = {entry.identifier: entry for entry in ordered}

    def add(self, request: Mapping[str, Any], after: int = 0) -> Entry:
        """Ask for a deployment that is newer than the time ``after`` and than all before it.

        A clock that was set back must not make it seem older than what is there (EDGE-CORE 7).
        Raises ``QueueFullError``.
        """
        if sum(entry.waits for entry in self._entries.values()) >= MOST_WAITING:
            raise QueueFullError(f"{MOST_WAITING} local deployments wait already")
        newest = max((entry.created for entry in self._entries.values()), default=0)
        created = max(int(time.time() * 1000), newest + 1, after + 1)
        entry = Entry(str(uuid.uuid4()), created, request)
        self.put(entry)
        return entry

    def put(self, entry: Entry) -> None:
        """Keep a deployment as it stands now."""
        self.folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
        write_json(self._file(entry.identifier), asdict(entry))
        self._entries[entry.identifier] = entry
        self._forget()
        for listener in self.on_change:
            listener()

    def find(self, identifier: str) -> Entry | None:
        """A deployment, or ``None``."""
        return self._entries.get(identifier)

    def newest_first(self) -> tuple[Entry, ...]:
        """All that are known."""
        return tuple(reversed(self._entries.values()))

    def next(self) -> Entry | None:
        """The one to carry out now: that which was begun, else the oldest that waits."""
        waiting = [entry for entry in self._entries.values() if entry.waits]
        begun = [entry for entry in waiting if entry.status == IN_PROGRESS]
        return next(iter(begun or waiting), None)

    def cancel(self, identifier: str) -> Entry | None:
        """Give up a deployment that was not begun; ``None`` when there is no such one to cancel."""
        entry = self._entries.get(identifier)
        if entry is None or entry.status != QUEUED:
            return None
        canceled = replace(entry, status=CANCELED)
        self.put(canceled)
        return canceled

    def _forget(self) -> None:
        ended = [entry for entry in self._entries.values() if not entry.waits]
        for entry in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._entries[entry.identifier]
            self._file(entry.identifier).unlink(missing_ok=True)

    def _file(self, identifier: str) -> Path:
        return self.folder / f"{identifier}{SUFFIX}"


def _read(file: Path) -> Entry | None:
    """A kept deployment; ``None`` for a file that is none."""
    try:
        kept = read_json(file)
        lists = {name: tuple(kept[name]) for name in ("errors", "types")}
        lists["warnings"] = tuple(kept.get("warnings", ()))
        return Entry(**{**kept, **lists})
    except (OSError, ValueError, TypeError, KeyError):
        return None
