from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandboxes import on_a_small_disk

from ggml_magic.errors import SandboxError
from ggml_magic.sandbox.store import Store


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def put(store: Store, key: str) -> None:
    with store.writing() as database:
        database.execute("INSERT INTO tags VALUES ('arn', ?, 'v')", [key])


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path / "s.sqlite") as store:
        put(store, "one")
    with opened(tmp_path / "s.sqlite") as store:
        assert [row["key"] for row in store.rows("SELECT * FROM tags")] == ["one"]


def test_a_failing_block_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "s.sqlite") as store:
        with pytest.raises(RuntimeError), store.writing() as database:
            database.execute("INSERT INTO tags VALUES ('arn', 'half', 'v')")
            raise RuntimeError
        put(store, "whole")
        assert [row["key"] for row in store.rows("SELECT * FROM tags")] == ["whole"]
        assert store.row("SELECT * FROM tags WHERE key = ?", "half") is None


@pytest.mark.parametrize("content", [b"not a database at all" * 100])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(content)
    with pytest.raises(SandboxError, match=r"could not read s\.sqlite"):
        Store(path)


def test_a_strangers_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TRIGGER evil AFTER INSERT ON tags BEGIN DELETE FROM components; END"
        )
        database.commit()
    with pytest.raises(SandboxError, match="tables are not a sandbox's"):
        Store(path)


def test_another_formats_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(SandboxError, match="format is 99"):
        Store(path)


FULL = """
import json, os, sqlite3, sys
from pathlib import Path
from ggml_magic.sandbox.store import Store

store, why = Store(Path(sys.argv[1]) / "s.sqlite"), []
for size in (100, 1_000_000, 9_000_000, 200):
    try:
        with store.writing() as database:
            database.execute("INSERT INTO tags VALUES ('arn', ?, ?)", [size, "x" * size])
    except sqlite3.OperationalError as error:
        why.append(str(error))
print(json.dumps([why, [row["key"] for row in store.rows("SELECT key FROM tags")]]))
"""


@pytest.mark.real
def test_a_full_disk_is_said_and_smaller_things_still_fit(tmp_path: Path) -> None:
    why, kept = on_a_small_disk(tmp_path, FULL)
    assert why == ["database or disk is full"]
    assert sorted(kept, key=int) == ["100", "200", "1000000"]
