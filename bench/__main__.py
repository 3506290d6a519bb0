"""Prints the table: ``make bench``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench import device, fleet, ipc, proof, startup
from bench.figure import Figure, table


def main() -> int:
    """Measure everything; the exit code says whether each figure is within its limit."""
    with tempfile.TemporaryDirectory(prefix="ggml-bench-") as folder:
        here = Path(folder)
        figures: list[Figure] = [
            *startup.figures(),
            *proof.figures(here),
            *device.figures(_made(here / "device")),
            *ipc.figures(here),
            *fleet.figures(_made(here / "fleet")),
        ]
    print(table(figures))
    return 0 if all(figure.within for figure in figures) else 1


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
