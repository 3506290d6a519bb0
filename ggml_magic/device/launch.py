"""The Run step: become the harness, in the environment that ``install`` built."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import environment
from .install import REQUIREMENTS


def main() -> int:
    """Replace this process by the harness; returns only when that is impossible."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    component = Path(__file__).resolve().parent.parent
    python = environment.find(parser.parse_args().work, component / REQUIREMENTS)
    if python is None:
        print("not installed: the environment is not complete", file=sys.stderr)
        return 1
    variables = {
        **environment.clean_environment(),
        "PYTHONPATH": str(component),
        # one row at a time needs no threads of numpy's, and each costs memory
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [str(python), "-B", "-u", "-m", "device.harness"]
    os.execve(str(python), command, variables)  # noqa: S606  # no shell is the point
    return 1


if __name__ == "__main__":
    sys.exit(main())
