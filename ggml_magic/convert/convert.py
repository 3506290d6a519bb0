"""SavedModel to TFLite files, and the choice among them by evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.convert.child import DYNAMIC, FLOAT16, FLOAT32
from ggml_magic.convert.process import Outcome, ask, plain, scratch
from ggml_magic.device.contract import Rows
from ggml_magic.errors import ConversionError, EdgeRuntimeError, GrammarError, NotYetError
from ggml_magic.model.decide import flipped
from ggml_magic.model.model import EdgeModel
from ggml_magic.presentation import Card, Presented, plural, size
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.workspace import Workspace, read_json, write_bytes, write_json

AUTO = "auto"
# What the user writes, and the variants that it makes. float32 is always made: it is the measure.
QUANTIZE: Mapping[str, tuple[str, ...]] = {
    "none": (FLOAT32,),
    FLOAT16: (FLOAT32, FLOAT16),
    DYNAMIC: (FLOAT32, DYNAMIC),
    AUTO: (FLOAT32, FLOAT16, DYNAMIC),
}
CANDIDATES = "candidates"
CONVERSION_FILE = "conversion.json"
CONVERT_LOG = "convert.log"
ANSWER_LOG = "answer.log"
# The rain network takes 0.25 s a variant and TensorFlow's import 4 s; MobileNetV2 takes 3 s
# (RUNTIMES 1 and 3). The rest is for slow machines.
TIMEOUT_SECONDS = 300.0
# An output may differ from the notebook's by this much, times the largest output above 1.
# float32: 1.8e-7 on x86-64, 6.9e-6 at worst on armv7 (RUNTIMES 3 and 5), and a decade of room.
# float16: 2.7e-3 measured; dynamic range: 7.4e-3 measured (RUNTIMES 2 and 3); room likewise.
TOLERANCES: Mapping[str, float] = {FLOAT32: 1e-4, FLOAT16: 1e-2, DYNAMIC: 5e-2}


@dataclass(frozen=True)
class Candidate:
    """One file: its variant, hash, size in bytes, and what the runtime said of it.

    ``flips`` are decisions of the sample that differ from the notebook's, ``max_abs_diff`` the
    largest difference of an output; both None where the file was not run.
    """

    variant: str
    path: Path
    sha256: str
    size: int
    flips: int | None = None
    max_abs_diff: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Conversion(Presented):
    """The candidate files of a model, which was chosen, and why."""

    name: str
    model_sha256: str
    candidates: tuple[Candidate, ...]
    chosen: str
    reason: str

    @property
    def candidate(self) -> Candidate:
        """The chosen candidate."""
        return next(c for c in self.candidates if c.variant == self.chosen)

    @property
    def file(self) -> Path:
        """The file of the chosen candidate."""
        return self.candidate.path

    def card(self) -> Card:
        """Each candidate with its size and evidence; an arrow marks the chosen one."""
        if all(c.flips is None for c in self.candidates):
            # the user chose, and nothing was run to choose by
            facts = (("file", self.file.name), ("sha256", self.candidate.sha256[:12]))
            return Card(
                f"{self.name}: {self.chosen}, {size(self.candidate.size)}",
                facts,
                notes=(self.reason,),
            )
        title = f"{self.name}: {self.chosen} was chosen, {size(self.candidate.size)}"
        rows = tuple(
            (
                "→" if c.variant == self.chosen else "",
                c.variant,
                size(c.size),
                "not run" if c.flips is None else f"{c.flips:,}",
                "not run" if c.max_abs_diff is None else f"{c.max_abs_diff:.2g}",
                c.note,
            )
            for c in self.candidates
        )
        columns = ("", "variant", "size", "flips", "max diff", "note")
        return Card(title, columns=columns, rows=rows, notes=(self.reason,))


def tolerance(variant: str, outputs: Rows) -> float:
    """How far an output of this variant may be from the notebook's outputs (N, K), absolute.

    The variant's constant, times the largest output where that is above 1: the rounding of a
    float grows with its value.
    """
    return TOLERANCES[variant] * max(1.0, float(np.abs(outputs).max(initial=0.0)))


def convert(
    workspace: Workspace,
    model: EdgeModel,
    *,
    quantize: str = "none",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Conversion:
    """Convert a model's SavedModel in a child process and choose a variant.

    ``quantize`` is none, float16, dynamic or auto; auto runs each variant in the device's
    runtime and takes the smallest whose decisions are all the notebook's. A variant that was
    made before keeps its bytes. Raises ``GrammarError``, ``ConversionError``,
    ``EdgeRuntimeError`` where float32 itself does not run, ``MissingExtraError``.
    """
    variants = QUANTIZE.get(quantize)
    if variants is None:
        raise GrammarError(
            f"cannot quantize as {quantize!r}",
            f"it is one of {', '.join(QUANTIZE)}",
            f"%ggml convert {model.name} --quantize auto",
        )
    needed = (FLOAT32,) if quantize == AUTO else variants
    with workspace.lock(f"model-{model.name}"):
        failed = _make(model, variants, timeout_seconds)
    for variant in needed:
        if variant in failed:
            raise _not_made(model, variant, failed[variant])
    candidates = _compared([_candidate(model, v) for v in variants if v not in failed])
    if quantize == AUTO:
        conversion = _by_evidence(model, candidates, failed)
    else:
        conversion = _as_asked(model, candidates, variants[-1])
    write_json(model.folder / CONVERSION_FILE, _to_dict(conversion))
    return conversion


def _make(model: EdgeModel, variants: Sequence[str], timeout_seconds: float) -> dict[str, str]:
    """Make the variants that are not there; returns those that failed, with the reason.

    A crash costs the variant in which it happened; the rest go to a new child.
    """
    failed: dict[str, str] = {}
    waiting = [variant for variant in variants if not _is_whole(model, variant)]
    while waiting:
        with scratch(model.folder) as folder:
            request = {
                "task": "convert",
                "saved_model": str(model.saved_model),
                "variants": waiting,
                "folder": str(folder),
            }
            log = model.folder / CONVERT_LOG
            outcome = ask(request, folder, log, timeout_seconds=timeout_seconds)
            made = outcome.response.get("files", {})
            for variant, file in made.items():
                _keep(model, variant, (folder / file).read_bytes())
        failed |= _failures(model, outcome, waiting)
        waiting = [v for v in waiting if v not in made and v not in failed]
    return failed


def _failures(model: EdgeModel, outcome: Outcome, waiting: Sequence[str]) -> dict[str, str]:
    failed = {v: plain(why) for v, why in outcome.response.get("refused", {}).items()}
    if outcome.crash is None:
        return failed
    if outcome.step not in waiting:
        raise _not_made(model, waiting[0], f"TensorFlow crashed at its start ({outcome.crash})")
    return {**failed, outcome.step: f"the converter crashed ({outcome.crash})"}


def _not_made(model: EdgeModel, variant: str, why: str) -> ConversionError:
    log = model.folder / CONVERT_LOG
    other = f"%ggml convert {model.name} --quantize none"
    return ConversionError(
        f"{model.name} could not be converted to {variant}",
        f"{why}; its log is {log}",
        f"cat {log}" if variant == FLOAT32 else other,
        log=str(log),
    )


def _path(model: EdgeModel, variant: str) -> Path:
    return model.folder / CANDIDATES / f"{variant}.tflite"


def _stamp(model: EdgeModel, variant: str) -> Path:
    return _path(model, variant).with_suffix(".json")


def _keep(model: EdgeModel, variant: str, content: bytes) -> None:
    write_bytes(_path(model, variant), content)
    write_json(_stamp(model, variant), {"sha256": hashlib.sha256(content).hexdigest()})


def _is_whole(model: EdgeModel, variant: str) -> bool:
    """Whether the variant's file is there and has not been touched since it was made."""
    stamp, path = read_json(_stamp(model, variant)), _path(model, variant)
    return (
        stamp is not None
        and path.is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest() == stamp["sha256"]
    )


