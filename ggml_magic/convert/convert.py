"""SavedModel to TFLite files, and the choice among them by evidence."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ggml_magic.convert import candidates as files
from ggml_magic.convert.candidates import Candidate, Conversion, gain
from ggml_magic.convert.choice import Target, chosen, compared, tried
from ggml_magic.convert.making import CONVERT_LOG, make, not_made
from ggml_magic.convert.process import Limits
from ggml_magic.convert.ready import adopt
from ggml_magic.convert.refusals import remembered
from ggml_magic.convert.representative import Representative, check
from ggml_magic.convert.representative import representative as for_rows
from ggml_magic.convert.variants import (
    CALIBRATED,
    DYNAMIC,
    FLOAT16,
    FLOAT32,
    INT8,
    INT16X8,
    MADE,
    READY,
    SPLIT,
)
from ggml_magic.errors import ContractError, GrammarError, NotYetError
from ggml_magic.model.flips import FlipLimit, parse_flips
from ggml_magic.model.model import EdgeModel
from ggml_magic.presentation import size
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.workspace import Workspace

__all__ = [
    "CONVERT_LOG",
    "QUANTIZE",
    "Candidate",
    "Conversion",
    "Limits",
    "convert",
    "load",
]

NONE, AUTO = "none", "auto"
# What the user writes, and the variants that it makes. float32 is always made: it is the measure.
QUANTIZE: Mapping[str, tuple[str, ...]] = {
    NONE: (FLOAT32,),
    **{variant: (FLOAT32, variant) for variant in (FLOAT16, DYNAMIC, INT8, INT16X8, SPLIT)},
    AUTO: MADE,
}


def convert(
    workspace: Workspace,
    model: EdgeModel,
    *,
    quantize: str = NONE,
    representative: object = None,
    file: str | Path | None = None,
    runtime: str = runtimes.DEFAULT,
    max_flips: str = "0%",
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Conversion:
    """Convert a model's SavedModel in the warm child and choose a variant.

    ``quantize`` is none, float16, dynamic, int8, int16x8, int8-split or auto, which runs each
    variant on ``runtime`` and takes the best that flips no more than ``max_flips``.
    ``representative`` rows (N, F) calibrate the int8 kinds, in place of training rows. ``file``
    is a ready ``.tflite`` to take instead. Raises ``GrammarError``, ``ContractError`` for rows
    that represent nothing, ``ConversionError``, ``EdgeRuntimeError`` where float32 itself does
    not run, ``MissingExtraError``.
    """
    limit = parse_flips(max_flips)
    _check_asked(model, quantize, representative, file)
    ready = Path(file) if file is not None else model.ready
    with workspace.lock(f"model-{model.name}"):
        if ready is not None:
            conversion = _as_it_is(model, ready, _target(model, runtime, limit), limits)
        elif quantize == AUTO:
            target = _target(model, runtime, limit)
            conversion = _by_evidence(model, target, representative, limits)
        else:
            conversion = _as_asked(model, quantize, representative, limits)
        files.store(model, conversion)
    return conversion


def _check_asked(
    model: EdgeModel, quantize: str, representative: object, file: str | Path | None
) -> None:
    if quantize not in QUANTIZE:
        raise GrammarError(
            f"cannot quantize as {quantize!r}",
            f"it is one of {', '.join(QUANTIZE)}",
            f"%ggml convert {model.name} --quantize auto",
        )
    ready = file is not None or model.ready is not None
    as_it_is = f"%ggml convert {model.name}"
    if file is not None:
        as_it_is += f" --file {shlex.quote(str(file))}"
    if ready and quantize not in (NONE, AUTO):
        raise GrammarError(
            f"a ready .tflite cannot become {quantize}",
            "it holds no SavedModel: it is taken as it is",
            as_it_is,
        )
    calibrated = any(variant in CALIBRATED for variant in QUANTIZE[quantize])
    if representative is not None and (ready or not calibrated):
        raise GrammarError(
            "representative rows are of no use here",
            f"they calibrate {', '.join(CALIBRATED)}",
            as_it_is
            if ready
            else f"%ggml convert {model.name} --quantize int8 --representative X_train",
        )


def _target(model: EdgeModel, runtime: str, limit: FlipLimit) -> Target:
    found = runtimes.get(runtime)
    if found.takes != "tflite":
        raise GrammarError(
            f"{runtime} takes no .tflite",
            "it runs the SavedModel, and there is nothing to choose",
            f"%ggml convert {model.name} --runtime {runtimes.DEFAULT}",
        )
    rows, source = model.sample()
    return Target(found, rows, source, model.contract.decision, limit)


def _as_it_is(model: EdgeModel, file: Path, target: Target, limits: Limits) -> Conversion:
    candidate = adopt(model, file, target, limits)
    reason = f"{file.name} was taken as it is; validate proves it against {model.name}."
    if candidate.flips:
        reason = f"{file.name} was taken as it is, and does not decide as {model.name} does."
    elif candidate.fault:
        reason = f"{file.name} was taken as it is, and {candidate.fault}."
    return Conversion(
        model.name,
        model.sha256,
        (candidate,),
        READY,
        reason,
        sample=len(target.rows),
        runtime=_named(target.runtime),
    )


def _named(runtime: runtimes.Runtime) -> str:
    return f"{runtime.name} {runtime.version}"


def _as_asked(
    model: EdgeModel, quantize: str, representative: object, limits: Limits
) -> Conversion:
    variants = QUANTIZE[quantize]
    variant = variants[-1]
    rows = None
    if variant in CALIBRATED:
        rows = _representative(model, representative)
        check(model.name, variant, rows, quantize=quantize)
    failed = make(model, variants, rows, limits)
    for made in variants:
        if made in failed:
            raise not_made(model, made, failed[made])
    found = compared([files.candidate(model, v) for v in variants])
    full, best = found[0], found[-1]
    if variant == FLOAT32:
        reason = "Nothing was quantised."
    elif best.size < full.size:
        reason = f"{gain(best.size, full.size)} ({size(full.size)}); validate shows what it costs."
    else:
        than = "As big as" if best.size == full.size else "Larger than"
        reason = f"{than} float32 ({size(full.size)}), which loses nothing: --quantize none."
    coverage = None if rows is None else rows.coverage
    return Conversion(model.name, model.sha256, found, variant, reason, coverage)


def _representative(model: EdgeModel, given: object) -> Representative:
    return for_rows(model.contract, model.sample()[0], given)


def _by_evidence(
    model: EdgeModel, target: Target, representative: object, limits: Limits
) -> Conversion:
    """Make and run all variants; those that cannot be made are told, float32 must be."""
    rows = _representative(model, representative)
    variants, unfit = _fit(model, rows, given=representative is not None)
    # float32 is tried each time: without it there is nothing to choose from
    known_to_fail = remembered(model, [v for v in variants if v != FLOAT32], rows.sha256)
    untried = [v for v in variants if v not in known_to_fail]
    failed = {**unfit, **known_to_fail, **make(model, untried, rows, limits)}
    if FLOAT32 in failed:
        raise not_made(model, FLOAT32, failed[FLOAT32])
    made = [files.candidate(model, v) for v in MADE if v not in failed]
    known = _known(model, target)
    found = tuple(known.get((c.variant, c.sha256)) or tried(target, c) for c in compared(made))
    best, reason = chosen(found, target.limit, len(target.rows))
    used = any(c.variant in CALIBRATED for c in found)
    return Conversion(
        model.name,
        model.sha256,
        found,
        best.variant,
        reason,
        rows.coverage if used else None,
        tuple((v, failed[v]) for v in MADE if v in failed),
        len(target.rows),
        _named(target.runtime),
    )


def _known(model: EdgeModel, target: Target) -> dict[tuple[str, str], Candidate]:
    """The candidates of the last conversion that ran in this runtime, by variant and hash.

    The same file on the same rows: nothing is run a second time.
    """
    try:
        last = files.load(model)
    except NotYetError:
        return {}
    same = last.runtime == _named(target.runtime)
    return {(c.variant, c.sha256): c for c in last.candidates if same and c.flips is not None}


def _fit(
    model: EdgeModel, rows: Representative, *, given: bool
) -> tuple[Sequence[str], dict[str, str]]:
    """The variants that can be made with these rows, and why the others cannot.

    Rows that the user gave are refused; the model's own only leave the int8 kinds out.
    """
    try:
        check(model.name, INT8, rows, quantize=AUTO)
    except ContractError as error:
        if given:
            raise
        return (
            tuple(v for v in MADE if v not in CALIBRATED),
            dict.fromkeys(CALIBRATED, f"too little to calibrate on: {error.why}"),
        )
    return MADE, {}


def load(workspace: Workspace, model: EdgeModel) -> Conversion:
    """The conversion that ``convert`` left for this very model.

    Raises ``NotYetError`` when there is none, or when its files are gone or another's.
    """
    return files.load(model)
