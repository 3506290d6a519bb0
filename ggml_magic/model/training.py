"""TensorFlow, when it is needed and not before; quiet, because a notebook is no log."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from typing import Any

from ggml_magic.errors import MissingExtraError

# TensorFlow's C++ side: 3 leaves out all but fatal messages. Read at its import only.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}


def tensorflow() -> Any:
    """The imported TensorFlow; raises ``MissingExtraError`` when it is not installed."""
    require()
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)
    return importlib.import_module("tensorflow")


def require() -> None:
    """Raise ``MissingExtraError`` unless TensorFlow is installed; imports nothing."""
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingExtraError(
            "TensorFlow is not installed",
            "describing and converting a model need it",
            "pip install 'ggml-magic[train]'   (in a conda environment: the same line, under pip)",
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep TensorFlow's notes ("Assets written to …") out of the notebook."""
    logger = logging.getLogger("tensorflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
