"""Core devices as the cloud knows them: from provisioning and from fleet status messages."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from ggml_magic.sandbox import arns, executions, tags
from ggml_magic.sandbox.faults import ServiceError, not_found
from ggml_magic.sandbox.gateway import Gateway
from ggml_magic.sandbox.pages import page
from ggml_magic.sandbox.service import Call, Handler
from ggml_magic.sandbox.store import Store, dump

HEALTHY = "HEALTHY"
STATES = (
    "NEW",
    "INSTALLED",
    "STARTING",
    "RUNNING",
    "STOPPING",
    "ERRORED",
    "BROKEN",
    "FINISHED",
)


class Devices:
    """The core device operations of Greengrass V2."""

    def __init__(self, store: Store, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway

    def handlers(self) -> dict[str, Handler]:
        """Each operation served here."""
        return {
            "ListCoreDevices": self.list_cores,
            "GetCoreDevice": self.get,
            "DeleteCoreDevice": self.delete,
            "ListEffectiveDeployments": self.effective,
            "ListInstalledComponents": self.installed,
        }

    def provision(self, region: str, thing: str) -> None:
        """Make the IoT thing and the core device's record, where they are not there."""
        self._gateway.add_thing(region, thing)
        with self._store.writing() as database:
            database.execute(
                "INSERT OR IGNORE INTO cores VALUES (?, ?, '', '', '', '', 'UNHEALTHY', ?)",
                [region, thing, time.time()],
            )

    def region_of(self, thing: str) -> str | None:
        """The region that a core device was provisioned in."""
        row = self._store.row("SELECT region FROM cores WHERE thing = ?", thing)
        return row["region"] if row else None

    def only_region(self) -> str | None:
        """The region of all core devices, when they share one."""
        rows = self._store.rows("SELECT DISTINCT region FROM cores")
        return rows[0]["region"] if len(rows) == 1 else None

    def take_status(self, region: str, thing: str, payload: bytes) -> None:
        """Take in a fleet status message; a ``COMPLETE`` one replaces all that was known."""
        message = _message(payload)
        now = time.time()
        with self._store.writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO cores VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    region,
                    thing,
                    str(message.get("ggcVersion") or ""),
                    str(message.get("platform") or ""),
                    str(message.get("architecture") or ""),
                    str(message.get("runtime") or ""),
                    HEALTHY if message.get("overallDeviceStatus") == HEALTHY else "UNHEALTHY",
                    now,
                ],
            )
            known = {row["name"]: row for row in _installed(database, region, thing)}
            if message.get("messageType") == "COMPLETE":
                database.execute(
                    "DELETE FROM installed WHERE region = ? AND thing = ?", [region, thing]
                )
            for item in message["components"]:
                _take_component(database, region, thing, item, known, now)

    def list_cores(self, call: Call) -> dict[str, Any]:
        """ListCoreDevices, by group, status or runtime when asked."""
        rows = self._store.rows("SELECT * FROM cores WHERE region = ? ORDER BY thing", call.region)
        wanted = call.parameters
        if wanted.get("thingGroupArn"):
            group = arns.target(wanted["thingGroupArn"], call.region, self._gateway.account)
            members = set(self._gateway.members(call.region, group.name))
            rows = [row for row in rows if row["thing"] in members]
        for key in ("status", "runtime"):
            if wanted.get(key):
                rows = [row for row in rows if row[key] == wanted[key]]
        return page("coreDevices", [_core(row) for row in rows], wanted)

    def _found(self, call: Call) -> sqlite3.Row:
        thing = call.parameters["coreDeviceThingName"]
        row = self._store.row(
            "SELECT * FROM cores WHERE region = ? AND thing = ?", call.region, thing
        )
        if row is None:
            raise not_found("coreDevice", thing)
        return row

    def get(self, call: Call) -> dict[str, Any]:
        """GetCoreDevice."""
        row = self._found(call)
        arn = arns.core(call.region, self._gateway.account, row["thing"])
        return {**_core(row), "coreVersion": row["version"], "tags": tags.of(self._store, arn)}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteCoreDevice: the record; a device that runs reports itself again."""
        row = self._found(call)
        where = [call.region, row["thing"]]
        with self._store.writing() as database:
            database.execute("DELETE FROM cores WHERE region = ? AND thing = ?", where)
            database.execute("DELETE FROM installed WHERE region = ? AND thing = ?", where)
            tags.drop(database, arns.core(call.region, self._gateway.account, row["thing"]))
        return {}

    def effective(self, call: Call) -> dict[str, Any]:
        """ListEffectiveDeployments: what each target has for the device, the newest first."""
        thing = self._found(call)["thing"]
        rows = self._store.rows(
            "SELECT executions.*, deployments.id, deployments.name, deployments.target,"
            " deployments.created, deployments.latest FROM executions"
            " JOIN deployments ON deployments.job = executions.job"
            " WHERE executions.region = ? AND thing = ? ORDER BY deployments.created DESC",
            call.region,
            thing,
        )
        shown = [
            self._effective(call.region, row)
            for row in rows
            if row["latest"] or row["status"] == executions.IN_PROGRESS
        ]
        return page("effectiveDeployments", shown, call.parameters)

    def _effective(self, region: str, row: sqlite3.Row) -> dict[str, Any]:
        details = json.loads(row["details"])
        return {
            "deploymentId": row["id"],
            "deploymentName": row["name"],
            "iotJobId": row["job"],
            "iotJobArn": arns.job(region, self._gateway.account, row["job"]),
            "targetArn": row["target"],
            "coreDeviceExecutionStatus": row["status"],
            "reason": executions.reason(row["status"], details),
            "creationTimestamp": row["created"],
            "modifiedTimestamp": row["updated"],
            "statusDetails": executions.error_details(row["status"], details),
        }

    def installed(self, call: Call) -> dict[str, Any]:
        """ListInstalledComponents: the roots, or all when asked."""
        thing = self._found(call)["thing"]
        rows = self._store.rows(
            "SELECT * FROM installed WHERE region = ? AND thing = ? ORDER BY name",
            call.region,
            thing,
        )
        if (call.parameters.get("topologyFilter") or "ROOT") == "ROOT":
            rows = [row for row in rows if row["root"]]
        return page("installedComponents", [_component(row) for row in rows], call.parameters)


def _message(payload: bytes) -> dict[str, Any]:
    """A fleet status message whose outer shape is sound."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("components", []), list):
        raise ServiceError("InvalidRequestException", 400, "the fleet status message is not one")
    message["components"] = [
        item
        for item in message.get("components", [])
        if isinstance(item, dict) and isinstance(item.get("componentName"), str)
    ]
    return message


