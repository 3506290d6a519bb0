"""What a SavedModel may not do is found before anything of it runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.saved import open_saved
from ggml_magic.model.scan import REACHING, RESTORING, SAVING, scan

OLD = Path(__file__).parent / "data" / "saved_model_tf21"


@pytest.mark.parametrize(
    "operation",
    ["ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "EagerPyFunc", "PyFuncStateless",
     "PrintV2",
     "TextLineDataset", "WholeFileReaderV2", "TFRecordReader", "ImmutableConst", "RemoteCall",
     "CreateSummaryFileWriter", "InitializeTableFromTextFileV2", "LoadAndRemapMatrix", "Abort",
     "SnapshotDatasetV2", "DebugIdentityV3", "_Send", "_HostRecv", "CSVDatasetV2", "SqlDataset",
     "DistributedSave", "LMDBReader", "IteratorGetNext"],
)  # fmt: skip
def test_operations_that_reach_out_are_known(operation: str) -> None:
    assert REACHING.search(operation)


@pytest.mark.parametrize(
    "operation",
    ["MatMul", "ReadVariableOp", "AssignVariableOp", "StatefulPartitionedCall", "TensorListReserve",
     "TensorArrayReadV3", "VarHandleOp", "Conv2D", "FusedBatchNormV3", "While", "GatherV2",
     "NoOp", "Placeholder", "XlaCallModule", "Erf", "IsFinite"],
)  # fmt: skip
def test_operations_of_inference_are_not(operation: str) -> None:
    assert not REACHING.search(operation)
    assert operation not in SAVING | RESTORING


@pytest.mark.real
def test_an_honest_model_is_read_without_being_run() -> None:
    found = scan(OLD)
    (signature,) = found.signatures
    assert (found.tensorflow, found.tags, signature.name) == (
        "2.1.0",
        ("serve",),
        "serving_default",
    )
    assert [str(value) for value in signature.inputs] == ["dense_input (N, 3)"]
    assert [str(value) for value in signature.outputs] == ["dense_1 (N, 1)"]


def saved(
    folder: Path, body: Callable[[Any], Any], initial: Callable[[], Any] | None = None
) -> Path:
    import tensorflow as tf

    module = tf.Module()
    specification = [tf.TensorSpec((None, 3), tf.float32)]
    module.call = tf.function(body, input_signature=specification, autograph=False)
    if initial is not None:
        module.other = tf.function(initial, input_signature=[], autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.call)
    return folder


@pytest.mark.real
def test_what_a_signature_would_do_to_files_is_refused_and_not_done(tmp_path: Path) -> None:
    import tensorflow as tf

    trace = tmp_path / "trace"

    def writes(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(trace), "x")]):
            return tf.identity(x)

    def reads(x: Any) -> Any:
        return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)

    def prints(x: Any) -> Any:
        with tf.control_dependencies([tf.print("a", output_stream=f"file://{trace}")]):
            return tf.identity(x)

    def python(x: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32), (None, 3))

    def branch(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: writes(x), lambda: x)

    for body, operation in (
        (writes, "WriteFile"),
        (reads, "ReadFile"),
        (prints, "PrintV2"),
        (python, "PyFunc"),
        (branch, "WriteFile"),
    ):
        folder = saved(tmp_path / body.__name__, body)
        with pytest.raises(UnsupportedStageError, match=f"holds the operation {operation}"):
            open_saved(folder, "")
    assert not trace.exists()


@pytest.mark.real
def test_only_the_saver_may_save_and_restore(tmp_path: Path) -> None:
    import tensorflow as tf

    def restores(x: Any) -> Any:
        return x + tf.raw_ops.RestoreV2(
            prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0]  # fmt: skip

    with pytest.raises(UnsupportedStageError, match="RestoreV2"):
        scan(saved(tmp_path / "restores", restores))

    def saves() -> Any:
        tf.raw_ops.SaveV2(
            prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[tf.ones(1)]
        )
        return tf.constant(0)

    with pytest.raises(UnsupportedStageError, match="SaveV2"):
        scan(saved(tmp_path / "saves", lambda x: x, saves))


def edited(folder: Path, change: Callable[[Any], None]) -> Path:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    shutil.copytree(OLD, folder)
    read = SavedModel()
    read.ParseFromString((folder / "saved_model.pb").read_bytes())
    change(read)
    (folder / "saved_model.pb").write_bytes(read.SerializeToString())
    return folder


@pytest.mark.real
def test_restoring_must_not_save_and_unused_functions_count(tmp_path: Path) -> None:
    def swapped(read: Any) -> None:
        saver = read.meta_graphs[0].saver_def
        saver.restore_op_name = saver.save_tensor_name.partition(":")[0]

    with pytest.raises(UnsupportedStageError, match="holds the operation"):
        scan(edited(tmp_path / "swapped", swapped))

    def hidden(read: Any) -> None:
        function = read.meta_graphs[0].graph_def.library.function[0]
        function.node_def.add(name="evil", op="ReadFile")

    with pytest.raises(UnsupportedStageError, match="ReadFile"):
        scan(edited(tmp_path / "hidden", hidden))

    def twice(read: Any) -> None:  # of two functions of one name, only the last would be looked at
        functions = read.meta_graphs[0].graph_def.library.function
        evil = functions.add()
        evil.CopyFrom(functions[0])
        functions[0].node_def.add(name="evil", op="ReadFile")

    with pytest.raises(UnsupportedStageError, match="ReadFile"):
        scan(edited(tmp_path / "twice", twice))


@pytest.mark.real
@pytest.mark.parametrize("other", ["saved_model.cpb", "saved_model.pbtxt"])
def test_a_second_graph_that_would_be_loaded_instead_is_refused(other: str, tmp_path: Path) -> None:
    folder = shutil.copytree(OLD, tmp_path / "m")
    (folder / other).write_bytes(b"")
    with pytest.raises(UnsupportedStageError, match=other):
        scan(folder)


@pytest.mark.real
def test_files_that_are_no_saved_model_are_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(OLD, tmp_path / "m")
    whole = (OLD / "saved_model.pb").read_bytes()
    for content in (b"", b"\xff" * 100, whole[: len(whole) // 2]):
        (folder / "saved_model.pb").write_bytes(content)
        with pytest.raises(UnsupportedStageError, match="no SavedModel that can be loaded"):
            scan(folder)
