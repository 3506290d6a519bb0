from __future__ import annotations

from dataclasses import replace

import pytest
from test_validate_report import EMULATED, FAILED, PASSED, VALUES

from ggml_magic.validate.figures import UNMEASURED, facts, figures
from ggml_magic.validate.report import Report


def value_of(report: Report, name: str) -> object:
    (found,) = [figure.value for figure in figures(report) if figure.name == name]
    return found


@pytest.mark.parametrize("report", [PASSED, FAILED, VALUES, EMULATED])
def test_each_figure_has_one_sentence_of_plain_language(report: Report) -> None:
    found = figures(report)
    assert len({figure.name for figure in found}) == len(found)
    for figure in found:
        assert figure.meaning.endswith(".") and figure.said
        assert "\n" not in figure.meaning and len(figure.meaning) < 200
        assert "nan" not in figure.said


def test_the_values_are_the_reports() -> None:
    assert value_of(PASSED, "decisions that flip") == 0
    assert value_of(FAILED, "share of them") == 7 / 5000
    assert value_of(PASSED, "99% differ by at most") == 6e-8
    assert value_of(PASSED, "latency of a row, p95") == 1.5
    assert value_of(PASSED, "latency of a batch, p99") == 50.0
    assert value_of(PASSED, "memory") == 42_000_000
    assert value_of(PASSED, "size") == 4072
    assert value_of(PASSED, "AUC") == 0.84
    assert value_of(PASSED, "humidity outside training range") == 0.004
    assert value_of(PASSED, "shape") == "(N, 3) to (N, 1)"
    assert value_of(VALUES, "answers that differ") == 0
    assert value_of(VALUES, "error of the median") == 12.34


def test_an_emulator_s_figures_are_never_the_devices() -> None:
    for name in ("latency", "load time", "memory"):
        assert value_of(EMULATED, name) is None
    said = dict(facts(EMULATED))["on aarch64"]
    assert said == f"4,072 B; latency and memory {UNMEASURED}"
    assert "µs" not in str(EMULATED) and "MB at most" not in str(EMULATED)
    assert dict(facts(PASSED))["on this x86_64"] == (
        "4,072 B, 1.25 µs a row (95%: 1.5), loads in 5 ms, 42 MB at most"
    )


def test_accuracy_never_stands_alone() -> None:
    assert dict(facts(PASSED))["accuracy"] == (
        "97.10% (the notebook's: 97.20%; the commonest label alone: 96.50%)"
    )
    alike = replace(PASSED, source_accuracy=PASSED.accuracy)
    assert dict(facts(alike))["accuracy"] == "97.10% (the commonest label alone: 96.50%)"
    assert dict(facts(PASSED))["precision, recall"] == "60.00%, 50.00%"
    sentence = next(f.meaning for f in figures(PASSED) if f.name == "accuracy")
    assert "97.20%" in sentence  # the notebook's model
    without = replace(PASSED, accuracy=None, majority=None, precision=None, recall=None, auc=None)
    assert not {"accuracy", "precision, recall"} & set(dict(facts(without)))
    assert dict(facts(replace(PASSED, precision=None, recall=0.0)))["precision, recall"] == (
        "none, 0.00%"
    )


def test_an_error_never_stands_alone() -> None:
    assert dict(facts(VALUES))["mean absolute error"] == "0.412 (the median alone: 12.3)"
    assert "mean absolute error" not in dict(facts(PASSED))
    rough = replace(VALUES, source_abs_error=0.35)
    assert dict(facts(rough))["mean absolute error"] == (
        "0.412 (the notebook's: 0.35; the median alone: 12.3)"
    )
    near = replace(VALUES, source_abs_error=0.41204)  # written alike
    assert dict(facts(near))["mean absolute error"] == "0.412 (the median alone: 12.3)"
    houses = replace(VALUES, mean_abs_error=25_312.4, baseline_abs_error=1e6, tolerance=150.0)
    assert dict(facts(houses))["mean absolute error"] == "25,312 (the median alone: 1,000,000)"
    assert "more than 150 on" in houses.verdict


def test_what_lies_outside_is_named() -> None:
    assert dict(facts(PASSED))["outside training range"] == (
        "1.23% of the rows, most of all pressure"
    )
    inside = replace(PASSED, out_of_range_share=0.0, out_of_range={"pressure": 0.0})
    assert dict(facts(inside))["outside training range"] == "0.00% of the rows"


def test_counting_that_stopped_is_told() -> None:
    assert dict(facts(PASSED))["distinct outputs"] == "4,990"
    many = replace(PASSED, distinct_outputs=10_000)
    assert dict(facts(many))["distinct outputs"] == "10,000 or more"


def meaning_of(report: Report, name: str) -> str:
    (found,) = [figure.meaning for figure in figures(report) if figure.name == name]
    return found


def test_the_shape_is_what_the_file_states_and_what_ran() -> None:
    for shape, said, takes in (
        ((-1, 3), "(N, 3) to (N, 1)", "The file takes any number of rows; in this run"),
        ((1, 3), "(1, 3) to (1, 1)", "The file takes 1 row at a time, no more and no fewer;"),
        (None, "(N, 3) to (N, 1)", "What ran states no number of rows; in this run"),
    ):
        report = replace(PASSED, input_shape=shape)
        assert value_of(report, "shape") == said
        meaning = meaning_of(report, "shape")
        assert meaning.startswith(takes) and "single rows went in as (1, 3), never" in meaning
    four = replace(PASSED, input_shape=(4, 3))
    assert value_of(four, "shape") == "(4, 3) to (4, 1)"
    assert meaning_of(four, "shape").endswith(
        "a single row went in 4 times over, and one answer was taken."
    )
    assert "single rows were not looked at" in meaning_of(EMULATED, "shape")


def test_a_proof_of_few_rows_says_so() -> None:
    one = replace(PASSED, rows=1)
    assert value_of(one, "rows") == 1 and value_of(PASSED, "rows") == 5000
    assert meaning_of(one, "rows").startswith("Proven on 1 row only: up to 100% of all other")
    assert "Proven on" not in PASSED.sentences() and "Proven on 1 row only" in one.sentences()


def test_decisions_are_counted_where_there_are_any() -> None:
    report = replace(PASSED, distinct_decisions=1, source_distinct_decisions=2)
    assert value_of(report, "distinct decisions") == 1
    assert "the notebook's model 2;" in meaning_of(report, "distinct decisions")
    assert "distinct decisions" not in VALUES.sentences()
