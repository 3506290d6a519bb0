"""The examination of an emulator: right answers pass, wrong and missing ones do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.runtimes import known_answer
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.litert import LITERT
from ggml_magic.runtimes.tflite import TFLITE


@pytest.mark.parametrize("kind", sorted(known_answer.TOLERANCES))
def test_the_known_answers_are_told_apart(kind: str) -> None:
    answers = np.load(known_answer.FOLDER / f"{kind}.npy")
    assert answers.shape == (len(np.load(known_answer.ROWS)), 1)
    assert len(np.unique(answers)) > 20
    assert answers.min() < 0.1 and answers.max() > 0.9


def copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = folder / "selftest"
    shutil.copytree(known_answer.FOLDER, place)
    monkeypatch.setattr(known_answer, "FOLDER", place)
    return place


def test_another_examination_has_another_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = known_answer.digest()
    place = copied(tmp_path, monkeypatch)
    assert known_answer.digest() == before
    np.save(place / "int8.npy", np.zeros((64, 1), np.float32))
    assert known_answer.digest() != before


def test_an_emulator_that_hangs_is_told_as_such(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\nkill -ALRM $$\n")
    program.chmod(0o755)
    with pytest.raises(EdgeRuntimeError, match=r"qemu 99 could not run .* no progress for 120 s"):
        known_answer.examine([str(program)], {}, LITERT, "qemu 99")


@pytest.mark.real
@pytest.mark.parametrize("runtime", [LITERT, TFLITE])
def test_this_machine_passes(runtime: runtimes.PinnedRuntime) -> None:
    python = runtimes.environment(runtime).python
    known_answer.examine([str(python), "-I", "-B"], {}, runtime, "this machine")


@pytest.mark.real
@pytest.mark.parametrize(("kind", "off"), [("float32", 1e-3), ("int8", 17 / 256)])
def test_a_wrong_answer_names_the_emulator(
    kind: str, off: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copied(tmp_path, monkeypatch)
    answers = np.load(place / f"{kind}.npy")
    answers[17] += off
    np.save(place / f"{kind}.npy", answers)
    python = runtimes.environment(LITERT).python
    with pytest.raises(EdgeRuntimeError, match=f"qemu 99 does not compute.*{kind}"):
        known_answer.examine([str(python), "-I", "-B"], {}, LITERT, "qemu 99")


def test_an_emulator_that_dies_names_itself() -> None:
    with pytest.raises(EdgeRuntimeError, match=r"qemu 99 could not run .* exit code 1"):
        known_answer.examine(["false"], {}, LITERT, "qemu 99")


def test_an_emulator_that_crashes_tells_the_signal(tmp_path: Path) -> None:
    # qemu 7.2 does with ai-edge-litert 2.3
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    with pytest.raises(EdgeRuntimeError, match="died of SIGSEGV"):
        known_answer.examine([str(program)], {}, LITERT, "qemu 7.2")
