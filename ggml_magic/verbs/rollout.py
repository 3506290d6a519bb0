"""To the devices: plan, deploy, status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ggml_magic.errors import GateError, NotYetError
from ggml_magic.verbs.run import Run, verb

if TYPE_CHECKING:
    from ggml_magic.component.bundle import Bundle
    from ggml_magic.deploy.deploy import Deployment, Record
    from ggml_magic.deploy.plan import Plan
    from ggml_magic.deploy.watch import Step

DEFAULT_TIMEOUT_SECONDS = 300.0


@verb
def plan(run: Run, name: str, *, to: str) -> Plan:
    """Show what a deployment would change on a target; changes nothing.

    ``to`` is thing/NAME or thinggroup/NAME. Raises ``TargetNotFoundError``, ``NotYetError``.
    """
    from ggml_magic.deploy import plan as room
    from ggml_magic.deploy import target

    aim = target.parse(to)
    value = room.plan(run.cloud, run.bundle(name), aim)
    run.made += [str(change) for change in value.changes]
    return value


@verb
def deploy(
    run: Run,
    name: str,
    *,
    to: str,
    watch: bool = False,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    force: str | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Deployment:
    """Publish and deploy a proven model to a target, and wait for the end.

    With ``watch`` each step is printed, or given to ``on_step``; ``timeout`` is in seconds.
    ``force`` is a reason to deploy what was packaged although its proof failed. Raises
    ``GateError``, ``TargetNotFoundError``, ``DeploymentError``, ``CloudError``.
    """
    from ggml_magic.deploy import deploy as room
    from ggml_magic.deploy import plan as plans
    from ggml_magic.deploy import target

    aim = target.parse(to)
    bundle = run.bundle(name)
    _check_forced(bundle, force)
    run.forced = force
    value = room.deploy(
        run.cloud,
        run.workspace,
        run.settings,
        bundle,
        plans.plan(run.cloud, bundle, aim),
        on_step=on_step or (_print_step if watch else _pass_step),
        timeout_seconds=timeout,
    )
    run.made += [value.deployment_id, value.target, f"{value.component} {value.version}"]
    return value


def _check_forced(bundle: Bundle, force: str | None) -> None:
    """Who deploys what was packaged without a passing proof says so once more."""
    if bundle.forced is None or (force or "").strip():
        return
    raise GateError(
        f"{bundle.name} was packaged although its proof failed",
        f"the reason given was {bundle.forced!r}",
        f'%ggml deploy {bundle.name} --to … --force "REASON", or mend and package it again',
    )


def step_line(step: Step) -> str:
    """A step as one line of text."""
    words = [step.device or "cloud", step.component, step.state, step.detail]
    return f"{step.seconds:7.1f} s  " + "  ".join(word for word in words if word)


def _print_step(step: Step) -> None:
    sys.stdout.write(step_line(step) + "\n")
    sys.stdout.flush()


def _pass_step(step: Step) -> None:
    """Nobody watches."""


def latest(run: Run, name: str) -> Record:
    """A model's latest deployment; where there is no such model either, the error is that."""
    from ggml_magic.deploy import deploy as room

    try:
        return room.latest(run.workspace, name)
    except NotYetError:
        run.model(name)
        raise


@verb
def status(run: Run, name: str) -> Deployment:
    """Where a model's latest deployment stands; raises ``NotYetError`` before the first."""
    from ggml_magic.deploy import deploy as room

    latest(run, name)
    value = room.status(run.cloud, run.workspace, name)
    run.made += [value.deployment_id, value.status]
    return value
