"""A ready .tflite: what it says of its ends, and what is no .tflite."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.ready import ReadyFile, open_ready

pytestmark = pytest.mark.real


def converted(path: Path, body: Any, *shapes: tuple[int | None, ...], **options: Any) -> Path:
    """A .tflite of a function, in the converter's own way."""
    import tensorflow as tf

    specifications = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    concrete = tf.function(body, autograph=False).get_concrete_function(*specifications)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    for name, value in options.items():
        setattr(converter, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the quantiser's own noise (RUNTIMES 1)
        path.write_bytes(converter.convert())
    return path


def dense(x: Any) -> Any:
    import tensorflow as tf

    return tf.nn.relu(tf.matmul(x, tf.reshape(tf.range(12.0), (3, 4))))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(tmp_path_factory.mktemp("ready") / "rain.tflite", dense, (None, 3))


def test_a_file_is_described_by_its_ends(plain: Path, tmp_path: Path) -> None:
    ready = open_ready(plain)
    assert ready == ReadyFile(plain, "rain", 3, 4)
    assert ready.graph is not None
    assert ready.graph.tensors[ready.graph.input].shape == (None, 3)
    assert [o.name for o in ready.graph.operators] == ["FULLY_CONNECTED"]
    assert open_ready(converted(tmp_path / "one.tflite", dense, (1, 3))).width == 3


def test_quantised_inside_is_taken_and_at_its_ends_is_not(tmp_path: Path) -> None:
    import tensorflow as tf

    def rows() -> Any:
        random = np.random.default_rng(0)
        for _ in range(20):
            yield [random.normal(size=(1, 3)).astype(np.float32)]

    options: dict[str, Any] = {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": rows,
    }
    inside = converted(tmp_path / "inside.tflite", dense, (1, 3), **options)
    assert open_ready(inside).width == 3
    ends = {"inference_input_type": tf.int8, "inference_output_type": tf.int8}
    whole = converted(tmp_path / "whole.tflite", dense, (1, 3), **options, **ends)
    with pytest.raises(UnsupportedStageError, match="of int8") as caught:
        open_ready(whole)
    assert "inference_input_type" in caught.value.remedy


def test_other_ends_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedStageError, match="one row without its N"):
        open_ready(converted(tmp_path / "flat.tflite", lambda x: x * 2.0, (3,)))
    with pytest.raises(UnsupportedStageError, match="2 inputs"):
        open_ready(converted(tmp_path / "two.tflite", lambda x, y: x + y, (1, 3), (1, 3)))
    with pytest.raises(UnsupportedStageError, match="2 outputs"):
        open_ready(converted(tmp_path / "outs.tflite", lambda x: (x + 1.0, x * 2.0), (1, 3)))
    with pytest.raises(UnsupportedStageError, match="rows have the shape"):
        open_ready(converted(tmp_path / "image.tflite", lambda x: x * 2.0, (1, 4, 3)))
    with pytest.raises(UnsupportedStageError, match="rows have the shape"):
        open_ready(converted(tmp_path / "seven.tflite", lambda x: x * 2.0, (7, 3)))


def test_what_is_no_tflite_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rain.tflite"
    for content in (b"", b"TFL3", b"PK\x03\x04" + bytes(100), bytes(4) + b"ONNX" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(UnsupportedStageError, match="does not begin as one does"):
            open_ready(path)


def test_every_truncated_file_is_told(plain: Path, tmp_path: Path) -> None:
    whole = plain.read_bytes()
    path = tmp_path / "rain.tflite"
    for end in range(8, len(whole) - 16, 16):
        path.write_bytes(whole[:end])
        with pytest.raises(UnsupportedStageError, match="damaged"):
            open_ready(path)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=400))
def test_random_bytes_behind_the_magic_are_told(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + content)
    with pytest.raises(UnsupportedStageError):
        open_ready(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_never_ends_in_another_error(
    data: st.DataObject, plain: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(plain.read_bytes())
    content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.tflite"
    path.write_bytes(content)
    try:
        assert open_ready(path).width > 0
    except UnsupportedStageError as error:
        assert error.remedy


def test_a_place_that_does_not_exist_is_told(plain: Path, tmp_path: Path) -> None:
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    read = schema.ModelT.InitFromObj(schema.Model.GetRootAs(plain.read_bytes(), 0))
    read.subgraphs[0].operators[0].inputs = [999, 999, -1]
    builder = flatbuffers.Builder(0)
    builder.Finish(read.Pack(builder), b"TFL3")
    path = tmp_path / "rain.tflite"
    path.write_bytes(bytes(builder.Output()))
    with pytest.raises(UnsupportedStageError, match="damaged"):
        open_ready(path)
