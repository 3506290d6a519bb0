"""Whether a word says where a saved model is, rather than naming a Python object."""

from __future__ import annotations

from pathlib import Path

MODEL_FILES = (".keras", ".h5", ".tflite", ".zip", ".tar.gz", ".tgz")


def is_place(text: str) -> bool:
    """Whether a word looks like a path or a URL, or is a path that is there."""
    path = text.partition("#")[0]
    return "/" in text or path.endswith(MODEL_FILES) or Path(path).exists()
