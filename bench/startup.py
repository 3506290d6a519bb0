"""``%load_ext ggml_magic`` beside an extension that does nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figure import Figure

RUNS = 9
LIMIT_MS = 20.0  # issue 2
LOAD = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
begin = time.perf_counter()
shell.extension_manager.load_extension(sys.argv[1])
print(time.perf_counter() - begin)
"""


def figures() -> list[Figure]:
    """The median of fresh processes, the two kinds in turn."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "empty_extension.py").write_text("def load_ipython_extension(shell): pass\n")
        seconds: dict[str, list[float]] = {"empty_extension": [], "ggml_magic": []}
        for _ in range(RUNS):
            for name, taken in seconds.items():
                taken.append(_load(name, folder))
    empty, ours = (statistics.median(taken) * 1000 for taken in seconds.values())
    return [
        Figure(
            "%load_ext ggml_magic",
            f"{ours:.1f} ms",
            f"empty extension {empty:.1f} ms",
            f"+{ours - empty:.1f} ms",
            f"+{LIMIT_MS:.0f} ms",
            ours - empty <= LIMIT_MS,
        )
    ]


def _load(extension: str, folder: str) -> float:
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, extension],
        env={**os.environ, "PYTHONPATH": folder},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(ran.stdout.splitlines()[-1])
