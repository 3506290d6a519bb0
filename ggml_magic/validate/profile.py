"""Variants and runtimes side by side, on the same rows, in one run."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ggml_magic.convert import convert as conversions
from ggml_magic.convert import tolerance
from ggml_magic.convert.candidates import CONVERSION_FILE, Candidate, Conversion
from ggml_magic.convert.choice import SAME_SPEED
from ggml_magic.convert.variants import FLOAT32
from ggml_magic.device.contract import Rows
from ggml_magic.errors import (
    ContractError,
    ConversionError,
    EdgeRuntimeError,
    EnvironmentBuildError,
    GrammarError,
    NotYetError,
)
from ggml_magic.model.labels import labels as as_answers
from ggml_magic.model.model import EdgeModel
from ggml_magic.model.rows import rows as as_rows
from ggml_magic.model.unchanged import check_unchanged
from ggml_magic.presentation import Card, Presented, plural, size
from ggml_magic.runtimes import machines
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.runtime import NATIVE
from ggml_magic.validate.compare import compare, peak
from ggml_magic.validate.evidence import Subject, source_answers
from ggml_magic.validate.flips import pandas
from ggml_magic.validate.task import Answers, task
from ggml_magic.workspace import Workspace, read_json, write_json

ANY = "any"  # the variant of a line that is about a runtime as a whole
NONE = "-"
FORMAT = 1
MEGABYTE = 1_000_000
MICROSECONDS = 1e6  # in a second

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Line:
    """One variant in one runtime; ``why`` says why there are no figures, and is else empty.

    ``size`` in bytes; flips of all rows; differences and errors in units of the output;
    ``accuracy`` from 0 to 1; times of one row in microseconds, ``rows_per_second`` in batches;
    ``peak_bytes`` held at most. Times and memory are None when emulated.
    """

    variant: str
    runtime: str
    version: str
    size: int | None = None
    flips: int | None = None
    max_abs_diff: float | None = None
    accuracy: float | None = None
    mean_abs_error: float | None = None
    load_seconds: float | None = None
    row_microseconds_p50: float | None = None
    row_microseconds_p95: float | None = None
    rows_per_second: float | None = None
    peak_bytes: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Profile(Presented):
    """Lines of one run over the same ``rows``; ``machine`` is the processor that measured."""

    name: str
    rows: int
    arch: str
    machine: str
    lines: tuple[Line, ...]

    def card(self) -> Card:
        """One line a variant and runtime; what failed says why."""
        columns = [column for column in _COLUMNS if self._has(column)]
        table = tuple(tuple(column.show(line) for column in columns) for line in self.lines)
        runs = plural(len(self.lines), "line")
        return Card(
            f"{self.name}: {runs} on {plural(self.rows, 'row')}",
            columns=tuple(column.title for column in columns),
            rows=table,
            notes=(*self._best(), self._measured()),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; a difference that is infinite is a text that ``float`` reads."""
        values = {"format": FORMAT, **asdict(self)}
        for line in values["lines"]:
            difference = line["max_abs_diff"]
            if difference is not None and not np.isfinite(difference):
                line["max_abs_diff"] = str(difference)
        return values

    def to_df(self) -> Any:
        """One row a line, as a pandas ``DataFrame``.

        Raises ``MissingExtraError`` where pandas is not installed.
        """
        names = [field.name for field in fields(Line)]
        return pandas().DataFrame([asdict(line) for line in self.lines], columns=names)

    def _has(self, column: _Column) -> bool:
        return column.always or any(column.show(line) not in ("", NONE) for line in self.lines)

    def _best(self) -> tuple[str, ...]:
        sound = [line for line in self.lines if line.flips == 0 and line.size is not None]
        if not sound:
            return ("No line keeps every decision.",)
        smallest = min(sound, key=lambda line: line.size or 0)
        said = f"Of those that keep every decision, {_named(smallest)} is the smallest"
        timed = [line for line in sound if line.row_microseconds_p50 is not None]
        if timed:
            said += _fastest(timed, smallest)
        return (f"{said}.",)

    def _measured(self) -> str:
        if self.arch != NATIVE:
            return (
                f"On an emulated {self.arch}: its times and memory would be the emulator's, "
                "so there are none."
            )
        return (
            f"Each line is a fresh process over the same rows, one after the other on this "
            f"{self.machine}: p50 and p95 of one row at a time, rows/s in batches where the file "
            "takes them, memory the most it held. A device's processor has times of its own."
        )


