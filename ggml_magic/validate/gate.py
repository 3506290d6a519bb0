"""The gate: why a proof does not pass, and what may go to a device."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_CEILING, Context
from typing import TYPE_CHECKING

from ggml_magic.convert.variants import FLOAT32
from ggml_magic.errors import GateError, GrammarError
from ggml_magic.model.model import SAVED_MODEL
from ggml_magic.presentation import plural, size
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.runtime import NATIVE
from ggml_magic.validate import kept
from ggml_magic.validate.compare import Comparison
from ggml_magic.validate.limits import Limits
from ggml_magic.validate.report import VALUE, Latency, Report, amount, differing
from ggml_magic.workspace import Workspace

if TYPE_CHECKING:
    from ggml_magic.convert.convert import Conversion
    from ggml_magic.model.model import EdgeModel

# float32 keeps 24 bits: two sums of the same numbers part by a few times this (RUNTIMES 3).
FLOAT32_ROUNDING = 1e-6
# From so many rows on, a model that answers one thing to all of them has nothing to prove; fewer
# may well be alike.
CONSTANT_ROWS = 50
# There is no nearer file to convert to.
NEAREST = frozenset((FLOAT32, SAVED_MODEL))
TOLERANCE_DIGITS = 2


def reasons_against(
    rule: str, compared: Comparison, limits: Limits, tolerance: float
) -> tuple[str, ...]:
    """Why the answers do not pass, each reason one clause; none when they do.

    Where the value is the answer, the tolerance already made the flips.
    """
    reasons = []
    if compared.source_not_finite:
        rows = plural(compared.source_not_finite, "row")
        reasons.append(f"the notebook's own model answers NaN or infinity to {rows}")
    if compared.not_finite:
        reasons.append(f"it answers NaN or infinity to {plural(compared.not_finite, 'row')}")
    if compared.constant and not compared.source_constant:
        reasons.append("it gives one answer to every row, and the notebook's model does not")
    elif compared.constant and compared.rows >= CONSTANT_ROWS:
        reasons.append("it gives one answer to every row as the notebook's model does: no proof")
    flips, rows_count = compared.flip_count, compared.rows
    if flips > limits.flips.rows(rows_count):
        reasons.append(
            f"{differing(rule, flips, rows_count, tolerance)} "
            f"({flips / rows_count:.2%}), and {limits.flips} may" + _rounding(compared)
        )
    if rule != VALUE and compared.max_abs_diff > tolerance:
        reasons.append(
            f"an output differs by {compared.max_abs_diff:.3g}, and {tolerance:.3g} is allowed"
        )
    return tuple(reasons)


def _rounding(compared: Comparison) -> str:
    """A clause for flips that sit on the boundary itself, as a threshold taken from data does."""
    if not compared.flip_margin <= FLOAT32_ROUNDING * max(1.0, compared.source_peak):
        return ""
    return (
        f" (all within {compared.flip_margin:.1g} of the boundary: move the threshold off the data)"
    )


def costs_against(
    limits: Limits, bytes_of_file: int, latency: Latency | None, peak_bytes: int | None
) -> tuple[str, ...]:
    """Why the file costs too much, each reason one clause; none when it does not.

    A figure that was not measured (None) does not pass its limit.
    """
    reasons = []
    most = limits.latency_p95_microseconds
    p95 = None if latency is None else latency.row_p95
    if most is not None and not (p95 is not None and p95 <= most):
        took = "was not measured" if p95 is None else f"takes {amount(p95, 3)} µs"
        reasons.append(f"a row {took} (95%), and {amount(most, 3)} µs is allowed")
    memory, held = limits.memory_bytes, peak_bytes
    if memory is not None and not (held is not None and held <= memory):
        took = "was not measured" if held is None else f"is {size(held)}"
        reasons.append(f"its memory {took}, and {size(memory)} is allowed")
    if limits.size_bytes is not None and bytes_of_file > limits.size_bytes:
        allowed = size(limits.size_bytes)
        reasons.append(f"the file has {size(bytes_of_file)}, and {allowed} is allowed")
    return tuple(reasons)


def failed(report: Report) -> GateError:
    """What stands in the cell when the gate stays shut: the reasons, and the first suspect."""
    where = f" for {report.arch}" if report.arch != NATIVE else ""
    suspect = next(iter(report.suspects), None)
    why = "; ".join(report.reasons)
    return GateError(
        f"{report.name} does not pass on {report.runtime} {report.runtime_version}{where}",
        why if suspect is None else f"{why}. {suspect.sentence.removesuffix('.')}",
        _remedy(report) if suspect is None else suspect.remedy,
        report=report,
    )


def _remedy(report: Report) -> str:
    again = f"%ggml convert {report.name} --quantize none"
    too_dear = not report.flip_count and report.max_abs_diff <= report.tolerance
    if too_dear and not report.not_finite and report.distinct_outputs > 1:
        return f"%ggml profile {report.name} --inputs X_test"
    too_far = report.max_abs_diff > report.tolerance
    if report.variant not in NEAREST or report.not_finite or not (report.flip_count or too_far):
        return again
    command = kept.command(report.name, report.runtime, report.arch)
    if report.flip_count and report.rule != VALUE:  # values that are near enough do not flip
        command += f" --max-flips {report.flip_count}"
    return f"{command} --tolerance {_rounded_up(report.max_abs_diff)}" if too_far else command


def _rounded_up(value: float) -> str:
    """The number to two digits, never below it, as a user would write it."""
    shorter = Context(prec=TOLERANCE_DIGITS, rounding=ROUND_CEILING).create_decimal(value)
    return f"{float(shorter):g}"


def _moment(report: Report) -> str:
    return f"{datetime.fromisoformat(report.created):%Y-%m-%d %H:%M} UTC"


def load(
    workspace: Workspace, model: EdgeModel, runtime: str | None = None, arch: str = NATIVE
) -> Report:
    """The last report on this model, passed or not; without a runtime the newest.

    Raises ``NotYetError`` when there is none.
    """
    return kept.load(model, runtime, arch)


def gate(
    workspace: Workspace,
    model: EdgeModel,
    conversion: Conversion,
    *,
    runtime: str = runtimes.DEFAULT,
    force: str | None = None,
) -> Report:
    """The report on this very file in this runtime that lets it go to a device.

    It passed on this machine's processor, and no report of the same file for an emulated one
    failed. ``force``, a reason, lets a failing report through, never a missing one or one on
    another file. Raises ``NotYetError`` when there is no report, ``GateError`` when it does not
    open, ``GrammarError`` for a reason that is empty or an unknown runtime.
    """
    if force is not None and not force.strip():
        raise GrammarError(
            "--force was given no reason",
            "it is recorded with what goes to the device",
            '--force "the new station has no wind sensor"',
        )
    sha256 = _sha256(model, conversion, runtime)
    report = kept.find(model, runtime)
    if report is None:
        raise kept.not_proven(model, runtime, NATIVE)
    if report.file_sha256 != sha256:
        raise GateError(
            f"{model.name} was converted again since it was proven on this machine",
            f"the report of {_moment(report)} is of another file than the present "
            f"{conversion.chosen}",
            kept.command(model.name, runtime),
        )
    if force is not None:
        return report
    if not report.passed:
        raise failed(report)
    for other in kept.every(model):
        if (other.runtime, other.file_sha256) == (runtime, sha256) and not other.passed:
            raise failed(other)
    return report


def _sha256(model: EdgeModel, conversion: Conversion, runtime: str) -> str:
    is_source = runtimes.get(runtime).takes == "saved_model"
    return model.sha256 if is_source else conversion.candidate.sha256
