"""Greengrass V2's deployments: one per target, each replacing the one before (GREENGRASS 6)."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ggml_magic.core import provided
from ggml_magic.sandbox import arns, executions, tags, tokens
from ggml_magic.sandbox.changes import JOBS, Notices
from ggml_magic.sandbox.components import DEPLOYABLE, Components
from ggml_magic.sandbox.faults import conflict, invalid, not_found
from ggml_magic.sandbox.gateway import Gateway
from ggml_magic.sandbox.pages import page
from ggml_magic.sandbox.recipes import is_version
from ggml_magic.sandbox.service import Call, Handler
from ggml_magic.sandbox.store import Store, dump

# What AWS fills in where a request says nothing (GREENGRASS 6).
DEFAULT_POLICIES: Mapping[str, Any] = {
    "failureHandlingPolicy": "ROLLBACK",
    "componentUpdatePolicy": {"timeoutInSeconds": 60, "action": "NOTIFY_COMPONENTS"},
    "configurationValidationPolicy": {"timeoutInSeconds": 30},
}


class Deployments:
    """The deployment operations of Greengrass V2."""

    def __init__(
        self, store: Store, gateway: Gateway, components: Components, notices: Notices
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._components = components
        self._notices = notices

    def handlers(self) -> dict[str, Handler]:
        """Each operation served here."""
        return {
            "CreateDeployment": self.create,
            "GetDeployment": self.get,
            "ListDeployments": self.list_deployments,
            "CancelDeployment": self.cancel,
            "DeleteDeployment": self.delete,
        }

    def create(self, call: Call) -> dict[str, Any]:
        """CreateDeployment: checked, kept, and queued for each device of the target."""
        return tokens.once(
            self._store, "CreateDeployment", call.parameters, lambda: self._create(call)
        )

    def _create(self, call: Call) -> dict[str, Any]:
        target = self._target(call)
        components = call.parameters.get("components") or {}
        for name, wanted in components.items():
            self._check(call.region, name, wanted)
        document = {
            "components": components,
            "policies": _policies(call.parameters.get("deploymentPolicies") or {}),
            "iotJobConfiguration": call.parameters.get("iotJobConfiguration"),
            "parentTargetArn": call.parameters.get("parentTargetArn"),
        }
        identifier, job = str(uuid.uuid4()), str(uuid.uuid4())
        name = call.parameters.get("deploymentName") or f"Deployment for {target.name}"
        arn = arns.deployment(call.region, self._gateway.account, identifier)
        with self._store.writing() as database:
            revision = _replace_latest(database, target.arn)
            database.execute(
                "INSERT INTO deployments VALUES (?, ?, ?, ?, ?, 'ACTIVE', ?, 1, ?, ?)",
                (identifier, call.region, target.arn, revision, name, job, dump(document),
                 time.time()),
            )  # fmt: skip
            tags.put(database, arn, call.parameters.get("tags") or {})
        self.enlist(call.region)
        job_arn = arns.job(call.region, self._gateway.account, job)
        return {"deploymentId": identifier, "iotJobId": job, "iotJobArn": job_arn}

    def _target(self, call: Call) -> arns.Target:
        arn = call.parameters["targetArn"]
        target = arns.target(arn, call.region, self._gateway.account)
        there = self._gateway.is_thing if target.kind == "thing" else self._gateway.is_group
        if not there(call.region, target.name):
            raise not_found(target.kind, arn, f"{target.kind} {target.name} does not exist in IoT")
        return target

    def _check(self, region: str, name: str, wanted: Mapping[str, Any]) -> None:
        version = wanted["componentVersion"]
        where = f"components.{name}"
        if not is_version(version):
            raise invalid(f"{where}.componentVersion", f"{version!r} is no semantic version")
        row = self._components.find(region, name, version)
        if row is None and not provided.has(name, version):
            raise not_found(
                "componentVersion",
                arns.component(region, self._gateway.account, name, version),
                f"component {name} version {version} does not exist",
            )
        if row is not None and row["state"] != DEPLOYABLE:
            raise invalid(f"{where}.componentVersion", f"{version} is {row['state']}")
        update = wanted.get("configurationUpdate") or {}
        if "merge" in update and not isinstance(_merge(update["merge"], where), dict):
            raise invalid(f"{where}.configurationUpdate.merge", "must be a JSON object")
        for pointer in update.get("reset") or []:
            if pointer and not pointer.startswith("/"):
                raise invalid(f"{where}.configurationUpdate.reset", f"{pointer!r} is no pointer")

    def enlist(self, region: str) -> None:
        """Queue every active deployment for the devices of its target that have it not yet.

        Called after a deployment, and after IoT's registry changed: who joins a group later
        gets what the group has (GREENGRASS 6).
        """
        active = self._store.rows(
            "SELECT * FROM deployments WHERE region = ? AND latest = 1 AND status = 'ACTIVE'",
            region,
        )
        for row in active:
            target = arns.target(row["target"], region, self._gateway.account)
            grouped = target.kind == "thinggroup"
            things = self._things(region, target)
            with self._store.writing() as database:
                added = executions.queue(database, row, things)
                if grouped:
                    executions.withdraw(database, row["job"], things)
            for thing in added:
                self._notices.tell(thing, JOBS)

    def _things(self, region: str, target: arns.Target) -> list[str]:
        if target.kind == "thinggroup":
            return self._gateway.members(region, target.name)
        return [target.name] if self._gateway.is_thing(region, target.name) else []

    def _found(self, call: Call) -> sqlite3.Row:
        identifier = call.parameters["deploymentId"]
        row = self._store.row(
            "SELECT * FROM deployments WHERE region = ? AND id = ?", call.region, identifier
        )
        if row is None:
            raise not_found("deployment", identifier)
        return row

    def get(self, call: Call) -> dict[str, Any]:
        """GetDeployment."""
        row = self._found(call)
        document = json.loads(row["document"])
        arn = arns.deployment(call.region, self._gateway.account, row["id"])
        return {
            **_summary(row),
            "iotJobId": row["job"],
            "iotJobArn": arns.job(call.region, self._gateway.account, row["job"]),
            "components": document["components"],
            "deploymentPolicies": document["policies"],
            "iotJobConfiguration": document["iotJobConfiguration"],
            "parentTargetArn": document["parentTargetArn"],
            "tags": tags.of(self._store, arn),
        }

    def list_deployments(self, call: Call) -> dict[str, Any]:
        """ListDeployments, the newest first; only the latest of each target unless asked."""
        rows: Iterable[sqlite3.Row] = self._store.rows(
            "SELECT * FROM deployments WHERE region = ? ORDER BY created DESC, revision DESC",
            call.region,
        )
        wanted = call.parameters
        if (wanted.get("historyFilter") or "LATEST_ONLY") == "LATEST_ONLY":
            rows = [row for row in rows if row["latest"]]
        if wanted.get("targetArn"):
            rows = [row for row in rows if row["target"] == wanted["targetArn"]]
        items = [_summary(row) for row in rows]
        if wanted.get("parentTargetArn"):
            items = [item for item in items if item["parentTargetArn"] == wanted["parentTargetArn"]]
        return page("deployments", items, wanted)

    def cancel(self, call: Call) -> dict[str, Any]:
        """CancelDeployment: only devices that have not begun are spared."""
        row = self._found(call)
        if row["status"] != "ACTIVE":
            raise conflict("deployment", row["id"], f"the deployment is {row['status']}")
        with self._store.writing() as database:
            database.execute("UPDATE deployments SET status = 'CANCELED' WHERE id = ?", [row["id"]])
            executions.cancel_queued(database, row["job"])
        return {"message": "The deployment was canceled."}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteDeployment: refused while it is active."""
        row = self._found(call)
        if row["status"] == "ACTIVE":
            raise conflict("deployment", row["id"], "the deployment is active; cancel it first")
        with self._store.writing() as database:
            database.execute("DELETE FROM deployments WHERE id = ?", [row["id"]])
            database.execute("DELETE FROM executions WHERE job = ?", [row["job"]])
            tags.drop(database, arns.deployment(call.region, self._gateway.account, row["id"]))
        return {}


