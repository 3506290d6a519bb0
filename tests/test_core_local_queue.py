"""Local deployments, kept over the death of a core."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ggml_magic.core import local_queue
from ggml_magic.core.local_queue import CANCELED, IN_PROGRESS, QUEUED, Queue, QueueFullError

FAR = 10**15


def test_the_oldest_that_waits_is_next_and_the_newest_is_listed_first(tmp_path: Path) -> None:
    heard: list[str] = []
    queue = Queue(tmp_path / "local")
    queue.on_change.append(lambda: heard.append("changed"))
    assert (queue.next(), queue.newest_first()) == (None, ())
    first, second = queue.add({"n": 1}), queue.add({"n": 2})
    assert heard == ["changed"] * 2
    assert queue.next() == first
    assert queue.newest_first() == (second, first)
    queue.put(replace(second, status=IN_PROGRESS))
    # what was begun is ended before anything else
    assert queue.next() == replace(second, status=IN_PROGRESS)
    queue.put(replace(second, status="SUCCEEDED", detail="SUCCESSFUL"))
    assert queue.next() == first
    assert queue.find("nothing") is None


def test_what_was_asked_for_outlives_the_core(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "local")
    first = queue.add({"rootComponentVersionsToAdd": {"a": "1.0.0"}})
    ended = replace(first, status="FAILED", cause="why", errors=("E",), types=("T",))
    queue.put(ended)
    second = queue.add({})
    (tmp_path / "local" / "foreign.json").write_text("{}")
    (tmp_path / "local" / "half.json").write_text("{")
    again = Queue(tmp_path / "local")
    assert again.newest_first() == (second, ended)
    assert again.next() == second


def test_a_clock_that_went_back_makes_nothing_older_than_what_is_there(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "local")
    assert queue.add({}, after=FAR).created == FAR + 1
    assert queue.add({}).created == FAR + 2
    assert Queue(tmp_path / "local").add({}).created == FAR + 3


def test_only_what_was_not_begun_is_cancelled(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "local")
    entry = queue.add({})
    queue.put(replace(entry, status=IN_PROGRESS))
    assert queue.cancel(entry.identifier) is None
    queue.put(replace(entry, status=QUEUED))
    found = queue.cancel(entry.identifier)
    assert found is not None
    assert found.status == CANCELED
    assert queue.next() is None
    assert queue.cancel("nothing") is None


def test_queue_and_history_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_queue, "MOST_WAITING", 3)
    monkeypatch.setattr(local_queue, "MOST_ENDED", 2)
    queue = Queue(tmp_path / "local")
    entries = [queue.add({"n": number}) for number in range(3)]
    with pytest.raises(QueueFullError, match="3 local deployments wait already"):
        queue.add({})
    for entry in entries:
        queue.put(replace(entry, status="SUCCEEDED"))
    assert [entry.request["n"] for entry in queue.newest_first()] == [2, 1]
    kept = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert kept == sorted(f"{entry.identifier}.json" for entry in entries[1:])
    assert json.loads((tmp_path / "local" / kept[0]).read_text())["status"] == "SUCCEEDED"
