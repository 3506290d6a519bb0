"""Candidate files from the warm child, and a plain sentence for each that could not be made."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.convert import worker
from ggml_magic.convert.candidates import keep, kept
from ggml_magic.convert.process import Limits, Outcome, how_ended, last_line, plain, scratch
from ggml_magic.convert.refusals import remember
from ggml_magic.convert.representative import Representative
from ggml_magic.convert.variants import CALIBRATED, FLOAT32
from ggml_magic.errors import ConversionError
from ggml_magic.model.model import STAGES_FILE, EdgeModel
from ggml_magic.workspace import read_json

CONVERT_LOG = "convert.log"
# The converter's own faults come again; SIGKILL may be the kernel's, short of memory that day.
CRASHES = tuple(
    how_ended(-number) for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE)
)


def make(
    model: EdgeModel,
    variants: Sequence[str],
    representative: Representative | None,
    limits: Limits,
) -> dict[str, str]:
    """Make the variants that are not there; returns those that failed, with the reason.

    A crash or a limit costs the variant in which it happened; the rest go to a new child.
    """
    failed: dict[str, str] = {}
    rows = None if representative is None else representative.sha256
    waiting = [v for v in variants if kept(model, v, rows if v in CALIBRATED else None) is None]
    log = model.folder / CONVERT_LOG
    while waiting:
        with scratch(model.folder) as folder:
            outcome = worker.ask(_request(model, waiting, representative, folder), log, limits)
            made = [_take(model, part, folder, rows) for part in outcome.told if "file" in part]
        refused = {part["variant"]: part["refused"] for part in outcome.told if "refused" in part}
        lasting = {variant: plain(why) for variant, why in refused.items()}
        if outcome.ended or outcome.response.get("failed"):
            blamed, why = _blamed(model, outcome, waiting, log), _why(model, outcome, log, limits)
            failed[blamed] = why
            if outcome.ended in CRASHES:
                lasting[blamed] = why
        for variant, why in lasting.items():
            remember(model, variant, why, rows)
        failed |= lasting
        waiting = [v for v in waiting if v not in made and v not in failed]
    return failed


def _request(
    model: EdgeModel,
    variants: Sequence[str],
    representative: Representative | None,
    folder: Path,
) -> dict[str, Any]:
    rows = None
    if representative is not None and any(v in CALIBRATED for v in variants):
        rows = folder / "rows.npy"
        np.save(rows, representative.rows)
    return {
        "task": "convert",
        "saved_model": str(model.saved_model),
        "variants": list(variants),
        "folder": str(folder),
        "rows": rows and str(rows),
    }


def _take(model: EdgeModel, part: dict[str, Any], folder: Path, rows: str | None) -> str:
    variant = str(part["variant"])
    keep(
        model,
        variant,
        (folder / part["file"]).read_bytes(),
        representative=rows if variant in CALIBRATED else None,
        one_row=part["one_row"],
        static=part["static"],
    )
    return variant


def _blamed(model: EdgeModel, outcome: Outcome, waiting: Sequence[str], log: Path) -> str:
    """The variant in which the child ended; raises where it did not come as far as one."""
    if outcome.step in waiting:
        return outcome.step
    said = last_line(log)
    raise ConversionError(
        f"{model.name} could not be converted",
        f"TensorFlow did not start: {_how(outcome)}"
        + (f"; its last words: {said}" if said else ""),
        f"cat {shlex.quote(str(log))}",
        log=str(log),
    )


def _why(model: EdgeModel, outcome: Outcome, log: Path, limits: Limits) -> str:
    """How the child ended, and in which part of the model."""
    if not outcome.ended:
        return _how(outcome)
    return f"the converter {outcome.ended} in {_part(model, log, limits)}"


def _how(outcome: Outcome) -> str:
    if outcome.ended:
        return f"its process {outcome.ended}"
    return plain(outcome.response["failed"])


def _part(model: EdgeModel, log: Path, limits: Limits) -> str:
    """The part of the model that a converter's end is owed to: its loops, else its stages.

    Loops are recurrent layers, at which the quantiser crashes (RUNTIMES 1).
    """
    request = {"task": "loops", "saved_model": str(model.saved_model)}
    # in a log of its own: the crash's last words stay
    outcome = worker.ask(request, log.with_name("loops.log"), limits)
    loops = outcome.response.get("loops")
    if loops:
        return f"the recurrent layer {', '.join(loops)} (operator WHILE)"
    steps = read_json(model.folder / STAGES_FILE) or []
    heavy = [step for step in steps if step["parameters"]] or steps
    named = ", ".join(f"{step['kind']} {step['name']!r}" for step in heavy)
    return f"the stage {named}" if named else "the model's graph"


def not_made(model: EdgeModel, variant: str, why: str) -> ConversionError:
    """The error for a variant that was asked for and could not be made."""
    log = model.folder / CONVERT_LOG
    if variant == FLOAT32:
        remedy = f"cat {shlex.quote(str(log))}"
    else:
        other = "dynamic" if variant in CALIBRATED else "none"
        remedy = f"%ggml convert {model.name} --quantize {other}"
    return ConversionError(
        f"{model.name} could not be converted to {variant}",
        f"{why}; its log is {log}",
        remedy,
        log=str(log),
    )
