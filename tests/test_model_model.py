from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ggml_magic.errors import (
    ContractError,
    FeatureMismatchError,
    GgmlError,
    GrammarError,
    MissingValuesError,
    NotYetError,
    UnsupportedStageError,
)
from ggml_magic.model.model import MODELS, EdgeModel, describe, load
from ggml_magic.workspace import Workspace, read_json, write_json

FEATURES = "pressure:hPa,temperature:degC,humidity:%"
# Run in this process and in a fresh one: the same weights under other automatic names.
MADE = """
import numpy as np, keras
def made(spare=0):
    random = np.random.default_rng(5)
    for _ in range(spare):
        keras.layers.Dense(1), keras.Sequential(), keras.layers.Normalization()
    scaler = keras.layers.Normalization(mean=[1013.0, 12, 65], variance=[64.0, 81, 400])
    scaler.build((None, 3))
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu"),
                                keras.layers.Dense(1, activation="sigmoid")])
    network.set_weights([random.normal(size=w.shape) for w in network.get_weights()])
    return scaler, network
rows = np.random.default_rng(1).normal([1013, 12, 65], [8, 9, 20], (3000, 3)).astype("float32")
"""
FRESH = (
    MADE
    + """
import sys
from pathlib import Path
from ggml_magic.model.model import describe
from ggml_magic.workspace import Workspace
print(describe(Workspace(Path(sys.argv[1])), "rain", made(), features=sys.argv[2],
               inputs=rows).sha256)
"""
)


@pytest.fixture(scope="module")
def kit() -> SimpleNamespace:
    names: dict[str, Any] = {}
    exec(MADE, names)  # noqa: S102  the text above, which a fresh process runs too
    return SimpleNamespace(**names)


@pytest.fixture
def described(kit: SimpleNamespace, workspace: Workspace) -> Callable[..., EdgeModel]:
    def call(stages: Any = None, name: str = "rain", **changes: Any) -> EdgeModel:
        options = {"features": FEATURES, "inputs": kit.rows, **changes}
        return describe(workspace, name, kit.made() if stages is None else stages, **options)

    return call


def test_no_model_was_described(workspace: Workspace) -> None:
    with pytest.raises(NotYetError, match=r"no model 'rain'.*no model was described") as caught:
        load(workspace, "rain")
    assert caught.value.remedy.startswith("%ggml model rain ")
    with pytest.raises(GrammarError):
        load(workspace, "../rain")


@pytest.mark.real
def test_a_described_model_is_found_again(
    described: Callable[..., EdgeModel], workspace: Workspace, kit: SimpleNamespace
) -> None:
    labels = (kit.rows[:, 2] > 80).astype(int)
    model = described(labels=labels, decide=">= 0.31")
    found = load(workspace, "rain")
    assert found == model and not found.stages and len(model.stages) == 2
    assert model.contract.names == ("pressure", "temperature", "humidity")
    assert model.contract.features[0].minimum == kit.rows[:, 0].min()
    assert str(model.contract.decision) == ">= 0.31"
    assert model.provenance.rows == 3000 and len(model.provenance.data_sha256) == 64
    rows, outputs = model.sample()
    assert rows.shape == (2000, 3) and outputs.shape == (2000, 1)
    np.testing.assert_array_equal(rows[[0, -1]], kit.rows[[0, -1]])
    assert (model.saved_model / "saved_model.pb").is_file()
    text = str(model)
    assert text.startswith("rain: 3 features in, 1 output\n")
    assert "hPa" in text and ">= 0.31" in text and "3,000 rows" in text and "2,000 rows" in text
    assert "degC" in model._repr_html_()
    with pytest.raises(NotYetError, match="there is rain"):
        load(workspace, "snow")


@pytest.mark.real
def test_five_features_and_three_classes(
    described: Callable[..., EdgeModel], workspace: Workspace
) -> None:
    import keras

    random = np.random.default_rng(2)
    network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, activation="softmax")])
    frame = pd.DataFrame(random.normal(size=(100, 6)), columns=list("edcbax"))
    labels = random.choice(["low", "mid", "high"], 100)
    model = described(
        [network], features="a,b,c,d,e", inputs=frame, labels=labels, decide="argmax low,mid,high"
    )
    assert model.contract.decision.classes == ("low", "mid", "high")
    np.testing.assert_array_equal(model.sample()[0], frame[list("abcde")].astype(np.float32))
    assert load(workspace, "rain") == model


