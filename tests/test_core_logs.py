"""Bounded logs."""

from __future__ import annotations

import re
from pathlib import Path

from ggml_magic.core import logs
from ggml_magic.core.logs import Log, last_lines


def test_a_line_has_time_level_and_text_on_one_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log")
    log.info("first\nsecond")
    log.warn("bad \udcff bytes")
    log.close()
    first, second = (tmp_path / "a.log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[INFO\] first second", first)
    assert "[WARN] bad ? bytes" in second


def test_a_log_never_fills_a_disk(tmp_path: Path) -> None:
    limit = 4 * logs.LINE_CHARACTERS
    log = Log(tmp_path / "a.log", limit)
    for number in range(200):
        log.info(f"{number} " + "x" * 2_000)
    log.info("y" * 10 * logs.LINE_CHARACTERS)
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"a.log", "a.log.1"}
    assert all(size <= limit for size in sizes.values())
    assert last_lines(tmp_path / "a.log", 1)[0].endswith("y")


def test_a_log_goes_on_in_the_file_that_is_there(tmp_path: Path) -> None:
    for text in ("one", "two"):
        log = Log(tmp_path / "a.log")
        log.info(text)
        log.close()
    assert [line[-3:] for line in last_lines(tmp_path / "a.log", 5)] == ["one", "two"]
    assert last_lines(tmp_path / "none.log", 5) == []


def test_a_folder_that_is_gone_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    log = Log(tmp_path / "gone" / "a.log")
    log.info("lost")
    (tmp_path / "gone").mkdir()
    log.info("kept")
    log.close()
    assert len(last_lines(tmp_path / "gone" / "a.log", 5)) == 1
