"""LiteRT, the runtime that used to be TensorFlow Lite's.

``litert.txt`` locks what the device installs and what the proof runs in: one lock for both,
resolved for every Python of the support range. It is made by ``uv pip compile --universal
--generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.10`` from
``ai-edge-litert==2.3.0``, ``numpy``, ``awsiotsdk`` and ``backports.strenum<1.3`` (1.3 refuses
Python 3.11 and later, which pip heeds and uv does not).
"""

from __future__ import annotations

from pathlib import Path

from ggml_magic.runtimes.kinds import PinnedRuntime

LITERT = PinnedRuntime("ai-edge-litert", "2.3.0", Path(__file__).with_name("litert.txt"))
