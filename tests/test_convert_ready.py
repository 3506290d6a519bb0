"""A ``.tflite`` that was there before, as a candidate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trapfiles
from trained import RAIN_FEATURES, RAIN_ROWS, rain, recurrent

from ggml_magic.convert import worker
from ggml_magic.convert.convert import convert, load
from ggml_magic.errors import ConversionError
from ggml_magic.model.model import EdgeModel, describe
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    yield Workspace(tmp_path_factory.mktemp("ready") / ".ggml")
    worker.end()


@pytest.fixture(scope="module")
def model(place: Workspace) -> EdgeModel:
    return rain(place)


def three_outputs(place: Workspace) -> EdgeModel:
    import keras

    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation="softmax")])
    return describe(
        place,
        "three",
        (network,),
        features=RAIN_FEATURES,
        inputs=RAIN_ROWS,
        decide="argmax dry,wet,snow",
    )


def test_a_file_is_taken_as_it_is_with_what_the_runtime_says(
    place: Workspace, model: EdgeModel, tmp_path: Path
) -> None:
    file = tmp_path / "device.tflite"
    file.write_bytes(convert(place, model).file.read_bytes())
    same = convert(place, model, file=file)
    assert same.chosen == "ready" and same.file.read_bytes() == file.read_bytes()
    assert same.candidate.flips == 0 and same.candidate.static is not None
    assert "device.tflite was taken as it is" in same.reason and load(place, model) == same
    other = rain(place, units=4, name="other")
    assert "does not decide as other does" in convert(place, other, file=str(file)).reason


def test_what_is_no_edge_file_of_this_model(
    place: Workspace, model: EdgeModel, tmp_path: Path
) -> None:
    text, cut = tmp_path / "text.tflite", tmp_path / "cut.tflite"
    text.write_text("nothing of the kind")
    cut.write_bytes(convert(place, model).file.read_bytes()[:200])
    gust = convert(place, recurrent(place)).file
    for file, why in (
        (text, "the mark TFL3 is not at its beginning"),
        (cut, "damaged or cut short"),
        (gust, "12 features"),
    ):
        with pytest.raises(ConversionError, match=why) as caught:
            convert(place, model, file=file)
        assert caught.value.remedy == "%ggml convert rain --quantize auto"
    with pytest.raises(ConversionError, match="the mark TFL3") as caught:
        convert(place, model, file=text, runtime="tflite-runtime")
    assert caught.value.remedy == "%ggml convert rain --quantize auto --runtime tflite-runtime"
    own = replace(model, ready=model.folder / "ready.tflite")
    with pytest.raises(ConversionError, match="the mark TFL3") as caught:
        convert(place, own, file=text)
    assert caught.value.remedy == "%ggml convert rain"  # there is nothing to quantise


def test_a_path_that_leads_nowhere_is_looked_at(
    place: Workspace, model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = tmp_path / "my files"
    inside.mkdir()
    for file, why, look in (
        ("none.tflite", "there is no such file", "ls ."),
        (inside / "none.tflite", "there is no such file", f"ls '{inside}'"),
        (inside / "gone" / "none.tflite", "there is no such file", f"ls '{inside}'"),
        (inside, "it is a folder", f"ls '{inside}'"),
    ):
        with pytest.raises(ConversionError, match=why) as caught:
            convert(place, model, file=file)
        assert caught.value.remedy == look


def test_a_refused_file_leaves_the_accepted_one(
    place: Workspace, model: EdgeModel, tmp_path: Path
) -> None:
    right, three = tmp_path / "right.tflite", tmp_path / "three.tflite"
    right.write_bytes(convert(place, model).file.read_bytes())
    accepted = convert(place, model, file=right)
    three.write_bytes(convert(place, three_outputs(place)).file.read_bytes())
    with pytest.raises(ConversionError) as caught:
        convert(place, model, file=three)
    assert caught.value.why == "it gives 3 outputs to each row, and the notebook's model 1"
    assert load(place, model) == accepted
    assert accepted.file.read_bytes() == right.read_bytes()
    assert not list(model.folder.glob("ggml-convert-*"))


def test_one_answer_to_every_row_is_told_beside_the_true_flips(
    place: Workspace, model: EdgeModel, tmp_path: Path
) -> None:
    made, file = trapfiles.scaler_skipped(), tmp_path / "noscaler.tflite"
    file.write_bytes(made)
    weather = describe(
        place,
        "weather",
        (trapfiles.rain().scaler, trapfiles.rain().network),
        features=trapfiles.FEATURES,
        inputs=trapfiles.weather(),
    )
    adopted = convert(place, weather, file=file)
    source = weather.sample()[1]
    assert adopted.candidate.flips == (source >= 0.5).sum() < len(source) / 2
    assert adopted.candidate.fault == "gives one answer to every row"
    assert "gives one answer to every row" in str(adopted)
    assert load(place, weather) == adopted
