"""The core devices of this machine: deploy to one from folders, look at it, restart, end it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_magic.errors import GrammarError
from ggml_magic.verbs import rollout
from ggml_magic.verbs.run import Run, verb

if TYPE_CHECKING:
    from ggml_magic.deploy.cores import CoreJson, CoreReport, Restarted, StoppedCores
    from ggml_magic.deploy.local import LocalDeployment
    from ggml_magic.deploy.watch import Step

# Which options belong to which action; --thing belongs to all.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "deploy": (
        "recipes", "artifacts", "component", "remove", "configuration", "run_with", "on_failure",
        "timeout",
    ),
    "status": ("json",),
    "restart": ("name",),
    "stop": (),
}  # fmt: skip
ROLLBACK = "rollback"


@verb
def core(
    run: Run,
    action: str,
    name: str | None = None,
    *,
    thing: str | None = None,
    recipes: str | None = None,
    artifacts: str | None = None,
    component: Mapping[str, str] | Sequence[str] | str | None = None,
    remove: Sequence[str] | str = (),
    configuration: Mapping[str, Any] | str | Path | None = None,
    run_with: Mapping[str, str] | Sequence[str] | str | None = None,
    on_failure: str = ROLLBACK,
    timeout: float = rollout.DEFAULT_TIMEOUT_SECONDS,
    json: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> LocalDeployment | CoreReport | CoreJson | Restarted | StoppedCores:
    """Core devices of this machine: ``deploy``, ``status``, ``restart NAME`` or ``stop``.

    ``deploy`` takes recipes and artifacts from folders and waits until the deployment has ended;
    each step is printed, or given to ``on_step``. ``component`` is a mapping or texts NAME=VERSION,
    ``configuration`` a mapping, JSON or a file of it; ``timeout`` is in seconds. Without ``thing``
    the only core device is meant; ``stop`` ends all. Raises ``CoreError``, ``GrammarError``,
    ``DeploymentError`` with the one-line cause.
    """
    from ggml_magic.deploy import cores as room
    from ggml_magic.deploy import local

    given = {
        "name": name, "recipes": recipes, "artifacts": artifacts, "component": component,
        "remove": remove, "configuration": configuration, "run_with": run_with,
        "on_failure": on_failure != ROLLBACK, "timeout": timeout != rollout.DEFAULT_TIMEOUT_SECONDS,
        "json": json,
    }  # fmt: skip
    _check(action, name, [option for option, value in given.items() if value])
    if action == "stop":
        ended = room.stop(run.workspace, thing)
        run.made += ended.things
        return ended
    wish = local.Wish(
        recipes and str(recipes), artifacts and str(artifacts), _pairs("component", component),
        (remove,) if isinstance(remove, str) else tuple(remove), _configuration(configuration),
        _pairs("run_with", run_with), on_failure,
    )  # fmt: skip
    line = wish.line(None) if action == "deploy" else " ".join(("%ggml core", action, name or ""))
    device = room.find(run.workspace, thing, line.rstrip())
    if action == "status":
        report = room.report(device)
        run.made += [f"{each.name} {each.version} {each.state}" for each in report.components]
        return room.CoreJson(report) if json else report
    if action == "restart":
        again = room.restart(device, str(name))
        run.made.append(f"{again.component.name} {again.component.state}")
        return again
    value = local.deploy(device, wish, on_step=on_step or _print_step, timeout_seconds=timeout)
    run.made += [value.deployment_id, *(f"{each.name} {each.version}" for each in value.components)]
    return value


def _pairs(option: str, given: Mapping[str, str] | Sequence[str] | str | None) -> dict[str, str]:
    """A mapping, or texts KEY=VALUE, as a mapping; raises ``GrammarError``."""
    if given is None:
        return {}
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, Mapping):
        found = list(texts.items())
    elif isinstance(texts, (list, tuple, set)):
        parts = [each.partition("=") if isinstance(each, str) else ("", "", each) for each in texts]
        found = [(key, value) for key, _, value in parts]
    else:
        found = [("", "")]
    if all(isinstance(word, str) and word for pair in found for word in pair):
        return dict(found)
    raise GrammarError(
        f"{option} of core is {given!r}",
        "it takes a mapping, a text NAME=VALUE, or a list of these",
        f'ggml_magic.core("deploy", {option}={{"NAME": "VALUE"}})',
    )


def _configuration(given: Mapping[str, Any] | str | Path | None) -> Mapping[str, Any] | str | None:
    if isinstance(given, Path):
        return str(given)
    if given is None or isinstance(given, (str, Mapping)):
        return given
    raise GrammarError(
        f"configuration of core is {given!r}",
        "it takes a mapping, JSON, or a file of it",
        'ggml_magic.core("deploy", configuration={"NAME": {"MERGE": {"KEY": 1}}})',
    )


def _check(action: str, name: str | None, given: Sequence[str]) -> None:
    """Refuse what does not belong to an action."""
    if name and "name" not in OPTIONS[action]:
        # the core device's name, at a place where there is none
        raise GrammarError(
            f"core {action} takes no name by its place",
            "a core device is named by --thing",
            f"%ggml core {action} --thing {name}",
        )
    wrong = ""
    if action == "restart" and "name" not in given:
        wrong = "needs the component's NAME"
    for option in given:
        if option not in OPTIONS[action]:
            wrong = f"takes no --{option.replace('_', '-')}"
    if wrong:
        raise GrammarError(f"core {action} {wrong}", remedy="%ggml core --help")


def _print_step(step: Step) -> None:
    sys.stdout.write(rollout.step_line(step) + "\n")
    sys.stdout.flush()
