"""The device's side of a deployment: the operations of ``iot-jobs-data``."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

from ggml_magic.sandbox import executions
from ggml_magic.sandbox.changes import JOBS, Notices
from ggml_magic.sandbox.deployments import document_for_device
from ggml_magic.sandbox.faults import ServiceError
from ggml_magic.sandbox.service import Call, Handler
from ggml_magic.sandbox.store import Store, dump

NEXT = "$next"
# What a device may say; all but the first are final.
SAID = (executions.IN_PROGRESS, executions.SUCCEEDED, "FAILED", "REJECTED")
# IoT's limit on one value of the status details (the model's documentation).
LONGEST_DETAIL = 1024
JOINED = (
    "SELECT executions.*, deployments.created FROM executions"
    " JOIN deployments ON deployments.job = executions.job"
    " WHERE executions.region = ? AND thing = ?"
)


class Jobs:
    """The job operations that a core device calls."""

    def __init__(self, store: Store, account: str, notices: Notices) -> None:
        self._store = store
        self._account = account
        self._notices = notices

    def handlers(self) -> dict[str, Handler]:
        """Each operation served here."""
        return {
            "GetPendingJobExecutions": self.pending,
            "StartNextPendingJobExecution": self.start_next,
            "DescribeJobExecution": self.describe,
            "UpdateJobExecution": self.update,
        }

    def pending(self, call: Call) -> dict[str, Any]:
        """GetPendingJobExecutions."""
        rows = self._open(call)
        running = [_summary(row) for row in rows if row["status"] == executions.IN_PROGRESS]
        queued = [_summary(row) for row in rows if row["status"] == executions.QUEUED]
        return {"inProgressJobs": running, "queuedJobs": queued}

    def _open(self, call: Call) -> list[sqlite3.Row]:
        """What is open for a thing: begun before queued, then the older deployment."""
        rows = self._store.rows(JOINED, call.region, call.parameters["thingName"])
        pending = [row for row in rows if row["status"] in executions.OPEN]
        return sorted(pending, key=lambda row: (row["status"], row["created"]))

    def start_next(self, call: Call) -> dict[str, Any]:
        """StartNextPendingJobExecution: what was begun, else what is queued, begins."""
        rows = self._open(call)
        if not rows:
            return {}
        row, details = rows[0], call.parameters.get("statusDetails")
        if row["status"] == executions.QUEUED or details is not None:
            row = self._change(row, executions.IN_PROGRESS, details)
        return {"execution": self._shown(row, with_document=True)}

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeJobExecution; ``$next`` is what would begin next."""
        if call.parameters["jobId"] == NEXT:
            rows = self._open(call)
            if not rows:
                return {}
            row = rows[0]
        else:
            row = self._found(call)
        wanted = call.parameters.get("includeJobDocument")
        return {"execution": self._shown(row, with_document=wanted is not False)}

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateJobExecution: moves the device's deployment, and with the last one the whole."""
        row, wanted = self._found(call), call.parameters
        status, details = wanted["status"], wanted.get("statusDetails")
        _check(row, wanted)
        changed = self._change(row, status, details)
        if status not in executions.OPEN:
            self._finish(row, status)
        answer: dict[str, Any] = {}
        if wanted.get("includeJobExecutionState"):
            answer["executionState"] = {
                "status": changed["status"],
                "statusDetails": json.loads(changed["details"]),
                "versionNumber": changed["version"],
            }
        if wanted.get("includeJobDocument"):
            answer["jobDocument"] = self._document(changed)
        return answer

    def _finish(self, row: sqlite3.Row, status: str) -> None:
        """A thing's deployment ends with its device; a group's stays for who joins later."""
        ended = "COMPLETED" if status == executions.SUCCEEDED else "FAILED"
        with self._store.writing() as database:
            database.execute(
                "UPDATE deployments SET status = ? WHERE job = ? AND status = 'ACTIVE'"
                " AND target LIKE '%:thing/%'",
                [ended, row["job"]],
            )
        others = self._store.row(
            f"{JOINED} AND executions.status IN ('QUEUED', 'IN_PROGRESS')",
            row["region"],
            row["thing"],
        )
        if others:
            self._notices.tell(row["thing"], JOBS)

    def _found(self, call: Call) -> sqlite3.Row:
        thing, job = call.parameters["thingName"], call.parameters["jobId"]
        row = self._store.row(f"{JOINED} AND executions.job = ?", call.region, thing, job)
        if row is None:
            raise ServiceError("ResourceNotFoundException", 404, f"{thing} has no job {job}")
        return row

    def _change(self, row: sqlite3.Row, status: str, details: dict[str, str] | None) -> sqlite3.Row:
        """Write a new status; as in IoT, details that are not given stay."""
        for key, value in (details or {}).items():
            if len(value) > LONGEST_DETAIL:
                raise ServiceError(
                    "InvalidRequestException",
                    400,
                    f"statusDetails.{key} has {len(value)} characters, at most {LONGEST_DETAIL}",
                )
        kept = dump(details) if details is not None else row["details"]
        now = time.time()
        with self._store.writing() as database:
            database.execute(
                "UPDATE executions SET status = ?, details = ?, version = version + 1,"
                " started = COALESCE(started, ?), updated = ? WHERE job = ? AND thing = ?",
                [status, kept, now, now, row["job"], row["thing"]],
            )
        changed = self._store.row(
            "SELECT * FROM executions WHERE job = ? AND thing = ?", row["job"], row["thing"]
        )
        if changed is None:  # deleted by another request in this moment
            raise ServiceError("ResourceNotFoundException", 404, f"job {row['job']} is gone")
        return changed

    def _document(self, row: sqlite3.Row) -> str:
        deployment = self._store.row("SELECT * FROM deployments WHERE job = ?", row["job"])
        return document_for_device(deployment, self._account) if deployment else "{}"

    def _shown(self, row: sqlite3.Row, *, with_document: bool) -> dict[str, Any]:
        shown = {
            **_summary(row),
            "thingName": row["thing"],
            "status": row["status"],
            "statusDetails": json.loads(row["details"]),
        }
        return {**shown, "jobDocument": self._document(row)} if with_document else shown


def _check(row: sqlite3.Row, wanted: Any) -> None:
    status, expected = wanted["status"], wanted.get("expectedVersion")
    if status not in SAID:
        raise ServiceError("InvalidRequestException", 400, f"a device cannot say {status}")
    if expected is not None and expected != row["version"]:
        message = f"the execution's version is {row['version']}, not {expected}"
        raise ServiceError("VersionMismatch", 409, message)
    if row["status"] not in executions.OPEN:
        message = f"the execution is {row['status']} and cannot become {status}"
        raise ServiceError("InvalidStateTransitionException", 409, message)


def _summary(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "jobId": row["job"],
        "queuedAt": int(row["queued"]),
        "startedAt": int(row["started"]) if row["started"] else None,
        "lastUpdatedAt": int(row["updated"]),
        "versionNumber": row["version"],
        "executionNumber": 1,
    }
