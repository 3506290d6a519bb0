"""Logs that a component, or the core, cannot fill a disk with."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

# The classic nucleus rotates at 1,024 KB; one older file is enough for a person to look back.
FILE_BYTES = 1024 * 1024
# Longer lines are cut: no component may make a line that fills the core's memory.
LINE_CHARACTERS = 16 * 1024


class Log:
    """A file of lines ``<time> [<LEVEL>] <text>``; the one before it is kept as ``….1``.

    A disk that is full, or a root that was deleted, loses lines and never ends the core.
    """

    def __init__(self, path: Path, file_bytes: int = FILE_BYTES) -> None:
        self.path = path
        self._limit = file_bytes
        self._file: TextIO | None = None
        self._size = 0

    def info(self, text: str) -> None:
        """What went as it should."""
        self.write("INFO", text)

    def warn(self, text: str) -> None:
        """What a person may have to look at."""
        self.write("WARN", text)

    def write(self, level: str, text: str) -> None:
        """Append one line; line breaks in the text become spaces."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        flat = " ".join(text[:LINE_CHARACTERS].splitlines())
        line = f"{now.replace('+00:00', 'Z')} [{level}] {flat}\n"
        try:
            if self._file is None or self._size + len(line) > self._limit:
                self._open()
            assert self._file is not None  # noqa: S101  # _open raised or set it
            self._file.write(line)
            self._file.flush()
            self._size += len(line.encode(errors="replace"))
        except OSError:
            self.close()

    def _open(self) -> None:
        self.close()
        if self.path.exists() and self.path.stat().st_size + LINE_CHARACTERS > self._limit:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._file = self.path.open("a", encoding="utf-8", errors="replace")
        self._size = self.path.stat().st_size

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:  # a full disk shows up again when the buffer is flushed
                return


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log; none when there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
