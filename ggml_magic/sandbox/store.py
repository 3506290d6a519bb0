"""The sandbox's state in one SQLite file, so that it survives a restart and a kill.

Documents are JSON, never pickles: a workspace may come from a stranger.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ggml_magic.errors import SandboxError

VERSION = 1
SCHEMA = """
CREATE TABLE components (
    region TEXT, name TEXT, version TEXT, recipe TEXT, state TEXT, message TEXT, errors TEXT,
    created REAL, PRIMARY KEY (region, name, version));
CREATE TABLE tags (arn TEXT, key TEXT, value TEXT, PRIMARY KEY (arn, key));
CREATE TABLE tokens (
    operation TEXT, token TEXT, request TEXT, response TEXT, created REAL,
    PRIMARY KEY (operation, token));
CREATE TABLE deployments (
    id TEXT PRIMARY KEY, region TEXT, target TEXT, revision INTEGER, name TEXT, status TEXT,
    job TEXT UNIQUE, latest INTEGER, document TEXT, created REAL);
CREATE TABLE executions (
    job TEXT, thing TEXT, region TEXT, status TEXT, details TEXT, version INTEGER,
    queued REAL, started REAL, updated REAL, PRIMARY KEY (job, thing));
CREATE TABLE cores (
    region TEXT, thing TEXT, version TEXT, platform TEXT, architecture TEXT, runtime TEXT,
    status TEXT, updated REAL, PRIMARY KEY (region, thing));
CREATE TABLE installed (
    region TEXT, thing TEXT, name TEXT, version TEXT, state TEXT, reason TEXT, codes TEXT,
    root INTEGER, source TEXT, changed REAL, reported REAL, PRIMARY KEY (region, thing, name));
CREATE TABLE shadows (
    region TEXT, thing TEXT, name TEXT, version INTEGER, deleted INTEGER, document TEXT,
    updated REAL, PRIMARY KEY (region, thing, name));
CREATE TABLE registry (
    region TEXT, kind TEXT, name TEXT, document TEXT, PRIMARY KEY (region, kind, name));
CREATE TABLE buckets (name TEXT PRIMARY KEY, region TEXT, body TEXT);
CREATE TABLE bucket_settings (
    bucket TEXT, setting TEXT, body TEXT, PRIMARY KEY (bucket, setting));
CREATE TABLE objects (
    bucket TEXT, key TEXT, sha256 TEXT, headers TEXT, PRIMARY KEY (bucket, key));
"""


class Store:
    """One connection, one writer at a time; every block that ends well is kept."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            self._open()
        except sqlite3.DatabaseError as error:
            raise _unreadable(path, str(error)) from error

    def _open(self) -> None:
        # a schema from a stranger's file must not run code of its own
        self._database.execute("PRAGMA trusted_schema = OFF")
        # WAL survives kill -9; a power cut may cost the last moment, which a sandbox can bear
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._database.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"its format is {version}, this version knows {VERSION}")
        elif _definitions(self._database) != _expected():
            raise sqlite3.DatabaseError("its tables are not a sandbox's")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; an exception inside undoes it."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                # SQLite ends a transaction itself when the disk is full
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, if there is one."""
        with self._lock:
            found: sqlite3.Row | None = self._database.execute(query, values).fetchone()
        return found

    def close(self) -> None:
        """Give the file back; the log is folded into it."""
        with self._lock, contextlib.suppress(sqlite3.OperationalError):  # its folder is gone
            self._database.close()


def _definitions(database: sqlite3.Connection) -> list[tuple[str, str]]:
    query = "SELECT type, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    return [(row[0], row[1]) for row in database.execute(query)]


def _expected() -> list[tuple[str, str]]:
    fresh = sqlite3.connect(":memory:")
    try:
        fresh.executescript(SCHEMA)
        return _definitions(fresh)
    finally:
        fresh.close()


def _unreadable(path: Path, why: str) -> SandboxError:
    return SandboxError(f"could not read {path.name}", why, f"mv {path} {path}.old")


def dump(value: Any) -> str:
    """A document for a column."""
    return json.dumps(value, sort_keys=True)
