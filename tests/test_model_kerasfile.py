"""Keras' own files: read in safe mode, and nothing in them runs as Python."""

from __future__ import annotations

import json
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import MissingExtraError, UnsupportedStageError
from ggml_magic.model.kerasfile import REFUSED, is_keras, open_keras

ROWS = np.random.default_rng(3).normal(size=(9, 3)).astype(np.float32)


def network(keras: Any, *layers: Any) -> Any:
    model = keras.Sequential([keras.layers.Input((3,)), *layers, keras.layers.Dense(2)])
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


def save(model: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras' own code, about numpy and about .h5
        model.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "known"), [("a.keras", True), ("a.H5", True), ("a.zip", False), ("keras", False)]
)
def test_the_name_says_what_keras_saved(name: str, known: bool) -> None:
    assert is_keras(Path(name)) is known


@pytest.mark.real
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_comes_back_as_the_model(suffix: str, tmp_path: Path) -> None:
    import keras

    model = network(keras, keras.layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6]))
    model.compile("adam", "mse")
    opened = open_keras(save(model, tmp_path / f"rain{suffix}"))
    assert isinstance(opened, keras.Model)
    assert np.abs(np.asarray(opened(ROWS)) - np.asarray(model(ROWS))).max() < 1e-6


@pytest.mark.real
def test_files_of_keras_2_open_with_keras_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tf_keras

    model = network(tf_keras)
    path = save(model, tmp_path / "rain.keras")
    opened = open_keras(path)
    assert isinstance(opened, tf_keras.Model)
    assert np.abs(np.asarray(opened(ROWS)) - np.asarray(model(ROWS))).max() < 1e-6
    old = open_keras(save(model, tmp_path / "rain.h5"))
    assert np.abs(np.asarray(old(ROWS)) - np.asarray(model(ROWS))).max() < 1e-6
    for name in [name for name in sys.modules if name.partition(".")[0] == "tf_keras"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "tf_keras" else object()
    )
    with pytest.raises(MissingExtraError, match="pip install tf-keras"):
        open_keras(path)


@pytest.mark.real
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_layer_is_refused_and_does_not_run(suffix: str, tmp_path: Path) -> None:
    import keras

    model = network(keras, keras.layers.Lambda(lambda x: x * 2))
    path = save(model, tmp_path / f"rain{suffix}")
    with pytest.raises(UnsupportedStageError, match="it holds a Lambda layer: it is Python code"):
        open_keras(path)


@pytest.mark.real
@pytest.mark.parametrize("name", ["TFSMLayer", "StringLookup", "Custom>TorchModuleWrapper"])
def test_layers_that_load_other_files_are_refused_wherever_they_hide(
    name: str, tmp_path: Path
) -> None:
    import keras

    plain = save(network(keras), tmp_path / "plain.keras")
    path = tmp_path / "rain.keras"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry == "config.json":
                config = json.loads(content)
                config["config"]["layers"][-1]["config"]["activation"] = {"class_name": name}
                content = json.dumps(config).encode()
            target.writestr(entry, content)
    assert name.rpartition(">")[2] in REFUSED
    with pytest.raises(UnsupportedStageError, match="is not loaded"):
        open_keras(path)


@pytest.mark.real
def test_a_layer_that_keras_does_not_know_is_told(tmp_path: Path) -> None:
    import keras

    class Doubled(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    path = save(network(keras, Doubled()), tmp_path / "rain.keras")
    with pytest.raises(UnsupportedStageError, match=r"cannot load rain\.keras") as caught:
        open_keras(path)
    assert "custom objects" in caught.value.remedy
    assert len(str(caught.value)) < 500


@pytest.mark.real
def test_damaged_files_are_told(tmp_path: Path) -> None:
    import h5py

    for name in ("rain.keras", "rain.h5"):
        for content in (b"", b"PK\x03\x04nothing", b"\x89HDF\r\n\x1a\n" + bytes(90), bytes(500)):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UnsupportedStageError, match="no Keras model that can be read"):
                open_keras(tmp_path / name)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.ones(3)
    with pytest.raises(UnsupportedStageError, match="weights only"):
        open_keras(tmp_path / "weights.h5")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme", "x")
    with pytest.raises(UnsupportedStageError, match=r"metadata\.json"):
        open_keras(tmp_path / "other.keras")


@pytest.mark.real
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_truncated_file_is_told(suffix: str, tmp_path: Path) -> None:
    import keras

    path = save(network(keras), tmp_path / f"rain{suffix}")
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnsupportedStageError):
            open_keras(path)