@pytest.mark.real
def test_the_same_again_is_the_same_and_writes_nothing(
    described: Callable[..., EdgeModel], kit: SimpleNamespace, workspace: Workspace
) -> None:
    model = described()
    stamps = {p: p.stat().st_mtime_ns for p in model.folder.rglob("*")}
    again = described(kit.made(spare=3), inputs=kit.rows.tolist())
    assert again == model
    assert {p: p.stat().st_mtime_ns for p in model.folder.rglob("*")} == stamps


@pytest.mark.real
def test_a_fresh_process_gives_the_same_sha(
    described: Callable[..., EdgeModel], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path / "other"), FEATURES],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.stdout.split()[-1] == described().sha256


@pytest.mark.real
def test_every_change_changes_the_sha(
    described: Callable[..., EdgeModel], kit: SimpleNamespace
) -> None:
    import keras

    def with_weight(place: int) -> Any:
        scaler, network = kit.made()
        weights = network.get_weights()
        weights[place].flat[-1] = np.nextafter(weights[place].flat[-1], np.inf, dtype=np.float32)
        network.set_weights(weights)
        return scaler, network

    def with_mean() -> Any:
        scaler = keras.layers.Normalization(mean=[1013.0, 12, 66], variance=[64.0, 81, 400])
        return scaler, kit.made()[1]

    def with_activation() -> Any:
        scaler, network = kit.made()
        network.layers[0].activation = keras.activations.tanh
        return scaler, network

    wider = np.concatenate([kit.rows, kit.rows.max(axis=0, keepdims=True) + 1])
    shas = [
        described().sha256,
        *(described(with_weight(place)).sha256 for place in range(4)),
        described(with_mean()).sha256,
        described(with_activation()).sha256,
        described(kit.made()[1:]).sha256,
        described(features="pressure:hPa,temperature:degC,dampness:%").sha256,
        described(features="pressure:Pa,temperature:degC,humidity:%").sha256,
        described(features="temperature:degC,pressure:hPa,humidity:%").sha256,
        described(inputs=wider).sha256,
        described(decide=">= 0.31").sha256,
        described(decide="value").sha256,
        described(decide="value within 0.5").sha256,
        described(missing="median").sha256,
    ]
    assert len(set(shas)) == len(shas)


@pytest.mark.real
def test_other_labels_are_other_provenance_of_the_same_model(
    described: Callable[..., EdgeModel], kit: SimpleNamespace
) -> None:
    first = described(labels=np.zeros(3000))
    second = described(labels=np.ones(3000))
    assert second.sha256 == first.sha256 and second.folder == first.folder
    assert second.provenance.data_sha256 != first.provenance.data_sha256


@pytest.mark.real
def test_another_notebook_is_other_provenance_of_the_same_model(
    described: Callable[..., EdgeModel],
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "one.ipynb"))
    first = described()
    path = first.folder / "model.json"
    # an earlier time alone is no difference, and nothing is written
    stored = read_json(path)
    assert stored is not None
    stored["provenance"]["created"] = "2020-01-01T00:00:00+00:00"
    write_json(path, stored)
    stamp = path.stat().st_mtime_ns
    assert described().provenance.created.startswith("2020")
    assert path.stat().st_mtime_ns == stamp
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "two.ipynb"))
    second = described()
    assert second.folder == first.folder
    assert second.provenance.notebook == "two.ipynb"
    assert not second.provenance.created.startswith("2020")
    assert load(workspace, "rain").provenance == second.provenance


