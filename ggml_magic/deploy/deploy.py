"""Execute a plan: publish, create the deployment, watch it to its end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ggml_magic import workspace as ws
from ggml_magic.cloud.connect import Cloud
from ggml_magic.component.bundle import Bundle
from ggml_magic.deploy import plan as plans
from ggml_magic.deploy import target as targets
from ggml_magic.deploy import watch
from ggml_magic.deploy.plan import Plan
from ggml_magic.deploy.publish import publish
from ggml_magic.deploy.watch import Aim, DeviceState, Step
from ggml_magic.errors import DeploymentError, NotYetError, UnreachableError
from ggml_magic.presentation import Card, Presented, size
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

FOLDER = "deployments"
# of states, the one that tells most about the whole comes first
WORST_FIRST = ("FAILED", "IN_PROGRESS", "QUEUED")


@dataclass(frozen=True)
class Record:
    """The latest deployment of a model, as the workspace keeps it."""

    deployment_id: str
    target: str
    cloud: str
    component: str
    version: str


@dataclass(frozen=True)
class Deployment(Presented):
    """A deployment, where each device stands with it, and the steps that led there.

    ``status`` is SUCCEEDED, FAILED, IN_PROGRESS or QUEUED; ``created`` is false where the target
    already had all of it and no call changed anything; ``seconds`` is how long this took.
    """

    name: str
    deployment_id: str
    target: str
    cloud: str
    component: str
    version: str
    status: str
    created: bool
    steps: tuple[Step, ...]
    devices: tuple[DeviceState, ...]
    seconds: float

    def card(self) -> Card:
        """The outcome, then each device; the steps are shown by whoever watches."""
        return Card(
            f"{self.name} → {self.target} on {self.cloud}: {self._outcome()}",
            facts=(
                ("component", f"{self.component} {self.version}"),
                ("deployment", self.deployment_id),
                *((d.device, f"{d.status}  {d.reason}".rstrip()) for d in self.devices),
            ),
            notes=() if self.devices else ("the target has no devices yet; it is kept for them",),
        )

    def _outcome(self) -> str:
        if self.created:
            return f"{self.status} in {self.seconds:.1f} s"
        deployed = self.steps and self.status == watch.SUCCEEDED[0]
        return "already deployed" if deployed else self.status


def deploy(
    cloud: Cloud,
    workspace: Workspace,
    settings: Settings,
    bundle: Bundle,
    plan: Plan,
    *,
    on_step: Callable[[Step], None],
    timeout_seconds: float = 300.0,
) -> Deployment:
    """Execute exactly this plan and watch it to its end.

    Run again after an interruption, it finishes the job: what is published is not published
    again, and a deployment that already says all this is only watched. Raises ``DeploymentError``
    (the target changed since the plan, or a device failed), ``DeploymentTimeoutError``,
    ``PublishError``, ``CloudError``; ``UnreachableError`` where the cloud was lost on the way.
    """
    begun = time.monotonic()
    steps: list[Step] = []

    def clock() -> float:
        return time.monotonic() - begun

    def happened(device: str, component: str, state: str, detail: str) -> None:
        note(Step(clock(), device, component, state, detail))

    def note(step: Step) -> None:
        steps.append(step)
        on_step(step)

    with _telling_of_a_loss(cloud, plan):
        _still_true(cloud, bundle, plan)
        published = publish(cloud, settings, bundle)
        for done in published.components:
            up = f"{done.version}, {size(published.uploaded_bytes)} uploaded"
            word, detail = ("PUBLISHED", up) if done.created else ("UNCHANGED", done.version)
            happened("", done.name, word, detail)
        present = _present(cloud, bundle, plan)
        identifier = present or cloud.deployments.create(plan.document)
        happened("", "", "FOUND" if present else "CREATED", f"deployment {identifier}")
        root = bundle.root
        record = Record(identifier, plan.target, cloud.name, root.name, root.version)
        ws.write_json(_file(workspace, plan.name), vars(record))
        aim = _aim(plan, bundle, identifier)
        states = watch.follow(
            cloud,
            aim,
            note,
            clock,
            settled_seconds=0.0 if present else watch.SETTLED[cloud.name],
            timeout_seconds=timeout_seconds,
        )
    return Deployment(
        name=plan.name,
        deployment_id=identifier,
        target=plan.target,
        cloud=cloud.name,
        component=root.name,
        version=root.version,
        status=watch.SUCCEEDED[0],
        created=present is None,
        steps=tuple(steps),
        devices=(*states, *_not_waited_for(plan, aim)),
        seconds=clock(),
    )


def _not_waited_for(plan: Plan, aim: Aim) -> tuple[DeviceState, ...]:
    """A group's things on which no core ever reported; a core that comes gets it too."""
    return tuple(
        DeviceState(name, watch.QUEUED, "no core has ever reported there")
        for name in plan.devices
        if name not in aim.devices
    )


