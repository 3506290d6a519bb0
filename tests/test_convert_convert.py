from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from trained import RAIN_ROWS, rain, recurrent

from ggml_magic.convert import worker
from ggml_magic.convert.convert import QUANTIZE, Limits, convert, load
from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.errors import ContractError, ConversionError, GrammarError, NotYetError
from ggml_magic.model.model import EdgeModel, Provenance
from ggml_magic.workspace import Workspace


@pytest.fixture
def undescribed(workspace: Workspace) -> EdgeModel:
    """A model's value without files, for what needs none."""
    contract = Contract((Feature("a", "", 0, 0, 1, 1, 0.5),), Decision("threshold"))
    provenance = Provenance("", "", None, "", "", 1, None)
    folder = workspace.folder("models", "rain", "0" * 12)
    return EdgeModel("rain", contract, "0" * 64, folder, provenance)


def test_what_cannot_be_asked(workspace: Workspace, undescribed: EdgeModel) -> None:
    with pytest.raises(GrammarError, match="cannot quantize as 'int4': it is one of none, float1"):
        convert(workspace, undescribed, quantize="int4")
    with pytest.raises(GrammarError, match="rows are of no use here: they calibrate int8"):
        convert(workspace, undescribed, representative=RAIN_ROWS)
    with pytest.raises(GrammarError, match=r"a ready \.tflite cannot become int8"):
        convert(workspace, undescribed, quantize="int8", file="a.tflite")
    with pytest.raises(GrammarError, match="cannot read the limit of flips"):
        convert(workspace, undescribed, max_flips="few")
    ready = replace(undescribed, ready=undescribed.folder / "ready.tflite")
    with pytest.raises(GrammarError, match=r"a ready \.tflite cannot become float16"):
        convert(workspace, ready, quantize="float16")


def test_there_is_no_conversion_yet(workspace: Workspace, undescribed: EdgeModel) -> None:
    with pytest.raises(NotYetError, match="rain has no converted file") as caught:
        load(workspace, undescribed)
    assert caught.value.remedy == "%ggml convert rain"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    yield Workspace(tmp_path_factory.mktemp("convert") / ".ggml")
    worker.end()


@pytest.fixture(scope="module")
def model(place: Workspace) -> EdgeModel:
    return rain(place)


@pytest.mark.real
def test_a_small_network_gains_nothing_and_stays_float32(
    place: Workspace, model: EdgeModel
) -> None:
    first = convert(place, model, quantize="auto")
    assert [c.variant for c in first.candidates] == list(QUANTIZE["auto"])
    assert first.chosen == "float32"
    assert first.reason == "Quantising gains nothing: no variant is smaller."
    assert all(c.note.startswith("gains nothing") for c in first.candidates[1:])
    assert all(c.static is not None and c.row_microseconds for c in first.candidates)
    worst = {c.variant: c.max_abs_diff or 0.0 for c in first.candidates}
    assert worst["float32"] < 1e-5 and worst["int8-split"] < worst["int8"]
    assert load(place, model) == first
    text = str(first)
    assert re.search(r"^\s+→\s+float32\s+[\d,]+ B\s+0\s", text, re.MULTILINE)
    assert "calibrated on  600 rows of the training data" in text
    # nothing is made or run again, so that even the times are the same
    assert convert(place, model, quantize="auto") == first


@pytest.mark.real
def test_a_wide_network_gains_by_what_flips_little_enough(place: Workspace) -> None:
    wide = rain(place, units=256, name="wide")
    strict = convert(place, wide, quantize="auto")
    size = {c.variant: c.size for c in strict.candidates}
    flips = {c.variant: c.flips for c in strict.candidates}
    assert size["dynamic"] < size["float16"] < size["float32"] and size["int8"] < size["float16"]
    assert flips[strict.chosen] == 0
    loose = convert(place, wide, quantize="auto", max_flips="50%")
    assert loose.candidate.size < size["float32"] / 3
    assert "smaller than float32" in loose.reason


