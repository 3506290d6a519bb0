"""What could not be made is remembered for this model, these rows and this TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ggml_magic.convert import refusals
from ggml_magic.convert.refusals import remember, remembered, tensorflow_version
from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.model.model import EdgeModel, Provenance

MADE = ("float16", "dynamic", "int8")


@pytest.fixture
def model(tmp_path: Path) -> EdgeModel:
    contract = Contract((Feature("a", "", 0, 0, 1, 1, 0.5),), Decision("threshold"))
    (tmp_path / "candidates").mkdir()
    return EdgeModel(
        "rain", contract, "0" * 64, tmp_path, Provenance("", "", None, "", "", 1, None)
    )


def test_it_is_remembered_for_the_same_rows_and_model(model: EdgeModel) -> None:
    assert remembered(model, MADE, "rows") == {}
    remember(model, "int8", "it crashed", "rows")
    remember(model, "float16", "no", "rows")
    assert remembered(model, MADE, "rows") == {"float16": "no", "int8": "it crashed"}
    assert remembered(model, ["dynamic"], "rows") == {}
    # other rows may do for what is calibrated; the others have no use for any
    assert remembered(model, MADE, "other rows") == {"float16": "no"}
    assert remembered(replace(model, sha256="1" * 64), MADE, "rows") == {}
    remember(model, "int8", "it crashed again", "other rows")
    assert remembered(model, MADE, "other rows")["int8"] == "it crashed again"


def test_another_tensorflow_is_asked_again(
    model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(model, "int8", "it crashed", "rows")
    monkeypatch.setattr(refusals, "tensorflow_version", lambda: ("tensorflow 99.0",))
    assert remembered(model, MADE, "rows") == {}


def test_the_version_is_the_installed_one_whatever_its_build() -> None:
    (told,) = tensorflow_version()
    name, version = told.split()
    assert name.startswith("tensorflow") and version[0].isdigit()
