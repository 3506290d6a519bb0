"""Each figure of a report with one sentence of plain language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggml_magic.presentation import plural, size
from ggml_magic.validate.compare import DISTINCT_CAP
from ggml_magic.validate.report import MEGABYTE, VALUE, amount

if TYPE_CHECKING:
    from ggml_magic.validate.report import Report

Value = float | int | str | None
UNMEASURED = "not measured: emulated"
NOT_THE_DEVICES = "The processor is emulated here, and the emulator's figure would not be its."


@dataclass(frozen=True)
class Figure:
    """A figure: its name, its value as a number, as text, and what it means."""

    name: str
    value: Value
    said: str
    meaning: str


def figures(report: Report) -> tuple[Figure, ...]:
    """All figures of a report, the most important first."""
    return (*_flips(report), *_differences(report), *_rows(report), *_task(report), *_cost(report))


def percent(share: float | None) -> str:
    """``1.23%``, or none."""
    return "none" if share is None else f"{share * 100:.2f}%"


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """The few figures that a card shows, as label and value."""
    outside = f"{percent(report.out_of_range_share)} of the rows"
    if report.out_of_range_share:
        outside += f", most of all {max(report.out_of_range, key=report.out_of_range.__getitem__)}"
    return (
        (
            "largest difference",
            f"{amount(report.max_abs_diff, 2)} (allowed {amount(report.tolerance, 2)})",
        ),
        ("distinct outputs", _distinct(report)),
        ("outside training range", outside),
        *_task_facts(report),
        (f"on {'' if report.emulated else 'this '}{report.architecture}", _cost_fact(report)),
    )


def _task_facts(report: Report) -> Iterator[tuple[str, str]]:
    if report.accuracy is not None:
        own = percent(report.accuracy)
        source = None if report.source_accuracy is None else percent(report.source_accuracy)
        alone = f"the commonest label alone: {percent(report.majority)}"
        yield "accuracy", f"{own} ({_the_notebooks(own, source)}{alone})"
    if report.mean_abs_error is not None and report.baseline_abs_error is not None:
        own = amount(report.mean_abs_error, 3)
        source = None if report.source_abs_error is None else amount(report.source_abs_error, 3)
        alone = f"the median alone: {amount(report.baseline_abs_error, 3)}"
        yield "mean absolute error", f"{own} ({_the_notebooks(own, source)}{alone})"
    if report.precision is not None or report.recall is not None:
        yield "precision, recall", f"{percent(report.precision)}, {percent(report.recall)}"


def _the_notebooks(own: str, source: str | None) -> str:
    """The notebook's model's own figure, where it is another one than the edge's."""
    return "" if source in (None, own) else f"the notebook's: {source}; "


def _cost_fact(report: Report) -> str:
    latency, load, peak = report.latency, report.load_seconds, report.peak_bytes
    if latency is None or load is None or peak is None:
        return f"{size(report.size)}; latency and memory {UNMEASURED}"
    return (
        f"{size(report.size)}, {amount(latency.row_p50, 3)} µs a row (95%: "
        f"{amount(latency.row_p95, 3)}), loads in {amount(load * 1000, 3)} ms, "
        f"{peak / MEGABYTE:.0f} MB at most"
    )


def _distinct(report: Report) -> str:
    more = " or more" if report.distinct_outputs >= DISTINCT_CAP else ""
    return f"{report.distinct_outputs:,}{more}"


def _flips(report: Report) -> Iterator[Figure]:
    if report.rule == VALUE:
        name = "answers that differ"
        meaning = (
            f"Rows whose value on the edge is further than {amount(report.tolerance, 2)} from the "
            f"notebook's; {report.max_flips} may be."
        )
    else:
        name = "decisions that flip"
        meaning = (
            "Rows to which the edge gives another decision than the notebook's model; "
            f"{report.max_flips} may have one."
        )
    count = f"{report.flip_count:,} of {report.rows:,}"
    yield Figure(name, report.flip_count, count, meaning)
    yield Figure(
        "share of them",
        report.flip_share,
        percent(report.flip_share),
        "The same as a share of all rows.",
    )
    yield Figure(
        "rows",
        report.rows,
        f"{report.rows:,}",
        report.caution or "So many rows both sides answered: the figures are of all of them.",
    )


def _differences(report: Report) -> Iterator[Figure]:
    allowed = amount(report.tolerance, 2)
    yield Figure(
        "largest difference",
        report.max_abs_diff,
        amount(report.max_abs_diff, 2),
        f"No output of the edge is further than this from the notebook's; {allowed} is allowed.",
    )
    yield Figure(
        "mean difference",
        report.mean_abs_diff,
        amount(report.mean_abs_diff, 2),
        "So far an output of the edge is from the notebook's on average.",
    )
    yield Figure(
        "99% differ by at most",
        report.p99_abs_diff,
        amount(report.p99_abs_diff, 2),
        "99 of 100 outputs are no further than this from the notebook's.",
    )
    yield Figure(
        "distinct outputs",
        report.distinct_outputs,
        _distinct(report),
        "So many different answers the edge gives; a single one would mean that it does not look "
        "at its inputs.",
    )
    if report.distinct_decisions is not None:
        yield Figure(
            "distinct decisions",
            report.distinct_decisions,
            f"{report.distinct_decisions:,}",
            f"So many different decisions the edge takes, and the notebook's model "
            f"{report.source_distinct_decisions:,}; where it is one, a flip has hardly a chance.",
        )
    yield Figure(
        "NaN or infinity",
        report.not_finite,
        f"{report.not_finite:,}",
        "Rows to which the edge answers no number at all; one is too many.",
    )