@pytest.mark.real
def test_ten_rows_are_refused_before_anything_is_converted(
    place: Workspace, model: EdgeModel
) -> None:
    before = worker.pid()
    for quantize in ("int8", "auto"):
        with pytest.raises(ContractError, match="10 rows, and 100 are needed; "):
            convert(place, model, quantize=quantize, representative=RAIN_ROWS[:10])
    assert worker.pid() == before
    fit = convert(place, model, quantize="int8", representative=RAIN_ROWS[::2])
    assert "calibrated on  300 rows given as representative" in str(fit)
    assert load(place, model) == fit


@pytest.mark.real
def test_an_asked_variant_is_told_plainly(place: Workspace, model: EdgeModel) -> None:
    plain = convert(place, model)
    assert str(plain).startswith("rain: float32, ") and "not run" not in str(plain)
    assert convert(place, model, quantize="int16x8").reason.startswith("Larger than float32 (")


@pytest.mark.real
def test_the_crash_of_an_lstm_in_int8_says_what_and_where(place: Workspace) -> None:
    gust = recurrent(place)
    with pytest.raises(ConversionError, match=r"to int8: .*crashed \(SIGSEGV\)") as caught:
        convert(place, gust, quantize="int8")
    assert re.search(r"in the recurrent layer \S*lstm\S* \(operator WHILE\)", caught.value.why)
    assert caught.value.remedy == "%ggml convert gust --quantize dynamic"
    assert "TensorListReserve" in (gust.folder / "convert.log").read_text()
    # the next request gets a fresh child, and what was made before the crash is there
    made = convert(place, gust, quantize="dynamic")
    assert "takes one row at a time" in str(made)
    with pytest.raises(ConversionError, match="there is nothing to split"):
        convert(place, gust, quantize="int8-split")
    chosen = convert(place, gust, quantize="auto")
    failed = dict(chosen.failed)
    assert set(failed) == {"int8", "int16x8", "int8-split"} and "not made: " in str(chosen)
    assert not list(gust.folder.glob("ggml-convert-*"))
    # what crashed is remembered: the same again costs no child
    warm = worker.pid()
    assert convert(place, gust, quantize="auto").failed == chosen.failed
    assert worker.pid() == warm is not None
    assert "crashed (SIGSEGV)" in failed["int8"]


@pytest.mark.real
def test_files_that_are_gone_or_changed(place: Workspace, model: EdgeModel) -> None:
    conversion = convert(place, model)
    conversion.file.write_bytes(b"another")
    with pytest.raises(NotYetError, match=r"float32\.tflite is not the file that convert wrote"):
        load(place, model)
    assert convert(place, model).file.read_bytes()[4:8] == b"TFL3"
    with pytest.raises(NotYetError, match="not converted since it was described"):
        load(place, replace(model, sha256="1" * 64))


@pytest.mark.real
def test_a_limit_costs_the_variant_and_is_told(place: Workspace) -> None:
    small = rain(place, units=4, name="small")
    convert(place, small)
    with pytest.raises(ConversionError, match=r"to float16: the converter held .* of memory"):
        convert(place, small, quantize="float16", limits=Limits(memory_bytes=1_000_000))


@pytest.mark.real
def test_auto_on_an_old_runtime_tells_what_does_not_run_there(place: Workspace) -> None:
    wide = rain(place, units=256, name="old")
    found = convert(place, wide, quantize="auto", runtime="tflite-runtime", max_flips="100%")
    notes = {c.variant: c.note for c in found.candidates}
    assert "does not run: " in notes["dynamic"] and "FULLY_CONNECTED" in notes["dynamic"]
    assert found.chosen != "dynamic" and found.candidate.flips is not None
    assert "does not run" not in notes[found.chosen] and found.candidate.size < 100_000
    assert re.search(r"^\s+dynamic\s+.*not run\s+not run\s+not run\s", str(found), re.MULTILINE)
    assert "tflite-runtime 2.14.0" in str(found)
    # where it runs it is taken, with a word about the devices where it does not
    told = str(convert(place, wide, quantize="dynamic"))
    assert "it does not load in tflite-runtime 2.14.0 and tflite-runtime 2.5.0" in told
