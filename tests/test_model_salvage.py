"""A SavedModel of TensorFlow 2.1, whose objects no longer load, and its answers of then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model import salvage as room
from ggml_magic.model.graph import export, fuse, prove
from ggml_magic.model.salvage import first_line, salvage
from ggml_magic.model.saved import SavedStage, open_saved
from ggml_magic.model.scan import scan

pytestmark = pytest.mark.real
OLD = Path(__file__).parent / "data" / "saved_model_tf21"
TOLD = json.loads(OLD.with_suffix(".json").read_text())
ROWS = np.asarray(TOLD["rows"], np.float32)
OUTPUTS = np.asarray(TOLD["outputs"], np.float32)
# Without tf-keras, as most people have it: with it, TensorFlow finds the old optimiser there.
LOADER = """
import sys
sys.modules["tf_keras"] = None
import tensorflow as tf
try:
    tf.saved_model.load(sys.argv[1])
except AttributeError as error:
    print("PLAIN", error)
from pathlib import Path
from ggml_magic.model.sources import opened
(stage,) = opened([sys.argv[1]], Path(sys.argv[2]), None)
import json
rows = tf.constant(json.loads(Path(sys.argv[1] + ".json").read_text())["rows"], tf.float32)
print("ANSWERS", json.dumps(stage(rows).numpy().tolist()))
print("NOTE", *stage.notes)
"""


def salvaged() -> SavedStage:
    (signature,) = scan(OLD).signatures
    assert TOLD["tensorflow"] == "2.1.0"
    found = salvage(OLD, scan(OLD), signature, "it is old")
    stage = open_saved(OLD, "")
    stage._call, stage.variables, stage.notes = found.function, (), (found.note,)
    return stage


def test_the_loader_of_today_fails_and_the_stage_answers_as_then(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(OLD), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    said = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert said["PLAIN"] == "'_UserObject' object has no attribute 'add_slot'"
    assert np.abs(np.asarray(json.loads(said["ANSWERS"])) - OUTPUTS).max() < 1e-6
    assert "salvaged" in said["NOTE"] and "TensorFlow 2.1.0" in said["NOTE"]
    assert "add_slot" in said["NOTE"] and "'serving_default'" in said["NOTE"]


def test_what_was_salvaged_goes_the_whole_way(tmp_path: Path) -> None:
    stage = salvaged()
    fused = fuse([stage], 3)
    assert fused.sha256 == fuse([salvaged()], 3).sha256
    export(fused, tmp_path / "out")
    live, proof = prove([stage], tmp_path / "out", ROWS)
    assert proof.max_abs_diff < 1e-6
    assert np.abs(live - OUTPUTS).max() < 1e-6


def test_a_wrong_salvage_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = room.freeze
    monkeypatch.setattr(room, "freeze", lambda pruned: lambda x: real(pruned)(x) * 1.001)
    (signature,) = scan(OLD).signatures
    with pytest.raises(UnsupportedStageError, match="does not answer as the saved graph does"):
        salvage(OLD, scan(OLD), signature, "it is old")


def test_without_its_variables_nothing_can_be_salvaged(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "saved_model.pb").write_bytes((OLD / "saved_model.pb").read_bytes())
    with pytest.raises(UnsupportedStageError, match="does not load") as caught:
        open_saved(tmp_path / "m", "")
    assert "graph cannot be restored" in caught.value.why
    assert "TensorFlow 2.1.0" in caught.value.remedy


def test_a_silent_error_is_named_by_its_kind() -> None:
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("\n  two\nthree")) == "two"
