"""Python processes of our own: where they stand, and what they are given.

They stand in ``/`` and find this package by its folder: a file that lies beside a notebook, or
in a workspace from someone else, must not be imported by them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = "/"


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules in a process of its own."""
    return [sys.executable, "-m", module, *arguments]


def environment(*unwanted: str) -> dict[str, str]:
    """This process's environment without the names that begin with one of ``unwanted``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    package = Path(__file__).resolve().parents[1]
    named = os.environ.get("PYTHONPATH", "")
    kept["PYTHONPATH"] = os.pathsep.join(part for part in (str(package), named) if part)
    return kept
