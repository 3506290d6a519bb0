"""Around the stages: settings, the sandbox, pipelines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggml_magic import settings as configured
from ggml_magic.errors import GrammarError
from ggml_magic.headless import receipts
from ggml_magic.presentation import Card, Presented
from ggml_magic.settings import Settings
from ggml_magic.verbs.run import Run, verb

if TYPE_CHECKING:
    from ggml_magic.doctor.check import Diagnosis
    from ggml_magic.headless.pipeline import PipelineRun


@dataclass(frozen=True)
class Exports(Presented):
    """Lines for a shell that point AWS tools at the sandbox; as text, nothing but these."""

    variables: Mapping[str, str]

    def card(self) -> Card:
        """The variables."""
        return Card("the sandbox, for other AWS tools", tuple(self.variables.items()))

    def __str__(self) -> str:
        return "\n".join(f"export {name}={value}" for name, value in self.variables.items())


@verb
def config(run: Run, *changes: str) -> Settings:
    """Show the settings, or keep some: ``config("cloud=sandbox")``.

    Raises ``SettingsError`` for a name or value that cannot be.
    """
    pairs = [change.partition("=") for change in changes]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise GrammarError(
                f"a setting is given as KEY=VALUE, not {key!r}", remedy="%ggml config --help"
            )
    if pairs:
        configured.store(run.workspace, {key: value for key, _, value in pairs})
    run.made.append(receipts.sha256_of(vars(run.settings)))
    return run.settings


@verb
def sandbox(
    run: Run,
    action: str,
    name: str | None = None,
    *,
    group: str = "fleet",
    simulate: str | None = None,
    dialect: str | None = None,
) -> Presented:
    """AWS on this machine: ``start``, ``status``, ``stop``, ``core NAME``, ``fleet N`` or ``env``.

    A fleet is ``N`` core devices in a thing ``group``; with ``simulate`` they only answer by a
    script such as ``failure=5,delay=3:20,offline=2``. ``dialect`` is ``classic`` or ``lite``.
    Raises ``SandboxError``, ``CoreError``, or ``MissingExtraError`` without the extra.
    """
    from ggml_magic.sandbox import client

    _check_sandbox(action, name, simulate, dialect)
    idle = run.settings.idle_minutes
    if action == "fleet" and name is not None:
        from ggml_magic.sandbox import fleet

        return fleet.add(
            run.workspace, _count(name), group, idle, simulate=simulate, dialect=dialect or ""
        )
    if name is not None:
        return client.add_core(run.workspace, name, idle, dialect or "")
    if action == "stop":
        return client.stop(run.workspace)
    if action in ("start", "env"):
        endpoint = client.ensure(run.workspace, idle)
        if action == "env":
            return _exports(endpoint.url, run.settings.region)
    return client.status(run.workspace)


def _check_sandbox(
    action: str, name: str | None, simulate: str | None, dialect: str | None
) -> None:
    """Refuse what does not belong to an action."""
    needs = {"core": "a NAME", "fleet": "a number"}
    wrong = ""
    if (action in needs) != (name is not None):
        wrong = f"needs {needs[action]}" if action in needs else "takes no name"
    elif simulate is not None and action != "fleet":
        wrong = "takes no --simulate"
    elif dialect is not None and (action not in needs or simulate is not None):
        wrong = "takes no --dialect" + (" with --simulate" if simulate is not None else "")
    if wrong:
        raise GrammarError(f"sandbox {action} {wrong}", remedy="%ggml sandbox --help")


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise GrammarError(
            f"a fleet needs a number of core devices, not {text!r}", "", "%ggml sandbox fleet 50"
        ) from None


@verb
def doctor(run: Run, *, fix: str | None = None) -> Diagnosis:
    """What this machine has of what a proof needs, and what would mend the rest.

    ``fix`` names what to mend first: emulation or runtimes; each line of it is printed as it
    happens. Raises ``GrammarError``, ``EnvironmentBuildError``.
    """
    from ggml_magic.doctor import local
    from ggml_magic.doctor import mend as room

    if fix is not None:
        room.mend(fix, _print_line)
    value = local.diagnose()
    run.made += [f"{check.name} {check.state}" for check in value.checks]
    return value


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _exports(url: str, region: str) -> Exports:
    return Exports(
        {
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",  # the sandbox takes any
        }
    )


@verb
def run(
    run: Run,
    pipeline: str,
    *,
    set: Mapping[str, object] | None = None,  # noqa: A002  # the option's own name
    output: str | None = None,
    on_step: Callable[[str], None] | None = None,
) -> PipelineRun:
    """Run a pipeline of notebooks under papermill; the first failure ends it.

    ``output`` is a folder for the executed notebooks. Raises ``PipelineError``.
    """
    from ggml_magic.headless import pipeline as room

    described = room.read(Path(pipeline))
    folder = Path(output) if output else Path("build") / described.name
    value = room.run(described, set or {}, folder, on_step=on_step or _pass_line)
    run.made += [str(step.notebook) for step in value.steps]
    return value


def _pass_line(line: str) -> None:
    """Nobody watches."""
