"""What a deployment would change: the target's present one, merged with a bundle."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ggml_magic.cloud.components import MODEL_TAG
from ggml_magic.cloud.connect import Cloud
from ggml_magic.cloud.deployments import DeployedComponent, DeploymentDocument
from ggml_magic.component.bundle import Bundle
from ggml_magic.deploy import target as targets
from ggml_magic.deploy.target import Target
from ggml_magic.presentation import Card, Presented, plural

# GREENGRASS 6: the service's own defaults, spelled out so that a deployment shows them
POLICIES = {
    "failureHandlingPolicy": "ROLLBACK",
    "componentUpdatePolicy": {"action": "NOTIFY_COMPONENTS", "timeoutInSeconds": 60},
}
MOST_DEVICES = 10


@dataclass(frozen=True)
class Change:
    """One component's line: ``+`` added, ``~`` changed, ``-`` removed, ``=`` kept.

    ``before`` and ``after`` are versions; ``configuration`` tells what is kept of it.
    """

    action: Literal["+", "~", "-", "="]
    component: str
    before: str
    after: str
    configuration: str = ""

    def __str__(self) -> str:
        versions = {
            "+": self.after,
            "~": f"{self.before} → {self.after}",
            "-": self.before,
            "=": self.after,
        }
        return f"{self.action} {self.component} {versions[self.action]}"


@dataclass(frozen=True)
class Plan(Presented):
    """What a deployment would change on a target.

    ``devices`` are the things it concerns, ``unseen`` those of them on which no core ever
    reported; ``base_deployment`` is what it starts from; ``document`` is what would be sent;
    ``forced`` is why the bundle was packaged although its proof failed.
    """

    name: str
    target: str
    cloud: str
    changes: tuple[Change, ...]
    devices: tuple[str, ...]
    unseen: tuple[str, ...]
    base_deployment: str | None
    document: DeploymentDocument
    forced: str | None = None

    @property
    def empty(self) -> bool:
        """Whether the target's present deployment already says all this."""
        return all(change.action == "=" for change in self.changes)

    def card(self) -> Card:
        """One line a component, and the devices concerned."""
        words = {"+": "added", "~": "changed", "-": "removed", "=": "kept"}
        rows = tuple(
            (
                c.action,
                c.component,
                f"{c.before} → {c.after}" if c.action == "~" else c.after or c.before,
                words[c.action],
                c.configuration,
            )
            for c in self.changes
        )
        return Card(
            f"{self.name} → {self.target} on {self.cloud}",
            facts=(("devices", _devices(self.devices)),),
            columns=("", "component", "version", "change", "configuration"),
            rows=rows,
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.empty:
            notes.append("nothing would change")
        if self.forced is not None:
            notes.append(f"its proof FAILED; packaged all the same, because: {self.forced}")
        for device in self.unseen[:MOST_DEVICES]:
            notes.append(f"no core device has ever reported as {device}: it would stay queued")
        return tuple(notes)


def _devices(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:MOST_DEVICES])
    more = f" and {len(names) - MOST_DEVICES:,} more" if len(names) > MOST_DEVICES else ""
    return f"{plural(len(names), 'device')}: {shown}{more}" if names else "none yet"


def plan(cloud: Cloud, bundle: Bundle, target: Target, remove: Collection[str] = ()) -> Plan:
    """Merge a bundle into the target's latest deployment; changes nothing.

    Whatever the target has stays, with its configuration, but the components in ``remove``.
    Raises ``TargetNotFoundError``.
    """
    target_arn = targets.arn(cloud, target)
    base = cloud.deployments.latest(target_arn)
    wanted = tuple(DeployedComponent(c.name, c.version) for c in bundle.components)
    document = merged(base, wanted, target_arn, bundle.name, remove)
    devices = targets.devices(cloud, target)
    return Plan(
        name=bundle.name,
        target=str(target),
        cloud=cloud.name,
        changes=changes(base.components if base else (), document.components),
        devices=devices,
        unseen=_unseen(cloud, devices),
        base_deployment=base.id if base else None,
        document=document,
        forced=bundle.forced,
    )


def _unseen(cloud: Cloud, devices: tuple[str, ...]) -> tuple[str, ...]:
    if len(devices) == 1:
        return () if cloud.deployments.core(devices[0]) else devices
    known = {core.thing for core in cloud.deployments.cores()}  # no call per device
    return tuple(name for name in devices if name not in known)


def merged(
    base: DeploymentDocument | None,
    wanted: Iterable[DeployedComponent],
    target_arn: str,
    name: str,
    remove: Collection[str] = (),
) -> DeploymentDocument:
    """The deployment that adds ``wanted`` to what ``base`` has.

    A component that is there takes the new version and keeps the configuration and the user
    that somebody gave it; all others stay untouched.
    """
    if base is None:
        base = DeploymentDocument(f"ggml {name}", target_arn, (), policies=POLICIES)
    present = {told.name: told for told in base.components if told.name not in remove}
    for new in wanted:
        there = present.get(new.name)
        present[new.name] = replace(there, version=new.version) if there else new
    return replace(
        base,
        components=tuple(present[key] for key in sorted(present)),
        policies=base.policies or POLICIES,
        tags={**base.tags, MODEL_TAG: name},
        id="",
        status="",
    )


def changes(
    before: Iterable[DeployedComponent], after: Iterable[DeployedComponent]
) -> tuple[Change, ...]:
    """Each component of either side once, sorted by name."""
    old = {told.name: told for told in before}
    new = {told.name: told for told in after}
    return tuple(_change(name, old.get(name), new.get(name)) for name in sorted({*old, *new}))


def removed(changed: Iterable[Change]) -> tuple[str, ...]:
    """The components that changes take away."""
    return tuple(change.component for change in changed if change.action == "-")


def _change(name: str, old: DeployedComponent | None, new: DeployedComponent | None) -> Change:
    before, after = (told.version if told else "" for told in (old, new))
    if new is None:
        return Change("-", name, before, after)
    if old is None:
        return Change("+", name, before, after)
    return Change("=" if old == new else "~", name, before, after, _configuration(new))


def _configuration(component: DeployedComponent) -> str:
    given = [
        word
        for word, value in (
            ("merge", component.merge),
            ("reset", component.reset),
            ("runWith", component.run_with),
        )
        if value
    ]
    return f"its {', '.join(given)} kept" if given else ""
