"""Whether a word says where a saved model is, rather than naming a Python object."""

from __future__ import annotations

from pathlib import Path

MODEL_FILES = (".keras", ".h5", ".tflite", ".zip", ".tar.gz", ".tgz")


def is_place(text: str) -> bool:
    """Whether a word looks like a path or a URL, or is a path that is there."""
    looks_so = "/" in text or text.partition("#")[0].endswith(MODEL_FILES)
    return looks_so or Path(text).exists()
