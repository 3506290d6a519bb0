from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.runtimes.savedmodel import BATCH, SavedModel


def test_what_is_no_saved_model_is_told_before_tensorflow_is_imported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no SavedModel at {tmp_path}"):
        SavedModel(tmp_path, "no_such_module")


def saved(folder: Path, specifications: dict[str, Any], outputs: Any, name: str) -> Path:
    import tensorflow as tf

    module = tf.Module()
    function = tf.function(outputs, input_signature=list(specifications.values()))
    module.function = function
    tf.saved_model.save(module, str(folder), signatures={name: function})
    return folder


@pytest.mark.real
def test_signatures_are_read_from_the_saved_model_itself(tmp_path: Path) -> None:
    import tensorflow as tf

    def table(rows: int | None, width: int | None = 3, dtype: Any = tf.float32) -> Any:
        return tf.TensorSpec((rows, width), dtype, name="anything")

    def twice(values: Any) -> Any:
        return {"whatever": 2 * values}

    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    for count, step in ((None, BATCH), (8, 8)):
        folder = saved(tmp_path / f"{count}", {"x": table(count)}, twice, "serving_default")
        model = SavedModel(folder, "tensorflow")
        assert (model.features, model.width, model.step) == (3, 3, step)
        np.testing.assert_array_equal(model.outputs(rows), 2 * rows)
        with pytest.raises(ValueError, match="rows of 3 features, not of 2"):
            model.outputs(rows[:, :2])

    def two(values: Any) -> Any:
        return {"a": values, "b": values}

    def both(a: Any, b: Any) -> Any:
        return {"a": a + b}

    integers = tf.TensorSpec((None, 3), tf.int32, name="i")
    row = tf.TensorSpec((3,), tf.float32, name="r")
    other = tf.TensorSpec((None, 3), tf.float32, name="other")
    for at, (specifications, outputs, name, why) in enumerate(
        [
            ({"x": table(None)}, twice, "other", "no signature 'serving_default'"),
            ({"x": table(None)}, two, "serving_default", "2 outputs; one is needed"),
            ({"x": table(None), "y": other}, both, "serving_default", "2 inputs; one is needed"),
            ({"x": integers}, twice, "serving_default", "input is int32; float32 is needed"),
            ({"x": row}, twice, "serving_default", r"takes \(3,\); a table \(N, F\) is needed"),
        ]
    ):
        folder = saved(tmp_path / f"bad{at}", specifications, outputs, name)
        with pytest.raises(ValueError, match=why):
            SavedModel(folder, "tensorflow")
