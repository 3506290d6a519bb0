"""An emulator's examination: two small models whose answers are known.

An emulator can run a model and answer wrongly (qemu 7.2, int8: 187 steps off in 99.6% of the
rows; RUNTIMES 5), so none is believed before it has passed. ``selftest/`` holds a trained
3-16-16-1 network as float32 and as int8 (both with float input and output), 64 rows, and the
answers of ai-edge-litert 2.3.0 on x86-64.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.runtimes.kinds import Runtime
from ggml_magic.runtimes.runs import Rows, start_under

FOLDER = Path(__file__).with_name("selftest")
ROWS = FOLDER / "rows.npy"
# float32 differs by 7.6e-6 at most on armv7l; int8 by 10 steps of 1/256 between runtime versions
# (of this network, over 20,000 rows), while the wrong emulator was 187 steps off (RUNTIMES 5)
TOLERANCES = {"float32": 2e-5, "int8": 16 / 256}


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
) -> Rows:
    with (
        tempfile.TemporaryDirectory(prefix="ggml-known-") as place,
        start_under(argv, variables, runtime, model, ROWS, Path(place)) as running,
    ):
        try:
            return np.array(running.wait().outputs)
        except EdgeRuntimeError as error:
            raise EdgeRuntimeError(
                f"{who} could not run a known model with {runtime.name} {runtime.version}",
                error.why,
                "ggml doctor --fix emulation",
            ) from error
