"""Bounded logs, and reading them from their end."""

from __future__ import annotations

import json
import os
import re
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import logs
from ggml_magic.core.logs import Log, last_lines, newest_first


def written(path: Path) -> list[str]:
    """What people read, without the time."""
    return [line.partition(" ")[2] for line in last_lines(path, 100)]


def test_an_entry_is_one_json_object_on_one_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "com.example.A.log")
    log.info("first\nsecond")
    log.write("WARN", "bad \udcff bytes", "run", "stderr")
    log.close()
    first, second = map(json.loads, (tmp_path / "com.example.A.log").read_text().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("timestamp"))
    assert first == {"level": "INFO", "component": "com.example.A", "message": "first second"}
    del second["timestamp"]
    assert second == {
        "level": "WARN", "component": "com.example.A", "message": "bad ? bytes",
        "step": "run", "stream": "stderr",
    }  # fmt: skip
    assert written(log.path) == ["[INFO] first second", "[WARN] run: bad ? bytes"]


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log")
    log.info("secret")
    log.close()
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_what_steers_a_terminal_is_not_shown(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log")
    log.info("\x1b[2Jgone\x9b\x00 tab\there")
    log.close()
    assert written(log.path) == ["[INFO] \ufffd[2Jgone\ufffd\ufffd tab\there"]


@given(st.lists(st.text(max_size=60), max_size=60), st.integers(120, 900))
@settings(deadline=None)
def test_a_log_is_bounded_and_its_end_is_kept(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], limit: int
) -> None:
    log = Log(tmp_path_factory.mktemp("logs") / "a.log", limit)
    for number, text in enumerate(texts):
        log.info(f"{number} {text}")
    log.close()
    sizes = [path.stat().st_size for path in log.path.parent.iterdir()]
    longest = max((len(raw.encode()) + 1 for raw in newest_first(log.path)), default=0)
    assert len(sizes) <= logs.OLDER_FILES + 1
    assert all(size <= max(limit, longest) for size in sizes)
    kept = [int(line.split()[1]) for line in written(log.path)]
    assert kept == list(range(len(texts)))[len(texts) - len(kept) :]
    assert bool(kept) == bool(texts)


def test_a_log_goes_on_in_the_file_that_is_there(tmp_path: Path) -> None:
    for text in ("one", "two"):
        log = Log(tmp_path / "a.log")
        log.info(text)
        log.close()
    assert written(log.path) == ["[INFO] one", "[INFO] two"]
    assert last_lines(tmp_path / "none.log", 5) == []


def test_a_folder_that_is_gone_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    log = Log(tmp_path / "gone" / "a.log")
    log.info("lost")
    (tmp_path / "gone").mkdir()
    log.info("kept")
    log.close()
    assert written(log.path) == ["[INFO] kept"]


def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    full = Log(Path("/dev/full"))
    full.info("lost")
    full.close()
    log = Log(tmp_path / "a.log")
    log.info("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may grow by more than half a line: what a disk does that is nearly full
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 20, hard))
    try:
        log.info("cut")
        log.info("lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.info("after")
    log.close()
    lines = last_lines(log.path, 5)
    assert [line.partition(" ")[2] for line in (lines[0], lines[2])] == [
        "[INFO] before",
        "[INFO] after",
    ]
    assert lines[1] == '{"timestamp": "' + lines[1][15:]
    assert len(lines[1]) == 20


def test_half_a_line_of_a_killed_core_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text('{"timestamp": "20')
    log = Log(tmp_path / "a.log")
    log.info("again")
    log.close()
    assert last_lines(log.path, 5)[0] == '{"timestamp": "20'
    assert written(log.path)[1] == "[INFO] again"


def test_only_what_is_at_least_of_a_level(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("no entry\n")
    log = Log(tmp_path / "a.log")
    log.info("i")
    log.warn("w")
    log.error("e")
    log.info("j")
    log.close()
    found = {level: len(last_lines(log.path, 9, level)) for level in logs.LEVELS}
    assert found == {"DEBUG": 4, "INFO": 4, "WARN": 2, "ERROR": 1}
    assert last_lines(log.path, 1, "WARN")[0].endswith("[ERROR] e")
    assert last_lines(log.path, 9)[0] == "no entry"


@given(st.text("abü\n\u2028", max_size=40), st.integers(1, 7))
@settings(deadline=None)
def test_lines_are_read_backwards(
    tmp_path_factory: pytest.TempPathFactory, text: str, piece: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "backwards.log"
    path.write_bytes(text.encode())
    whole = text.split("\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "PIECE", piece)
        assert list(newest_first(path)) == (whole if whole[-1] else whole[:-1])[::-1]


def test_a_file_that_is_rotated_while_it_is_read_is_read_once(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log")
    log.info("one")
    log.close()
    lines = newest_first(log.path)
    assert "one" in next(lines)
    os.rename(log.path, logs.older(log.path, 1))  # noqa: PTH104
    assert list(lines) == []


def test_a_log_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"\xff\xfe broken\nfine\n")
    assert last_lines(path, 5)[-1] == "fine"
