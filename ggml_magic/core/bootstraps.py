"""Bootstrap steps, which run within a deployment and may make the core start again."""

from __future__ import annotations

import json

from ggml_magic.core import recipe
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Component, Contents
from ggml_magic.core.journal import Entry, Journal
from ggml_magic.core.lifecycle import StepError
from ggml_magic.core.logs import newest_first
from ggml_magic.core.recipe import Step

BOOTSTRAP = "bootstrap"
RESTART, REBOOT = 100, 101


class Bootstraps:
    """Runs the bootstrap steps of a deployment, each once."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal

    def all_of(self, before: Contents, wanted: Contents) -> list[str]:
        """Components whose step must run: new, of another version, or with another step.

        What they depend on comes before them.
        """
        ordered: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in wanted.components or name in ordered:
                return
            for dependency in wanted.components[name].dependencies:
                visit(dependency.name)
            ordered[name] = None

        for name in wanted.components:
            visit(name)
        return [
            name for name in ordered
            if _must_run(before.components.get(name), wanted.components[name])
        ]  # fmt: skip

    def left(self, entry: Entry, before: Contents, wanted: Contents) -> list[str]:
        """Those that have not run yet."""
        return [name for name in self.all_of(before, wanted) if name not in entry.bootstrapped]

    async def run(self, before: Contents, wanted: Contents) -> str:
        """Run those that are left; not empty when the core must start again first: why.

        Raises ``StepError`` when one fails.
        """
        services = wanted.services()
        entry = self._journal.entry
        assert entry is not None  # noqa: S101  # called within a deployment
        for name in self.left(entry, before, wanted):
            service = services[name]
            code = await self._engine.bootstrap(service)
            restarts = code in (RESTART, REBOOT)
            if code and not restarts:
                how = f"exit code {code}" if code > 0 else f"signal {-code}"
                what = f"{name} {service.version}: {BOOTSTRAP} failed with {how}"
                raise StepError("BOOTSTRAP_ERROR", what + self._last_words(name))
            self._journal.bootstrapped(name, restarts=restarts)
            if restarts:
                asked = "restart" if code == RESTART else "reboot, which is a restart here"
                return f"{BOOTSTRAP} of {name} {service.version} asks for a {asked}"
        return ""

    def _last_words(self, component: str) -> str:
        """The last that the step complained of, as the other steps' failures have it."""
        for line in newest_first(self._engine.log(component).path):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("step") == BOOTSTRAP and entry.get("stream") == "stderr":
                return f": {entry['message'].strip()}"
        return ""


def _must_run(before: Component | None, wanted: Component) -> bool:
    step = _step(wanted)
    if step is None:
        return False
    return before is None or before.version != wanted.version or _step(before) != step


def _step(component: Component) -> Step | None:
    return recipe.lifecycle(component.lifecycle).steps.get(BOOTSTRAP)
