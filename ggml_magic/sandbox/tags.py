"""Tags on components, deployments and core devices."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from ggml_magic.sandbox.service import Call, Handler
from ggml_magic.sandbox.store import Store


def put(database: sqlite3.Connection, arn: str, tags: Mapping[str, str]) -> None:
    """Set tags, inside a transaction."""
    database.executemany(
        "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(arn, *pair) for pair in tags.items()]
    )


def drop(database: sqlite3.Connection, arn: str) -> None:
    """Forget all tags of a resource, inside a transaction."""
    database.execute("DELETE FROM tags WHERE arn = ?", (arn,))


def of(store: Store, arn: str) -> dict[str, str]:
    """The tags of a resource."""
    rows = store.rows("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", arn)
    return {row["key"]: row["value"] for row in rows}


class Tags:
    """The tag operations of Greengrass V2."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> dict[str, Handler]:
        """Each operation served here."""
        return {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
        }

    def tag(self, call: Call) -> dict[str, Any]:
        """TagResource."""
        with self._store.writing() as database:
            put(database, call.parameters["resourceArn"], call.parameters["tags"])
        return {}

    def untag(self, call: Call) -> dict[str, Any]:
        """UntagResource."""
        with self._store.writing() as database:
            database.executemany(
                "DELETE FROM tags WHERE arn = ? AND key = ?",
                [(call.parameters["resourceArn"], key) for key in call.parameters["tagKeys"]],
            )
        return {}

    def list_tags(self, call: Call) -> dict[str, Any]:
        """ListTagsForResource."""
        return {"tags": of(self._store, call.parameters["resourceArn"])}
