"""Logs that a component, or the core, cannot fill a disk with; and reading them.

A log is JSON, one object a line: ``timestamp`` (UTC, ISO 8601, milliseconds), ``level`` (INFO,
WARN, ERROR), ``component`` (``core`` for the core itself) and ``message``; what a script wrote
has also ``step`` (run, install, ...) and ``stream`` (stdout is INFO, stderr is WARN, EDGE-CORE 5).
A full file becomes ``….1``, that one ``….2``, and the oldest goes. People are shown
``<timestamp> [<level>] <step>: <message>``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

# The classic nucleus rotates at 1,024 KB; older files are kept as long as all are under 5 MB.
FILE_BYTES = 1024 * 1024
OLDER_FILES = 4
# Longer lines are cut: no component may make a line that fills the core's memory.
LINE_CHARACTERS = 16 * 1024
# Logs are read from their end in pieces of this size.
PIECE = 64 * 1024
# Nothing is written as DEBUG; who asks for it sees all entries.
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
# What a component says may be for no one but its owner.
PRIVATE_FILE = 0o600
# Neither a terminal nor a page is to be steered by what a component writes.
SHOWN = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}


@dataclass(frozen=True)
class Entry:
    """One line of a log; ``step`` and ``stream`` are empty where no script wrote it."""

    timestamp: str
    level: str
    component: str
    message: str
    step: str = ""
    stream: str = ""

    def __str__(self) -> str:
        told = f"{self.step}: {self.message}" if self.step else self.message
        return f"{self.timestamp} [{self.level}] {told}".translate(SHOWN)


class Log:
    """A file of entries of one component, named after it unless ``component`` is given.

    A disk that is full, or a root that was deleted, loses lines and never ends the core.
    """

    def __init__(self, path: Path, file_bytes: int = FILE_BYTES, component: str = "") -> None:
        self.path = path
        self._component = component or path.stem
        self._limit = file_bytes
        self._descriptor: int | None = None
        self._size = 0
        self._torn = False

    def info(self, text: str) -> None:
        """What went as it should."""
        self.write("INFO", text)

    def warn(self, text: str) -> None:
        """What a person may have to look at."""
        self.write("WARN", text)

    def error(self, text: str) -> None:
        """What failed."""
        self.write("ERROR", text)

    def write(self, level: str, text: str, step: str = "", stream: str = "") -> None:
        """Append one entry; line breaks in the text become spaces."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        entry = {
            "timestamp": now.replace("+00:00", "Z"),
            "level": level,
            "component": self._component,
            "message": " ".join(text[:LINE_CHARACTERS].splitlines()),
        }
        if step:
            entry.update(step=step, stream=stream)
        line = json.dumps(entry, ensure_ascii=False).encode(errors="replace") + b"\n"
        try:
            self._append(line)
        except OSError:
            self.close()

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            self._open()
        if self._size and self._size + len(line) + 1 > self._limit:
            self.close()
            self._rotate()
            self._open()
        assert self._descriptor is not None  # noqa: S101  # _open raised or set it
        if self._torn:  # what a full disk cut off is no part of the next line
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._size += written
        self._torn = written < len(line)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, PRIVATE_FILE)
        self._size = os.fstat(self._descriptor).st_size
        # a core that was killed, or had no room, may have left half a line
        ended = self._size == 0 or os.pread(self._descriptor, 1, self._size - 1) == b"\n"
        self._torn = not ended

    def _rotate(self) -> None:
        for number in range(OLDER_FILES, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                older(self.path, number - 1).replace(older(self.path, number))

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with contextlib.suppress(OSError):
                os.close(descriptor)


def older(path: Path, number: int) -> Path:
    """A log's file so many rotations ago; its present one for 0."""
    return path.with_name(f"{path.name}.{number}") if number else path


def last_lines(path: Path, count: int, level: str | None = None) -> list[str]:
    """The last lines of a log as people read them, none when there is no such file.

    ``level`` is the least that is given, one of ``LEVELS``; lines that are no entries then go too.
    """
    wanted = LEVELS[LEVELS.index(level) :] if level else ()
    found = (
        str(entry)
        for entry in map(_entry, newest_first(path))
        if not wanted or (isinstance(entry, Entry) and entry.level in wanted)
    )
    return list(islice(found, count))[::-1]


def newest_first(path: Path) -> Iterator[str]:
    """The raw lines of a log and its older files from the last one backwards."""
    seen = set()
    for number in range(OLDER_FILES + 1):
        try:
            descriptor = os.open(older(path, number), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        with contextlib.closing(_Opened(descriptor)) as file:
            # one that was rotated while it was read is met again under its next name
            if file.identity not in seen:
                seen.add(file.identity)
                yield from file.lines()


class _Opened:
    """One file, read from its end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        self.identity = (found.st_dev, found.st_ino)
        self._start = found.st_size

    def lines(self) -> Iterator[str]:
        if not self._start:
            return
        rest = b""
        if os.pread(self._descriptor, 1, self._start - 1) == b"\n":
            self._start -= 1
        while self._start:
            step = min(PIECE, self._start)
            self._start -= step
            piece = os.pread(self._descriptor, step, self._start)
            rest, *others = (piece + rest).split(b"\n")
            for line in reversed(others):
                yield line.decode(errors="replace")
        yield rest.decode(errors="replace")

    def close(self) -> None:
        os.close(self._descriptor)


def _entry(line: str) -> Entry | str:
    """What a line says; one that is no entry is shown as it is."""
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return line.rstrip("\r").translate(SHOWN)
