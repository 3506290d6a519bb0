from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_validate_report import EMULATED, FAILED, PASSED

from ggml_magic.errors import NotYetError
from ggml_magic.validate import kept

VECTORS = {"rows": [[1.0]], "outputs": [[0.5]], "tolerance": 1e-4}


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return SimpleNamespace(name="rain", folder=tmp_path, sha256=PASSED.model_sha256)


def test_there_is_one_for_each_runtime_and_architecture(model: Any) -> None:
    other = replace(PASSED, runtime="tflite-runtime", created="2026-01-02T00:00:00.000+00:00")
    for report in (PASSED, EMULATED, other):
        kept.keep(model, report, VECTORS)
    assert kept.load(model, "ai-edge-litert") == PASSED
    assert kept.load(model, "ai-edge-litert", "aarch64") == EMULATED
    assert kept.load(model) == other  # the newest
    assert len(list(kept.every(model))) == 3
    kept.keep(model, FAILED, VECTORS)
    again = kept.load(model, "ai-edge-litert")
    assert again == FAILED and again.flips.equals(FAILED.flips)
    assert len(again.points.source) == 7


def test_what_is_not_there_is_told_with_the_command(model: Any) -> None:
    with pytest.raises(NotYetError, match="rain has not been proven: no report") as caught:
        kept.load(model)
    assert caught.value.remedy == "%ggml validate rain --inputs X_test"
    kept.keep(model, PASSED, VECTORS)
    with pytest.raises(NotYetError, match=r"on ai-edge-litert \(native\) only") as caught:
        kept.load(model, "tflite-runtime", "armv7l")
    assert caught.value.remedy == (
        "%ggml validate rain --inputs X_test --runtime tflite-runtime --arch armv7l"
    )


def test_reports_on_another_model_or_of_another_version_do_not_count(model: Any) -> None:
    kept.keep(model, PASSED, VECTORS)
    path = model.folder / "reports" / "ai-edge-litert.native.json"
    values = json.loads(path.read_text())
    for changes in ({"format": 1}, {"model_sha256": "0" * 64}):
        path.write_text(json.dumps({**values, **changes}))
        assert kept.find(model, "ai-edge-litert") is None
        assert list(kept.every(model)) == []
    path.write_text(json.dumps(values))
    (model.folder / "reports" / "ai-edge-litert.native.npz").unlink()
    assert kept.find(model, "ai-edge-litert") == PASSED


def test_golden_vectors_are_of_one_file_and_runtime(model: Any) -> None:
    kept.keep(model, PASSED, VECTORS)
    path = kept.golden_vectors(model, PASSED)
    stored = json.loads(path.read_text())
    assert stored["file_sha256"] == PASSED.file_sha256 and stored["rows"] == [[1.0]]
    with pytest.raises(NotYetError, match="those of the workspace are another file's"):
        kept.golden_vectors(model, replace(PASSED, file_sha256="c" * 64))
    with pytest.raises(NotYetError, match="no golden vectors on tflite-runtime") as caught:
        kept.golden_vectors(model, replace(PASSED, runtime="tflite-runtime"))
    assert "--runtime tflite-runtime" in caught.value.remedy
    # an emulated run leaves those of this processor alone
    kept.keep(model, EMULATED, None)
    assert kept.golden_vectors(model, PASSED) == path
    # a file that answers no number has none, and never those of the file before
    kept.keep(model, replace(PASSED, file_sha256="d" * 64), None)
    assert not path.exists()


def test_a_suspect_found_later_is_kept_with_the_same_rows(model: Any) -> None:
    kept.keep(model, replace(FAILED, suspects=()), None)
    kept.keep_verdict(model, FAILED)
    assert kept.load(model) == FAILED and len(kept.load(model).flips) == 7
