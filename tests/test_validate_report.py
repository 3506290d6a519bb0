from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.errors import MissingExtraError
from ggml_magic.validate.flips import flips, sample
from ggml_magic.validate.question import Suspect
from ggml_magic.validate.report import Latency, Report, amount

PASSED = Report(
    name="rain",
    model_sha256="a" * 64,
    file_sha256="b" * 64,
    variant="float32",
    runtime="ai-edge-litert",
    runtime_version="2.3.0",
    arch="native",
    architecture="x86_64",
    emulated=False,
    rule="threshold",
    boundary=0.5,
    rows=5000,
    features=3,
    outputs=1,
    flip_count=0,
    flip_share=0.0,
    max_abs_diff=1.8e-7,
    mean_abs_diff=1e-8,
    p99_abs_diff=6e-8,
    distinct_outputs=4990,
    not_finite=0,
    out_of_range_share=0.0123,
    out_of_range={"pressure": 0.0123, "temperature": 0.0, "humidity": 0.004},
    accuracy=0.971,
    source_accuracy=0.972,
    majority=0.965,
    precision=0.6,
    recall=0.5,
    auc=0.84,
    mean_abs_error=None,
    baseline_abs_error=None,
    max_flips="0%",
    tolerance=1e-4,
    max_latency_p95_microseconds=None,
    max_memory_bytes=None,
    max_size_bytes=None,
    passed=True,
    reasons=(),
    suspects=(),
    size=4072,
    load_seconds=0.005,
    latency=Latency(1.25, 1.5, 2.5, 4096, 33.0, 40.0, 50.0),
    peak_bytes=42_000_000,
    created="2026-01-01T00:00:00.000+00:00",
)
CONTRACT = Contract(
    tuple(Feature(n, "", 0, 1, 8, 9, 5) for n in ("pressure", "temperature", "humidity")),
    Decision("argmax", classes=("dry", "rain")),
)
ROWS = np.ones((7, 3), dtype=np.float32)
ROWS[2, 1] = 99.0
BEFORE = np.asarray([[0.52, 0.48]] * 7, dtype=np.float32)
AFTER = np.asarray([[0.48, 0.52]] * 7, dtype=np.float32)
FLIPPED = flips(CONTRACT, np.arange(7), ROWS, BEFORE, AFTER)
POINTS = sample(CONTRACT.decision, np.arange(7), BEFORE, AFTER, 0.0)
SUSPECT = Suspect("unit", "pressure was given in Pa", "--units pressure:Pa", 7, 0)
FAILED = replace(
    PASSED,
    passed=False,
    flip_count=7,
    flip_share=7 / 5000,
    reasons=("7 flip",),
    suspects=(SUSPECT,),
    flipped=FLIPPED,
    points=POINTS,
)
EMULATED = replace(
    PASSED,
    arch="aarch64",
    architecture="aarch64",
    emulated=True,
    load_seconds=None,
    latency=None,
    peak_bytes=None,
)
VALUES = replace(
    PASSED,
    rule="value",
    boundary=None,
    rows=3000,
    tolerance=0.0234,
    accuracy=None,
    source_accuracy=None,
    majority=None,
    precision=None,
    recall=None,
    auc=None,
    mean_abs_error=0.412,
    baseline_abs_error=12.34,
)


def test_the_verdict_comes_first() -> None:
    assert str(PASSED).splitlines()[0] == (
        "rain PASSED: 0 of 5,000 decisions flip on ai-edge-litert 2.3.0"
    )
    assert FAILED.verdict.startswith("FAILED: 7 of 5,000 decisions flip on")
    assert replace(FAILED, flip_count=1).verdict.startswith("FAILED: 1 of 5,000 decisions flips")
    assert EMULATED.verdict.endswith("on ai-edge-litert 2.3.0 for aarch64, emulated")


def test_values_do_not_flip_but_differ() -> None:
    assert str(VALUES).splitlines()[0] == (
        "rain PASSED: 0 of 3,000 answers differ by more than 0.023 on ai-edge-litert 2.3.0"
    )
    failed = replace(VALUES, passed=False, flip_count=1)
    assert failed.verdict.startswith("FAILED: 1 of 3,000 answers differs by more than 0.023 on")
    assert "flip" not in str(replace(VALUES, flip_count=7, flipped=FLIPPED)).replace(".flips", "")


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [(0.0234, 2, "0.023"), (99.7, 2, "100"), (99.4, 2, "99"), (-1234.5, 3, "-1,234")],
)
def test_amounts_have_no_exponent_where_they_are_large(
    value: float, digits: int, said: str
) -> None:
    assert amount(value, digits) == said
    assert (amount(math.inf, digits), amount(math.nan, digits)) == ("inf", "nan")


def test_a_failure_shows_why_and_the_first_flips() -> None:
    text = str(FAILED)
    assert "because" in text and "7 flip" in text and "and 2 flips more, in .flips" in text
    assert "suspect" in text and "pressure was given in Pa" in text
    # the header and five rows
    assert text.count("dry") == 5
    assert sum(line.endswith("  temperature") for line in text.splitlines()) == 1
    assert "left out" not in text


