"""Texts and paths as stages: what is found there, and what is said where nothing is."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_model_kerasfile import network, save
from test_model_ready import converted, dense

from ggml_magic.convert.convert import convert
from ggml_magic.device.contract import Rows
from ggml_magic.errors import CloudError, GrammarError, UnsupportedStageError
from ggml_magic.model.graph import OUTPUT, SIGNATURE
from ggml_magic.model.model import EdgeModel, describe
from ggml_magic.model.operators import TranslatedFile
from ggml_magic.model.sources import ReadyFile, opened
from ggml_magic.validate.validate import validate
from ggml_magic.workspace import Workspace

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
    # before the first one is opened, which may take seconds
    (tmp_path / "broken.keras").write_bytes(b"x")
    with pytest.raises(UnsupportedStageError, match=r"no file or folder gone\.keras"):
        opened(["broken.keras", "gone.keras"], tmp_path, None)
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
        assert (tmp_path / text[:2]).stat().st_mode & 0o777 == 0o700
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


@dataclass(frozen=True)
class Dealt:
    """A stage as a user gives it, what it answers by its own library, and how many values."""

    stage: object
    answer: Callable[[Rows], Any]
    width: int


@dataclass(frozen=True)
class Dealer:
    """Makes stages of every kind for a width; weights from a seed, small enough to stay finite."""

    random: np.random.Generator
    folder: Path

    def matrix(self, width: int, outputs: int) -> Rows:
        return self.random.normal(size=(width, outputs)).astype(np.float32) / np.float32(width)

    def outputs(self) -> int:
        return int(self.random.integers(1, 6))

    def path(self, suffix: str = "") -> Path:
        return self.folder / f"stage{len(list(self.folder.iterdir()))}{suffix}"

    def rows(self, width: int) -> Rows:
        return self.random.normal(0.5, 2, (50, width)).astype(np.float32)

    def keras_layer(self, width: int) -> Dealt:
        import keras

        statistics = self.random.uniform(0.5, 2, (2, width))
        layer = keras.layers.Normalization(mean=statistics[0], variance=statistics[1])
        layer.build((None, width))
        return Dealt(layer, layer, width)

    def network(self, keras: Any, width: int) -> Dealt:
        outputs = self.outputs()
        hidden = keras.layers.Dense(7, activation="relu")
        network = keras.Sequential(
            [keras.layers.Input((width,)), hidden, keras.layers.Dense(outputs, "tanh")]
        )
        network.set_weights([self.random.normal(0, 0.4, w.shape) for w in network.get_weights()])
        return Dealt(network, network, outputs)

    def sequential(self, width: int) -> Dealt:
        import keras

        return self.network(keras, width)

    def tf_keras(self, width: int) -> Dealt:
        import tf_keras

        return self.network(tf_keras, width)

    def keras_file(self, width: int) -> Dealt:
        dealt = self.sequential(width)
        return Dealt(save(dealt.stage, self.path(".keras")), dealt.answer, dealt.width)

    def scaler(self, width: int) -> Dealt:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(self.rows(width))
        return Dealt(scaler, scaler.transform, width)

    def pipeline(self, width: int) -> Dealt:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import MinMaxScaler, RobustScaler

        pipeline = make_pipeline(MinMaxScaler(), RobustScaler()).fit(self.rows(width))
        return Dealt(pipeline, pipeline.transform, width)

    def numpy_function(self, width: int) -> Dealt:
        weights = self.matrix(width, width)

        def crossed(x: Any) -> Any:
            return np.column_stack([np.tanh(x @ weights), x[:, 0] * 0.5])

        return Dealt(crossed, crossed, width + 1)

    def tf_function(self, width: int) -> Dealt:
        import tensorflow as tf

        weights = tf.constant(self.matrix(width, outputs := self.outputs()))
        function = tf.function(lambda x: tf.nn.softplus(x @ weights))
        return Dealt(function, function, outputs)

    def module(self, width: int) -> Dealt:
        import tensorflow as tf

        module = tf.Module()
        module.weights = tf.Variable(self.matrix(width, outputs := self.outputs()))
        module.predict = tf.function(
            lambda x: tf.sin(x @ module.weights),
            input_signature=[tf.TensorSpec((None, width), tf.float32, name="x")],
        )
        return Dealt(module, module.predict, outputs)

    def saved_model(self, width: int) -> Dealt:
        import tensorflow as tf

        dealt, folder = self.module(width), self.path()
        module: Any = dealt.stage
        tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.predict})
        return Dealt(str(folder), dealt.answer, dealt.width)

    def tflite(self, width: int) -> Dealt:
        import tensorflow as tf

        weights = tf.constant(self.matrix(width, outputs := self.outputs()))

        def body(x: Any) -> Any:
            return tf.nn.sigmoid(tf.matmul(x, weights))

        return Dealt(converted(self.path(".tflite"), body, (None, width)), body, outputs)


KINDS = (
    "keras_layer", "sequential", "tf_keras", "scaler", "pipeline", "numpy_function",
    "tf_function", "module", "saved_model", "keras_file", "tflite",
)  # fmt: skip
FEATURES = 3
MIXES = (2, 4, 3, 2, 3, 4, 2, 3)  # how many stages each has: 23, so that each kind comes twice


def hands() -> list[tuple[str, ...]]:
    """The kinds of each chain: all in a random order, then all again."""
    random = np.random.default_rng(11)
    rounds = -(-sum(MIXES) // len(KINDS))
    deck = [KINDS[i] for _ in range(rounds) for i in random.permutation(len(KINDS))]
    return [tuple(deck[sum(MIXES[:i]) :][:count]) for i, count in enumerate(MIXES)]


def mixed(kinds: Sequence[str], workspace: Workspace, seed: int) -> tuple[EdgeModel, Rows, Rows]:
    """A described chain, rows that it was not described with, and its stages' answers to them."""
    folder = workspace.root.parent / "files"
    folder.mkdir()
    dealer = Dealer(np.random.default_rng(seed), folder)
    stages, values, width = [], dealer.rows(FEATURES), FEATURES
    rows = values
    for kind in kinds:
        dealt = getattr(dealer, kind)(width)
        stages.append(dealt.stage)
        values = np.asarray(dealt.answer(values), np.float32)
        width = dealt.width
        assert values.shape == (len(rows), width)
    rule = "value" if width == 1 else f"argmax {','.join('abcdefghij'[:width])}"
    names, inputs = ["f0", "f1", "f2"], dealer.rows(FEATURES)
    return (
        describe(workspace, "mix", stages, features=names, inputs=inputs, decide=rule),
        rows,
        values,
    )


@pytest.mark.real
@pytest.mark.parametrize("seed", range(len(MIXES)), ids=["-".join(kinds) for kinds in hands()])
def test_any_mix_of_kinds_is_one_graph(seed: int, workspace: Workspace) -> None:
    import tensorflow as tf

    kinds = hands()[seed]
    model, rows, expected = mixed(kinds, workspace, seed)
    loaded = tf.saved_model.load(str(model.saved_model))
    outputs = loaded.signatures[SIGNATURE](tf.constant(rows))[OUTPUT].numpy()
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    # a chain that forgets its rows would prove nothing
    assert len(np.unique(outputs[:, 0])) > len(rows) // 4
    assert len(model.steps) == len(kinds)


@pytest.mark.real
def test_a_chain_of_files_goes_on_to_the_proof(workspace: Workspace) -> None:
    model, rows, _ = mixed(("saved_model", "keras_file", "tflite"), workspace, 8)
    report = validate(workspace, model, convert(workspace, model), inputs=rows)
    assert report.passed and report.flip_count == 0
    assert report.max_abs_diff < 1e-5
