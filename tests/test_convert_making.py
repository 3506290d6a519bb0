"""What is said of a variant that could not be made; the making itself is in convert's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from trained import rain

from ggml_magic.convert import worker
from ggml_magic.convert.making import CONVERT_LOG, make, not_made
from ggml_magic.convert.process import Limits
from ggml_magic.errors import ConversionError
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


def test_a_child_that_comes_to_no_variant_is_told(workspace: Workspace) -> None:
    model = rain(workspace, units=4)
    log = model.folder / CONVERT_LOG
    worker.end()
    with pytest.raises(ConversionError, match="TensorFlow did not start: its process ") as caught:
        make(model, ["float32"], None, Limits(seconds=0.05))
    assert caught.value.log == str(log) and caught.value.remedy == f"cat {log}"
    assert not list(model.folder.glob("ggml-convert-*"))


def test_the_way_out_is_another_variant_or_the_log(workspace: Workspace) -> None:
    model = rain(workspace, units=4)
    said = {v: not_made(model, v, "why").remedy for v in ("float32", "float16", "int8")}
    assert said["float32"] == f"cat {Path(model.folder, CONVERT_LOG)}"
    assert said["float16"] == "%ggml convert rain --quantize none"
    assert said["int8"] == "%ggml convert rain --quantize dynamic"
