"""TensorFlow itself, which runs the SavedModel and no converted file.

Its environment takes 1.5 GB and about half a minute (RUNTIMES 1). ``tensorflow.txt`` is made as
``litert.txt`` is, from ``tensorflow-cpu==2.21.0`` on Linux x86-64 and ``tensorflow==2.21.0``
elsewhere; nothing in it goes to a device.
"""

from __future__ import annotations

from pathlib import Path

from ggml_magic.runtimes.kinds import PinnedRuntime

TENSORFLOW = PinnedRuntime(
    "tensorflow",
    "2.21.0",
    Path(__file__).with_name("tensorflow.txt"),
    takes="saved_model",
    module="tensorflow",
    adapter="runtimes.savedmodel",
)
