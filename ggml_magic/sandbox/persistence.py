"""What moto holds, written through to the workspace and given back to it at the next start.

moto forgets all when its process ends (AWS 2). IoT's things and groups and S3's buckets are
kept as JSON, objects as files named by their hash; never as pickles, since a workspace may come
from a stranger. They return through moto's own API.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote

from ggml_magic import workspace as ws
from ggml_magic.errors import DiskFullError
from ggml_magic.sandbox.service import Request, Response
from ggml_magic.sandbox.store import Store, dump
from ggml_magic.sandbox.upstream import OK, Upstream

LOG = logging.getLogger(__name__)
READING = ("GET", "HEAD", "OPTIONS")
SHA256 = re.compile(r"[0-9a-f]{64}")
# What of an object's headers must come back with it.
OBJECT_HEADERS = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-checksum-sha256",
    "x-amz-checksum-sha1",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
)
METADATA = "x-amz-meta-"
ALGORITHM_OF = "x-amz-checksum-"
BLOCK_BYTES = 1 << 20


class Persistence:
    """Writes through what a changing request changed, and gives it back at a start."""

    def __init__(self, store: Store, upstream: Upstream, objects: Path) -> None:
        self._store = store
        self._upstream = upstream
        self._objects = objects

    def keep(self, service: str, request: Request) -> None:
        """Write through what this successful request may have changed."""
        if request.method in READING:
            return
        if service == "iot":
            self._keep_registry(request.region)
        elif service == "s3":
            self._keep_storage(request)

    def restore(self) -> None:
        """Give moto what an earlier process of this workspace kept."""
        for row in self._store.rows("SELECT * FROM registry ORDER BY kind = 'group', rowid"):
            self._restore_registered(row)
        for row in self._store.rows("SELECT * FROM buckets"):
            body = row["body"].encode()
            self._upstream.ask("s3", row["region"], "PUT", f"/{row['name']}", body=body)
        for row in self._store.rows("SELECT * FROM bucket_settings"):
            self._upstream.ask(
                "s3",
                "us-east-1",
                "PUT",
                f"/{row['bucket']}",
                query=row["setting"],
                body=row["body"].encode(),
            )
        for row in self._store.rows("SELECT * FROM objects"):
            self._restore_object(row)
        self._sweep()

    # IoT's registry: few and small, so each change reads it all again.

    def _keep_registry(self, region: str) -> None:
        found = list(self._registered(region))
        things = {name for kind, name, _ in found if kind == "thing"}
        with self._store.writing() as database:
            database.execute("DELETE FROM registry WHERE region = ?", [region])
            database.executemany(
                "INSERT OR IGNORE INTO registry VALUES (?, ?, ?, ?)",
                [(region, kind, name, dump(document)) for kind, name, document in found],
            )
            for table in ("shadows", "executions"):
                gone = database.execute(
                    f"SELECT DISTINCT thing FROM {table} WHERE region = ?",  # noqa: S608
                    [region],
                ).fetchall()  # a table of the line above
                for row in gone:
                    if row["thing"] not in things:
                        database.execute(
                            f"DELETE FROM {table} WHERE region = ? AND thing = ?",  # noqa: S608
                            [region, row["thing"]],
                        )

    def _registered(self, region: str) -> Iterator[tuple[str, str, Mapping[str, object]]]:
        for thing in self._upstream.pages(region, "/things", "things"):
            document = {
                "thingTypeName": thing.get("thingTypeName"),
                "attributePayload": {"attributes": thing.get("attributes") or {}},
            }
            if thing.get("thingTypeName"):
                yield "type", thing["thingTypeName"], {}
            yield "thing", thing["thingName"], document
        names = [
            group["groupName"]
            for group in self._upstream.pages(region, "/thing-groups", "thingGroups")
        ]
        for name in names:
            group = self._upstream.json("iot", region, f"/thing-groups/{name}") or {}
            members = list(self._upstream.pages(region, f"/thing-groups/{name}/things", "things"))
            yield (
                "group",
                name,
                {
                    "parentGroupName": group.get("thingGroupMetadata", {}).get("parentGroupName"),
                    "thingGroupProperties": group.get("thingGroupProperties") or {},
                    "members": members,
                },
            )

    def _restore_registered(self, row: sqlite3.Row) -> None:
        document = json.loads(row["document"])
        paths = {"type": "/thing-types", "thing": "/things", "group": "/thing-groups"}
        members = document.pop("members", [])
        body = json.dumps({key: value for key, value in document.items() if value})
        path = f"{paths[row['kind']]}/{row['name']}"
        self._upstream.ask("iot", row["region"], "POST", path, body=body.encode())
        for member in members:
            joined = json.dumps({"thingGroupName": row["name"], "thingName": member})
            self._upstream.ask(
                "iot",
                row["region"],
                "PUT",
                "/thing-groups/addThingToThingGroup",
                body=joined.encode(),
            )

    # S3: what the request named, read back from moto.

    def _keep_storage(self, request: Request) -> None:
        bucket, _, key = unquote(request.path).lstrip("/").partition("/")
        query = parse_qs(request.query, keep_blank_values=True)
        if not bucket or "uploads" in query or "partNumber" in query:
            return  # a part of an upload is nothing yet
        if key:
            self._keep_object(bucket, key)
        elif "delete" in query:
            for row in self._store.rows("SELECT key FROM objects WHERE bucket = ?", bucket):
                if not self._is_there(bucket, row["key"]):
                    self._keep_object(bucket, row["key"])
        elif request.query:
            self._keep_setting(bucket, request)
        else:
            self._keep_bucket(bucket, request)

    def _is_there(self, bucket: str, key: str) -> bool:
        return self._upstream.ask("s3", "us-east-1", "HEAD", f"/{bucket}/{key}").status == OK

    def _keep_bucket(self, bucket: str, request: Request) -> None:
        there = self._upstream.ask("s3", request.region, "HEAD", f"/{bucket}").status == OK
        with self._store.writing() as database:
            if there:
                body = request.body.decode("utf-8", "replace")
                database.execute(
                    "INSERT OR IGNORE INTO buckets VALUES (?, ?, ?)",
                    [bucket, request.region, body],
                )
                return
            database.execute("DELETE FROM buckets WHERE name = ?", [bucket])
            database.execute("DELETE FROM bucket_settings WHERE bucket = ?", [bucket])
            database.execute("DELETE FROM objects WHERE bucket = ?", [bucket])

    def _keep_setting(self, bucket: str, request: Request) -> None:
        """Versioning, tags, policy and the like: the document that was put."""
        with self._store.writing() as database:
            if request.method == "PUT":
                body = request.body.decode("utf-8", "replace")
                database.execute(
                    "INSERT OR REPLACE INTO bucket_settings VALUES (?, ?, ?)",
                    [bucket, request.query, body],
                )
            else:
                database.execute(
                    "DELETE FROM bucket_settings WHERE bucket = ? AND setting = ?",
                    [bucket, request.query],
                )

    def _keep_object(self, bucket: str, key: str) -> None:
        found = self._upstream.ask(
            "s3",
            "us-east-1",
            "GET",
            f"/{bucket}/{key}",
            headers={"x-amz-checksum-mode": "ENABLED"},
        )
        before = self._store.row("SELECT * FROM objects WHERE bucket = ? AND key = ?", bucket, key)
        try:
            self._keep_found(bucket, key, found)
        except (DiskFullError, sqlite3.Error):
            # who is refused now and asks later must not find what a restart would lose
            self._upstream.ask("s3", "us-east-1", "DELETE", f"/{bucket}/{key}")
            if before:
                self._restore_object(before)
            raise
        if before:
            self._drop_unused(before["sha256"])

    def _keep_found(self, bucket: str, key: str, found: Response) -> None:
        with self._store.writing() as database:
            if found.status == OK:
                sha256 = self._keep_content(found.body)
                database.execute(
                    "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
                    [bucket, key, sha256, dump(_headers(found))],
                )
            else:
                database.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", [bucket, key])

    def _keep_content(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._objects / sha256
        if not path.exists():
            ws.write_bytes(path, content)
        return sha256

    def _drop_unused(self, sha256: str) -> None:
        used = self._store.row("SELECT 1 FROM objects WHERE sha256 = ?", sha256)
        if used is None and SHA256.fullmatch(sha256):
            (self._objects / sha256).unlink(missing_ok=True)

    def _restore_object(self, row: sqlite3.Row) -> None:
        path = self._objects / row["sha256"]
        if not SHA256.fullmatch(row["sha256"]) or _sha256(path) != row["sha256"]:
            LOG.warning("object %s of bucket %s is lost: its file is not what was kept",
                        row["key"], row["bucket"])  # fmt: skip
            return
        with path.open("rb") as content:
            self._upstream.ask(
                "s3",
                "us-east-1",
                "PUT",
                f"/{row['bucket']}/{row['key']}",
                headers=json.loads(row["headers"]),
                body=content,
                length=path.stat().st_size,
            )

    def _sweep(self) -> None:
        """Remove files that no object needs: what a kill left in the middle."""
        used = {row["sha256"] for row in self._store.rows("SELECT sha256 FROM objects")}
        for path in self._objects.iterdir():
            if path.name not in used:
                path.unlink()


def _headers(response: Response) -> dict[str, str]:
    """An object's headers as a request would send them."""
    kept = {
        name.lower(): value
        for name, value in response.headers
        if name.lower() in OBJECT_HEADERS or name.lower().startswith(METADATA)
    }
    for name in list(kept):
        if name.startswith(ALGORITHM_OF):
            kept["x-amz-sdk-checksum-algorithm"] = name.removeprefix(ALGORITHM_OF).upper()
    return kept


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()
