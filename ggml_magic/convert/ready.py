"""A ``.tflite`` that is there already, taken as a candidate after a run on the model's sample."""

from __future__ import annotations

from pathlib import Path

from ggml_magic.convert import candidates, worker
from ggml_magic.convert.candidates import Candidate
from ggml_magic.convert.choice import Target, tried
from ggml_magic.convert.process import Limits, plain
from ggml_magic.convert.variants import READY
from ggml_magic.errors import ConversionError, EdgeRuntimeError
from ggml_magic.model.model import EdgeModel

INSPECT_LOG = "inspect.log"
MARK, MARK_AT = b"TFL3", 4


def adopt(model: EdgeModel, file: Path, target: Target, limits: Limits) -> Candidate:
    """Keep a copy of a ready file as the model's candidate ``ready``, with what the runtime says.

    Raises ``ConversionError`` where it is no such file, or does not take the model's features
    and give its outputs.
    """
    content = _content(model, file)
    with_static = _static(model, file, limits)
    candidates.keep(model, READY, content, static=with_static)
    try:
        return tried(target, candidates.candidate(model, READY))
    except EdgeRuntimeError as error:
        raise _refused(model, file, error.why) from error


def _content(model: EdgeModel, file: Path) -> bytes:
    if not file.is_file():
        raise _refused(model, file, "there is no such file")
    content = file.read_bytes()
    if content[MARK_AT : MARK_AT + len(MARK)] != MARK:
        raise _refused(model, file, "it is no .tflite: the mark TFL3 is not at its beginning")
    return content


def _static(model: EdgeModel, file: Path, limits: Limits) -> dict[str, object]:
    path = str(file.resolve())
    log = model.folder / INSPECT_LOG
    outcome = worker.ask({"task": "inspect", "files": [path]}, log, limits)
    if "reports" not in outcome.response:
        said = plain(outcome.response.get("failed", "")).removeprefix("ValueError: ")
        why = f"the process that reads it {outcome.ended}" if outcome.ended else said
        raise _refused(model, file, why)
    report: dict[str, object] = outcome.response["reports"][path]
    return report


def _refused(model: EdgeModel, file: Path, why: str) -> ConversionError:
    return ConversionError(
        f"{file.name} cannot be taken as the edge file of {model.name}",
        why,
        f"%ggml convert {model.name} --quantize auto",
    )
