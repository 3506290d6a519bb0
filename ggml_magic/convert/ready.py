"""A ``.tflite`` that is there already, taken as a candidate after a run on the model's sample."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import replace
from pathlib import Path

from ggml_magic.convert import candidates, worker
from ggml_magic.convert.candidates import Candidate
from ggml_magic.convert.choice import Target, tried
from ggml_magic.convert.inspection import NO_MARK
from ggml_magic.convert.process import Limits, plain, scratch
from ggml_magic.convert.static import StaticReport
from ggml_magic.convert.variants import READY
from ggml_magic.errors import ConversionError, EdgeRuntimeError
from ggml_magic.model.flatfile import is_marked
from ggml_magic.model.model import EdgeModel
from ggml_magic.runtimes import runtime as runtimes

INSPECT_LOG = "inspect.log"


def adopt(model: EdgeModel, file: Path, target: Target, limits: Limits) -> Candidate:
    """Keep a copy of a ready file as the model's candidate ``ready``, with what the runtime says.

    Raises ``ConversionError`` where it is no such file, or does not take the model's features
    and give its outputs.
    """
    instead = _instead(model, target)
    content = _content(model, file, instead)
    static = _static(model, file, limits, instead)
    # tried elsewhere first: a file that is refused must not replace the one that was accepted
    with scratch(model.folder) as folder:
        candidate = _given(folder, content, static)
        accepted = _accepted(model, file, target, candidate, instead)
    candidates.keep(model, READY, content, static=static)
    return replace(accepted, path=candidates.path(model, READY))


def _given(folder: Path, content: bytes, static: dict[str, object]) -> Candidate:
    path = folder / f"{READY}.tflite"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Candidate(READY, path, sha256, len(content), static=StaticReport.from_dict(static))


def _accepted(
    model: EdgeModel, file: Path, target: Target, candidate: Candidate, instead: str
) -> Candidate:
    try:
        return tried(target, candidate)
    except EdgeRuntimeError as error:
        why = error.why.replace(candidate.path.name, file.name)
        if candidate.static is not None and candidate.static.flex:
            # the runtime says it in a paragraph on Android
            why = f"{candidate.static.flex_needed}, which {target.runtime.name} lacks"
        raise _refused(model, file, why, instead) from error


def _instead(model: EdgeModel, target: Target) -> str:
    """The line to go on with: what the model has, in a runtime that takes it."""
    line = f"%ggml convert {model.name}"
    if model.ready is not None:  # it ran in the default runtime when it was described
        return line
    line += " --quantize auto"
    chosen = target.runtime.name
    return line if chosen == runtimes.DEFAULT else f"{line} --runtime {chosen}"


def _content(model: EdgeModel, file: Path, instead: str) -> bytes:
    if not file.is_file():
        why = "it is a folder" if file.is_dir() else "there is no such file"
        raise _refused(model, file, why, f"ls {shlex.quote(str(_nearest(file)))}")
    content = file.read_bytes()
    if not is_marked(content):
        raise _refused(model, file, NO_MARK, instead)
    return content


def _nearest(file: Path) -> Path:
    """The folder of a path that is there, in which to look for what was meant."""
    return next((place for place in (file, *file.parents) if place.is_dir()), Path())


def _static(model: EdgeModel, file: Path, limits: Limits, instead: str) -> dict[str, object]:
    path = str(file.resolve())
    log = model.folder / INSPECT_LOG
    outcome = worker.ask({"task": "inspect", "files": [path]}, log, limits)
    if "reports" not in outcome.response:
        said = plain(outcome.response.get("failed", "")).removeprefix("ValueError: ")
        why = f"the process that reads it {outcome.ended}" if outcome.ended else said
        raise _refused(model, file, why, instead)
    report: dict[str, object] = outcome.response["reports"][path]
    return report


def _refused(model: EdgeModel, file: Path, why: str, instead: str) -> ConversionError:
    return ConversionError(
        f"{file.name} cannot be taken as the edge file of {model.name}", why, instead
    )
