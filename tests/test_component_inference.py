from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.component import inference
from ggml_magic.errors import InferenceCodeError
from ggml_magic.workspace import Workspace


def test_the_default_is_good_device_code() -> None:
    inference.check("rain", inference.default_code())


def test_code_is_kept_as_it_was_written(workspace: Workspace) -> None:
    assert inference.load(workspace, "rain") is None
    code = "import math\nLIMIT = 3\ndef celsius(f):\n    ...\ndef read(context):\n    ...\n"
    path = inference.store(workspace, "rain", code)
    assert path == workspace.root / "models" / "rain" / "inference.py"
    assert inference.load(workspace, "rain") == code


@pytest.mark.parametrize(
    "code",
    [
        "def read(context, limit=3):\n    ...",
        "def predict(*everything):\n    ...",
        "def write(result, context, *, quietly=True):\n    ...",
        "def read(context, /):\n    ...",
    ],
)
def test_functions_that_can_be_called_pass(code: str) -> None:
    inference.check("rain", code)


@pytest.mark.parametrize(
    ("code", "line", "why"),
    [
        ("def read(context):\n  return (", 2, "never closed"),
        ("def read(context):\n    ...\nreturn 3", 3, "outside function"),
        (
            "\ndef reed(context):\n    ...",
            2,
            r"reed\(\) is never called; did you mean read\(context\)",
        ),
        ("def read():\n    ...", 1, r"it must be read\(context\)"),
        ("def predict(rows):\n    ...", 1, r"it must be predict\(rows, model\)"),
        ("def write(result, context, more):\n    ...", 1, r"it must be write\(result, context\)"),
        ("def read(context, *, limit):\n    ...", 1, r"it must be read\(context\)"),
        ("async def read(context):\n    ...", 1, "plain function"),
        ("def read(context):\n    import tensorflow as tf", 2, "tensorflow is not on the device"),
        ("def read(context):\n    ...\nfrom sklearn.svm import SVC", 3, "sklearn.svm is not"),
        ("from . import x\ndef read(context):\n    ...", 1, "not on the device"),
        ("def read(context):\n    return '\0'", 1, "null"),
    ],
)
def test_code_that_could_not_run_is_refused_with_its_line(
    workspace: Workspace, code: str, line: int, why: str
) -> None:
    with pytest.raises(InferenceCodeError, match=why) as caught:
        inference.store(workspace, "rain", code)
    assert f"rain, line {line}" in caught.value.what
    assert inference.load(workspace, "rain") is None


@pytest.mark.parametrize("code", ["LIMIT = 3", ""])
def test_code_that_defines_nothing_has_no_line_to_blame(code: str) -> None:
    with pytest.raises(InferenceCodeError, match="it defines none of read") as caught:
        inference.check("rain", code)
    assert caught.value.what == "the inference code of rain"


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("def read(context", 'line 1 ("def read(context")'),
        ("\r\n  \r\ndef reed(context):\r\n    ...", 'line 3 ("def reed(context):")'),
        ("def read(context):\n    return '\0'", 'line 1 ("def read(context):")'),
        ("def read(context):\n    import torch # " + "x" * 99, "torch # " + "x" * 44 + '…")'),
    ],
)
def test_the_offending_line_is_quoted(code: str, place: str) -> None:
    with pytest.raises(InferenceCodeError) as caught:
        inference.check("big", code)
    assert caught.value.what.endswith(place)
    assert len(caught.value.what.partition('("')[2]) <= 60 + len('")')


def test_a_line_that_is_not_there_is_not_quoted() -> None:
    with pytest.raises(InferenceCodeError) as caught:
        inference.check("big", "def read(context):\n")
    assert caught.value.what.startswith("the inference code of big, line ")
    assert '""' not in caught.value.what


def test_a_refused_cell_leaves_the_code_before_it(workspace: Workspace, tmp_path: Path) -> None:
    inference.store(workspace, "rain", "def read(context):\n    ...")
    with pytest.raises(InferenceCodeError):
        inference.store(workspace, "rain", "def read(")
    assert inference.load(workspace, "rain") == "def read(context):\n    ..."
