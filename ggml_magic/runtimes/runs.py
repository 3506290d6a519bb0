"""A model's answers in an edge runtime, and what they cost: one process for each run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.environment import clean_environment
from ggml_magic.device.measure import Task
from ggml_magic.errors import GgmlError, GrammarError
from ggml_magic.runtimes import machines
from ggml_magic.runtimes.environments import environment
from ggml_magic.runtimes.failures import failure, out_of_memory, starved
from ggml_magic.runtimes.kinds import ADAPTERS, Runtime
from ggml_magic.runtimes.limits import Limits
from ggml_magic.runtimes.machines import NATIVE

UNLIMITED = Limits()
# The folders above the adapters go last on the path: the environment's own packages win over
# this package's modules of the same name. -I keeps the caller's variables and folder out. The
# alarm clock is wound before anything that could hang is imported.
BOOT = (
    "import runpy, signal, sys; "
    "signal.setitimer(signal.ITIMER_REAL, float(sys.argv.pop(1))); "
    "sys.path += sys.argv.pop(1).split(':'); "
    "runpy.run_module('device.measure', run_name='__main__', alter_sys=True)"
)
# numpy's threads reserve address space that a limit counts, and one row needs none (RUNTIMES 6)
QUIET = {"OPENBLAS_NUM_THREADS": "1"}

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Run:
    """What a model answered in a runtime, and what it cost.

    ``outputs`` (N, K) float32. Row times are of one row at a time, batch times of ``batch_rows``
    rows at a time: 4096 where the model's signature allows, else what it takes.
    ``bulk_seconds`` is the time for all rows, from the file to the file. ``peak_bytes`` is the
    most that a fresh process held which loaded the model and answered row by row. All of these
    are None when ``emulated``.
    """

    outputs: Rows
    runtime: str
    version: str
    architecture: str
    emulated: bool
    load_seconds: float | None = None
    row_microseconds_p50: float | None = None
    row_microseconds_p95: float | None = None
    row_microseconds_p99: float | None = None
    batch_rows: int | None = None
    batch_microseconds_p50: float | None = None
    batch_microseconds_p95: float | None = None
    batch_microseconds_p99: float | None = None
    bulk_seconds: float | None = None
    peak_bytes: int | None = None


class Running:
    """A run under way in a process of its own; as a context manager it ends with the block."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        task: Task,
        runtime: Runtime,
        arch: str,
        limits: Limits,
    ) -> None:
        self._process = process
        self._task = task
        self._runtime = runtime
        self._arch = arch
        self._limits = limits

    def wait(self) -> Run:
        """What came of it, with ``outputs`` as a memory map of the file in the run's folder.

        Raises ``EdgeRuntimeError``: a crash, a refusal, a limit passed; ``DiskFullError``.
        """
        code = self._process.wait()
        folder = Path(self._task.outputs).parent
        if code:
            raise self._failure(code, (folder / "stderr.txt").read_text(errors="replace"))
        outputs: Rows = np.load(self._task.outputs, mmap_mode="r")
        figures: dict[str, Any] = json.loads((folder / "figures.json").read_text())
        machine = figures.pop("machine")
        named = outputs, self._runtime.name, self._runtime.version
        if self._arch != NATIVE:
            return Run(*named, self._arch, True)
        return Run(*named, machine, False, **figures)

    def _failure(self, code: int, output: str) -> GgmlError:
        model, memory = Path(self._task.model), self._limits.memory_bytes
        if memory is not None and (starved(code, output) or self._runs_unlimited(code)):
            return out_of_memory(self._runtime, model, memory)
        return failure(self._runtime, model, self._limits, code, output)

    def _runs_unlimited(self, code: int) -> bool:
        """Whether it was the memory: runtimes tell that in many ways, or not at all."""
        if code in (-signal.SIGALRM, -signal.SIGKILL):
            return False
        limits = replace(self._limits, memory_bytes=None)
        folder = Path(self._task.outputs).parent
        files = Path(self._task.model), Path(self._task.rows), folder
        with start(self._runtime, *files, arch=self._arch, limits=limits) as again:
            try:
                again.wait()
            except GgmlError:
                return False
            return True

    def stop(self) -> None:
        """End the process and all that it started, if it still runs."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    runtime: Runtime,
    model: Path,
    rows_file: Path,
    folder: Path,
    *,
    arch: str = NATIVE,
    limits: Limits = UNLIMITED,
) -> Running:
    """Begin to run a model over the rows (N, F) of an ``.npy`` file; outputs go below ``folder``.

    ``arch`` is ``native``, or the machine to emulate. Raises ``EnvironmentBuildError``, and
    ``GrammarError`` for a machine that the runtime does not exist for.
    """
    if arch != NATIVE and limits.memory_bytes is not None:
        raise GrammarError(
            f"memory cannot be limited for {arch}",
            "it is emulated here, and the limit would be the emulator's",
            "leave --memory out, or --arch",
        )
    argv, variables = _interpreter(runtime, arch)
    return start_under(argv, variables, runtime, model, rows_file, folder, arch=arch, limits=limits)


def start_under(
    argv: Sequence[str],
    variables: Mapping[str, str],
    runtime: Runtime,
    model: Path,
    rows_file: Path,
    folder: Path,
    *,
    arch: str = NATIVE,
    limits: Limits = UNLIMITED,
) -> Running:
    """As ``start``, with a Python that is known: what stands before ``-c``, and its variables."""
    place = Path(tempfile.mkdtemp(prefix="edge-", dir=folder)).resolve()
    task = Task(
        adapter=runtime.adapter,
        module=runtime.module,
        model=str(model.resolve()),
        rows=str(rows_file.resolve()),
        outputs=str(place / "outputs.npy"),
        figures=str(place / "figures.json"),
        seconds=limits.seconds,
    )
    folders = ":".join(dict.fromkeys([str(ADAPTERS), str(runtime.adapters)]))
    arguments = ["-c", BOOT, f"{limits.seconds:.6f}", folders, json.dumps(asdict(task))]
    with (place / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            limits.command([*argv, *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**clean_environment(), **QUIET, **variables},
            # an interrupt of the notebook is for the notebook, which then stops the run
            start_new_session=True,
        )
    return Running(process, task, runtime, arch, limits)


def run(
    runtime: Runtime, model: Path, rows: Rows, *, arch: str = NATIVE, limits: Limits = UNLIMITED
) -> Run:
    """Run a model over rows of shape (N, F) that are in memory, and give the outputs in memory.

    Raises what ``start`` and ``Running.wait`` raise.
    """
    with tempfile.TemporaryDirectory(prefix="ggml-run-") as folder:
        rows_file = Path(folder) / "rows.npy"
        np.save(rows_file, np.asarray(rows, dtype=np.float32))
        with start(runtime, model, rows_file, Path(folder), arch=arch, limits=limits) as running:
            done = running.wait()
        held = {**vars(done), "outputs": np.array(done.outputs)}
    return Run(**held)


def _interpreter(runtime: Runtime, arch: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """What stands before ``-c``, and the variables that it needs."""
    if arch == NATIVE:
        return (str(environment(runtime).python), "-I", "-B"), {}
    machines.check(arch)
    from ggml_magic.runtimes import emulation

    made = emulation.interpreter(runtime, arch)
    return made.argv, made.variables
