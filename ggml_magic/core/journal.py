"""What a core that dies within a deployment must know when it comes back (EDGE-CORE 7).

Each step of a deployment is written down before it is done. A step that is found written is done
again, which harms nothing, so that no moment is one in which a core cannot be killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ggml_magic.core import causes, config, inventory, orders
from ggml_magic.core.causes import UNREADABLE, Result
from ggml_magic.core.disk import Layout, read_json, write_json
from ggml_magic.core.inventory import Contents
from ggml_magic.core.orders import Document

ONGOING, BEFORE, WANTED, ENDED = "ongoing.json", "before.json", "wanted.json", "ended.json"
# A deployment during which the core dies this often in a row is given up.
MOST_INTERRUPTIONS = 3
# Results that nobody has told yet; there is one deployment at a time, and a cloud that forgot some.
MOST_ENDED = 16


class Phase(Enum):
    """How far a deployment is; in the order of a deployment."""

    PREPARING = "PREPARING"
    # bootstrap steps run; the device still holds what it held before
    BOOTSTRAPPING = "BOOTSTRAPPING"
    # the device is about to hold what is wanted; then it does
    MERGING = "MERGING"
    MERGED = "MERGED"
    # all runs; what is no longer held is removed
    TIDYING = "TIDYING"
    # the device is about to hold what it held before; then it does
    UNDOING = "UNDOING"
    UNDONE = "UNDONE"


UNDO = (Phase.UNDOING, Phase.UNDONE)


@dataclass(frozen=True)
class Entry:
    """The deployment that is going on.

    ``bootstrapped`` are the components whose bootstrap step is done, ``interruptions`` counts how
    often the core died in this half of the deployment; ``restarts`` is true while it ends on
    purpose. ``cause`` and ``errors`` say why it is being undone.
    """

    document: Document
    phase: Phase = Phase.PREPARING
    bootstrapped: tuple[str, ...] = ()
    interruptions: int = 0
    restarts: bool = False
    cause: str = ""
    errors: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "document": self.document.dump(), "phase": self.phase.value}


def _entry(dumped: Mapping[str, Any]) -> Entry:
    return Entry(
        orders.load(dumped["document"]), Phase(dumped["phase"]), tuple(dumped["bootstrapped"]),
        dumped["interruptions"], dumped["restarts"], dumped["cause"], tuple(dumped["errors"]),
    )  # fmt: skip


class Journal:
    """The record of the deployment that goes on, and of results that are not told yet.

    Methods raise ``OSError`` when it cannot be written.
    """

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.deployments
        self.entry: Entry | None = None
        self._ended: dict[str, Result] = {}

    def read(self) -> None:
        """Learn what a core before this one was doing; what cannot be read was not begun."""
        self.entry, self._ended = None, {}
        with contextlib.suppress(*UNREADABLE):
            ended = read_json(self._folder / ENDED) or {}
            self._ended = {name: causes.load(each) for name, each in ended.items()}
        with contextlib.suppress(*UNREADABLE):
            found = read_json(self._folder / ONGOING)
            entry = _entry(found) if found else None
            if entry is not None and entry.phase is not Phase.PREPARING:
                self.contents()
            self.entry = entry
        if self.entry is None:
            self.drop()

    def begin(self, document: Document) -> None:
        """A deployment begins, or begins again: how often it was interrupted is kept."""
        known = self.entry
        same = known is not None and known.document.identifier == document.identifier
        self._write(Entry(document, interruptions=known.interruptions if known and same else 0))

    def plan(self, before: Contents, wanted: Contents) -> None:
        """What the device holds now, and shall hold."""
        write_json(self._folder / BEFORE, before.dump())
        write_json(self._folder / WANTED, wanted.dump())
        self.step(Phase.BOOTSTRAPPING)

    def catch_up(self, held: Contents) -> None:
        """Take into the plan what components wrote since it was made.

        ``held`` is what the device holds, none of which is of the plan yet. What is wanted comes
        first: of a core that dies in between, the next one finds the same writes again.
        """
        before, wanted = self.contents()
        if not config.same(held.dump(), before.dump()):
            write_json(self._folder / WANTED, inventory.caught_up(before, held, wanted).dump())
            write_json(self._folder / BEFORE, held.dump())

    def step(self, phase: Phase) -> None:
        """The next phase begins."""
        self._change(phase=phase)

    def undo(self, cause: str, errors: tuple[str, ...]) -> None:
        """The deployment is going to be undone, for a reason."""
        self._change(phase=Phase.UNDOING, cause=cause, errors=errors, interruptions=0)

    def bootstrapped(self, component: str, *, restarts: bool) -> None:
        """A component's bootstrap step is done; after it the core may have to start again."""
        assert self.entry is not None  # noqa: S101  # a step of a deployment
        self._change(bootstrapped=(*self.entry.bootstrapped, component), restarts=restarts)

    def pause(self) -> None:
        """The core ends on purpose within the deployment."""
        # if that cannot be written it counts as an interruption, no more
        with contextlib.suppress(OSError):
            self._change(restarts=True)

    def came_back(self) -> None:
        """The core starts: was it interrupted, or did it end on purpose?"""
        assert self.entry is not None  # noqa: S101  # there is one to come back to
        died = 0 if self.entry.restarts else 1
        self._change(interruptions=self.entry.interruptions + died, restarts=False)

    def contents(self) -> tuple[Contents, Contents]:
        """What the device held before the deployment, and what it shall hold."""
        before, wanted = (read_json(self._folder / name) for name in (BEFORE, WANTED))
        return inventory.load(before), inventory.load(wanted)

    def end(self, result: Result) -> None:
        """The deployment is over; its result is kept until it is told."""
        assert self.entry is not None  # noqa: S101  # what ends has begun
        self._ended[self.entry.document.identifier] = result
        self._ended = dict(list(self._ended.items())[-MOST_ENDED:])
        self._write_ended()
        self.drop()

    def drop(self) -> None:
        """The deployment is as if it had not begun."""
        self.entry = None
        (self._folder / ONGOING).unlink(missing_ok=True)
        self._forget_contents()

    def result(self, deployment: str) -> Result | None:
        """How a deployment ended that was not told yet."""
        return self._ended.get(deployment)

    def told(self, deployment: str) -> None:
        """A result is known where it must be."""
        if self._ended.pop(deployment, None) is not None:
            # not to be told twice is worth less than to go on with a full disk
            with contextlib.suppress(OSError):
                self._write_ended()

    def all_told(self) -> None:
        """No result is asked for any more."""
        for deployment in list(self._ended):
            self.told(deployment)

    def _change(self, **changes: Any) -> None:
        assert self.entry is not None  # noqa: S101  # a step of a deployment
        self._write(replace(self.entry, **changes))

    def _write(self, entry: Entry) -> None:
        write_json(self._folder / ONGOING, entry.dump())
        self.entry = entry

    def _write_ended(self) -> None:
        file = self._folder / ENDED
        if self._ended:
            write_json(file, {name: each.dump() for name, each in self._ended.items()})
        else:
            file.unlink(missing_ok=True)

    def _forget_contents(self) -> None:
        for name in (BEFORE, WANTED):
            (self._folder / name).unlink(missing_ok=True)
