"""The proof: every row through the notebook's model and through the edge runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

import numpy as np

from ggml_magic.convert import tolerance as tolerances
from ggml_magic.convert.convert import Conversion
from ggml_magic.convert.variants import FLOAT32
from ggml_magic.device.contract import Contract, Rows
from ggml_magic.errors import NotYetError
from ggml_magic.model.labels import labels as as_answers
from ggml_magic.model.model import EdgeModel
from ggml_magic.model.rows import rows as as_rows
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.runtime import NATIVE
from ggml_magic.validate import flips, golden, kept, limits, suspects
from ggml_magic.validate.compare import Comparison, compare, outside, peak
from ggml_magic.validate.evidence import Evidence, Subject, gathered, source_answers
from ggml_magic.validate.gate import costs_against, failed, gate, load, reasons_against
from ggml_magic.validate.limits import Limits
from ggml_magic.validate.question import Question, Suspect
from ggml_magic.validate.report import Latency, Report
from ggml_magic.validate.task import Answers, Task, task
from ggml_magic.workspace import Workspace

__all__ = ["gate", "load", "validate"]


def validate(
    workspace: Workspace,
    model: EdgeModel,
    conversion: Conversion,
    *,
    inputs: object,
    labels: object = None,
    units: str | Mapping[str, str] | None = None,
    max_flips: str | int = "0%",
    tolerance: float | str | None = None,
    runtime: str = runtimes.DEFAULT,
    arch: str = NATIVE,
    cpus: float | str | None = None,
    memory: str | None = None,
    max_latency_p95: str | None = None,
    max_memory: str | None = None,
    max_size: str | None = None,
) -> Report:
    """Prove a converted file on real rows in the target's own runtime, or raise ``GateError``.

    ``inputs`` are rows (N, F) with the contract's features, in ``units`` where these are not the
    contract's; every one is run. ``max_flips`` is a share or a number of rows; ``tolerance`` the
    largest difference of an output (default: the decision's, else the variant's). ``arch`` is
    native, aarch64 or armv7l. ``cpus`` and ``memory`` ("512MB") limit the model's own process;
    the latency (of a row), memory and size are limits of the gate, as "2ms" and "64KB". The
    report is kept either way. Raises also ``ContractError`` and its kinds, ``GrammarError``,
    ``EdgeRuntimeError``, ``EnvironmentBuildError``, ``NotYetError``.
    """
    allowed = limits.parse(max_flips, tolerance, max_latency_p95, max_memory, max_size)
    allowed.check_measurable(arch)
    own = runtimes.Limits(
        cpus=limits.parse_cpus(cpus), memory_bytes=limits.parse_bytes(memory, "--memory")
    )
    subject = Subject(model, conversion, runtimes.get(runtime), arch, own)
    _check_same_model(model, conversion)
    rows = as_rows(inputs, model.contract, "inputs", units=units)
    decision = model.contract.decision
    truth = None if labels is None else as_answers(labels, decision, len(rows))
    with gathered(subject, rows) as evidence:
        proof = _Proof(subject, evidence, truth, allowed)
        report = proof.report()
        kept.keep(model, report, proof.golden())
        found = proof.suspects(report)
        if found:
            report = replace(report, suspects=found)
            kept.keep_verdict(model, report)
    if not report.passed:
        raise failed(report)
    return report


def _check_same_model(model: EdgeModel, conversion: Conversion) -> None:
    if conversion.model_sha256 != model.sha256:
        raise NotYetError(
            f"{model.name} was described again since it was converted",
            "the converted file is the old model's",
            f"%ggml convert {model.name}",
        )


@dataclass(frozen=True)
class _Proof:
    """All that the verdict rests on; ``labels`` are answers of the decision, or None."""

    subject: Subject
    evidence: Evidence
    labels: Answers | None
    limits: Limits

    @property
    def contract(self) -> Contract:
        return self.subject.model.contract

    def report(self) -> Report:
        decision, source, edge = self.contract.decision, self.evidence.source, self.evidence.edge
        bound = tolerances.allowed(
            decision, self.subject.rounds_as, peak(source), self.limits.tolerance
        )
        compared = compare(decision, source, edge, bound)
        figures = Task()
        if self.labels is not None:
            figures = task(decision, source, edge, self.labels)
        run = self.evidence.run
        reasons = (
            *reasons_against(decision.rule, compared, self.limits, bound),
            *costs_against(self.limits, self.subject.size, _latency(run), run.peak_bytes),
        )
        return self._report(compared, figures, bound, reasons)

    def _report(
        self, compared: Comparison, figures: Task, tolerance: float, reasons: tuple[str, ...]
    ) -> Report:
        subject, evidence, run = self.subject, self.evidence, self.evidence.run
        decision = self.contract.decision
        out_of_range_share, out_of_range = outside(self.contract, evidence.rows)
        sides = evidence.source, evidence.edge
        return Report(
            name=subject.model.name,
            model_sha256=subject.model.sha256,
            file_sha256=subject.sha256,
            variant=subject.variant,
            runtime=run.runtime,
            runtime_version=run.version,
            arch=subject.arch,
            architecture=run.architecture,
            emulated=run.emulated,
            rule=decision.rule,
            boundary=decision.at if decision.rule == "threshold" else None,
            rows=compared.rows,
            features=len(self.contract.features),
            outputs=decision.outputs_needed(),
            flip_count=compared.flip_count,
            flip_share=compared.flip_count / compared.rows,
            max_abs_diff=compared.max_abs_diff,
            mean_abs_diff=compared.mean_abs_diff,
            p99_abs_diff=compared.p99_abs_diff,
            distinct_outputs=compared.distinct_outputs,
            not_finite=compared.not_finite,
            distinct_decisions=compared.distinct_decisions,
            source_distinct_decisions=compared.source_distinct_decisions,
            only_decision=compared.only_decision,
            out_of_range_share=out_of_range_share,
            out_of_range=out_of_range,
            **asdict(figures),
            max_flips=str(self.limits.flips),
            tolerance=tolerance,
            max_latency_p95_microseconds=self.limits.latency_p95_microseconds,
            max_memory_bytes=self.limits.memory_bytes,
            max_size_bytes=self.limits.size_bytes,
            passed=not reasons,
            reasons=reasons,
            suspects=(),
            size=subject.size,
            load_seconds=run.load_seconds,
            latency=_latency(run),
            peak_bytes=run.peak_bytes,
            created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            input_shape=subject.input_shape,
            feature_names=self.contract.names,
            flipped=flips.flips(self.contract, compared.flips, evidence.rows, *sides),
            points=flips.sample(decision, compared.flips, *sides, tolerance),
        )

    def golden(self) -> dict[str, object] | None:
        """The golden vectors of a file that a component can hold, of a run on this processor."""
        evidence = self.evidence
        if self.subject.is_source or evidence.run.emulated:
            return None
        largest = max(peak(evidence.edge), peak(evidence.extra_outputs))
        return golden.golden(
            self.contract,
            evidence.rows,
            evidence.edge,
            evidence.extra,
            evidence.extra_outputs,
            tolerance=tolerances.of_variant(self.subject.rounds_as, largest),
            rounding=tolerances.of_variant(FLOAT32, largest),
        )

    def suspects(self, report: Report) -> tuple[Suspect, ...]:
        """Why it fails, or why the rows themselves are doubtful; none where nothing is wrong."""
        if not suspects.is_doubtful(report):
            return ()
        subject, evidence, model = self.subject, self.evidence, self.subject.model
        places = suspects.asked_rows(report.flipped.rows, report.rows)
        static = None if subject.is_source else subject.conversion.candidate.static
        return suspects.find(
            Question(
                contract=self.contract,
                scaling=model.scaling,
                rows=np.asarray(evidence.rows[places]),
                source=np.asarray(evidence.source[places]),
                edge=np.asarray(evidence.edge[places]),
                answers=self._edge_answers,
                sources=lambda rows: source_answers(model, rows),
                labels=None if self.labels is None else self.labels[places],
                input_range=None if static is None else static.input_range,
                range_behind=() if static is None else static.range_behind,
                tolerance=report.tolerance,
                name=model.name,
                flips=report.flip_count,
            )
        )

    def _edge_answers(self, rows: Rows) -> Rows:
        subject = self.subject
        return runtimes.run(
            subject.runtime, subject.file, rows, arch=subject.arch, limits=subject.limits
        ).outputs


def _latency(run: runtimes.Run) -> Latency | None:
    """The times of a run; none of one that was not timed."""
    row = (run.row_microseconds_p50, run.row_microseconds_p95, run.row_microseconds_p99)
    batch = (run.batch_microseconds_p50, run.batch_microseconds_p95, run.batch_microseconds_p99)
    figures = (*row, run.batch_rows, *batch)
    if any(figure is None for figure in figures):
        return None
    return Latency(*figures)  # type: ignore[arg-type]  # none of them is None
