"""A ``.tflite`` that was there before, as a candidate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from trained import rain, recurrent

from ggml_magic.convert import worker
from ggml_magic.convert.convert import convert, load
from ggml_magic.errors import ConversionError
from ggml_magic.model.model import EdgeModel
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    yield Workspace(tmp_path_factory.mktemp("ready") / ".ggml")
    worker.end()


@pytest.fixture(scope="module")
def model(place: Workspace) -> EdgeModel:
    return rain(place)


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
        (tmp_path / "none.tflite", "there is no such file"),
        (text, "the mark TFL3 is not at its beginning"),
        (cut, "damaged or cut short"),
        (gust, "12 features"),
    ):
        with pytest.raises(ConversionError, match=why) as caught:
            convert(place, model, file=file)
        assert caught.value.remedy == "%ggml convert rain --quantize auto"
    with pytest.raises(ConversionError, match="there is no such file") as caught:
        convert(place, model, file=tmp_path / "none.tflite", runtime="tflite-runtime")
    assert caught.value.remedy == "%ggml convert rain --quantize auto --runtime tflite-runtime"
    own = replace(model, ready=model.folder / "ready.tflite")
    with pytest.raises(ConversionError, match="there is no such file") as caught:
        convert(place, own, file=tmp_path / "none.tflite")
    assert caught.value.remedy == "%ggml convert rain"  # there is nothing to quantise