def test_rows_that_were_left_out_are_told() -> None:
    assert ".flips has the worst 7 of 12,000" in str(replace(FAILED, flip_count=12_000))
    assert "worst" not in str(FAILED)


class Page(HTMLParser):
    """The tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_a_notebook_sees_the_drawing_too() -> None:
    shown = FAILED._repr_html_()
    tags = Page(shown).tags
    assert tags.count("svg") == 1 and "table" in tags and "script" not in tags
    assert "pressure was given in Pa" in shown
    assert "svg" not in Page(PASSED._repr_html_()).tags  # nothing to draw


def test_it_is_read_back_from_json() -> None:
    for report in (PASSED, FAILED, VALUES, EMULATED):
        values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert Report.from_dict(values, report.flipped, report.points) == report
        assert len(json.dumps(values)) < 3000


def test_a_broken_models_nan_survives_json() -> None:
    broken = replace(
        FAILED,
        max_abs_diff=math.inf,
        mean_abs_diff=math.inf,
        p99_abs_diff=math.inf,
        mean_abs_error=math.nan,
        baseline_abs_error=1.0,
    )
    read = Report.from_dict(json.loads(json.dumps(broken.to_dict(), allow_nan=False)))
    assert math.isinf(read.max_abs_diff) and math.isinf(read.p99_abs_diff)
    assert read.mean_abs_error is not None and math.isnan(read.mean_abs_error)
    assert "inf" in str(read)


def test_flips_and_figures_as_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = FAILED.flips
    assert frame["row"].tolist() == list(range(7)) and frame["edge"].tolist() == ["rain"] * 7
    assert frame is FAILED.flips
    table = PASSED.to_df()
    assert list(table.columns) == ["figure", "value", "shown", "meaning"]
    assert len(table) == len(PASSED.figures) > 15
    largest = table.set_index("figure").loc["largest difference"]
    assert (largest["value"], largest["shown"]) == (1.8e-7, "1.8e-07")
    assert table.set_index("figure").loc["latency of a row, p50", "shown"] == "1.25 µs"
    lines = PASSED.sentences().splitlines()
    assert len(lines) == len(table) and lines[0].startswith("decisions that flip: 0 of 5,000. Rows")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pandas is not installed"):
        replace(FAILED).flips  # noqa: B018  the property is the call
    with pytest.raises(MissingExtraError, match="pandas is not installed"):
        PASSED.to_df()


def test_a_proof_of_few_rows_says_so_on_its_card() -> None:
    assert "Proven on 49 rows only: up to 6% of all other decisions" in str(
        replace(PASSED, rows=49)
    )
    assert "Proven on 1 row only: up to 100% of all other answers" in str(replace(VALUES, rows=1))
    allowed = replace(PASSED, rows=9, flip_count=1)  # the rule of three is of none that flip
    assert "Proven on 9 rows only: that tells little" in str(allowed)
    assert "Proven on" not in str(replace(PASSED, rows=50))
    assert "Proven on" not in str(replace(FAILED, rows=7))  # it is not proven at all


def test_a_report_of_an_earlier_version_is_read() -> None:
    values = PASSED.to_dict()
    del values["input_shape"]
    assert Report.from_dict(values) == PASSED
    fixed = replace(PASSED, input_shape=(1, 3))
    assert Report.from_dict(json.loads(json.dumps(fixed.to_dict()))) == fixed


def test_equal_shares_are_told_in_the_order_of_the_contract_however_often_it_is_read() -> None:
    """JSON sorts its keys: the first of two equal shares became the first of the alphabet."""
    shares = {"pressure": 0.25, "humidity": 0.25}
    for kept, rows in (
        (replace(PASSED, out_of_range=shares, feature_names=("pressure", "humidity")), ()),
        (replace(FAILED, out_of_range=shares), (FLIPPED,)),  # of an earlier version
    ):
        stored = json.loads(json.dumps(kept.to_dict(), sort_keys=True))
        assert list(stored["out_of_range"]) == ["humidity", "pressure"]
        read = Report.from_dict(stored, *rows)
        assert "most of all pressure" in str(kept) and str(read.card().facts) == str(
            kept.card().facts
        )


def test_a_value_is_its_own_answer_and_stands_there_once() -> None:
    before, after = (np.full((2, 1), v, np.float32) for v in (1.1, 1.3))
    contract = replace(CONTRACT, decision=Decision("value"))
    rows = flips(contract, np.arange(2), ROWS[:2], before, after)
    text = str(replace(VALUES, passed=False, flip_count=2, flipped=rows))
    assert text.count("1.1  ") == text.count("1.3  ") == 2 and "1.10000" not in text
    assert "notebook's output" not in text and "edge's output" not in text
    assert "notebook's output" in str(FAILED)


def test_the_drawing_counts_what_the_card_counts() -> None:
    many = replace(FAILED, rows=800, flip_count=642)
    shown = many._repr_html_()
    assert "642 of 800 decisions flip" in shown
    assert "642 flips (7 drawn)" in shown and "158 rows decided alike" in shown
    values = replace(many, rule="value", boundary=None)._repr_html_()
    assert "642 differences (7 drawn)" in values and "158 rows near enough" in values
