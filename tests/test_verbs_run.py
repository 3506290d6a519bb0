"""Around every verb: checked arguments, a receipt in any case, and the right model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ggml_magic
from ggml_magic.errors import GrammarError, NotYetError, SettingsError, TargetNotFoundError
from ggml_magic.headless import receipts
from ggml_magic.verbs import around
from ggml_magic.workspace import Workspace


def test_a_verb_that_ends_well_leaves_a_receipt(workspace: Workspace) -> None:
    around.config("prefix=org.weather")
    (receipt,) = receipts.read(workspace)
    assert (receipt.verb, receipt.status, receipt.cloud) == ("config", "ok", "sandbox")
    assert receipt.error is None
    assert len(receipt.inputs_sha256) == len(receipt.outputs_sha256) == 64
    assert receipt.seconds >= 0


def test_a_verb_that_fails_leaves_one_too(workspace: Workspace) -> None:
    with pytest.raises(NotYetError):
        ggml_magic.convert("rain")
    (receipt,) = receipts.read(workspace)
    assert (receipt.verb, receipt.name, receipt.status) == ("convert", "rain", "failed")
    assert (receipt.error, receipt.outputs_sha256) == ("NotYetError", "")


def test_the_same_work_has_the_same_hashes(workspace: Workspace) -> None:
    around.config("prefix=org.a")
    around.config("prefix=org.a")
    around.config("prefix=org.b")
    first, again, other = receipts.read(workspace)
    assert (first.inputs_sha256, first.outputs_sha256) == (
        again.inputs_sha256,
        again.outputs_sha256,
    )
    assert first.inputs_sha256 != other.inputs_sha256
    assert first.outputs_sha256 != other.outputs_sha256


def test_arrays_count_by_their_content(workspace: Workspace) -> None:
    for rows in (np.zeros((2, 3)), np.zeros((2, 3)), np.ones((2, 3))):
        with pytest.raises(NotYetError):
            ggml_magic.validate("rain", inputs=rows)
    first, again, other = (receipt.inputs_sha256 for receipt in receipts.read(workspace))
    assert first == again != other


def test_no_value_that_was_typed_is_in_a_receipt(workspace: Workspace) -> None:
    around.config("bucket=a-private-place")
    (path,) = (workspace.root / "receipts").glob("*.json")
    assert "private" not in path.read_text()
    assert set(json.loads(path.read_text())) == set(receipts.Receipt.__dataclass_fields__)


def test_what_the_grammar_refuses_never_begins(workspace: Workspace) -> None:
    with pytest.raises(GrammarError, match="deploy needs to"):
        ggml_magic.deploy("rain")
    assert receipts.read(workspace) == ()


def test_broken_settings_do_not_hide_the_verbs_own_failure(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GGML_CLOUD", "mars")
    with pytest.raises(NotYetError):
        ggml_magic.convert("rain")
    with pytest.raises(SettingsError):
        around.config()
    assert [receipt.cloud for receipt in receipts.read(workspace)] == ["", ""]


def test_a_receipt_that_cannot_be_written_does_not_hide_the_failure(
    workspace: Workspace,
) -> None:
    workspace.folder()
    (workspace.root / "receipts").write_text("a file where the folder would be")
    with pytest.raises(NotYetError):
        ggml_magic.convert("rain")
    # and a verb that went well says that its receipt is missing
    with pytest.raises(OSError, match="receipts"):
        around.config()


@pytest.mark.real
def test_only_the_proven_model_with_its_present_code_is_deployed(proven: Workspace) -> None:
    def refused() -> NotYetError:
        with pytest.raises(NotYetError) as caught:
            ggml_magic.plan("rain", to="thing/pi")
        return caught.value

    assert refused().remedy == "%ggml package rain"
    ggml_magic.package("rain")
    ggml_magic.inference("rain", code="def read(context):\n    return context.shadow()\n")
    assert refused().what == "the bundle of rain is out of date"
    ggml_magic.package("rain")
    with pytest.raises(TargetNotFoundError):
        ggml_magic.plan("rain", to="thing/pi")
    report = next((proven.root / "models" / "rain").glob("*/reports/*.native.json"))
    report.unlink()
    assert "validate" in refused().remedy


def test_the_workspace_is_the_current_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    around.config("prefix=org.here")
    assert (tmp_path / ".ggml" / "config.json").exists()
