from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_validate_report import EMULATED, FAILED, PASSED, SUSPECT

from ggml_magic.device.contract import Decision, Rows
from ggml_magic.errors import GateError, GrammarError, NotYetError
from ggml_magic.validate import kept
from ggml_magic.validate.compare import compare
from ggml_magic.validate.gate import costs_against, failed, gate, load, reasons_against
from ggml_magic.validate.limits import parse
from ggml_magic.workspace import Workspace

HALF = Decision("threshold", 0.5)
VALUE = Decision("value")


def column(*values: float) -> Rows:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


def reasons(decision: Decision, source: Rows, edge: Rows, flips: str, tolerance: float) -> str:
    compared = compare(decision, source, edge, tolerance)
    return "; ".join(reasons_against(decision.rule, compared, parse(flips), tolerance))


def test_the_gate_opens_within_its_limits() -> None:
    assert reasons(HALF, column(0.1, 0.9), column(0.1, 0.9), "0%", 1e-9) == ""
    assert reasons(HALF, column(0.1, 0.9), column(0.6, 0.9), "1", 1.0) == ""
    assert reasons(HALF, column(0.1, 0.9), column(0.6, 0.9), "50%", 1.0) == ""
    assert reasons(VALUE, column(5, 6), column(5.05, 6), "0%", 0.1) == ""


def test_each_reason_against_is_told() -> None:
    flips = reasons(HALF, column(0.1, 0.9), column(0.6, 0.9), "0%", 1.0)
    assert flips == "1 of 2 decisions flips (50.00%), and 0% may"
    assert "an output differs by 0.2, and 0.1 is allowed" in reasons(
        HALF, column(0.1, 0.9), column(0.3, 0.9), "0%", 0.1
    )
    assert "one answer to every row, and the notebook's model does not" in reasons(
        HALF, column(0.1, 0.2), column(0.2, 0.2), "100%", 1.0
    )
    assert "it answers NaN or infinity to 1 row" in reasons(
        HALF, column(0.1, 0.9), column(np.nan, 0.9), "100%", 1.0
    )
    assert "the notebook's own model answers NaN or infinity to 2 rows" in reasons(
        HALF, column(np.nan, np.inf), column(0.1, 0.9), "100%", 1.0
    )
    value = reasons(VALUE, column(5, 6), column(5.2, 6), "0%", 0.1)
    assert value == "1 of 2 answers differs by more than 0.1 (50.00%), and 0% may"


def test_a_constant_answer_is_a_failure_by_itself() -> None:
    same = column(*[0.44] * 50)
    assert reasons(HALF, same, same, "100%", 1.0) == (
        "it gives one answer to every row as the notebook's model does: no proof"
    )
    # a few rows may be alike
    assert reasons(HALF, same[:49], same[:49], "0%", 1e-9) == ""


def test_flips_on_the_boundary_itself_are_told_as_such() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    told = reasons(HALF, column(0.5, 0.9), column(float(below), 0.9), "0%", 1e-4)
    assert "move the threshold off the data" in told
    assert "move" not in reasons(HALF, column(0.6, 0.9), column(0.4, 0.9), "0%", 1.0)


def test_latency_memory_and_size_have_limits() -> None:
    within = parse("0%", None, "2us", "64MB", "4072B")
    cost = PASSED.size, PASSED.latency, PASSED.peak_bytes
    assert costs_against(within, *cost) == ()
    assert costs_against(parse("0%"), *cost) == ()
    assert costs_against(parse("0%", None, "1.4us", "40MB", "4KB"), *cost) == (
        "a row takes 1.5 µs (95%), and 1.4 µs is allowed",
        "its memory is 42.0 MB, and 40.0 MB is allowed",
        "the file has 4,072 B, and 4,000 B is allowed",
    )
    # what nobody measured does not pass
    assert costs_against(within, EMULATED.size, None, None) == (
        "a row was not measured (95%), and 2 µs is allowed",
        "its memory was not measured, and 64.0 MB is allowed",
    )