def _installed(database: sqlite3.Connection, region: str, thing: str) -> list[sqlite3.Row]:
    return database.execute(
        "SELECT * FROM installed WHERE region = ? AND thing = ?", [region, thing]
    ).fetchall()


def _take_component(
    database: sqlite3.Connection,
    region: str,
    thing: str,
    item: Mapping[str, Any],
    known: Mapping[str, sqlite3.Row],
    now: float,
) -> None:
    name, state = item["componentName"], str(item.get("status") or "NEW")
    if state not in STATES:  # UNINSTALLED and the like: gone
        database.execute(
            "DELETE FROM installed WHERE region = ? AND thing = ? AND name = ?",
            [region, thing, name],
        )
        return
    before = known.get(name)
    details = item.get("statusDetails")
    details = details if isinstance(details, dict) else {}
    codes = details.get("statusCodes")
    same = before is not None and before["state"] == state
    changed = before["changed"] if before is not None and same else now
    groups = item.get("fleetConfigArns")
    source = str(groups[-1]) if isinstance(groups, list) and groups else ""
    database.execute(
        "INSERT OR REPLACE INTO installed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            region,
            thing,
            name,
            str(item.get("version") or ""),
            state,
            str(details.get("statusReason") or ""),
            dump([str(code) for code in codes] if isinstance(codes, list) else []),
            int(bool(item.get("isRoot"))),
            source,
            changed,
            now,
        ],
    )


def _core(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "coreDeviceThingName": row["thing"],
        "status": row["status"],
        "lastStatusUpdateTimestamp": row["updated"],
        "platform": row["platform"] or None,
        "architecture": row["architecture"] or None,
        "runtime": row["runtime"] or None,
    }


def _component(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "componentName": row["name"],
        "componentVersion": row["version"],
        "lifecycleState": row["state"],
        "lifecycleStateDetails": row["reason"] or None,
        "isRoot": bool(row["root"]),
        "lastStatusChangeTimestamp": row["changed"],
        "lastReportedTimestamp": row["reported"],
        "lastInstallationSource": row["source"] or None,
        "lifecycleStatusCodes": json.loads(row["codes"]),
    }