@pytest.mark.real
def test_mistakes_are_one_sentence_and_leave_nothing(
    described: Callable[..., EdgeModel], kit: SimpleNamespace, workspace: Workspace
) -> None:
    missing = kit.rows.copy()
    missing[7, 1] = np.nan
    infinite, without = kit.rows.copy(), kit.rows.copy()
    infinite[7, 1], without[:, 2] = np.inf, np.nan
    scaler, network = kit.made()
    mistakes: list[tuple[dict[str, Any], type[GgmlError], str]] = [
        ({"name": "Rain"}, GrammarError, "cannot be called 'Rain'"),
        ({"features": "a,a,b"}, GrammarError, "named twice"),
        ({"features": "rain_error,a,b"}, GrammarError, "rain_error"),
        ({"decide": "> 1"}, GrammarError, "cannot read the decision"),
        ({"stages": []}, UnsupportedStageError, "no stage"),
        ({"stages": ["network"]}, GgmlError, "there is no file 'network'"),
        ({"stages": [3]}, UnsupportedStageError, "an int cannot be a stage"),
        ({"missing": "mean"}, GrammarError, "a missing value cannot be 'mean'"),
        ({"missing": "median", "inputs": infinite}, MissingValuesError, "infinity in temperature"),
        ({"missing": "median", "inputs": without}, MissingValuesError, "no row has a value of"),
        ({"features": "a,b"}, FeatureMismatchError, "inputs has 3 columns"),
        ({"inputs": kit.rows[:, :2]}, FeatureMismatchError, "inputs has 2 columns"),
        (
            {"features": "a,b", "inputs": kit.rows[:, :2]},
            FeatureMismatchError,
            "Normalization 'normalization.*' takes 3 features: the contract gives 2",
        ),
        (
            {"features": "a,b,c,d", "inputs": np.ones((9, 4)), "stages": [network]},
            FeatureMismatchError,
            "takes 3 features: the contract gives 4",
        ),
        ({"inputs": missing}, MissingValuesError, r"temperature \(1 row, first row 7\)"),
        ({"inputs": [["a", "b", "c"]]}, FeatureMismatchError, "not numeric"),
        ({"inputs": np.empty((0, 3))}, ContractError, "no rows"),
        ({"labels": [0, 1]}, ContractError, "2 labels: the inputs have 3,000 rows"),
        ({"decide": "argmax a,b,c"}, ContractError, "1 output: the decision names 3 classes"),
        ({"stages": [scaler]}, ContractError, "3 outputs: the decision '>= 0.5' takes one"),
        ({"stages": [lambda x: network(x) / 0.0]}, UnsupportedStageError, "NaN or infinity"),
    ]
    for changes, error, match in mistakes:
        with pytest.raises(error, match=match) as caught:
            described(**changes)
        assert type(caught.value) is error or error is GgmlError
        assert caught.value.what and caught.value.remedy
        assert len(str(caught.value).splitlines()) == 2
    assert not list((workspace.root / MODELS).rglob("*.*"))


TYPOS = """
import sys
from pathlib import Path
import numpy as np
from ggml_magic.errors import GgmlError
from ggml_magic.model.model import describe
from ggml_magic.workspace import Workspace
old, rows = sys.argv[2], np.ones((9, 3), np.float32)
for stages, features, inputs, labels in (
    ([old], "a,b,c", "gone.npy", None),
    ([old], "a,b,c", rows[:, 0], None),
    ([old], "a,b", rows, None),
    ([old], "a,b,c", rows, [1, 0]),
    ([old], "a,b,c", rows, [7] * 9),
    ([old, "gone.keras"], "a,b,c", rows, None),
    ([3], "a,b,c", rows, None),
):
    try:
        describe(Workspace(Path(sys.argv[1])), "rain", stages, features=features, inputs=inputs,
                 labels=labels)
    except GgmlError as error:
        print(error.what, "tensorflow" in sys.modules, sep="|")
"""