def _rows(report: Report) -> Iterator[Figure]:
    yield Figure(
        "outside training range",
        report.out_of_range_share,
        f"{percent(report.out_of_range_share)} of the rows",
        "These rows have a value that training never saw, where no answer was ever checked; most "
        "rows outside mean another unit or another scale.",
    )
    for name, share in report.out_of_range.items():
        if share:
            yield Figure(
                f"{name} outside training range",
                share,
                f"{percent(share)} of the rows",
                f"In these rows {name} is below or above all that training saw of it.",
            )
    yield _shape(report)


def _shape(report: Report) -> Figure:
    """What the file states for its input, and how this run's single rows went in."""
    rows = "N" if report.input_shape is None else _dimension(report.input_shape[0])
    said = f"({rows}, {report.features}) to ({rows}, {report.outputs})"
    if report.input_shape is None:
        takes = "What ran states no number of rows"
    elif rows == "N":
        takes = "The file takes any number of rows"
    else:
        takes = f"The file takes {plural(int(rows), 'row')} at a time, no more and no fewer"
    if report.latency is None:
        single = "single rows were not looked at, since the processor is emulated"
    elif rows in ("N", "1"):
        single = (
            f"in this run single rows went in as (1, {report.features}), never as "
            f"({report.features},), and came out as (1, {report.outputs})"
        )
    else:
        single = f"in this run a single row went in {rows} times over, and one answer was taken"
    return Figure("shape", said, said, f"{takes}; {single}.")


def _dimension(length: int) -> str:
    return "N" if length < 0 else str(length)


def _task(report: Report) -> Iterator[Figure]:
    if report.accuracy is not None:
        yield Figure(
            "accuracy",
            report.accuracy,
            percent(report.accuracy),
            f"So many labels the edge gets right, and the notebook's model "
            f"{percent(report.source_accuracy)}; only what is above the next figure is worth "
            "anything.",
        )
        yield Figure(
            "majority baseline",
            report.majority,
            percent(report.majority),
            "So many labels would be right if the answer were always the commonest one.",
        )
        yield from _positives(report)
    if report.mean_abs_error is not None and report.baseline_abs_error is not None:
        yield Figure(
            "mean absolute error",
            report.mean_abs_error,
            amount(report.mean_abs_error, 3),
            "So far the edge's value is from the label on average; only what is below the next "
            "figure is worth anything.",
        )
        yield Figure(
            "error of the median",
            report.baseline_abs_error,
            amount(report.baseline_abs_error, 3),
            "So far the label is on average from its own median, which needs no model.",
        )


def _positives(report: Report) -> Iterator[Figure]:
    both = report.precision, report.recall
    if both != (None, None):
        yield Figure(
            "precision",
            report.precision,
            percent(report.precision),
            "So many of the edge's alarms (the second answer) are true.",
        )
        yield Figure(
            "recall",
            report.recall,
            percent(report.recall),
            "So many of the true cases the edge finds.",
        )
    if report.auc is not None:
        yield Figure(
            "AUC",
            report.auc,
            f"{report.auc:.4f}",
            "The chance that a true case has a higher output than another; 0.5 is a coin. It hides "
            "flips, since it does not know the threshold.",
        )


def _cost(report: Report) -> Iterator[Figure]:
    yield Figure("size", report.size, size(report.size), "The bytes that go to each device.")
    latency, load, peak = report.latency, report.load_seconds, report.peak_bytes
    if latency is None or load is None or peak is None:
        for name in ("latency", "load time", "memory"):
            yield Figure(name, None, UNMEASURED, NOT_THE_DEVICES)
        return
    for share, value in (
        ("p50", latency.row_p50),
        ("p95", latency.row_p95),
        ("p99", latency.row_p99),
    ):
        yield Figure(
            f"latency of a row, {share}",
            value,
            f"{amount(value, 3)} µs",
            f"{share[1:]} of 100 single rows take at most so many microseconds on this machine; a "
            "device takes its own time.",
        )
    batches = (("p50", latency.batch_p50), ("p95", latency.batch_p95), ("p99", latency.batch_p99))
    for share, value in batches:
        yield Figure(
            f"latency of a batch, {share}",
            value,
            f"{amount(value, 3)} µs",
            f"{share[1:]} of 100 batches of {latency.batch_rows:,} rows take at most so many "
            "microseconds.",
        )
    yield Figure(
        "load time",
        load,
        f"{load * 1000:.3g} ms",
        "So many seconds pass from the file to a model that is ready to answer.",
    )
    yield Figure(
        "memory",
        peak,
        f"{peak / MEGABYTE:.0f} MB",
        "The most that the model's own process ever held, its runtime and Python included.",
    )
