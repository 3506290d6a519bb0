"""Deployments of Greengrass V2, and what core devices report of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ggml_magic.cloud.gateway import MISSING, Gateway, said
from ggml_magic.errors import CloudError


@dataclass(frozen=True)
class DeployedComponent:
    """A component as a deployment names it.

    ``merge`` is JSON in a string, as the service keeps it, empty where there is none; ``reset``
    are JSON pointers; ``run_with`` stays as the service gave it.
    """

    name: str
    version: str
    merge: str = ""
    reset: tuple[str, ...] = ()
    run_with: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeploymentDocument:
    """A deployment as it is sent and as it is found.

    ``policies``, ``job`` (the rollout) and ``parent`` stay as the service gave them. ``id`` and
    ``status`` are empty in one that has not been sent.
    """

    name: str
    target_arn: str
    components: tuple[DeployedComponent, ...]
    policies: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    status: str = ""


@dataclass(frozen=True)
class EffectiveDeployment:
    """What one core device says of one deployment; ``reason`` is one line."""

    deployment_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class InstalledComponent:
    """A component on a core device; ``details`` is one line.

    ``changed`` is when its state last changed, in seconds since the epoch; 0 where unknown.
    """

    name: str
    version: str
    state: str
    details: str
    is_root: bool
    changed: float = 0.0


@dataclass(frozen=True)
class CoreDevice:
    """A core device as it last reported itself; ``status`` is HEALTHY or UNHEALTHY."""

    thing: str
    status: str
    version: str
    platform: str
    architecture: str


@dataclass(frozen=True)
class Deployments:
    """The deployment operations of one region and account."""

    greengrass: Gateway

    def latest(self, target_arn: str) -> DeploymentDocument | None:
        """The target's latest deployment, or ``None`` where it never had one."""
        listed = self.greengrass.pages(
            "ListDeployments", "deployments", targetArn=target_arn, historyFilter="LATEST_ONLY"
        )
        ids = [item["deploymentId"] for item in listed if item.get("isLatestForTarget", True)]
        return self.get(ids[0]) if ids else None

    def get(self, deployment_id: str) -> DeploymentDocument | None:
        """A deployment, or ``None`` where there is no such one."""
        try:
            answer = self.greengrass.call("GetDeployment", deploymentId=deployment_id)
        except CloudError as error:
            if error.code in MISSING:
                return None
            raise
        return DeploymentDocument(
            name=answer.get("deploymentName", ""),
            target_arn=answer["targetArn"],
            components=tuple(
                _deployed(name, told) for name, told in sorted(answer["components"].items())
            ),
            policies=answer.get("deploymentPolicies", {}),
            job=answer.get("iotJobConfiguration", {}),
            parent=answer.get("parentTargetArn", ""),
            tags=answer.get("tags", {}),
            id=answer["deploymentId"],
            status=answer["deploymentStatus"],
        )

    def create(self, document: DeploymentDocument) -> str:
        """Send a deployment; its id. It replaces the target's present one."""
        parameters = {
            "targetArn": document.target_arn,
            "deploymentName": document.name,
            "components": {told.name: _told(told) for told in document.components},
            "deploymentPolicies": document.policies,
            "iotJobConfiguration": document.job,
            "parentTargetArn": document.parent,
            "tags": document.tags,
        }
        given = {name: value for name, value in parameters.items() if value}
        return str(self.greengrass.call("CreateDeployment", **given)["deploymentId"])

    def effective(self, core: str) -> tuple[EffectiveDeployment, ...]:
        """The deployments that concern a core device; none where it never reported."""
        return tuple(
            EffectiveDeployment(
                deployment_id=item["deploymentId"],
                status=item["coreDeviceExecutionStatus"],
                reason=_reason(item),
            )
            for item in self._of(core, "ListEffectiveDeployments", "effectiveDeployments")
        )

    def installed(self, core: str) -> tuple[InstalledComponent, ...]:
        """All components on a core device, as it last reported them."""
        listed = self._of(
            core, "ListInstalledComponents", "installedComponents", topologyFilter="ALL"
        )
        return tuple(
            InstalledComponent(
                name=item["componentName"],
                version=item["componentVersion"],
                state=item.get("lifecycleState", ""),
                details=said(item.get("lifecycleStateDetails", "")),
                is_root=item.get("isRoot", False),
                changed=_seconds(item.get("lastStatusChangeTimestamp")),
            )
            for item in listed
        )

    def core(self, name: str) -> CoreDevice | None:
        """A core device, or ``None`` where no core of that name ever reported."""
        try:
            answer = self.greengrass.call("GetCoreDevice", coreDeviceThingName=name)
        except CloudError as error:
            if error.code in MISSING:
                return None
            raise
        return _core(answer)

    def cores(self) -> tuple[CoreDevice, ...]:
        """All core devices of the account and region; their versions are not listed."""
        return tuple(
            _core(item) for item in self.greengrass.pages("ListCoreDevices", "coreDevices")
        )

    def _of(self, core: str, operation: str, items: str, **filters: str) -> tuple[Any, ...]:
        try:
            return tuple(
                self.greengrass.pages(operation, items, coreDeviceThingName=core, **filters)
            )
        except CloudError as error:
            if error.code in MISSING:
                return ()
            raise


def _deployed(name: str, told: Mapping[str, Any]) -> DeployedComponent:
    update = told.get("configurationUpdate") or {}
    return DeployedComponent(
        name=name,
        version=told["componentVersion"],
        merge=update.get("merge", ""),
        reset=tuple(update.get("reset", ())),
        run_with=told.get("runWith") or {},
    )


def _told(component: DeployedComponent) -> dict[str, Any]:
    told: dict[str, Any] = {"componentVersion": component.version}
    update: dict[str, Any] = {}
    if component.merge:
        update["merge"] = component.merge
    if component.reset:
        update["reset"] = list(component.reset)
    if update:
        told["configurationUpdate"] = update
    if component.run_with:
        told["runWith"] = dict(component.run_with)
    return told


def _reason(item: Mapping[str, Any]) -> str:
    stack = item.get("statusDetails", {}).get("errorStack", ())
    reason = item.get("reason", "")
    return said(reason or ", ".join(stack))


def _core(item: Mapping[str, Any]) -> CoreDevice:
    return CoreDevice(
        thing=item["coreDeviceThingName"],
        status=item.get("status", ""),
        version=item.get("coreVersion", ""),
        platform=item.get("platform", ""),
        architecture=item.get("architecture", ""),
    )


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0
