from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.convert import convert as room
from ggml_magic.convert.convert import (
    CANDIDATES,
    CONVERT_LOG,
    Candidate,
    Conversion,
    convert,
    load,
    source_outputs,
    tolerance,
)
from ggml_magic.convert.process import Outcome
from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.errors import ConversionError, GrammarError, NotYetError
from ggml_magic.model.model import EdgeModel, Provenance, describe
from ggml_magic.model.training import tensorflow
from ggml_magic.workspace import Workspace

ROWS = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)


@pytest.fixture
def undescribed(workspace: Workspace) -> EdgeModel:
    """A model's value without files, for what needs none."""
    contract = Contract((Feature("a", "", 0, 0, 1, 1),), Decision("threshold"))
    provenance = Provenance("", "", None, "", "", 1, None)
    folder = workspace.folder("models", "rain", "0" * 12)
    return EdgeModel("rain", contract, "0" * 64, folder, provenance)


def test_an_unknown_way_to_quantize(workspace: Workspace, undescribed: EdgeModel) -> None:
    with pytest.raises(GrammarError, match="'int8': it is one of none, float16, dynamic, auto"):
        convert(workspace, undescribed, quantize="int8")


def test_there_is_no_conversion_yet(workspace: Workspace, undescribed: EdgeModel) -> None:
    with pytest.raises(NotYetError, match="rain has no converted file") as caught:
        load(workspace, undescribed)
    assert caught.value.remedy == "%ggml convert rain"


def test_the_tolerance_grows_with_the_outputs() -> None:
    assert tolerance("float32", np.asarray([[0.5]], dtype=np.float32)) == 1e-4
    assert tolerance("float32", np.asarray([[-1000.0]], dtype=np.float32)) == pytest.approx(0.1)
    assert tolerance("dynamic", np.zeros((1, 1), dtype=np.float32)) > 1e-4


def crashing(crash_in: str, made: Mapping[str, bytes]) -> Any:
    """What the child would leave behind if the converter ended it by a signal in one variant."""

    def ask(request: Any, folder: Path, log: Path, *, timeout_seconds: float) -> Outcome:
        files: dict[str, str] = {}
        for variant in request["variants"]:
            if variant == crash_in:
                response = {"files": files, "refused": {}, "step": variant}
                return Outcome(response, "SIGSEGV")
            (folder / variant).write_bytes(made[variant])
            files[variant] = variant
        return Outcome({"files": files, "refused": {}, "done": True}, None)

    return ask


def test_a_crash_names_signal_and_log(
    workspace: Workspace, undescribed: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ask", crashing("float32", {}))
    with pytest.raises(ConversionError, match="crashed \\(SIGSEGV\\)") as caught:
        convert(workspace, undescribed)
    assert caught.value.log == str(undescribed.folder / CONVERT_LOG)
    assert caught.value.log in caught.value.why
    monkeypatch.setattr(room, "ask", crashing("dynamic", {"float32": b"f"}))
    with pytest.raises(ConversionError, match="to dynamic: the converter crashed") as caught:
        convert(workspace, undescribed, quantize="dynamic")
    assert caught.value.remedy == "%ggml convert rain --quantize none"
    assert not list(undescribed.folder.glob("ggml-convert-*"))


def test_a_crash_in_one_variant_leaves_the_others(
    workspace: Workspace, undescribed: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ask", crashing("float16", {"float32": b"f", "dynamic": b"d"}))
    variants = ("float32", "float16", "dynamic")
    failed = room._make(undescribed, variants, 1.0)
    assert failed == {"float16": "the converter crashed (SIGSEGV)"}
    assert {p.name for p in (undescribed.folder / CANDIDATES).glob("*.tflite")} == {
        "float32.tflite",
        "dynamic.tflite",
    }


def test_the_card_marks_the_chosen_one() -> None:
    candidates = tuple(
        Candidate(v, Path(v), "0" * 64, s, flips=f)
        for v, s, f in (("float32", 4000, 0), ("dynamic", 1200, 0), ("float16", 2100, None))
    )
    text = str(Conversion("rain", "0" * 64, candidates, "dynamic", "It is the smallest."))
    assert text.startswith("rain: dynamic was chosen, 1,200 B\n")
    assert re.search(r"^\s+→\s+dynamic\s+1,200 B\s+0\s", text, re.MULTILINE)
    assert re.search(r"^\s+float16\s+2,100 B\s+not run", text, re.MULTILINE)
    assert "It is the smallest." in text


def test_the_card_of_one_candidate_has_nothing_to_choose() -> None:
    only = (Candidate("float32", Path("float32.tflite"), "ab" * 32, 4000),)
    text = str(Conversion("rain", "0" * 64, only, "float32", "Nothing was quantised."))
    assert text.startswith("rain: float32, 4,000 B\n")
    assert "float32.tflite" in text
    assert "not run" not in text


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (5100, "Larger than float32 (4,244 B), which loses nothing: --quantize none."),
        (4244, "As big as float32 (4,244 B), which loses nothing: --quantize none."),
        (2122, "50% smaller than float32 (4,244 B); validate shows what it costs."),
    ],
)
def test_the_card_of_an_asked_variant_is_plain(
    undescribed: EdgeModel, count: int, said: str
) -> None:
    candidates = tuple(
        Candidate(v, Path(f"{v}.tflite"), "ab" * 32, s)
        for v, s in (("float32", 4244), ("float16", count))
    )
    text = str(room._as_asked(undescribed, candidates, "float16"))
    assert text.splitlines() == [
        f"rain: float16, {count:,} B",
        "  file    float16.tflite",
        "  sha256  abababababab",
        f"  {said}",
    ]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, EdgeModel]:
    """A model whose weights are many enough for dynamic range to shrink it."""
    tf = tensorflow()
    random = np.random.default_rng(3)
    first, middle, last = (
        tf.Variable(random.normal(size=shape) / shape[0] ** 0.5, dtype=tf.float32)
        for shape in ((3, 128), (128, 128), (128, 1))
    )
    workspace = Workspace(tmp_path_factory.mktemp("convert") / ".ggml")
    stages = [lambda x: tf.sigmoid(tf.nn.relu(tf.nn.relu(x @ first) @ middle) @ last)]
    return workspace, describe(workspace, "rain", stages, features="a,b,c", inputs=ROWS)


