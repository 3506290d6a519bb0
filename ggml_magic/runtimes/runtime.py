"""Edge runtimes by name, their environments, and a model run in one of them.

The same lock, environment builder and interpreter go to the device, so that what is proven here
is what runs there (DESIGN, rule 4).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ggml_magic.device import environment as device_environment
from ggml_magic.errors import EdgeRuntimeError, EnvironmentBuildError, GrammarError

GROUP = "ggml_magic.runtimes"
DEFAULT = "ai-edge-litert"
RUN_SECONDS = 120.0
PACKAGE = Path(device_environment.__file__).parent
# The folder above the device's files goes last on the path: the environment's own packages win
# over this package's modules of the same name. -I keeps the caller's variables and folder out.
BOOT = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('device.measure', run_name='__main__', alter_sys=True)"
)

Rows = npt.NDArray[np.float32]


class Runtime(Protocol):
    """What an entry point of ``ggml_magic.runtimes`` must be."""

    @property
    def name(self) -> str:
        """The name that users and recipes say."""

    @property
    def version(self) -> str:
        """The exact version that the lock pins."""

    @property
    def requirements(self) -> Path:
        """The hash-locked requirements file."""


@dataclass(frozen=True)
class PinnedRuntime:
    """A runtime that is one version and one lock file."""

    name: str
    version: str
    requirements: Path


@dataclass(frozen=True)
class Environment:
    """A runtime's environment; ``built`` says whether it had to be, in ``seconds``."""

    python: Path
    built: bool
    seconds: float


@dataclass(frozen=True)
class Run:
    """What a model answered in a runtime, and what it cost.

    ``outputs`` (N, K) float32; times are of one row at a time; ``peak_bytes`` is the most that
    a fresh process held which loaded the model and answered row by row.
    """

    outputs: Rows
    runtime: str
    version: str
    architecture: str
    load_seconds: float
    row_microseconds_p50: float
    row_microseconds_p95: float
    peak_bytes: int


def names() -> tuple[str, ...]:
    """The runtimes that are installed, by name."""
    return tuple(sorted(_entries()))


def get(name: str = DEFAULT) -> Runtime:
    """A runtime by name.

    Raises ``GrammarError``, which names those that there are.
    """
    entry = _entries().get(name)
    if entry is None:
        raise GrammarError(
            f"no runtime is called {name!r}",
            f"there are {', '.join(names())}",
            f"--runtime {DEFAULT}",
        )
    runtime: Runtime = entry.load()
    return runtime


def cache_folder() -> Path:
    """Where environments are kept between notebooks: ``GGML_CACHE``, else the user's cache."""
    named = os.environ.get("GGML_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ggml_magic"


def environment(runtime: Runtime) -> Environment:
    """The runtime's environment in the user's cache, built at first use.

    Raises ``EnvironmentBuildError``.
    """
    started = time.perf_counter()
    folder = cache_folder() / "runtimes" / runtime.name
    found = device_environment.find(folder, runtime.requirements)
    try:
        python = found or device_environment.build(folder, runtime.requirements)
    except device_environment.BuildError as error:
        raise EnvironmentBuildError(
            f"the environment of {runtime.name} {runtime.version} could not be built",
            str(error),
            "the same command again, once that is mended",
        ) from error
    return Environment(python, found is None, time.perf_counter() - started)


def run(runtime: Runtime, model: Path, rows: Rows, *, timeout_seconds: float = RUN_SECONDS) -> Run:
    """Run a model over rows of shape (N, F) in the runtime's own environment.

    A child process does it: a crash, a refusal or a limit passed is an ``EdgeRuntimeError``.
    """
    python = environment(runtime).python
    with tempfile.TemporaryDirectory(prefix="ggml-run-") as folder:
        rows_file, outputs_file, figures_file = (
            Path(folder) / name for name in ("rows.npy", "outputs.npy", "figures.json")
        )
        np.save(rows_file, np.asarray(rows, dtype=np.float32))
        files = [str(path) for path in (model, rows_file, outputs_file, figures_file)]
        command = [str(python), "-I", "-B", "-c", BOOT, str(PACKAGE.parent), *files]
        _child(runtime, model, command, timeout_seconds)
        outputs: Rows = np.load(outputs_file)
        figures: dict[str, Any] = json.loads(figures_file.read_text())
    return Run(outputs, runtime.name, runtime.version, **figures)


@cache
def _entries() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _child(runtime: Runtime, model: Path, command: list[str], timeout_seconds: float) -> None:
    what = f"{runtime.name} {runtime.version} could not run {model.name}"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=device_environment.clean_environment(),
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EdgeRuntimeError(
            what, f"it did not end within {timeout_seconds:g} s", "%ggml validate with fewer rows"
        ) from None
    if done.returncode:
        raise EdgeRuntimeError(what, _reason(done), f"%ggml convert {_model_name(model)}")


def _model_name(model: Path) -> str:
    """The name that a model's file has in the workspace: ``models/NAME/…``."""
    parents = [folder.name for folder in model.resolve().parents]
    return parents[parents.index("models") - 1] if "models" in parents[1:] else model.stem


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the process died of {signal.Signals(-done.returncode).name}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with exit code {done.returncode}"
