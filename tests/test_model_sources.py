"""Texts and paths as stages: what is found there, and what is said where nothing is."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_model_kerasfile import network, save
from test_model_ready import converted, dense

from ggml_magic.errors import CloudError, GrammarError, UnsupportedStageError
from ggml_magic.model.operators import TranslatedFile
from ggml_magic.model.sources import ReadyFile, opened

OLD = Path(__file__).parent / "data" / "saved_model_tf21"
TOLD = json.loads(OLD.with_suffix(".json").read_text())
ROWS = np.asarray(TOLD["rows"], np.float32)
OUTPUTS = np.asarray(TOLD["outputs"], np.float32)


def only(stage: object, folder: Path, **options: Any) -> Any:
    (found,) = opened([stage], folder, options.pop("fetch", None), **options)
    return found


def archived(path: Path, *prefixes: str) -> Path:
    """The old SavedModel in an archive, once under each prefix."""
    files = [file for file in sorted(OLD.rglob("*")) if file.is_file()]
    entries = {f"{p}{file.relative_to(OLD)}": file.read_bytes() for p in prefixes for file in files}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as plain:
            for name, content in entries.items():
                plain.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def answers_as_then(stage: Any) -> bool:
    return bool(np.abs(np.asarray(stage(ROWS)) - OUTPUTS).max() < 1e-6)


def test_objects_pass_unchanged(tmp_path: Path) -> None:
    stages = (object(), len, 3)
    assert opened(stages, tmp_path, None) == stages
    assert opened((), tmp_path, None) == ()
    assert not list(tmp_path.iterdir())


@pytest.mark.real
def test_a_folder_by_text_path_and_signature(tmp_path: Path) -> None:
    texts = [str(OLD), OLD, f" {OLD} ", f"{OLD}#serving_default", f"{OLD}/"]
    assert all(answers_as_then(only(text, tmp_path)) for text in texts)
    with pytest.raises(UnsupportedStageError, match="it has: serving_default"):
        only(f"{OLD}#other", tmp_path)
    odd = shutil.copytree(OLD, tmp_path / "a#b")
    assert answers_as_then(only(odd, tmp_path))
    assert answers_as_then(only(f"{odd}#serving_default", tmp_path))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "prefix"),
    [("m.zip", ""), ("m.tar.gz", "1/"), ("m.tgz", "export/Servo/1/"), ("m.zip", "./a/b c/")],
)
def test_an_archive_of_a_saved_model(name: str, prefix: str, tmp_path: Path) -> None:
    path = archived(tmp_path / name, prefix)
    assert answers_as_then(only(path, tmp_path / "new"))
    assert answers_as_then(only(f"{path}#serving_default", tmp_path / "new"))


@pytest.mark.parametrize("name", ["m.zip", "m.tar.gz"])
def test_several_models_in_one_archive_are_listed(name: str, tmp_path: Path) -> None:
    path = archived(tmp_path / name, "1/", "2/")
    with pytest.raises(UnsupportedStageError, match="holds 2 models: 1, 2") as caught:
        only(path, tmp_path / "new")
    assert f"{name}/1" in caught.value.remedy
    with pytest.raises(UnsupportedStageError, match=r"holds 9 models: .* and 4 more"):
        only(archived(path, *(f"{i}/" for i in range(9))), tmp_path / "new")


def test_a_folder_or_an_archive_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "._saved.keras").write_bytes(b"")
    (tmp_path / "empty" / "__MACOSX").mkdir()
    (tmp_path / "empty" / "__MACOSX" / "x.tflite").write_bytes(b"")
    with pytest.raises(UnsupportedStageError, match="empty holds no model"):
        only(tmp_path / "empty", tmp_path)
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(UnsupportedStageError, match=r"m\.zip holds no model"):
        only(tmp_path / "m.zip", tmp_path / "new")


def test_a_hostile_archive_is_refused_here_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("../saved_model.pb", "x")
    with pytest.raises(UnsupportedStageError, match="leaves its folder"):
        only(tmp_path / "m.zip", tmp_path / "new")


@pytest.mark.real
def test_keras_files_alone_and_in_archives(tmp_path: Path) -> None:
    import keras

    model = network(keras)
    path = save(model, tmp_path / "rain.keras")
    expected = np.asarray(model(ROWS))
    assert np.abs(np.asarray(only(path, tmp_path)(ROWS)) - expected).max() < 1e-6
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.write(path, "model/rain.keras")
    assert isinstance(only(tmp_path / "m.zip", tmp_path / "new"), keras.Model)
    with pytest.raises(GrammarError, match="only a SavedModel has signatures"):
        only(f"{path}#serving_default", tmp_path)


@pytest.mark.real
def test_a_tflite_alone_is_taken_as_it_is_and_beside_others_translated(tmp_path: Path) -> None:
    path = converted(tmp_path / "rain.tflite", dense, (None, 3))
    assert only(path, tmp_path) == ReadyFile(path, "rain", 3, 4)
    function, stage = opened([dense, path], tmp_path, None)
    assert function is dense
    assert isinstance(stage, TranslatedFile)


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedStageError, match="is it a Python name") as caught:
        only("network", tmp_path)
    assert caught.value.remedy == "network, without quotes"
    with pytest.raises(UnsupportedStageError, match="no file or folder models/rain"):
        only("models/rain", tmp_path)
    with pytest.raises(UnsupportedStageError, match=r"no file or folder rain\.keras"):
        only(Path("rain.keras"), tmp_path)
    for text in ("", "  "):
        with pytest.raises(GrammarError, match="empty text"):
            only(text, tmp_path)
    for text in ("a\0b", "x" * 5000):
        with pytest.raises(UnsupportedStageError, match="there is no file"):
            only(text, tmp_path)
    with pytest.raises(UnsupportedStageError, match="https: is not known"):
        only("https://example.com/rain.zip", tmp_path)


def test_files_of_other_kinds_are_told(tmp_path: Path) -> None:
    for name in ("rain.onnx", "rain.pkl", "rain"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UnsupportedStageError, match="no model that is known here"):
            only(tmp_path / name, tmp_path)
    with pytest.raises(UnsupportedStageError, match="the whole folder") as caught:
        only(OLD / "saved_model.pb", tmp_path)
    assert caught.value.remedy == str(OLD)


@pytest.mark.real
def test_places_in_the_cloud_are_fetched(tmp_path: Path) -> None:
    asked = []

    def fetch(where: str, folder: Path) -> Path:
        asked.append((where, folder.is_dir()))
        return archived(folder / "model.tar.gz", "1/")

    for text in ("s3://bucket/a/model.tar.gz", "sagemaker:training-job/rain-1"):
        assert answers_as_then(only(text, tmp_path / text[:2], fetch=fetch))
    assert answers_as_then(only("s3://b/k#serving_default", tmp_path / "x", fetch=fetch))
    assert asked == [
        ("s3://bucket/a/model.tar.gz", True),
        ("sagemaker:training-job/rain-1", True),
        ("s3://b/k", True),
    ]


def test_without_a_cloud_nothing_is_fetched_and_its_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(GrammarError, match="no cloud is connected"):
        only("s3://bucket/key", tmp_path)

    def fetch(where: str, folder: Path) -> Path:
        raise CloudError("there is no such key")

    with pytest.raises(CloudError, match="no such key"):
        only("s3://bucket/key", tmp_path, fetch=fetch)
