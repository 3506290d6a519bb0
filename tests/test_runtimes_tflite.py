from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge import environment, write_model

from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.runtimes import runtime
from ggml_magic.runtimes.litert import LITERT
from ggml_magic.runtimes.tflite import TFLITE

LOCK = TFLITE.requirements.read_text()
PINS = re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE)
ROWS = np.random.default_rng(1).normal(size=(5000, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """LiteRT's environment, which writes models; the cache stays where it is until the end."""
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


@pytest.fixture(scope="module")
def model(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(python, tmp_path_factory.mktemp("m") / "m.tflite", [[1.0, 2.0]], [0.0])


def test_the_lock_has_the_runtime_what_a_device_needs_and_numpy_1() -> None:
    assert ("tflite-runtime", "2.14.0") in PINS
    assert {"awsiotsdk", "awscrt"} <= {name for name, _ in PINS}
    assert [version for name, version in PINS if name == "numpy"] == ["1.24.4", "1.26.4"]
    assert TFLITE.pythons == ((3, 8), (3, 11))


def test_every_pin_has_hashes_and_nothing_names_a_host() -> None:
    for entry in re.split(r"\n(?=[a-z])", LOCK.split("\n", 1)[1]):
        assert "--hash=sha256:" in entry, entry
    assert "://" not in LOCK and "index" not in LOCK


@pytest.mark.real
def test_it_answers_as_its_successor_does(model: Path) -> None:
    ours, successors = runtime.run(TFLITE, model, ROWS), runtime.run(LITERT, model, ROWS)
    assert (ours.runtime, ours.version) == ("tflite-runtime", "2.14.0")
    # the same in every bit, for float32 on one machine (RUNTIMES 5)
    np.testing.assert_array_equal(ours.outputs, successors.outputs)
    assert ours.peak_bytes is not None and 20e6 < ours.peak_bytes < 80e6


@pytest.mark.real
def test_under_numpy_2_it_is_one_clear_line_and_never_an_answer(
    model: Path, tmp_path: Path
) -> None:
    """As when someone installs it without its lock: it imports, and then fails (RUNTIMES 2)."""
    entries = re.split(r"\n(?=[a-z])", LITERT.requirements.read_text())
    wanted = ("numpy",)
    numpy2 = [entry for entry in entries if entry.startswith(wanted)]
    others = [entry for entry in re.split(r"\n(?=[a-z])", LOCK) if not entry.startswith(wanted)]
    lock = tmp_path / "wrong.txt"
    lock.write_text("\n".join([*others, *numpy2]) + "\n")
    wrong = replace(TFLITE, name="tflite-wrong", requirements=lock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GGML_CACHE", str(tmp_path / "cache"))
        with pytest.raises(EdgeRuntimeError) as caught:
            runtime.run(wrong, model, ROWS)
    assert re.fullmatch(
        r"tflite_runtime does not run with numpy 2\S+: "
        "build its environment again from its own lock, which has numpy<2",
        caught.value.why,
    )


@pytest.mark.real
def test_its_environment_is_beside_the_others(python: Path) -> None:
    held = runtime.environment(TFLITE).python
    assert held != python and os.access(held, os.X_OK) and TFLITE.name in held.parts
