"""The golden vectors: does this device answer as the proof did?

Run by ``install`` in the device's own environment. Exit code 1 and one line when an output
differs by more than the tolerance or a decision changes; Greengrass then keeps the component
that ran before.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .contract import Contract, Rows
from .interpreter import Interpreter, ModelError

MODEL = "model.tflite"
CONTRACT = "contract.json"
GOLDEN = "golden.json"


class SelfTestError(Exception):
    """This device answers otherwise than the proof; the text is one line."""


@dataclass(frozen=True)
class Golden:
    """Rows (N, F), the outputs (N, K) proven for them, and how far an output may be off."""

    rows: Rows
    outputs: Rows
    tolerance: float

    @classmethod
    def read(cls, path: Path) -> Golden:
        """Golden vectors from a JSON file."""
        values: dict[str, Any] = json.loads(path.read_text())
        rows = np.asarray(values["rows"], dtype=np.float32)
        outputs = np.asarray(values["outputs"], dtype=np.float32)
        return cls(rows, outputs, float(values["tolerance"]))


def check(contract: Contract, golden: Golden, outputs: Rows) -> None:
    """Raise ``SelfTestError`` unless these outputs are the golden ones, within tolerance."""
    if outputs.shape != golden.outputs.shape:
        raise SelfTestError(f"outputs of shape {outputs.shape}, not {golden.outputs.shape}")
    if not np.isfinite(outputs).all():
        raise SelfTestError("an output is not a finite number")
    difference = float(np.abs(outputs - golden.outputs).max(initial=0.0))
    if difference > golden.tolerance:
        raise SelfTestError(
            f"an output differs by {difference:.3g}, more than the {golden.tolerance:g} allowed"
        )
    if contract.decision.rule == "value":
        return  # the value is its own decision, and the tolerance has judged it
    changed = contract.decision.answers(outputs) != contract.decision.answers(golden.outputs)
    if changed.any():
        raise SelfTestError(f"{int(changed.sum())} of {len(outputs)} golden decisions changed")


def run(folder: Path) -> int:
    """Check a component's folder; the number of golden rows."""
    golden = Golden.read(folder / GOLDEN)
    outputs = Interpreter(folder / MODEL).outputs(golden.rows)
    check(Contract.read(folder / CONTRACT), golden, outputs)
    return len(golden.rows)


if __name__ == "__main__":
    try:
        print(f"self-test passed: {run(Path(sys.argv[1]))} golden rows")
    except (SelfTestError, ModelError) as failure:
        sys.exit(f"self-test failed: {failure}")
