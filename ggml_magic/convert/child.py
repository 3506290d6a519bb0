"""The warm child: keeps TensorFlow loaded and answers one request after the other.

``python -m ggml_magic.convert.child IDLE_SECONDS REQUESTS RESPONSES LIFELINE``, the last three
numbers of inherited pipes. Requests and responses are lines of JSON. Before each step it is
told, so that the parent of a crashed child knows which one it was. All that is printed, by
Python or by TensorFlow's C++, goes to the request's own log.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.convert import inspection
from ggml_magic.convert.fixed import REFUSAL, one_row
from ggml_magic.convert.variants import CALIBRATION_BATCH, NothingToSplitError, content
from ggml_magic.model.graph import OUTPUT, SIGNATURE
from ggml_magic.model.stages import BATCH_ROWS
from ggml_magic.model.training import tensorflow

Response = dict[str, Any]
Tell = Callable[[Response], None]
LOOPS = ("While", "StatelessWhile")
PRINTED = (1, 2)
# the one model whose answers are asked for again and again, by its folder and its time
_loaded: dict[tuple[str, int], Any] = {}


def convert(request: Response, tell: Tell) -> Response:
    """Convert ``saved_model`` to each of ``variants``, as files in ``folder``.

    ``rows`` is a ``.npy`` for calibration, or null. Told of each: ``{"variant", "file",
    "one_row", "static"}``, or ``{"variant", "refused"}``; the others go on.
    """
    source = _Source(request["saved_model"], Path(request["folder"]))
    rows = None if request["rows"] is None else np.load(request["rows"], mmap_mode="r")
    for variant in request["variants"]:
        tell({"step": variant})
        try:
            made = source.content(variant, rows)
            path = Path(request["folder"]) / f"{variant}.tflite"
            path.write_bytes(made)
            static = inspection.inspect(made)
        except (OSError, MemoryError):  # of this machine, not of the variant
            raise
        except Exception as error:  # noqa: BLE001  the converter raises anything; the parent tells
            traceback.print_exc()
            tell({"variant": variant, "refused": _said(error)})
            continue
        tell(
            {
                "variant": variant,
                "file": path.name,
                "one_row": source.is_one_row,
                "static": static,
            }
        )
    return {}


def _said(error: Exception) -> str:
    """An error of ours is a sentence; one of the converter's needs its name to be found."""
    ours = isinstance(error, NothingToSplitError)
    return str(error) if ours else f"{type(error).__name__}: {error}"


class _Source:
    """A SavedModel on its way; ``is_one_row`` once its batch had to be fixed."""

    def __init__(self, saved_model: str, folder: Path) -> None:
        self._saved_model = saved_model
        self._folder = folder
        self.is_one_row = False

    def content(self, variant: str, rows: Any) -> bytes:
        """A file's bytes; the model is taken again with one row where an open batch is refused."""
        try:
            return self._content(variant, rows)
        except Exception as error:
            if self.is_one_row or REFUSAL not in str(error):
                raise
            self._saved_model = one_row(self._saved_model, self._folder / "one_row")
            self.is_one_row = True
            return self._content(variant, rows)

    def _content(self, variant: str, rows: Any) -> bytes:
        step = 1 if self.is_one_row else CALIBRATION_BATCH
        return content(self._saved_model, variant, rows, step=step)


def answer(request: Response, tell: Tell) -> Response:
    """Write the outputs of ``saved_model`` for ``rows`` into ``outputs``, both memory-mapped."""
    tell({"step": "answer"})
    tf = tensorflow()
    serve = _model(request["saved_model"]).signatures[SIGNATURE]
    rows = np.load(request["rows"], mmap_mode="r")
    width = int(serve.structured_outputs[OUTPUT].shape[-1])
    outputs = np.lib.format.open_memmap(
        request["outputs"], mode="w+", dtype=np.float32, shape=(len(rows), width)
    )
    for at in range(0, len(rows), BATCH_ROWS):
        batch = tf.constant(rows[at : at + BATCH_ROWS], dtype=tf.float32)
        outputs[at : at + BATCH_ROWS] = serve(batch)[OUTPUT].numpy()
    outputs.flush()
    return {}


def _model(saved_model: str) -> Any:
    written = Path(saved_model, "saved_model.pb").stat().st_mtime_ns
    if (saved_model, written) not in _loaded:
        model = tensorflow().saved_model.load(saved_model)
        _loaded.clear()
        # kept whole: a signature alone does not live (RUNTIMES 1)
        _loaded[saved_model, written] = model
    return _loaded[saved_model, written]


def inspect(request: Response, tell: Tell) -> Response:
    """What the files of ``files`` say of themselves, by their path."""
    tell({"step": "inspect"})
    return {"reports": {f: inspection.inspect(Path(f).read_bytes()) for f in request["files"]}}


def loops(request: Response, tell: Tell) -> Response:
    """The scopes of ``saved_model`` that hold a loop: its recurrent layers."""
    tell({"step": "loops"})
    definition = _model(request["saved_model"]).signatures[SIGNATURE].graph.as_graph_def()
    nodes = [*definition.node]
    for function in definition.library.function:
        nodes += function.node_def
    return {"loops": sorted({n.name.rpartition("/")[0] for n in nodes if n.op in LOOPS})}


TASKS = {"convert": convert, "answer": answer, "inspect": inspect, "loops": loops}


def serve(idle_seconds: float, requests: int, responses: int) -> None:
    """Answer requests until they end, or none came for ``idle_seconds``."""

    def tell(response: Response) -> None:
        line = json.dumps(response).encode() + b"\n"
        while line:
            line = line[os.write(responses, line) :]

    with os.fdopen(requests, "rb", buffering=0) as lines:
        while select.select([lines], [], [], idle_seconds)[0]:
            line = lines.readline()
            if not line:
                return
            _answer(json.loads(line), tell)


def _answer(request: Response, tell: Tell) -> None:
    _print_to(request["log"])
    try:
        response = TASKS[request["task"]](request, tell)
    except Exception as error:  # noqa: BLE001  told to the parent, whose sentence it becomes
        traceback.print_exc()
        response = {"failed": f"{type(error).__name__}: {error}"}
    _print_to(os.devnull)
    tell({**response, "done": True})


def _print_to(log: str) -> None:
    """Let everything that is printed go to ``log``, from C++ as well."""
    sys.stdout.flush()
    sys.stderr.flush()
    # appended, so that what two writers print stays whole
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for printed in PRINTED:
        os.dup2(handle, printed)
    os.close(handle)


def end_with_parent(lifeline: int) -> None:
    """Let the kernel end this process group when the other end of the pipe is closed.

    By a signal whose default is to end: it comes in the middle of a conversion as well, when no
    line of Python would run.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it was closed before
        sys.exit()


def main(idle_seconds: str, *pipes: str) -> None:
    """Serve over the inherited pipes; nothing that this process starts inherits them."""
    requests, responses, lifeline = map(int, pipes)
    for pipe in (requests, responses, lifeline):
        os.set_inheritable(pipe, False)
    end_with_parent(lifeline)
    serve(float(idle_seconds), requests, responses)


if __name__ == "__main__":
    main(*sys.argv[1:])
