"""tflite-runtime, the last under its old name: what devices of some years ago have.

It was built for numpy 1 and fails under numpy 2 without saying why, so ``tflite.txt`` has
``numpy<2``; and it exists for Python 3.8 to 3.11 alone (RUNTIMES 2). Made as ``litert.txt`` is,
with ``--python-version 3.8``, from ``tflite-runtime==2.14.0``, ``numpy<2`` and ``awsiotsdk``.
"""

from __future__ import annotations

from pathlib import Path

from ggml_magic.runtimes.kinds import PinnedRuntime

TFLITE = PinnedRuntime(
    "tflite-runtime",
    "2.14.0",
    Path(__file__).with_name("tflite.txt"),
    module="tflite_runtime.interpreter",
    architectures=("x86_64", "aarch64", "armv7l"),
)
