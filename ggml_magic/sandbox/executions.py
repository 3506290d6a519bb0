"""Job executions: one deployment on one device, from queued to its end."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

QUEUED = "QUEUED"
IN_PROGRESS = "IN_PROGRESS"
SUCCEEDED = "SUCCEEDED"
CANCELED = "CANCELED"
OPEN = (QUEUED, IN_PROGRESS)
# What the core writes into the job's free status details (EDGE-CORE 7).
RESULT = "detailed-deployment-status"
CAUSE = "deployment-failure-cause"
STACK = "deployment-error-stack"
TYPES = "deployment-error-types"


def queue(
    database: sqlite3.Connection, deployment: sqlite3.Row, things: Sequence[str]
) -> list[str]:
    """Queue a deployment for things that have it not; returns those, inside a transaction."""
    held = {
        row["thing"]
        for row in database.execute(
            "SELECT thing FROM executions WHERE job = ? AND status != ?",
            [deployment["job"], CANCELED],
        )
    }
    added = [thing for thing in things if thing not in held]
    now = time.time()
    database.executemany(
        "INSERT OR REPLACE INTO executions VALUES (?, ?, ?, ?, '{}', 1, ?, NULL, ?)",
        [(deployment["job"], thing, deployment["region"], QUEUED, now, now) for thing in added],
    )
    return added


def withdraw(database: sqlite3.Connection, job: str, members: Sequence[str]) -> None:
    """Cancel what is queued for things that left the group, inside a transaction."""
    queued = database.execute(
        "SELECT thing FROM executions WHERE job = ? AND status = ?", [job, QUEUED]
    ).fetchall()
    for row in queued:
        if row["thing"] not in members:
            _cancel(database, job, "AND thing = ?", [row["thing"]])


def cancel_queued(database: sqlite3.Connection, job: str) -> None:
    """Cancel a job for the devices that have not begun it, inside a transaction."""
    _cancel(database, job, "", [])


def _cancel(database: sqlite3.Connection, job: str, which: str, values: list[str]) -> None:
    database.execute(
        "UPDATE executions SET status = ?, version = version + 1, updated = ?"  # noqa: S608
        f" WHERE job = ? AND status = ? {which}",  # a constant of this module
        [CANCELED, time.time(), job, QUEUED, *values],
    )


def reason(status: str, details: Mapping[str, str]) -> str | None:
    """The one line that says how an execution ended, from what the core wrote."""
    result, cause = details.get(RESULT), details.get(CAUSE)
    if result and cause:
        return f"{result}: {cause}"
    if result or cause or status in (*OPEN, CANCELED):
        return result or cause
    return "; ".join(details.values()) or None


def error_details(status: str, details: Mapping[str, str]) -> dict[str, list[str]] | None:
    """The errors behind a failed execution, as Greengrass V2 shows them."""
    if status in (*OPEN, SUCCEEDED, CANCELED):
        return None
    return {"errorStack": _listed(details.get(STACK)), "errorTypes": _listed(details.get(TYPES))}


def _listed(text: str | None) -> list[str]:
    """A list that the core wrote as JSON, or as names with commas between them."""
    if not text:
        return []
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, list):
        return [str(item) for item in found]
    return [item.strip() for item in text.strip("[]").split(",") if item.strip()]
