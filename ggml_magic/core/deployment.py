"""Deployments on the device (EDGE-CORE 7).

Resolve, download, compute, ask the components; nothing has changed until here. Then bootstrap
steps run and the new contents are merged: what changed starts again, and when all run or are
finished what is no longer named goes. A failure restores what was there before. A core that is
killed, or has to start again, finds in the journal how far it was, and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ggml_magic.core import artifacts, causes, config, inventory, orders
from ggml_magic.core.artifacts import ArtifactError
from ggml_magic.core.bootstraps import Bootstraps
from ggml_magic.core.causes import InvalidConfigurationError, Result
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.disk import Layout
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Contents, Inventory
from ggml_magic.core.journal import MOST_INTERRUPTIONS, UNDO, Entry, Journal, Phase
from ggml_magic.core.lifecycle import SETTLED, StepError, Supervisor
from ggml_magic.core.logs import Log
from ggml_magic.core.operations.updates import Updates
from ggml_magic.core.orders import Document, DocumentError
from ggml_magic.core.preparation import Preparation
from ggml_magic.core.recipe import RecipeError
from ggml_magic.core.resolve import ResolutionError
from ggml_magic.errors import UnreachableError

# What was started must stay up for a moment: a script that cannot even begin does not.
STEADY_SECONDS = 0.25
BEFORE_CHANGE = (
    DocumentError, ResolutionError, RecipeError, ArtifactError, InvalidConfigurationError, OSError,
    *causes.UNREADABLE,
)  # fmt: skip


@dataclass(frozen=True)
class Hooks:
    """Who else has to do with deployments.

    ``configured`` hears of each component with the paths of its configuration that changed;
    ``restart`` makes the core start again, soon.
    """

    configured: Callable[[str, list[config.Path]], None]
    updates: Updates
    restart: Callable[[], None]


def _silent(stage: str) -> None:
    return


class Deployer:
    """Carries out one deployment after another on a device.

    Each of ``on_end`` hears of a deployment that ended, also of one that a core before this one
    began, before it is forgotten.
    """

    def __init__(
        self, layout: Layout, cloud: Cloud, engine: Engine, held: Inventory, log: Log, hooks: Hooks
    ) -> None:
        self.on_end: list[Callable[[Document, Result], None]] = []
        self._layout = layout
        self._engine = engine
        self._held = held
        self._log = log
        self._hooks = hooks
        self._journal = Journal(layout)
        self._preparation = Preparation(layout, cloud, log)
        self._bootstraps = Bootstraps(engine, self._journal)
        self._busy = asyncio.Lock()
        self._phases: dict[Phase, Callable[[Entry], Awaitable[Result | None]]] = {
            Phase.BOOTSTRAPPING: self._bootstrap,
            Phase.MERGING: self._merge,
            Phase.MERGED: self._start,
            Phase.TIDYING: self._finish,
            Phase.UNDOING: self._undo,
            Phase.UNDONE: self._restart_old,
        }

    def recover(self) -> None:
        """Before anything is started: hold what the deployment was about to hold.

        The deployment of a core that was killed goes on with ``take_up``; one during which it
        was killed too often is undone.
        """
        try:
            self._recover()
        except OSError as error:  # the deployment ends of it, not the core
            self._log.warn(f"the interrupted deployment cannot be recovered yet: {error}")

    def _recover(self) -> None:
        self._journal.read()
        entry = self._journal.entry
        if entry is None:
            return
        self._journal.came_back()
        if not entry.restarts:
            self._log.warn(f"deployment {entry.document.identifier} was interrupted")
        entry = self._journal.entry
        if entry is not None and entry.interruptions >= MOST_INTERRUPTIONS:
            self._give_up(entry)
        entry = self._journal.entry
        if entry is not None and entry.phase is Phase.BOOTSTRAPPING:
            before, wanted = self._journal.contents()
            if not self._bootstraps.left(entry, before, wanted):
                self._merging()
        self._hold()

    def _hold(self) -> None:
        """Hold what the phase is about to hold; with nothing in between that could change it."""
        entry = self._journal.entry
        if entry is not None and entry.phase is Phase.MERGING:
            self._replace(self._journal.contents()[1])
            self._journal.step(Phase.MERGED)
        elif entry is not None and entry.phase is Phase.UNDOING:
            self._replace(self._journal.contents()[0])
            self._journal.step(Phase.UNDONE)

    def _give_up(self, entry: Entry) -> None:
        """End a deployment that the core does not survive."""
        cause = f"the core was interrupted {entry.interruptions} times while it was deploying"
        if entry.phase is Phase.PREPARING:
            errors = causes.INTERRUPTED
            self._end(Result(causes.FAILED, "FAILED_NO_STATE_CHANGE", cause, errors))
        elif entry.phase is Phase.TIDYING:
            self._end(causes.SUCCESSFUL)
        elif entry.phase in UNDO:
            self._replace(self._journal.contents()[0])
            self._end(_not_undone(entry, cause))
        elif result := self._failed(entry, cause, causes.INTERRUPTED):
            self._end(result)

    async def take_up(self) -> None:
        """Bring to its end what a core before this one was in the middle of."""
        async with self._busy:
            await self._taken_up()

    async def _taken_up(self) -> None:
        """What was only being prepared is begun again when it is handed out again."""
        entry = self._journal.entry
        if entry is not None and entry.phase is not Phase.PREPARING:
            await self._go_on()

    async def deploy(self, text: str) -> Result:
        """Carry out a job's document.

        Raises ``UnreachableError`` when the cloud is needed and away; nothing changed then.
        """
        try:
            document = orders.parse(text)
        except DocumentError as error:
            return self._told(causes.unchanged(error))
        return await self.carry_out(document)

    async def carry_out(
        self, document: Document, reporting: Callable[[str], None] = _silent
    ) -> Result:
        """Carry out a deployment, after the one that is going on.

        ``reporting`` hears its stages, of which ``resolving`` comes when it is this one's turn
        and nothing was looked at yet. One that has ended already, and whose end was not ``told``,
        only gives its result again. Raises ``UnreachableError`` when the cloud is needed and
        away; nothing changed then.
        """
        async with self._busy:
            await self._taken_up()
            if known := self._journal.result(document.identifier):
                return known
            last = self._held.contents.groups.get(document.group)
            if last is not None and last.newer_than(document.timestamp, document.revision):
                return self._announced(document, causes.rejected(last.deployment))
            self._log.info(f"deployment {document.identifier} for {document.group}")
            return await self._prepare_and_go_on(document, reporting)

    async def tidied(self) -> None:
        """Remove packages that nothing on the device needs, between two deployments."""
        async with self._busy:
            await self._taken_up()
            await self._tidy()

    def told(self, deployment: str) -> None:
        """The result of a deployment is where it belongs, and need not be kept any more."""
        self._journal.told(deployment)

    def all_told(self) -> None:
        """Nobody asks for a result any more."""
        self._journal.all_told()

    async def _prepare_and_go_on(
        self, document: Document, reporting: Callable[[str], None]
    ) -> Result:
        try:
            self._journal.begin(document)
            await self._prepare(document, reporting)
        except UnreachableError:
            self._journal.drop()
            raise
        except asyncio.CancelledError:
            self._journal.pause()
            raise
        except BEFORE_CHANGE as error:
            await self._tidy()
            return self._end(causes.unchanged(error))
        reporting("merging")
        return await self._go_on()

    async def _prepare(self, document: Document, reporting: Callable[[str], None]) -> None:
        """All that changes nothing, up to the plan."""
        found = await self._preparation.resolved(document, self._held.contents, reporting)
        before = self._held.contents
        wanted = self._preparation.contents(document, before, found)
        wanted.services()  # what cannot run is refused here
        updates, identifier = self._hooks.updates, document.identifier
        if document.notify:
            restarts = bool(self._bootstraps.all_of(before, wanted))
            reporting("asking components")
            await updates.agreed(
                identifier,
                inventory.changed(before, wanted),
                document.notify_seconds,
                restarts=restarts,
            )
        proposals = inventory.proposals(before, wanted)
        await updates.validated(identifier, proposals, document.validate_seconds)
        # while they were asked, components may have written into their configurations
        self._journal.plan(before, self._preparation.contents(document, before, found))

    async def _go_on(self) -> Result:
        """From the phase that is written down to the end."""
        result: Result | None = None
        try:
            while result is None:
                entry = self._journal.entry
                assert entry is not None  # noqa: S101  # it is there until its end
                try:
                    result = await self._phases[entry.phase](entry)
                except OSError as error:
                    result = self._stumbled(entry, error)
        except asyncio.CancelledError:
            self._journal.pause()
            raise
        return self._end(result)

    def _stumbled(self, entry: Entry, error: OSError) -> Result | None:
        """A disk that fails, most likely full: go back, where that can still be written down."""
        if entry.phase is Phase.TIDYING:
            return causes.SUCCESSFUL
        if entry.phase not in UNDO:
            with contextlib.suppress(OSError):
                return self._failed(entry, str(error), causes.DISK)
        return Result(causes.FAILED, "FAILED_UNABLE_TO_ROLLBACK", str(error), causes.DISK)

    async def _bootstrap(self, entry: Entry) -> Result | None:
        """Run the bootstrap steps; the core starts again when one of them asks for it."""
        before, wanted = self._journal.contents()
        try:
            restarts = await self._bootstraps.run(before, wanted)
        except StepError as failure:
            errors = causes.BOOTSTRAP_LATE if "TIMEOUT" in failure.code else causes.BOOTSTRAP_FAILED
            return self._failed(entry, str(failure), errors)
        if restarts:
            self._log.info(f"{restarts}; the core starts again")
            self._hooks.restart()
            # cancelled when the core ends, which it is about to
            await asyncio.Event().wait()
        self._merging()
        return None

    def _merging(self) -> None:
        """From here on nothing is written into what the device holds, until it is replaced."""
        self._journal.catch_up(self._held.contents)
        self._journal.step(Phase.MERGING)

    async def _merge(self, entry: Entry) -> None:
        """The device holds what is wanted."""
        self._hold()

    async def _start(self, entry: Entry) -> Result | None:
        """Start what is new or changed, and wait for all."""
        broken = await self._become(self._held.contents)
        if entry.document.notify:
            self._hooks.updates.updated(entry.document.identifier)
        if broken:
            return self._failed(entry, broken, causes.BROKEN)
        self._journal.step(Phase.TIDYING)
        return None

    async def _finish(self, entry: Entry) -> Result:
        self._adopt(self._journal.contents()[0])
        await self._tidy()
        return causes.SUCCESSFUL

    def _failed(self, entry: Entry, cause: str, errors: tuple[str, ...]) -> Result | None:
        """After a failure: nothing more where nobody wants to go back, else go back."""
        if not entry.document.rolls_back:
            return Result(causes.FAILED, "FAILED_ROLLBACK_NOT_REQUESTED", cause, errors)
        self._log.warn(f"rolling back: {cause}")
        if entry.phase is Phase.BOOTSTRAPPING:  # going back loses nothing either
            self._journal.catch_up(self._held.contents)
        self._journal.undo(cause, errors)
        return None

    async def _undo(self, entry: Entry) -> None:
        """The device holds what it held before."""
        self._hold()

    async def _restart_old(self, entry: Entry) -> Result:
        again = await self._become(self._held.contents)
        self._adopt(self._journal.contents()[1])
        await self._tidy()
        if again:
            return _not_undone(entry, again)
        return Result(causes.FAILED, "FAILED_ROLLBACK_COMPLETE", entry.cause, entry.errors)

    def _replace(self, wanted: Contents) -> None:
        """Make these the device's contents, and tell who has to do with a configuration."""
        before = self._held.contents
        self._held.replace(wanted)
        for name, each in wanted.components.items():
            if name in before.components:
                changed = config.changes(before.components[name].configuration, each.configuration)
                self._hooks.configured(name, changed)

    async def _become(self, wanted: Contents) -> str:
        """Run what the device holds; empty when it does, else why it does not."""
        await self._engine.become(wanted.services())
        names = list(wanted.components)
        starting = self._unsettled(names)
        broken = await self._engine.settled(names)
        while starting and broken is None and await self._falls(names):
            broken = await self._engine.settled(names)
        if broken is None:
            return ""
        # who needs a component that nobody asked for by itself
        asking = wanted.dependents(broken.service.name)
        return broken.reason + (f" (needed by {', '.join(asking)})" if asking else "")

    def _unsettled(self, names: list[str]) -> bool:
        return any(self._engine.state_of(name) not in SETTLED for name in names)

    async def _falls(self, names: list[str]) -> bool:
        """Whether one of the components that run does so only for a moment."""
        return await self._engine.pulse.until(lambda: self._unsettled(names), STEADY_SECONDS)

    def _adopt(self, left: Contents) -> None:
        """Of what goes: let the engine know what a core before this one ran, to uninstall it."""
        known = {**self._held.contents.components, **self._engine.supervisors}
        for name, service in left.services().items():
            if name not in known:
                self._engine.supervisors[name] = Supervisor(service, self._engine)

    async def _tidy(self) -> None:
        """End and remove what the device does not hold."""
        held = self._held.contents.components
        await self._engine.drop([name for name in self._engine.supervisors if name not in held])
        kept = [(name, each.version) for name, each in held.items()]
        try:
            await asyncio.to_thread(artifacts.tidy, self._layout, kept)
        except OSError as error:
            self._log.warn(f"old packages could not be removed: {error}")

    def _end(self, result: Result) -> Result:
        """Say how it ended, to all who want to know, and forget the rest."""
        entry = self._journal.entry
        if entry is None:  # not even its beginning could be written down
            return self._told(result)
        self._announced(entry.document, result)
        try:
            self._journal.end(result)
        except OSError as error:
            self._log.warn(f"the deployment's end could not be written down: {error}")
            self._journal.drop()
        return result

    def _announced(self, document: Document, result: Result) -> Result:
        self._told(result)
        for heard in self.on_end:
            heard(document, result)
        return result

    def _told(self, result: Result) -> Result:
        said = f"deployment ended: {result.detail}" + (f": {result.cause}" if result.cause else "")
        (self._log.info if result.status == causes.SUCCEEDED else self._log.warn)(said)
        return result


def _not_undone(entry: Entry, why: str) -> Result:
    cause = f"{entry.cause}; and the rollback failed: {why}"
    return Result(causes.FAILED, "FAILED_UNABLE_TO_ROLLBACK", cause, entry.errors)
