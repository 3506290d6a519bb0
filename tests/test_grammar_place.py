"""Words that say where a saved model is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.grammar.place import is_place


@pytest.mark.parametrize(
    "text",
    [
        "./net",
        "models/rain",
        "net.keras",
        "net.tflite",
        "s3://bucket/model.tar.gz",
        "model.zip#serve",
        "sagemaker:training-job/rain-7",
        "/srv/saved_model",
    ],
)
def test_a_path_or_an_address_is_a_place(text: str) -> None:
    assert is_place(text)


@pytest.mark.parametrize("text", ["network", "parts.network", "net.layers"])
def test_a_python_name_is_none(text: str) -> None:
    assert not is_place(text)


def test_a_folder_that_is_there_is_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_place("saved_model")
    (tmp_path / "saved_model").mkdir()
    assert is_place("saved_model")