def test_a_failure_says_why_and_what_next() -> None:
    error = failed(FAILED)
    assert error.what == "rain does not pass on ai-edge-litert 2.3.0"
    assert error.why == f"7 flip. {SUSPECT.sentence}" and error.remedy == SUSPECT.remedy
    alone = replace(FAILED, suspects=())
    assert failed(alone).remedy == "%ggml validate rain --inputs X_test --max-flips 7"
    assert failed(replace(alone, variant="int8")).remedy == "%ggml convert rain --quantize none"
    assert failed(replace(alone, not_finite=3)).remedy == "%ggml convert rain --quantize none"
    # nothing is nearer than float32: what would pass is said, rounded up
    far = replace(PASSED, passed=False, reasons=("far",), max_abs_diff=1.79e-7, tolerance=1e-9)
    assert failed(far).remedy == "%ggml validate rain --inputs X_test --tolerance 1.8e-07"
    assert failed(replace(far, variant="int8")).remedy == "%ggml convert rain --quantize none"
    source = replace(far, variant="saved_model", runtime="tensorflow")
    assert failed(source).remedy.endswith("--runtime tensorflow --tolerance 1.8e-07")
    both = replace(far, flip_count=7)
    assert failed(both).remedy.endswith("--max-flips 7 --tolerance 1.8e-07")
    assert failed(replace(both, rule="value")).remedy.endswith("X_test --tolerance 1.8e-07")
    dear = replace(PASSED, passed=False, reasons=("a row takes 3 ms",), variant="int8")
    assert failed(dear).remedy == "%ggml profile rain --inputs X_test"
    emulated = replace(EMULATED, passed=False, reasons=("7 flip",), flip_count=7)
    assert failed(emulated).what.endswith("2.3.0 for aarch64")
    assert failed(emulated).remedy.endswith("--arch aarch64 --max-flips 7")


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return SimpleNamespace(name="rain", folder=tmp_path, sha256=PASSED.model_sha256)


def conversion(sha256: str = PASSED.file_sha256) -> Any:
    return SimpleNamespace(candidate=SimpleNamespace(sha256=sha256), chosen="float32")


def test_only_a_passing_proof_of_this_very_file_on_this_runtime_opens(
    model: Any, workspace: Workspace
) -> None:
    with pytest.raises(NotYetError, match="rain has not been proven on ai-edge-litert"):
        gate(workspace, model, conversion())
    kept.keep(model, PASSED, None)
    assert gate(workspace, model, conversion()) == PASSED == load(workspace, model)
    with pytest.raises(GateError, match="converted again since it was proven on this") as caught:
        gate(workspace, model, conversion("c" * 64))
    assert caught.value.why == (
        "the report of 2026-01-01 00:00 UTC is of another file than the present float32"
    )
    with pytest.raises(GrammarError, match="no runtime is called 'abacus'"):
        gate(workspace, model, conversion(), runtime="abacus")
    kept.keep(model, FAILED, None)
    with pytest.raises(GateError, match="7 flip"):
        gate(workspace, model, conversion())


def test_an_emulated_proof_opens_nothing_and_its_failure_shuts(
    model: Any, workspace: Workspace
) -> None:
    kept.keep(model, EMULATED, None)
    with pytest.raises(NotYetError, match=r"there are reports on ai-edge-litert \(aarch64\) only"):
        gate(workspace, model, conversion())
    kept.keep(model, PASSED, None)
    assert gate(workspace, model, conversion()) == PASSED
    wrong = replace(EMULATED, passed=False, reasons=("7 flip",))
    kept.keep(model, replace(wrong, file_sha256="c" * 64), None)  # an older file's
    kept.keep(model, replace(wrong, runtime="tflite-runtime"), None)
    assert gate(workspace, model, conversion()) == PASSED
    kept.keep(model, wrong, None)
    with pytest.raises(GateError, match="for aarch64: 7 flip"):
        gate(workspace, model, conversion())
    assert gate(workspace, model, conversion(), force="never on aarch64") == PASSED


def test_force_lets_a_failing_report_through_and_never_a_missing_one(
    model: Any, workspace: Workspace
) -> None:
    with pytest.raises(NotYetError):
        gate(workspace, model, conversion(), force="in a hurry")
    kept.keep(model, FAILED, None)
    assert gate(workspace, model, conversion(), force="in a hurry") == FAILED
    with pytest.raises(GateError, match="converted again"):
        gate(workspace, model, conversion("c" * 64), force="in a hurry")
    for empty in ("", "  "):
        with pytest.raises(GrammarError, match="--force was given no reason"):
            gate(workspace, model, conversion(), force=empty)


@settings(deadline=None)
@given(st.floats(1e-30, 1e30))
def test_the_tolerance_that_is_suggested_passes(difference: float) -> None:
    far = replace(PASSED, passed=False, max_abs_diff=difference, tolerance=difference / 2)
    (suggested,) = re.findall(r"--tolerance (\S+)", failed(far).remedy)
    assert difference <= float(suggested) <= 1.1001 * difference
    asked = parse("0%", suggested).tolerance
    assert asked is not None and np.float32(difference) <= np.float32(asked)
