"""Run a model over rows as the device would, and measure it.

Called in an edge runtime's environment, as a fresh process, because only there is the peak of
memory the runtime's own (RUNTIMES 6). The argument is a ``Task`` as JSON. A failure is one line
on stderr and exit code 1; a process that makes no progress is ended by its own alarm clock.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Protocol

import numpy as np

from .contract import Rows

WARM_UP = 10
TIMED_ROWS = 1000
TIMED_BATCHES = 200
PERCENTILES = (50, 95, 99)
TIMED_SECONDS = 1.0  # a slow model is timed on fewer rows
# the alarm clock is wound again after so many rows at most: one system call
ROWS_A_LAP = 4096


class Loaded(Protocol):
    """A model that answers: rows (N, ``features``) in, outputs (N, ``width``) out, float32.

    ``step`` is the number of rows that it takes best at a time.
    """

    features: int
    width: int
    step: int

    def outputs(self, rows: Rows) -> Rows:
        """The outputs of these rows."""


@dataclass(frozen=True)
class Task:
    """What to run: the files, and the adapter's module with the runtime's behind it.

    The adapter has ``load(path, module) -> Loaded``. ``seconds`` bounds each step on its way.
    """

    adapter: str
    module: str
    model: str
    rows: str
    outputs: str
    figures: str
    seconds: float


def main(arguments: list[str]) -> int:
    """Write the outputs and the figures; the exit code."""
    task = Task(**json.loads(arguments[0]))
    try:
        figures = measure(task)
    except ValueError as error:
        print(_line(error), file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001  # a runtime's own kinds are not known here
        print(f"{type(error).__name__}: {_line(error)}", file=sys.stderr)
        return 1
    Path(task.figures).write_text(json.dumps(figures))
    return 0


def measure(task: Task) -> dict[str, object]:
    """The figures; the outputs of every row go to the task's file, memory-mapped.

    Memory is read after the single rows and before the bulk of them, so that it is what a
    device needs that answers one reading at a time.
    """
    _wind(task.seconds)
    adapter = import_module(task.adapter)
    started = perf_counter()
    loaded: Loaded = adapter.load(Path(task.model), task.module)
    load_seconds = perf_counter() - started
    _widen(Path(task.rows).stat().st_size)
    # a plain view: a memory map's own slices cost more than a small model's answer
    rows: Rows = np.load(task.rows, mmap_mode="r").view(np.ndarray)
    _wind(task.seconds)
    singles = _times(loaded, np.array(rows[:TIMED_ROWS]), 1, TIMED_ROWS)
    peak = peak_bytes()
    batches = _times(loaded, _repeated(rows, loaded.step), loaded.step, TIMED_BATCHES)
    started = perf_counter()
    answer(loaded, rows, Path(task.outputs), task.seconds)
    return {
        "load_seconds": load_seconds,
        **_percentiles("row", singles),
        "batch_rows": loaded.step,
        **_percentiles("batch", batches),
        "bulk_seconds": perf_counter() - started,
        "peak_bytes": peak,
        "machine": platform.machine(),
    }


def answer(loaded: Loaded, rows: Rows, file: Path, seconds: float) -> None:
    """Write the outputs (N, K) of all rows (N, F) to an ``.npy`` file."""
    shape = (len(rows), loaded.width)
    _widen(4 * len(rows) * loaded.width)
    outputs = np.lib.format.open_memmap(str(file), mode="w+", dtype=np.float32, shape=shape)
    with file.open("r+b") as held:
        # a full disk is an error here, and the end of the process (SIGBUS) later
        os.posix_fallocate(held.fileno(), 0, max(1, file.stat().st_size))
    view, step = outputs.view(np.ndarray), loaded.step
    lap = max(1, ROWS_A_LAP // step) * step
    if not len(rows):
        loaded.outputs(rows)  # so that a wrong width is refused all the same
    for begin in range(0, len(rows), lap):
        _wind(seconds)
        for at in range(begin, min(begin + lap, len(rows)), step):
            view[at : at + step] = loaded.outputs(rows[at : at + step])
    _wind(seconds)


def peak_bytes() -> int:
    """The most memory that this process ever held (``VmHWM``), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _times(loaded: Loaded, rows: Rows, step: int, most: int) -> list[float]:
    """Microseconds of each call with ``step`` rows, ``most`` times, going round the rows."""
    if not len(rows):
        return []
    last = len(rows) - step
    for _ in range(WARM_UP if step == 1 else 1):
        loaded.outputs(rows[:step])
    times: list[float] = []
    end = perf_counter() + TIMED_SECONDS
    for number in range(most):
        at = number * step % (last + 1)
        started = perf_counter_ns()
        loaded.outputs(rows[at : at + step])
        times.append((perf_counter_ns() - started) / 1000)
        if perf_counter() > end:
            break
    return times


def _repeated(rows: Rows, step: int) -> Rows:
    """The first ``step`` rows, or all of them again and again until there are as many."""
    if not len(rows) or len(rows) >= step:
        return np.array(rows[:step])
    return np.resize(rows, (step, rows.shape[1]))


def _percentiles(what: str, times: list[float]) -> dict[str, float]:
    return {
        f"{what}_microseconds_p{at}": float(np.percentile(times, at)) if times else 0.0
        for at in PERCENTILES
    }


def _wind(seconds: float) -> None:
    """Let the system end this process in so many seconds, unless it is wound again."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _widen(size: int) -> None:
    """Leave the proof's own memory maps out of the limit on the model's address space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        wanted = soft + size
        resource.setrlimit(
            resource.RLIMIT_AS,
            (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard),
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
