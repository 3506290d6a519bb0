from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edge import environment, write_model

from ggml_magic.device.interpreter import (
    BATCH,
    BATCH_BYTES,
    MODULES,
    Interpreter,
    ModelError,
    installed,
)
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.runtimes import runtime

pytestmark = pytest.mark.real

WEIGHTS, BIAS = [[1.0, -2.0, 0.5], [0.25, 0.0, -1.0]], [0.5, -0.5]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


def expected(rows: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(rows @ np.asarray(WEIGHTS, np.float32).T + np.float32(BIAS))))


@pytest.mark.parametrize("batch", [0, 1, 4])
@pytest.mark.parametrize("count", [1, 6, BATCH + 3])
def test_rows_give_the_same_outputs_whatever_the_signature_allows(
    tmp_path: Path, python: Path, batch: int, count: int
) -> None:
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS, batch)
    rows = np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    outputs = runtime.run(runtime.get(), model, rows).outputs
    assert outputs.shape == (count, 2) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected(rows), atol=1e-6)


def test_no_rows_give_no_outputs(tmp_path: Path, python: Path) -> None:
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS)
    assert runtime.run(runtime.get(), model, np.empty((0, 3), np.float32)).outputs.shape == (0, 2)


def test_rows_of_another_width_are_refused(tmp_path: Path, python: Path) -> None:
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS)
    with pytest.raises(EdgeRuntimeError, match="rows of 3 features"):
        runtime.run(runtime.get(), model, np.zeros((2, 4), np.float32))


# Run in the runtime's environment: the model of argv[1] is edited by argv[3] into argv[2]. A graph
# of no operators answers with what it was given, which is all that shapes and kinds need.
EDIT = """
import sys
import flatbuffers
from ai_edge_litert import schema_py_generated as schema
model = schema.ModelT.InitFromPackedBuf(open(sys.argv[1], "rb").read(), 0)
graph = model.subgraphs[0]
x, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
exec(sys.argv[3])
builder = flatbuffers.Builder(1024)
builder.Finish(model.Pack(builder), b"TFL3")
open(sys.argv[2], "wb").write(builder.Output())
"""
ALONE = "graph.operators = []; graph.outputs = graph.inputs; "


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (ALONE + "x.type = schema.TensorType.INT8", "the model's input is int8; float32 is needed"),
        (
            ALONE + "x.shape, x.shapeSignature = [3], None",
            r"the shape \(3,\): one bare row, where a table of rows \(N, 3\) is needed",
        ),
        (
            ALONE + "x.shape, x.shapeSignature = [1, 4, 3], None",
            r"the shape \(1, 4, 3\); a table of rows \(N, F\) is needed",
        ),
        ("graph.inputs = [0, 3]", "the model has 2 inputs; one is needed"),
        ("graph.outputs = [3, 4]", "the model has 2 outputs; one is needed"),
        (
            "graph.operators = []; graph.outputs = [1]",
            r"an output of shape \(2, 3\) for 4096 rows: each row needs an answer of its own",
        ),
    ],
)
def test_what_is_not_one_table_in_and_one_out_is_one_sentence(
    tmp_path: Path, python: Path, edit: str, why: str
) -> None:
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS)
    subprocess.run([python, "-c", EDIT, model, tmp_path / "e.tflite", edit], check=True)
    with pytest.raises(EdgeRuntimeError, match=why) as caught:
        runtime.run(runtime.get(), tmp_path / "e.tflite", np.zeros((7, 3), np.float32))
    assert "\n" not in caught.value.why


def test_wide_rows_go_through_in_batches_that_fit_a_device(tmp_path: Path, python: Path) -> None:
    features = BATCH_BYTES // 4 // 64
    model = write_model(python, tmp_path / "m.tflite", WEIGHTS, BIAS)
    edit = ALONE + f"x.shape, x.shapeSignature = [1, {features}], [-1, {features}]"
    subprocess.run([python, "-c", EDIT, model, tmp_path / "e.tflite", edit], check=True)
    rows = np.random.default_rng(1).normal(size=(65, features)).astype(np.float32)
    run = runtime.run(runtime.get(), tmp_path / "e.tflite", rows)
    assert run.batch_rows == 64
    np.testing.assert_array_equal(run.outputs, rows)


@pytest.mark.parametrize("module", MODULES)
def test_the_environments_own_runtime_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    (tmp_path / module.split(".")[0]).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert installed() == module


def test_an_environment_without_a_runtime_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither ai_edge_litert\S+ nor tflite_runtime"):
        Interpreter(tmp_path / "m.tflite")


def test_what_is_no_model_is_one_line(tmp_path: Path, python: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model at all, but long enough to look at")
    for name, why in (("m.tflite", "cannot load m.tflite"), ("none.tflite", "no model at")):
        with pytest.raises(EdgeRuntimeError, match=why) as caught:
            runtime.run(runtime.get(), tmp_path / name, np.zeros((1, 3), np.float32))
        assert "\n" not in caught.value.why