@pytest.mark.real
def test_auto_decides_by_evidence_and_keeps_bytes(
    described: tuple[Workspace, EdgeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, model = described
    first = convert(workspace, model, quantize="auto")
    sizes = {c.variant: c.size for c in first.candidates}
    assert sizes["dynamic"] < sizes["float16"] < sizes["float32"]
    sound = [c for c in first.candidates if c.flips == 0]
    assert first.candidates[0].flips == 0 and first.candidates[0].max_abs_diff is not None
    assert first.candidates[0].max_abs_diff < 1e-5
    assert first.candidate.size == min(c.size for c in sound)
    assert all("smaller" in c.note for c in first.candidates[1:])
    assert load(workspace, model) == first

    def no_child(*_: Any, **__: Any) -> Any:
        raise AssertionError("a variant that was made is made again")

    monkeypatch.setattr(room, "ask", no_child)
    assert convert(workspace, model, quantize="auto") == first
    asked = convert(workspace, model, quantize="dynamic")
    assert asked.chosen == "dynamic" and asked.candidate.flips is None
    assert load(workspace, model) == asked
    plain = convert(workspace, model)
    assert plain.chosen == "float32" and len(plain.candidates) == 1
    content = plain.file.read_bytes()
    assert plain.candidate.sha256 == hashlib.sha256(content).hexdigest()
    assert plain.candidate.size == len(content) and load(workspace, model) == plain


@pytest.mark.real
def test_a_small_network_is_told_that_quantising_gains_nothing(
    described: tuple[Workspace, EdgeModel],
) -> None:
    workspace, _ = described
    tf = tensorflow()
    weights = tf.Variable([[1.0], [2.0], [3.0]])
    model = describe(workspace, "small", [lambda x: x @ weights], features="a,b,c", inputs=ROWS)
    conversion = convert(workspace, model, quantize="auto")
    notes = {c.variant: c.note for c in conversion.candidates}
    assert conversion.chosen == "float32" and conversion.reason.startswith("No decision flips")
    assert notes["dynamic"] == "gains nothing: as big as float32"
    assert "bigger than float32" in notes["float16"]
    asked = convert(workspace, model, quantize="dynamic")
    assert asked.reason.startswith("As big as float32 (")


@pytest.mark.real
def test_files_that_are_gone_or_changed(described: tuple[Workspace, EdgeModel]) -> None:
    workspace, model = described
    conversion = convert(workspace, model)
    conversion.file.write_bytes(b"another")
    with pytest.raises(NotYetError, match=r"float32\.tflite is not the file that convert wrote"):
        load(workspace, model)
    again = convert(workspace, model)
    assert again.file.read_bytes()[4:8] == b"TFL3"
    with pytest.raises(NotYetError, match="not converted since it was described"):
        load(workspace, replace(model, sha256="1" * 64))


@pytest.mark.real
def test_the_saved_model_answers_in_the_child(described: tuple[Workspace, EdgeModel]) -> None:
    _, model = described
    rows, outputs = model.sample()
    np.testing.assert_allclose(source_outputs(model, rows), outputs, rtol=1e-5, atol=1e-6)
    assert not list(model.folder.glob("ggml-convert-*"))
