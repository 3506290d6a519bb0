from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import pytest

from ggml_magic.errors import MissingExtraError
from ggml_magic.validate.report import Flip, Report, amount

PASSED = Report(
    name="rain",
    model_sha256="a" * 64,
    file_sha256="b" * 64,
    runtime="ai-edge-litert",
    runtime_version="2.3.0",
    architecture="x86_64",
    rule="threshold",
    rows=5000,
    flips=(),
    flip_share=0.0,
    max_abs_diff=1.8e-7,
    mean_abs_diff=1e-8,
    distinct_outputs=4990,
    not_finite=0,
    out_of_range_share=0.0123,
    accuracy=0.971,
    majority=0.965,
    precision=0.6,
    recall=0.5,
    mean_abs_error=None,
    baseline_abs_error=None,
    max_flips="0%",
    tolerance=1e-4,
    passed=True,
    reasons=(),
    load_seconds=0.005,
    row_microseconds_p50=1.25,
    peak_bytes=42_000_000,
    created="2026-01-01T00:00:00+00:00",
)
FLIPS = tuple(Flip(row, "dry", "rain", 0.51, 0.52) for row in range(7))
FAILED = replace(PASSED, passed=False, flips=FLIPS, flip_share=7 / 5000, reasons=("7 flip",))


def test_the_verdict_comes_first() -> None:
    assert str(PASSED).splitlines()[0] == (
        "rain PASSED: 0 of 5,000 decisions flip on ai-edge-litert 2.3.0"
    )
    assert FAILED.verdict.startswith("FAILED: 7 of 5,000 decisions flip on")
    assert replace(FAILED, flips=FLIPS[:1]).verdict.startswith("FAILED: 1 of 5,000 decisions flips")


VALUES = replace(
    PASSED,
    rule="value",
    rows=3000,
    tolerance=0.0234,
    accuracy=None,
    majority=None,
    precision=None,
    recall=None,
    mean_abs_error=0.412,
    baseline_abs_error=12.34,
)


def test_values_do_not_flip_but_differ() -> None:
    assert str(VALUES).splitlines()[0] == (
        "rain PASSED: 0 of 3,000 answers differ by more than 0.023 on ai-edge-litert 2.3.0"
    )
    failed = replace(VALUES, passed=False, flips=FLIPS[:1])
    assert failed.verdict.startswith("FAILED: 1 of 3,000 answers differs by more than 0.023 on")
    assert "flip" not in str(replace(VALUES, flips=FLIPS)).replace(".flips_frame()", "")


def test_an_error_never_stands_alone() -> None:
    assert "mean absolute error     0.412 (the median alone: 12.3)" in str(VALUES)
    assert "mean absolute error" not in str(PASSED)
    assert "accuracy" not in str(VALUES)
    houses = replace(VALUES, mean_abs_error=25_312.4, baseline_abs_error=1e6, tolerance=150.0)
    assert "25,312 (the median alone: 1,000,000)" in str(houses)
    assert "more than 150 on" in houses.verdict


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [(0.0234, 2, "0.023"), (99.7, 2, "100"), (99.4, 2, "99"), (-1234.5, 3, "-1,234")],
)
def test_amounts_have_no_exponent_where_they_are_large(
    value: float, digits: int, said: str
) -> None:
    assert amount(value, digits) == said
    assert (amount(math.inf, digits), amount(math.nan, digits)) == ("inf", "nan")


def test_accuracy_never_stands_alone() -> None:
    assert "97.10% (the commonest label alone: 96.50%)" in str(PASSED)
    assert "60.00%, 50.00%" in str(PASSED) and "1.23% of the rows" in str(PASSED)
    without = replace(PASSED, accuracy=None, majority=None, precision=None, recall=None)
    assert "accuracy" not in str(without) and "precision" not in str(without)
    assert "none, 0.00%" in str(replace(PASSED, precision=None, recall=0.0))


def test_a_failure_shows_why_and_the_first_flips() -> None:
    text = str(FAILED)
    assert "because" in text and "7 flip" in text and "and 2 flips more" in text
    assert text.count("dry") == 5
    assert "flips_frame" in FAILED._repr_html_()


def test_it_is_read_back_from_json() -> None:
    for report in (PASSED, FAILED, VALUES):
        assert Report.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report


def test_a_broken_models_nan_survives_json() -> None:
    flip = Flip(3, 1, 0, 0.7, math.nan)
    broken = replace(FAILED, flips=(flip,), max_abs_diff=math.inf, mean_abs_diff=math.inf)
    broken = replace(broken, mean_abs_error=math.nan, baseline_abs_error=1.0)
    read = Report.from_dict(json.loads(json.dumps(broken.to_dict(), allow_nan=False)))
    assert math.isinf(read.max_abs_diff) and math.isinf(read.mean_abs_diff)
    assert read.mean_abs_error is not None and math.isnan(read.mean_abs_error)
    assert math.isnan(read.flips[0].edge_output) and read.flips[0].source_output == 0.7
    assert "inf" in str(read)


def test_flips_as_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = FAILED.flips_frame()
    assert list(frame.columns) == ["row", "source", "edge", "source_output", "edge_output"]
    assert frame["row"].tolist() == list(range(7))
    assert list(PASSED.flips_frame().columns) == list(frame.columns)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pandas is not installed"):
        FAILED.flips_frame()
