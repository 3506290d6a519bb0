from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_device_contract import contract_of

from ggml_magic.device.contract import Decision
from ggml_magic.device.selftest import Golden, SelfTestError, check

ROWS = np.zeros((3, 1), np.float32)
OUTPUTS = np.asarray([[0.2], [0.5], [0.9]], np.float32)
GOLDEN = Golden(ROWS, OUTPUTS, 1e-3)


def test_the_same_answers_pass() -> None:
    check(contract_of(["a"]), GOLDEN, OUTPUTS)
    check(contract_of(["a"]), GOLDEN, OUTPUTS + np.float32(5e-4))


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        (OUTPUTS + np.float32(2e-3), r"differs by 0\.002, more than the 0\.001 allowed"),
        (OUTPUTS - np.float32(5e-4), "1 of 3 golden decisions changed"),
        (np.full_like(OUTPUTS, np.nan), "not a finite number"),
        (OUTPUTS[:2], "shape"),
    ],
)
def test_other_answers_fail(outputs: np.ndarray, why: str) -> None:
    with pytest.raises(SelfTestError, match=why):
        check(contract_of(["a"]), GOLDEN, outputs)


def test_a_value_is_judged_by_the_tolerance_alone() -> None:
    check(contract_of(["a"], Decision("value")), GOLDEN, OUTPUTS - np.float32(5e-4))


def test_golden_vectors_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_text(json.dumps({"rows": [[1.5]], "outputs": [[0.25]], "tolerance": 1e-6}))
    golden = Golden.read(path)
    assert golden.rows.tolist() == [[1.5]] and golden.outputs.dtype == np.float32
    assert golden.tolerance == 1e-6
