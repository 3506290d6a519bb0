"""What every reader of a ``.tflite`` needs: its mark, TensorFlow's own schema, operators' names."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ggml_magic.model.training import tensorflow

MARK = b"TFL3"
MARK_AT = 4
CUSTOM = "CUSTOM"
SCHEMA = "tensorflow.lite.python.schema_py_generated"


def is_marked(content: bytes) -> bool:
    """Whether bytes begin as each ``.tflite`` does."""
    return content[MARK_AT : MARK_AT + len(MARK)] == MARK


def schema() -> Any:
    """The flatbuffer schema that TensorFlow brings; raises ``MissingExtraError`` without it."""
    tensorflow()
    return importlib.import_module(SCHEMA)


def names(kind: type) -> Mapping[int, str]:
    """The names of one of the schema's enumerations, by their numbers."""
    return {number: name for name, number in vars(kind).items() if not name.startswith("_")}


def builtin(number: int, narrow: int) -> int:
    """An operator's number: files of before 2021 have it in the narrow field only (RUNTIMES 7)."""
    return max(number, narrow)
