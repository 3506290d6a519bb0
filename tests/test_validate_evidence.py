"""Both sides run over every row, from one file of rows, and nothing stays behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from ggml_magic.convert.convert import load as load_conversion
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.model.model import load as load_model
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.validate import evidence
from ggml_magic.validate.evidence import Subject, gathered, source_answers
from ggml_magic.validate.golden import corners, extras
from ggml_magic.workspace import Workspace


def test_the_rows_and_the_corners_stand_in_one_file(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    extra = rows[:2] + 1
    # a view that is not contiguous is written as what it shows
    evidence._write(tmp_path / "rows.npy", rows[:, ::-1], extra)
    stored = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, np.concatenate([rows[:, ::-1], extra]))


def test_the_saved_model_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "saved_model" / "variables").mkdir(parents=True)
    (tmp_path / "saved_model" / "graph.pb").write_bytes(b"x" * 70)
    (tmp_path / "saved_model" / "variables" / "data").write_bytes(b"x" * 30)
    static = SimpleNamespace(inputs=(SimpleNamespace(shape=(1, 3)),))
    candidate = SimpleNamespace(sha256="b" * 64, size=5, static=static)
    conversion: Any = SimpleNamespace(candidate=candidate, chosen="int8", file=tmp_path / "a")
    model: Any = SimpleNamespace(saved_model=tmp_path / "saved_model", sha256="a" * 64)

    def subject(takes: str) -> Subject:
        runtime: Any = SimpleNamespace(takes=takes)
        return Subject(model, conversion, runtime, "native", runtimes.Limits())

    itself, file = subject("saved_model"), subject("tflite")
    assert (itself.file, itself.sha256, itself.size) == (model.saved_model, model.sha256, 100)
    assert itself.variant == "saved_model" and itself.is_source
    assert (file.file, file.sha256, file.size) == (tmp_path / "a", "b" * 64, 5)
    assert file.variant == "int8" and not file.is_source
    assert (itself.rounds_as, file.rounds_as) == ("float32", "int8")
    # what the file states is not the SavedModel's
    assert (itself.input_shape, file.input_shape) == (None, (1, 3))
    candidate.static = None
    assert file.input_shape is None


def subject_of(workspace: Workspace) -> Subject:
    model = load_model(workspace, "rain")
    conversion = load_conversion(workspace, model)
    return Subject(model, conversion, runtimes.get(), "native", runtimes.Limits())


@pytest.mark.real
def test_both_sides_answer_every_row_and_the_files_go(proven: Workspace) -> None:
    subject = subject_of(proven)
    sample, described = subject.model.sample()
    with gathered(subject, sample) as found:
        assert isinstance(found.source, np.memmap) and isinstance(found.edge, np.memmap)
        np.testing.assert_allclose(found.source, described, atol=1e-5)
        np.testing.assert_allclose(found.edge, described, atol=1e-5)
        np.testing.assert_array_equal(found.extra, extras(subject.model.contract, sample))
        assert len(found.extra_outputs) == len(found.extra) > len(corners(subject.model.contract))
        assert list(subject.model.folder.glob("ggml-validate-*"))
        alone = runtimes.run(subject.runtime, subject.file, found.extra)
        np.testing.assert_array_equal(found.extra_outputs, alone.outputs)
    assert not list(subject.model.folder.glob("ggml-validate-*"))
    np.testing.assert_allclose(source_answers(subject.model, sample[:5]), described[:5], atol=1e-5)


@pytest.mark.real
def test_a_failure_of_one_side_ends_the_other(
    proven: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_of(proven)
    sample, _ = subject.model.sample()

    def fail(*_: object) -> None:
        raise RuntimeError("the source fails while the edge runs")

    monkeypatch.setattr(evidence.worker, "source_outputs", fail)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(RuntimeError, match="the source fails"), gathered(subject, sample):
        pass
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert not list(subject.model.folder.glob("ggml-validate-*"))


@pytest.mark.real
def test_a_file_that_is_none_is_told(proven: Workspace) -> None:
    subject = subject_of(proven)
    sample, _ = subject.model.sample()
    subject.conversion.file.write_bytes(b"no model")
    with pytest.raises(EdgeRuntimeError) as caught, gathered(subject, sample):
        pass
    assert caught.value.remedy and "float32.tflite" in caught.value.what


@pytest.mark.real
def test_a_limit_of_memory_ends_the_edge_s_process_with_a_reason(proven: Workspace) -> None:
    subject = replace(subject_of(proven), limits=runtimes.Limits(memory_bytes=64_000_000))
    sample, _ = subject.model.sample()
    with pytest.raises(EdgeRuntimeError, match="memory") as caught, gathered(subject, sample):
        pass
    assert "address space are too few" in caught.value.why
    assert caught.value.remedy.startswith("--memory ")
    assert not list(subject.model.folder.glob("ggml-validate-*"))
