"""The proof and its gate: every row through the notebook's model and through the edge runtime."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt

from ggml_magic.convert.child import FLOAT32
from ggml_magic.convert.convert import Conversion, source_outputs
from ggml_magic.convert.convert import tolerance as variant_tolerance
from ggml_magic.device.contract import Decision, Rows
from ggml_magic.errors import EdgeRuntimeError, GateError, NotYetError
from ggml_magic.model.graph import PARITY_BOUND
from ggml_magic.model.labels import labels as as_answers
from ggml_magic.model.model import EdgeModel
from ggml_magic.model.rows import rows as as_rows
from ggml_magic.model.stages import answers
from ggml_magic.presentation import plural
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.validate.compare import Answers, Comparison, Task, compare, margins, task
from ggml_magic.validate.golden import golden
from ggml_magic.validate.limits import FlipLimit, parse_flips, parse_tolerance
from ggml_magic.validate.report import Flip, Report, differing
from ggml_magic.workspace import Workspace, read_json, write_json

REPORT_FILE = "report.json"
GOLDEN_FILE = "golden.json"
# float32 keeps 24 bits: two sums of the same numbers part by a few times this (RUNTIMES 3).
FLOAT32_ROUNDING = 1e-6


def validate(
    workspace: Workspace,
    model: EdgeModel,
    conversion: Conversion,
    *,
    inputs: object,
    labels: object = None,
    max_flips: str = "0%",
    tolerance: float | None = None,
    runtime: str = runtimes.DEFAULT,
) -> Report:
    """Prove a converted file on real rows in the target's own runtime, or raise ``GateError``.

    ``inputs`` are rows (N, F) with the contract's features; every one is run. ``max_flips`` is a
    share or a number of rows, ``tolerance`` the largest difference of an output (default: the
    variant's). The report is kept either way, golden vectors only where it passed. Raises also
    ``ContractError`` and its kinds, ``GrammarError``, ``EdgeRuntimeError``, ``NotYetError``.
    """
    limit, asked = parse_flips(max_flips), parse_tolerance(tolerance)
    target = runtimes.get(runtime)
    _check_same_model(model, conversion)
    decision = model.contract.decision
    rows = as_rows(inputs, model.contract, "inputs")
    truth = None if labels is None else as_answers(labels, decision, len(rows))
    source = _source(model, rows)
    run = runtimes.run(target, conversion.file, rows)
    if run.outputs.shape != source.shape:
        raise EdgeRuntimeError(
            f"{conversion.file.name} answers with the shape {run.outputs.shape}",
            f"the notebook's model answers with {source.shape}",
            f"%ggml convert {model.name} --quantize none",
        )
    allowed = variant_tolerance(conversion.chosen, source) if asked is None else asked
    evidence = _Evidence(model, conversion, rows, source, run, truth, limit, allowed)
    report = _report(evidence)
    _keep(evidence, report)
    if not report.passed:
        raise _failed(report, conversion)
    return report


@dataclass(frozen=True)
class _Evidence:
    """All that the verdict rests on; ``labels`` are answers of the decision, or None."""

    model: EdgeModel
    conversion: Conversion
    rows: Rows
    source: Rows
    run: runtimes.Run
    labels: Answers | None
    limit: FlipLimit
    tolerance: float


def _check_same_model(model: EdgeModel, conversion: Conversion) -> None:
    if conversion.model_sha256 != model.sha256:
        raise NotYetError(
            f"{model.name} was described again since it was converted",
            "the converted file is the old model's",
            f"%ggml convert {model.name}",
        )


def _source(model: EdgeModel, rows: Rows) -> Rows:
    """The notebook's own answers: its live stages, else the SavedModel in the child process."""
    if not model.stages:
        return source_outputs(model, rows)
    sample, described = model.sample()
    now = answers(model.stages, sample)
    moved = np.abs(now - described) / np.maximum(1.0, np.abs(described))
    if not float(moved.max()) <= PARITY_BOUND:  # so that NaN fails too
        raise NotYetError(
            f"the stages of {model.name} have changed since they were described",
            "they were trained on, and the converted file holds the old weights",
            f"run the cell of %ggml model {model.name} again, then %ggml convert {model.name}",
        )
    return answers(model.stages, rows)


def _report(evidence: _Evidence) -> Report:
    model, run, rows = evidence.model, evidence.run, evidence.rows
    decision = model.contract.decision
    compared = compare(decision, evidence.source, run.outputs, evidence.tolerance)
    labels = evidence.labels
    figures = Task() if labels is None else task(decision, run.outputs, labels)
    reasons = reasons_against(
        decision, evidence.source, compared, evidence.limit, evidence.tolerance
    )
    return Report(
        name=model.name,
        model_sha256=model.sha256,
        file_sha256=evidence.conversion.candidate.sha256,
        runtime=run.runtime,
        runtime_version=run.version,
        architecture=run.architecture,
        rule=decision.rule,
        rows=len(rows),
        flips=_flips(decision, evidence.source, run.outputs, compared.flips),
        flip_share=len(compared.flips) / len(rows),
        max_abs_diff=compared.max_abs_diff,
        mean_abs_diff=compared.mean_abs_diff,
        distinct_outputs=compared.distinct_outputs,
        not_finite=compared.not_finite,
        out_of_range_share=float(model.contract.outside(rows).any(axis=1).mean()),
        **asdict(figures),
        max_flips=str(evidence.limit),
        tolerance=evidence.tolerance,
        passed=not reasons,
        reasons=reasons,
        load_seconds=run.load_seconds,
        row_microseconds_p50=run.row_microseconds_p50,
        peak_bytes=run.peak_bytes,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def reasons_against(
    decision: Decision, source: Rows, compared: Comparison, limit: FlipLimit, tolerance: float
) -> tuple[str, ...]:
    """Why the gate stays shut, each reason one clause; none when it opens.

    Where the value is the answer, the tolerance already made the flips.
    """
    reasons = []
    if compared.not_finite:
        reasons.append(f"it answers NaN or infinity to {plural(compared.not_finite, 'row')}")
    if compared.constant:
        reasons.append("it gives one answer to every row, and the notebook's model does not")
    flips, allowed = len(compared.flips), limit.rows(len(source))
    if flips > allowed:
        reasons.append(
            f"{differing(decision.rule, flips, len(source), tolerance)} "
            f"({flips / len(source):.2%}), and {limit} may" + _rounding(decision, source, compared)
        )
    if decision.rule != "value" and compared.max_abs_diff > tolerance:
        reasons.append(
            f"an output differs by {compared.max_abs_diff:.3g}, and {tolerance:.3g} is allowed"
        )
    return tuple(reasons)


def _rounding(decision: Decision, source: Rows, compared: Comparison) -> str:
    """A clause for flips that sit on the boundary itself, as a threshold taken from data does."""
    widest = float(margins(decision, source[compared.flips]).max())
    if not widest <= FLOAT32_ROUNDING * max(1.0, float(np.abs(source).max())):
        return ""
    return f" (all within {widest:.1g} of the boundary: move the threshold off the data)"


def _flips(
    decision: Decision, source: Rows, edge: Rows, places: npt.NDArray[np.intp]
) -> tuple[Flip, ...]:
    sides = []
    for outputs in (source[places], edge[places]):
        behind = decision.confidence(outputs)
        behind = outputs[:, 0].astype(np.float64) if behind is None else behind
        sides.append((decision.answers(outputs).tolist(), behind.tolist()))
    (source_answers, source_outs), (edge_answers, edge_outs) = sides
    return tuple(map(Flip, places.tolist(), source_answers, edge_answers, source_outs, edge_outs))


def _keep(evidence: _Evidence, report: Report) -> None:
    """Keep the report; golden vectors only of a file that passed."""
    folder = evidence.model.folder
    if report.passed:
        vectors = golden(
            evidence.model.contract.decision, evidence.rows, evidence.run.outputs, report.tolerance
        )
        write_json(folder / GOLDEN_FILE, vectors)
    else:
        (folder / GOLDEN_FILE).unlink(missing_ok=True)
    write_json(folder / REPORT_FILE, report.to_dict())


def load(workspace: Workspace, model: EdgeModel) -> Report:
    """The last report on this model, passed or not.

    Raises ``NotYetError`` when there is none.
    """
    stored = read_json(model.folder / REPORT_FILE)
    if stored is None or stored["model_sha256"] != model.sha256:
        raise NotYetError(
            f"{model.name} has not been proven",
            "no report on this model is in the workspace",
            f"%ggml validate {model.name} --inputs X_test",
        )
    return Report.from_dict(stored)


def gate(workspace: Workspace, model: EdgeModel, conversion: Conversion) -> Report:
    """The passing report on this very file; nothing goes to a device without.

    Raises ``NotYetError`` when there is no report, ``GateError`` when it failed or is about
    another file.
    """
    report = load(workspace, model)
    if report.file_sha256 != conversion.candidate.sha256:
        raise GateError(
            f"{model.name} was converted again since it was proven",
            f"the proof is of another file than {conversion.chosen}",
            f"%ggml validate {model.name} --inputs X_test",
        )
    if not report.passed:
        raise _failed(report, conversion)
    return report


def _failed(report: Report, conversion: Conversion) -> GateError:
    if conversion.chosen != FLOAT32:
        remedy = f"%ggml convert {report.name} --quantize none"
    else:
        remedy = f"%ggml validate {report.name} --inputs X_test --max-flips {len(report.flips)}"
    if not report.flips or report.not_finite:
        remedy = f"%ggml convert {report.name} --quantize none"
    return GateError(
        f"{report.name} does not pass on {report.runtime} {report.runtime_version}",
        "; ".join(report.reasons),
        remedy,
    )
