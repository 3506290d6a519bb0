"""An emulator's examination: two small models whose answers are known.

An emulator can run a model and answer wrongly (qemu 7.2, int8: 187 steps off in 99.6% of the
rows; RUNTIMES 5), so none is believed before it has passed. ``selftest/`` holds a trained
3-16-16-1 network as float32 and as int8 (both with float input and output), 64 rows, and the
answers of ai-edge-litert 2.3.0 on x86-64.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ggml_magic.device.environment import clean_environment
from ggml_magic.device.measure import Task
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.runtimes.kinds import ADAPTERS, Runtime
from ggml_magic.runtimes.runs import BOOT, QUIET

FOLDER = Path(__file__).with_name("selftest")
ROWS = FOLDER / "rows.npy"
# float32 differs by 7.6e-6 at most on armv7l; int8 by 10 steps of 1/256 between runtime versions
# (of this network, over 20,000 rows), while the wrong emulator was 187 steps off (RUNTIMES 5)
TOLERANCES = {"float32": 2e-5, "int8": 16 / 256}
SECONDS = 120.0


def examine(argv: Sequence[str], variables: Mapping[str, str], runtime: Runtime, who: str) -> None:
    """Let the runtime answer under ``argv``, as a proof would.

    Raises ``EdgeRuntimeError`` that names ``who``, the emulator, when an answer is wrong or
    missing.
    """
    for kind, tolerance in TOLERANCES.items():
        answers = _answers(argv, variables, runtime, FOLDER / f"{kind}.tflite", who)
        expected = np.load(FOLDER / f"{kind}.npy")
        worst = float(np.max(np.abs(answers - expected))) if np.all(np.isfinite(answers)) else 1.0
        if not worst <= tolerance:
            raise EdgeRuntimeError(
                f"{who} does not compute what the machine would",
                f"on a known {kind} model it is {worst:.2g} off with {runtime.name}; "
                f"{tolerance:.2g} is normal",
                "ggml doctor --fix emulation",
            )


def digest() -> str:
    """What the examination consists of, as a hash."""
    files = sorted(path for path in FOLDER.iterdir() if path.suffix in {".npy", ".tflite"})
    content = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)
    return hashlib.sha256(content + repr(TOLERANCES).encode()).hexdigest()


def _answers(
    argv: Sequence[str], variables: Mapping[str, str], runtime: Runtime, model: Path, who: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with tempfile.TemporaryDirectory(prefix="ggml-known-") as place:
        outputs = Path(place) / "outputs.npy"
        task = Task(
            adapter=runtime.adapter,
            module=runtime.module,
            model=str(model),
            rows=str(ROWS),
            outputs=str(outputs),
            figures=str(Path(place) / "figures.json"),
            seconds=SECONDS,
        )
        folders = ":".join(dict.fromkeys([str(ADAPTERS), str(runtime.adapters)]))
        done = subprocess.run(
            [*argv, "-c", BOOT, f"{SECONDS:.6f}", folders, json.dumps(asdict(task))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**clean_environment(), **QUIET, **variables},
            check=False,
        )
        if done.returncode:
            raise EdgeRuntimeError(
                f"{who} could not run a known model with {runtime.name} {runtime.version}",
                _reason(done.returncode, done.stderr),
                "ggml doctor --fix emulation",
            )
        answers: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.load(outputs)
        return answers


def _reason(code: int, output: str) -> str:
    if code < 0:
        return f"the emulator died of {signal.Signals(-code).name}"
    said = [line.strip() for line in output.splitlines() if line.strip()]
    return said[-1] if said else f"it ended with exit code {code}"
