"""The committed notebooks, and the main job as ``make demo`` runs it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_outputs_that_are_compared_are_committed(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    for cell in cells:
        compared = "nbval-check-output" in cell["metadata"].get("tags", [])
        assert bool(cell.get("outputs")) == compared
        # nbval takes a cell that was never run for one without a reference
        assert bool(cell.get("execution_count")) == compared
    assert any("parameters" in cell["metadata"].get("tags", []) for cell in cells)


@pytest.mark.real
def test_the_main_job() -> None:
    """By papermill, from nothing: real data, a real component, equal answers."""
    ran = subprocess.run(
        [ROOT / "scripts" / "demo"], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert ran.returncode == 0, ran.stderr
    summary = json.loads((ROOT / "build" / "demo" / "summary.json").read_text())
    assert ran.stdout.splitlines()[-1] == summary["sentence"]
    assert summary["thing"] in summary["sentence"]
    assert summary["cloud"] == "sandbox"
    assert summary["equal"]
    assert summary["readings"] == 24
    assert summary["rain"] > 0
    assert summary["auc"] >= 0.93
    executed = json.loads((ROOT / "build" / "demo" / "rain_predictor.ipynb").read_text())
    kinds = {
        kind
        for cell in executed["cells"]
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert not [kind for kind in kinds if "widget" in kind], "what is saved is static"
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if str(ROOT / "build" / "demo") in " ".join(process.info["cmdline"] or [])
    ]
    assert not left
