"""What runs in the child process: the TFLite converter, or the SavedModel itself.

``python -m ggml_magic.convert.child REQUEST RESPONSE``, both JSON files. The response is
rewritten before and after each step, so that the parent of a crashed child knows which step it
was. Everything printed goes to the parent's log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.model.graph import OUTPUT, SIGNATURE
from ggml_magic.model.stages import BATCH_ROWS
from ggml_magic.model.training import tensorflow

FLOAT32, FLOAT16, DYNAMIC = "float32", "float16", "dynamic"
Response = dict[str, Any]


def convert(request: dict[str, Any], tell: Callable[[Response], None]) -> Response:
    """Convert ``saved_model`` to each of ``variants``, files in ``folder``.

    A variant that the converter refuses is told in ``refused``; the others go on.
    """
    response: Response = {"files": {}, "refused": {}}
    for variant in request["variants"]:
        tell({**response, "step": variant})
        try:
            content = _converter(request["saved_model"], variant).convert()
        except Exception as error:  # noqa: BLE001  the converter raises anything; the parent tells
            response["refused"][variant] = f"{type(error).__name__}: {error}"
            continue
        path = Path(request["folder"]) / f"{variant}.tflite"
        path.write_bytes(content)
        response["files"][variant] = path.name
    return response


def _converter(saved_model: str, variant: str) -> Any:
    tf = tensorflow()
    # from the SavedModel's own signature: never from a Keras object (RUNTIMES 1)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[SIGNATURE])
    if variant != FLOAT32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    return converter


def answer(request: dict[str, Any], tell: Callable[[Response], None]) -> Response:
    """Write the outputs of ``saved_model`` for the rows file into the outputs file, both .npy."""
    tell({"step": "answer"})
    tf = tensorflow()
    loaded = tf.saved_model.load(request["saved_model"])  # kept: its signature alone does not live
    serve = loaded.signatures[SIGNATURE]
    rows = np.load(request["rows"], mmap_mode="r")
    batches = [
        serve(tf.constant(rows[start : start + BATCH_ROWS]))[OUTPUT].numpy()
        for start in range(0, len(rows), BATCH_ROWS)
    ]
    np.save(request["outputs"], np.concatenate(batches))
    return {}


TASKS = {"convert": convert, "answer": answer}


def main(request_file: str, response_file: str) -> None:
    """Do what the request asks and leave the response."""
    request = json.loads(Path(request_file).read_text())

    def tell(response: Response) -> None:
        aside = Path(response_file).with_suffix(".aside")
        aside.write_text(json.dumps(response))
        aside.replace(response_file)

    tell({**TASKS[request["task"]](request, tell), "done": True})


if __name__ == "__main__":
    main(*sys.argv[1:])