def _candidate(model: EdgeModel, variant: str) -> Candidate:
    path = _path(model, variant)
    content = path.read_bytes()
    return Candidate(variant, path, hashlib.sha256(content).hexdigest(), len(content))


def _compared(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates with a note on what each gains over float32, which comes first."""
    full = candidates[0].size
    return tuple(
        c if c.variant == FLOAT32 else replace(c, note=_gain(c.size, full)) for c in candidates
    )


def _gain(count: int, full: int) -> str:
    if count < full:
        return f"{1 - count / full:.0%} smaller than float32"
    if count == full:
        return "gains nothing: as big as float32"
    return f"gains nothing: {count / full - 1:.0%} bigger than float32"


def _as_asked(model: EdgeModel, candidates: tuple[Candidate, ...], variant: str) -> Conversion:
    full, chosen = candidates[0], candidates[-1]
    if variant == FLOAT32:
        reason = "Nothing was quantised."
    elif chosen.size < full.size:
        reason = (
            f"{_gain(chosen.size, full.size)} ({size(full.size)}); validate shows what it costs."
        )
    elif chosen.size == full.size:
        reason = f"As big as float32 ({size(full.size)}), which loses nothing: --quantize none."
    else:
        reason = f"Larger than float32 ({size(full.size)}), which loses nothing: --quantize none."
    return Conversion(model.name, model.sha256, candidates, variant, reason)


def _by_evidence(
    model: EdgeModel, candidates: tuple[Candidate, ...], failed: Mapping[str, str]
) -> Conversion:
    """Run all candidates on the sample; no flips comes first, then size, then float32."""
    rows, source = model.sample()
    tried = tuple(_tried(model, c, rows, source) for c in candidates)
    sound = [c for c in tried if c.flips == 0]
    # float32 stands first, so that min() takes it among equals
    chosen = min(sound, key=lambda c: c.size) if sound else tried[0]
    said = [f"{variant} was left out: {why}." for variant, why in failed.items()]
    return Conversion(
        model.name, model.sha256, tried, chosen.variant, " ".join((_why(chosen, tried), *said))
    )


def _why(chosen: Candidate, tried: Sequence[Candidate]) -> str:
    if chosen.flips:
        return "Every variant flips decisions of the sample; float32 is the nearest."
    if chosen.variant == FLOAT32:
        sounder = [c for c in tried if c.size < chosen.size]
        return (
            "The smaller variants flip decisions or do not run."
            if sounder
            else "No decision flips, and no variant is smaller."
        )
    return "No decision of the sample flips, and it is the smallest that keeps them all."


def _tried(model: EdgeModel, candidate: Candidate, rows: Rows, source: Rows) -> Candidate:
    try:
        run = runtimes.run(runtimes.get(), candidate.path, rows)
    except EdgeRuntimeError as error:
        if candidate.variant == FLOAT32:
            raise
        return replace(candidate, note=f"does not run: {error.why}")
    allowed = tolerance(candidate.variant, source)
    flips = int(flipped(model.contract.decision, source, run.outputs, allowed).sum())
    difference = float(np.abs(run.outputs - source).max())
    if not np.isfinite(difference):
        flips, note = len(rows), "answers NaN or infinity"
        return replace(candidate, flips=flips, max_abs_diff=float("inf"), note=note)
    told = f"{plural(flips, 'decision')} of {len(rows):,} flip{'s' if flips == 1 else ''}"
    note = "; ".join(part for part in (candidate.note, told if flips else "") if part)
    return replace(candidate, flips=flips, max_abs_diff=difference, note=note)


def _to_dict(conversion: Conversion) -> dict[str, Any]:
    candidates = [{**asdict(c), "path": c.path.name} for c in conversion.candidates]
    for candidate in candidates:
        if candidate["max_abs_diff"] == float("inf"):
            candidate["max_abs_diff"] = "inf"  # JSON has no infinity
    return {**asdict(conversion), "candidates": candidates}


def load(workspace: Workspace, model: EdgeModel) -> Conversion:
    """The conversion that ``convert`` left for this very model.

    Raises ``NotYetError`` when there is none, or when its files are gone or another's.
    """
    stored = read_json(model.folder / CONVERSION_FILE)
    if stored is None or stored["model_sha256"] != model.sha256:
        raise _not_yet(model, "this model was not converted since it was described")
    candidates = []
    for values in stored["candidates"]:
        path = model.folder / CANDIDATES / values["path"]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != values["sha256"]:
            raise _not_yet(model, f"{path.name} is not the file that convert wrote")
        difference = values["max_abs_diff"]
        difference = None if difference is None else float(difference)
        candidates.append(Candidate(**{**values, "path": path, "max_abs_diff": difference}))
    return Conversion(**{**stored, "candidates": tuple(candidates)})


def _not_yet(model: EdgeModel, why: str) -> NotYetError:
    return NotYetError(f"{model.name} has no converted file", why, f"%ggml convert {model.name}")


def source_outputs(
    model: EdgeModel, rows: Rows, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> Rows:
    """What the SavedModel answers to rows (N, F): outputs (N, K), computed in the child.

    For models loaded from disk, whose live stages are gone. Raises ``ConversionError`` and
    ``MissingExtraError``.
    """
    log = model.folder / ANSWER_LOG
    with scratch(model.folder) as folder:
        request = {
            "task": "answer",
            "saved_model": str(model.saved_model),
            "rows": str(folder / "rows.npy"),
            "outputs": str(folder / "outputs.npy"),
        }
        np.save(request["rows"], rows)
        outcome = ask(request, folder, log, timeout_seconds=timeout_seconds)
        if outcome.crash is not None:
            raise ConversionError(
                f"the SavedModel of {model.name} could not be run",
                f"its process crashed ({outcome.crash})",
                f"cat {log}",
                log=str(log),
            )
        outputs: Rows = np.load(request["outputs"])
    return outputs
