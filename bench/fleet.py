"""Fifty idle core devices on one machine: how much memory they take together."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from bench.figure import Figure

CORES = 50
LIMIT_GB = 1.5  # issue 4
MODULES = ("ggml_magic.core.fleet", "ggml_magic.core.daemon", "guard.py")


def figures(folder: Path) -> list[Figure]:
    """Starts a fleet on a sandbox in ``folder``, and counts shared memory once."""
    from ggml_magic.sandbox import client, fleet
    from ggml_magic.workspace import Workspace

    workspace = Workspace(folder / ".ggml")
    before = {process.pid for process in psutil.process_iter()}
    try:
        client.ensure(workspace, 5)
        begin = time.monotonic()
        fleet.add(workspace, CORES, "bench", 5)
        seconds = time.monotonic() - begin
        proportional, resident = _together(before)
    finally:
        client.stop(workspace)
    return [
        Figure(
            f"{CORES} idle cores, all healthy in {seconds:.1f} s",
            f"{proportional / 1e9:.2f} GB",
            f"each page counted in each of them {resident / 1e9:.2f} GB",
            f"{proportional / CORES / 1e6:.0f} MB each",
            f"{LIMIT_GB} GB",
            proportional < LIMIT_GB * 1e9,
        )
    ]


def _together(before: set[int]) -> tuple[int, int]:
    """Proportional and resident bytes of the cores and of those that guard them."""
    proportional = resident = 0
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if process.pid not in before and any(module in words for module in MODULES):
            memory = process.memory_full_info()
            proportional += memory.pss
            resident += memory.rss
    return proportional, resident