def profile(
    workspace: Workspace,
    model: EdgeModel,
    *,
    inputs: object,
    units: Any = None,
    labels: object = None,
    variants: Sequence[str] | None = None,
    runtime_names: Sequence[str] | None = None,
    arch: str = NATIVE,
    limits: runtimes.Limits | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Run each variant in each runtime over the same rows (N, F), one fresh process each.

    ``variants`` default to those that convert left; named ones are made where they are missing,
    and what convert chose stays chosen. ``runtime_names`` default to all. What does not run, or
    cannot be built here, is a line that says why. Raises ``NotYetError`` without a conversion or
    where the notebook's model has changed since it was described, ``GrammarError`` for a name
    that is not there, ``ContractError`` and its kinds, ``ConversionError`` where the model itself
    does not answer.
    """
    machines.check(arch)
    targets = [runtimes.get(name) for name in dict.fromkeys(runtime_names or runtimes.names())]
    decision = model.contract.decision
    check_unchanged(model)  # the reference is the proof's: the live stages, where there are any
    rows = as_rows(inputs, model.contract, "inputs", units=units)
    truth = None if labels is None else as_answers(labels, decision, len(rows))
    conversion, refused = _conversion(workspace, model, variants)
    source = source_answers(model, rows)
    bench = _Bench(model, conversion, rows, source, truth, arch, limits or runtimes.Limits())
    lines = []
    for target in targets:
        for subject in bench.subjects(target):
            if progress is not None:
                progress(f"{subject.variant} on {target.name}")
            line = bench.line(subject)
            lines.append(line)
            if line.variant == ANY:
                break
    lines += [Line(variant, NONE, NONE, why=why) for variant, why in refused.items()]
    return Profile(model.name, len(rows), arch, platform.machine(), tuple(lines))


def _conversion(
    workspace: Workspace, model: EdgeModel, variants: Sequence[str] | None
) -> tuple[Conversion, dict[str, str]]:
    """The candidates to be tried, and why the others could not be made."""
    if not variants:
        return conversions.load(workspace, model), {}
    there: dict[str, Candidate] = {}
    with contextlib.suppress(NotYetError):  # then each of them is made
        there = {c.variant: c for c in conversions.load(workspace, model).candidates}
    wanted = tuple(dict.fromkeys(variants))
    made, refused = _made(workspace, model, [v for v in wanted if v not in there])
    there |= made
    if not any(variant in there for variant in wanted):
        raise ConversionError(
            f"{model.name} could not be converted to {', '.join(wanted)}",
            "; ".join(refused.values()),
            f"%ggml convert {model.name} --quantize none",
        )
    candidates = tuple(there[variant] for variant in wanted if variant in there)
    return Conversion(
        model.name, model.sha256, candidates, candidates[0].variant, "asked for"
    ), refused


def _made(
    workspace: Workspace, model: EdgeModel, variants: Sequence[str]
) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Missing variants, made as convert makes them; what convert chose stays chosen."""
    made: dict[str, Candidate] = {}
    refused: dict[str, str] = {}
    stands = model.folder / CONVERSION_FILE
    chosen = read_json(stands)
    try:
        for variant in variants:
            quantize = "none" if variant == FLOAT32 else variant
            try:
                done = conversions.convert(workspace, model, quantize=quantize)
            except (ConversionError, ContractError) as error:
                refused[variant] = error.why
            else:
                made |= {c.variant: c for c in done.candidates if c.variant == variant}
    finally:
        if chosen is None:
            stands.unlink(missing_ok=True)
        else:
            write_json(stands, chosen)
    return made, refused


@dataclass(frozen=True)
class _Bench:
    """What all lines share: the rows (N, F), the source's outputs (N, K), the limits."""

    model: EdgeModel
    conversion: Conversion
    rows: Rows
    source: Rows
    labels: Answers | None
    arch: str
    limits: runtimes.Limits

    def subjects(self, target: runtimes.Runtime) -> Iterator[Subject]:
        """What the runtime takes: each candidate, or the SavedModel alone."""
        for candidate in self.conversion.candidates:
            chosen = replace(self.conversion, chosen=candidate.variant)
            yield Subject(self.model, chosen, target, self.arch, self.limits)
            if target.takes == "saved_model":
                return

    def line(self, subject: Subject) -> Line:
        """The subject's figures, or why there are none."""
        target = subject.runtime
        line = Line(subject.variant, target.name, target.version, subject.size)
        try:
            run = runtimes.run(target, subject.file, self.rows, arch=self.arch, limits=self.limits)
        except (EnvironmentBuildError, GrammarError) as error:  # it is not for this machine
            return replace(line, variant=ANY, size=None, why=error.why or error.what)
        except EdgeRuntimeError as error:
            return replace(line, why=error.why)
        if run.outputs.shape != self.source.shape:
            return replace(
                line, why=f"answers with the shape {run.outputs.shape}, not {self.source.shape}"
            )
        return self._measured(subject, line, run)

    def _measured(self, subject: Subject, line: Line, run: runtimes.Run) -> Line:
        decision = self.model.contract.decision
        allowed = tolerance.allowed(decision, subject.rounds_as, peak(self.source))
        compared = compare(decision, self.source, run.outputs, allowed)
        batch, seconds = run.batch_rows, run.batch_microseconds_p50
        line = replace(
            line,
            flips=compared.flip_count,
            max_abs_diff=compared.max_abs_diff,
            load_seconds=run.load_seconds,
            row_microseconds_p50=run.row_microseconds_p50,
            row_microseconds_p95=run.row_microseconds_p95,
            rows_per_second=batch / seconds * MICROSECONDS if batch and seconds else None,
            peak_bytes=run.peak_bytes,
        )
        if self.labels is None:
            return line
        figures = task(decision, self.source, run.outputs, self.labels)
        return replace(line, accuracy=figures.accuracy, mean_abs_error=figures.mean_abs_error)


@dataclass(frozen=True)
class _Column:
    """A column of the card; one that says nothing in any line is left out, unless ``always``."""

    title: str
    show: Callable[[Line], str]
    always: bool = False


def _named(line: Line) -> str:
    return f"{line.variant} on {line.runtime} {line.version}"


def _fastest(timed: Sequence[Line], smallest: Line) -> str:
    """A clause on speed, in which what the next run may turn round is equal."""
    limit = min(line.row_microseconds_p50 or 0.0 for line in timed) * SAME_SPEED
    quick = [line for line in timed if (line.row_microseconds_p50 or 0.0) <= limit]
    if quick == [smallest]:
        return " and the fastest"
    if len(quick) == 1:
        return f" and {_named(quick[0])} the fastest"
    equal = f"times within a factor of {SAME_SPEED:g} are equal"
    if len(quick) == len(timed):
        return f", and none is faster than another ({equal})"
    return f", and the fastest are {' and '.join(map(_named, quick))} ({equal})"


def _rows_per_second(line: Line) -> str:
    """To three digits: the others change from run to run."""
    speed = line.rows_per_second
    return NONE if speed is None else f"{float(f'{speed:.3g}'):,.0f}"


def _figure(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _memory(line: Line) -> str:
    return NONE if line.peak_bytes is None else f"{line.peak_bytes / MEGABYTE:.0f} MB"


_COLUMNS = (
    _Column("variant", lambda line: line.variant, always=True),
    _Column("runtime", lambda line: f"{line.runtime} {line.version}", always=True),
    _Column("size", lambda line: NONE if line.size is None else size(line.size)),
    _Column("flips", lambda line: _figure(line.flips, ",")),
    _Column("max diff", lambda line: _figure(line.max_abs_diff, ".2g")),
    _Column("accuracy", lambda line: _figure(line.accuracy, ".2%")),
    _Column("mean error", lambda line: _figure(line.mean_abs_error, ".3g")),
    _Column("p50 µs", lambda line: _figure(line.row_microseconds_p50, ",.3g")),
    _Column("p95 µs", lambda line: _figure(line.row_microseconds_p95, ",.3g")),
    _Column("rows/s", _rows_per_second),
    _Column("memory", _memory),
    _Column("does not run", lambda line: line.why),
)