@pytest.mark.real
def test_a_typo_is_told_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    old = tmp_path / "old.keras"
    old.write_bytes(b"x")
    command = [sys.executable, "-c", TYPOS, str(tmp_path / "w"), str(old)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(told) == 7 and all(line.endswith("|False") for line in told), told


@pytest.mark.real
def test_a_folder_that_is_not_whole_is_told_and_mended(
    described: Callable[..., EdgeModel], workspace: Workspace
) -> None:
    model = described()
    (model.folder / "model.json").unlink()
    with pytest.raises(NotYetError, match="files of model 'rain' are gone"):
        load(workspace, "rain")
    assert described() == load(workspace, "rain")
    assert read_json(workspace.root / MODELS / "rain" / "model.json") == {"current": model.sha256}


@pytest.mark.real
def test_a_missing_value_is_the_median_from_describing_on(
    described: Callable[..., EdgeModel], kit: SimpleNamespace
) -> None:
    holes = kit.rows.copy()
    holes[::7, 1] = np.nan
    with pytest.raises(MissingValuesError, match="--missing median"):
        described(inputs=holes)
    model = described(inputs=holes, missing="median")
    median = np.float32(np.nanmedian(holes[:, 1]))
    assert model.contract.missing == "median"
    assert model.contract.features[1].median == pytest.approx(float(median), rel=1e-6)
    assert np.isfinite(model.sample()[0]).all()
    assert "median in training" in str(model)


@pytest.mark.real
def test_a_model_of_an_earlier_version_must_be_described_again(
    described: Callable[..., EdgeModel], workspace: Workspace
) -> None:
    model = described()
    path = model.folder / "model.json"
    now = read_json(path)
    for earlier in (
        {**now, "format": 1},
        {**now, "contract": {**now["contract"], "format": 1}},
    ):
        write_json(path, earlier)
        with pytest.raises(NotYetError, match="described by an earlier version") as caught:
            load(workspace, "rain")
        assert caught.value.remedy.startswith("%ggml model rain ")
        assert len(str(caught.value).splitlines()) == 2


@pytest.mark.real
def test_the_scaler_at_the_head_is_found_and_kept(
    described: Callable[..., EdgeModel], workspace: Workspace, kit: SimpleNamespace
) -> None:
    model = described()
    assert model.scaling is not None and load(workspace, "rain").scaling == model.scaling
    np.testing.assert_allclose(model.scaling.scale, [1 / 8, 1 / 9, 1 / 20], rtol=1e-4)
    assert described(kit.made()[1:]).scaling is None


@pytest.mark.real
def test_scikit_and_numpy_and_keras_are_one_model(
    described: Callable[..., EdgeModel], workspace: Workspace, kit: SimpleNamespace
) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    frame = pd.DataFrame(kit.rows, columns=["pressure", "temperature", "humidity"])
    scaler = ColumnTransformer(
        [("h", MinMaxScaler(), ["humidity"])], remainder=StandardScaler()
    ).fit(frame)
    model = described([scaler, np.tanh, kit.made()[1]], inputs=frame)
    expected = kit.made()[1](np.tanh(scaler.transform(frame)).astype(np.float32))
    np.testing.assert_allclose(
        model.sample()[1][[0, -1]], expected.numpy()[[0, -1]], rtol=1e-5, atol=1e-6
    )
    assert model.provenance.scikit_learn and model.provenance.numpy == np.__version__
    assert model.proof is not None and model.proof.max_abs_diff < 1e-5
    with pytest.raises(FeatureMismatchError, match="was fitted on pressure, temperature"):
        described([scaler], features="temperature,pressure,humidity", decide="argmax a,b,c")


@pytest.mark.real
def test_what_a_stage_notes_is_on_the_card(
    described: Callable[..., EdgeModel], workspace: Workspace, kit: SimpleNamespace
) -> None:
    network = kit.made()[1]

    class Opened:
        name, variables, notes = "old", network.variables, ("read through its graph",)

        def __call__(self, x: Any) -> Any:
            return network(x)

    model = described([Opened()])
    assert model.notes == ("read through its graph",) == load(workspace, "rain").notes
    assert "read through its graph" in str(model)


@pytest.mark.real
def test_a_ready_file_is_its_own_source(
    described: Callable[..., EdgeModel], workspace: Workspace, kit: SimpleNamespace, tmp_path: Path
) -> None:
    import tensorflow as tf

    path = tmp_path / "today.tflite"
    converter = tf.lite.TFLiteConverter.from_saved_model(str(described().saved_model))
    path.write_bytes(converter.convert())
    model = described([str(path)])
    assert model.ready is not None and model.ready.read_bytes() == path.read_bytes()
    assert model.ready.parent == model.folder and not model.saved_model.exists()
    assert not model.stages and model.proof is None and load(workspace, "rain") == model
    _, outputs = model.sample()
    np.testing.assert_allclose(outputs, described().sample()[1], rtol=1e-5, atol=1e-6)
    assert "ready file 'today.tflite' (3 → 1)" in str(model) and "taken as it is" in str(model)
    again = described([path])
    assert again.sha256 == model.sha256
    assert described([path], decide=">= 0.4").sha256 != model.sha256
    # one byte behind the flatbuffer is another file, though it answers the same
    path.write_bytes(path.read_bytes() + b"\0")
    assert described([path]).sha256 != model.sha256
    with pytest.raises(FeatureMismatchError, match="takes 3 features: the contract gives 2"):
        described([path], features="a,b", inputs=kit.rows[:, :2])
    with pytest.raises(ContractError, match="1 output"):
        described([path], decide="argmax a,b")


@pytest.mark.real
def test_what_is_in_the_cloud_is_fetched(
    described: Callable[..., EdgeModel], kit: SimpleNamespace, workspace: Workspace
) -> None:
    asked: list[tuple[str, Path]] = []

    def fetch(where: str, folder: Path) -> Path:
        asked.append((where, folder))
        path = folder / "network.keras"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Keras 3.15 beside numpy 2.4
            kit.made()[1].save(path)
        return path

    model = described([kit.made()[0], "s3://bucket/network.keras"], fetch=fetch)
    assert asked == [("s3://bucket/network.keras", workspace.root / "sources" / "rain")]
    assert model.sha256 == described().sha256
