"""The tasks of the warm child, asked through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained import RAIN_ROWS, rain, recurrent

from ggml_magic.convert.process import Child, Limits, Outcome
from ggml_magic.model.model import EdgeModel
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[EdgeModel, EdgeModel]:
    workspace = Workspace(tmp_path_factory.mktemp("child") / ".ggml")
    return rain(workspace), recurrent(workspace)


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    child = Child(tmp_path_factory.mktemp("child") / "log")
    yield child
    child.end()


def ask(child: Child, task: str, log: Path, **request: Any) -> Outcome:
    return child.ask({"task": task, "log": str(log), **request}, Limits())


def test_a_refused_variant_leaves_the_others(
    child: Child, models: tuple[EdgeModel, EdgeModel], tmp_path: Path
) -> None:
    outcome = ask(
        child,
        "convert",
        tmp_path / "log",
        saved_model=str(models[0].saved_model),
        variants=["float32", "int8", "dynamic"],
        rows=None,  # which int8 cannot do without
        folder=str(tmp_path),
    )
    parts = {part["variant"]: part for part in outcome.told if "variant" in part}
    assert outcome.response == {"done": True} and list(parts) == ["float32", "int8", "dynamic"]
    assert "needs rows to calibrate on" in parts["int8"]["refused"]
    assert "needs rows to calibrate on" in (tmp_path / "log").read_text()
    for variant in ("float32", "dynamic"):
        assert (tmp_path / parts[variant]["file"]).read_bytes()[4:8] == b"TFL3"
        assert parts[variant]["static"] and parts[variant]["one_row"] is False


def test_what_cpp_prints_goes_to_the_requests_own_log(
    child: Child, models: tuple[EdgeModel, EdgeModel], tmp_path: Path
) -> None:
    request = {"saved_model": str(models[1].saved_model), "variants": ["float32"], "rows": None}
    outcome = ask(child, "convert", tmp_path / "one", folder=str(tmp_path), **request)
    (part,) = (part for part in outcome.told if "variant" in part)
    assert part["one_row"] is True
    # the first attempt's words, written by MLIR itself and not by Python
    assert "TensorListReserve" in (tmp_path / "one").read_text()
    ask(child, "inspect", tmp_path / "two", files=[])
    assert (tmp_path / "two").read_text() == ""


def test_loops_are_the_recurrent_layers(
    child: Child, models: tuple[EdgeModel, EdgeModel], tmp_path: Path
) -> None:
    flat, looped = (
        ask(child, "loops", tmp_path / "log", saved_model=str(m.saved_model)).response["loops"]
        for m in models
    )
    assert flat == [] and len(looped) == 1 and "lstm" in looped[0]


def test_answers_go_from_file_to_file(
    child: Child, models: tuple[EdgeModel, EdgeModel], tmp_path: Path
) -> None:
    rows = np.concatenate([RAIN_ROWS] * 120)  # more than one batch
    np.save(tmp_path / "rows.npy", rows)
    files = {name: str(tmp_path / f"{name}.npy") for name in ("rows", "outputs")}
    ask(child, "answer", tmp_path / "log", saved_model=str(models[0].saved_model), **files)
    outputs = np.load(files["outputs"])
    assert outputs.shape == (len(rows), 1) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs[-600:], models[0].sample()[1], atol=1e-6)


def test_a_failure_is_told_and_the_child_lives(child: Child, tmp_path: Path) -> None:
    outcome = ask(child, "inspect", tmp_path / "log", files=[__file__])
    assert outcome.ended == "" and child.alive
    assert outcome.response["failed"].startswith("ValueError: it is no .tflite file")
    assert "Traceback" in (tmp_path / "log").read_text()
    assert ask(child, "nothing", tmp_path / "log").response["failed"] == "KeyError: 'nothing'"