@contextlib.contextmanager
def _telling_of_a_loss(cloud: Cloud, plan: Plan) -> Iterator[None]:
    try:
        yield
    except UnreachableError as error:
        lost = "the sandbox was lost" if cloud.name == "sandbox" else f"{cloud.name} was lost"
        raise UnreachableError(
            f"{lost} while deploying {plan.name} to {plan.target}",
            "nothing is half-published; running it again finishes the job",
            f"%ggml deploy {plan.name} --to {plan.target}",
            operation=error.operation,
            code=error.code,
        ) from None


def _still_true(cloud: Cloud, bundle: Bundle, plan: Plan) -> None:
    """Refuse a plan that was made for another state of the target or another bundle."""
    now = plans.plan(cloud, bundle, targets.parse(plan.target), plans.removed(plan.changes))
    if (now.base_deployment, now.document) != (plan.base_deployment, plan.document):
        raise DeploymentError(
            f"{plan.target} is not what the plan started from",
            "it got another deployment, or the bundle changed, after the plan was made",
            f"%ggml plan {plan.name} --to {plan.target}",
            deployment_id=now.base_deployment or "",
        )


def _present(cloud: Cloud, bundle: Bundle, plan: Plan) -> str | None:
    """The target's present deployment, where it already says all this and did not fail."""
    if not plan.empty or plan.base_deployment is None:
        return None
    present = cloud.deployments.get(plan.base_deployment)
    if present is None or present.status in watch.REPLACED:
        return None
    aim = _aim(plan, bundle, plan.base_deployment)
    failed = any(state.status == "FAILED" for state in watch.states(cloud, aim))
    return None if failed else plan.base_deployment


def _aim(plan: Plan, bundle: Bundle, identifier: str) -> Aim:
    """What to wait for: all devices of a target but a group's things without a core."""
    seen = tuple(name for name in plan.devices if name not in plan.unseen)
    return Aim(
        name=plan.name,
        deployment_id=identifier,
        target=plan.target,
        root=bundle.root.name,
        components={c.name: c.version for c in bundle.components},
        devices=seen or plan.devices,
    )


def _file(workspace: Workspace, name: str) -> Path:
    return workspace.root / FOLDER / f"{name}.json"


def latest(workspace: Workspace, name: str) -> Record:
    """The latest deployment of a model from this workspace; raises ``NotYetError``."""
    stored = ws.read_json(_file(workspace, name))
    if stored is None:
        raise NotYetError(
            f"{name} has not been deployed",
            "there is no deployment of it in this workspace",
            f"%ggml deploy {name} --to thing/NAME",
        )
    return Record(**stored)


def status(cloud: Cloud, workspace: Workspace, name: str) -> Deployment:
    """Where the latest deployment of a model stands now; found again by any kernel.

    Raises ``NotYetError`` where there was none, or none that this cloud knows.
    """
    begun = time.monotonic()
    record = latest(workspace, name)
    again = f"%ggml deploy {name} --to {record.target}"
    if record.cloud != cloud.name:
        raise NotYetError(
            f"{name} has not been deployed to {cloud.name}",
            f"its latest deployment went to {record.target} on {record.cloud}",
            f"%ggml config cloud={record.cloud}",
        )
    if cloud.deployments.get(record.deployment_id) is None:
        why = f"{cloud.name} does not know the deployment {record.deployment_id} any more"
        raise NotYetError(f"{name} is not deployed to {record.target}", why, again)
    aim = Aim(
        name=name,
        deployment_id=record.deployment_id,
        target=record.target,
        root=record.component,
        components={record.component: record.version},
        devices=targets.devices(cloud, targets.parse(record.target)),
    )
    states = tuple(watch.states(cloud, aim))
    return Deployment(
        name=name,
        deployment_id=record.deployment_id,
        target=record.target,
        cloud=cloud.name,
        component=record.component,
        version=record.version,
        status=overall(states),
        created=False,
        steps=(),
        devices=states,
        seconds=time.monotonic() - begun,
    )


def overall(states: tuple[DeviceState, ...]) -> str:
    """One word for all devices: the worst there is; SUCCEEDED where all are well."""
    found = {state.status for state in states}
    return next((word for word in WORST_FIRST if word in found), watch.SUCCEEDED[0])
