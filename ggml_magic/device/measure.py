"""Run a model over rows as the device would, and measure it.

Called in an edge runtime's environment, as a fresh process, because only there is the peak of
memory the runtime's own (RUNTIMES 6). Arguments: model, rows ``.npy``, outputs ``.npy`` and a
JSON file for the figures. A failure is one line on stderr and exit code 1.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from time import perf_counter, perf_counter_ns

import numpy as np

from .contract import Rows
from .interpreter import Interpreter, ModelError

WARM_UP_ROWS = 10
TIMED_ROWS = 1000
TIMED_SECONDS = 1.0  # a slow model is timed on fewer rows


def main(arguments: list[str]) -> int:
    """Write the outputs and the figures; the exit code."""
    model, rows_file, outputs_file, figures_file = (Path(name) for name in arguments)
    try:
        figures = measure(model, rows_file, outputs_file)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    figures_file.write_text(json.dumps(figures))
    return 0


def measure(model: Path, rows_file: Path, outputs_file: Path) -> dict[str, object]:
    """The figures; the outputs of every row go to ``outputs_file``.

    Memory is read after the single rows and before the bulk of them, so that it is what a
    device needs that answers one reading at a time.
    """
    started = perf_counter()
    interpreter = Interpreter(model)
    load_seconds = perf_counter() - started
    rows: Rows = np.load(rows_file, mmap_mode="r")
    times = _times(interpreter, np.array(rows[:TIMED_ROWS]))
    peak = peak_bytes()
    np.save(outputs_file, interpreter.outputs(rows))
    p50, p95 = np.percentile(times, [50, 95]) if times else (0.0, 0.0)
    return {
        "load_seconds": load_seconds,
        "row_microseconds_p50": float(p50),
        "row_microseconds_p95": float(p95),
        "peak_bytes": peak,
        "architecture": platform.machine(),
    }


def peak_bytes() -> int:
    """The most memory that this process ever held (``VmHWM``), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _times(interpreter: Interpreter, rows: Rows) -> list[float]:
    """Microseconds a row, one row at a time."""
    for at in range(min(WARM_UP_ROWS, len(rows))):
        interpreter.outputs(rows[at : at + 1])
    times: list[float] = []
    end = perf_counter() + TIMED_SECONDS
    for at in range(len(rows)):
        started = perf_counter_ns()
        interpreter.outputs(rows[at : at + 1])
        times.append((perf_counter_ns() - started) / 1000)
        if perf_counter() > end:
            break
    return times


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