def document_for_device(row: sqlite3.Row, account: str) -> str:
    """The deployment document that a device gets as its job document (EDGE-CORE 7)."""
    document = json.loads(row["document"])
    target = arns.target(row["target"], row["region"], account)
    components = {name: _for_device(wanted) for name, wanted in document["components"].items()}
    policies = document["policies"]
    update = policies["componentUpdatePolicy"]
    return json.dumps(
        {
            "deploymentId": row["id"],
            "deploymentName": row["name"],
            "configurationArn": arns.configuration(row["region"], account, target, row["revision"]),
            "creationTimestamp": int(row["created"] * 1000),
            "components": components,
            "requiredCapabilities": [],
            "failureHandlingPolicy": policies["failureHandlingPolicy"],
            "componentUpdatePolicy": {
                "action": update["action"],
                "timeout": update["timeoutInSeconds"],
            },
            "configurationValidationPolicy": {
                "timeout": policies["configurationValidationPolicy"]["timeoutInSeconds"]
            },
        }
    )


def _for_device(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The API's merge is JSON in a string; the device's is the object itself."""
    entry: dict[str, Any] = {"version": wanted["componentVersion"]}
    update = wanted.get("configurationUpdate")
    if update:
        merge = update.get("merge")
        entry["configurationUpdate"] = {
            "reset": update.get("reset") or [],
            "merge": json.loads(merge) if merge else {},
        }
    if wanted.get("runWith"):
        entry["runWith"] = wanted["runWith"]
    return entry


def _replace_latest(database: sqlite3.Connection, target: str) -> int:
    """Retire the target's latest deployment; returns the next revision."""
    previous = database.execute(
        "SELECT * FROM deployments WHERE target = ? AND latest = 1", [target]
    ).fetchall()
    for row in previous:
        database.execute(
            "UPDATE deployments SET latest = 0,"
            " status = CASE status WHEN 'ACTIVE' THEN 'INACTIVE' ELSE status END WHERE id = ?",
            [row["id"]],
        )
        executions.cancel_queued(database, row["job"])
    highest = database.execute(
        "SELECT MAX(revision) FROM deployments WHERE target = ?", [target]
    ).fetchone()[0]
    return (highest or 0) + 1


def _policies(wanted: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(DEFAULT_POLICIES)
    for key, value in wanted.items():
        filled[key] = {**filled[key], **value} if isinstance(value, dict) else value
    return filled


def _merge(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(f"{where}.configurationUpdate.merge", "is not JSON") from None


def _summary(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "targetArn": row["target"],
        "revisionId": str(row["revision"]),
        "deploymentId": row["id"],
        "deploymentName": row["name"],
        "creationTimestamp": row["created"],
        "deploymentStatus": row["status"],
        "isLatestForTarget": bool(row["latest"]),
        "parentTargetArn": json.loads(row["document"])["parentTargetArn"],
    }
