from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edge import environment
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.convert import static
from ggml_magic.convert.static import KNOWN, Claim, Operator, StaticReport, Tensor, Understated

INPUT = Tensor("rows", "input", (-1, 3), "float32", None, None, 0, None)
OUTPUT = Tensor("chance", "output", (-1, 1), "float32", None, None, 0, None)
PLAIN = StaticReport(
    size=4072,
    sha256="0123456789abcdef" * 4,
    operators=(Operator("FULLY_CONNECTED", 1, 3, False), Operator("LOGISTIC", 1, 1, False)),
    flex=(),
    min_runtime_version="1.14.0",
    tensors=(INPUT, OUTPUT),
    tensor_count=11,
    weight_bytes=1412,
    quantised_share=0.0,
    input_range=None,
    input_step=None,
    range_behind=(),
    signatures=("serving_default",),
    understated=(),
    unset_variables=False,
)


def operators(*named: tuple[str, int]) -> tuple[Operator, ...]:
    return tuple(Operator(name, version, 1, False) for name, version in named)


def verdicts(report: StaticReport) -> dict[str, str]:
    return {f"{claim.runtime} {claim.version}": claim.verdict for claim in report.loads}


def claim(report: StaticReport, version: str) -> Claim:
    return next(claim for claim in report.loads if claim.version == version)


def test_a_plain_file_claims_to_load_everywhere_and_never_that_it_runs() -> None:
    assert set(verdicts(PLAIN).values()) == {static.CLAIMS}
    text = str(PLAIN)
    assert "only a run in the runtime itself proves it" in text
    assert "FULLY_CONNECTED v1 ×3, LOGISTIC v1" in text and "4,072 B" in text
    assert "rows (any, 3) float32" in text and "none of it quantised" in text
    assert "runs in" not in text and "works" not in text


def test_an_operator_newer_than_the_runtime_has() -> None:
    report = replace(PLAIN, operators=operators(("FULLY_CONNECTED", 12)))
    assert verdicts(report) == {
        "ai-edge-litert 2.3.0": static.CLAIMS,
        "ai-edge-litert 1.4.0": static.CLAIMS,
        "tflite-runtime 2.14.0": static.DOES_NOT,
        "tflite-runtime 2.5.0": static.DOES_NOT,
    }
    assert claim(report, "2.14.0").reason == "it has FULLY_CONNECTED up to version 10, not 12"
    assert "even tflite-runtime 2.14.0" in claim(report, "2.5.0").reason


def test_an_operator_that_nobody_has() -> None:
    report = replace(PLAIN, operators=operators(("STABLEHLO_SORT", 1)))
    assert set(verdicts(report).values()) == {static.DOES_NOT}
    assert claim(report, "2.3.0").reason == "it has STABLEHLO_SORT not at all"


@pytest.mark.parametrize(
    ("needs", "loaded_by"), [("1.14.0", 4), ("2.5.0", 4), ("2.9.0", 3), ("2.17.0", 2), ("2.21", 1)]
)
def test_the_version_that_the_file_asks_for(needs: str, loaded_by: int) -> None:
    report = replace(PLAIN, min_runtime_version=needs)
    assert list(verdicts(report).values()).count(static.CLAIMS) == loaded_by


@pytest.mark.parametrize("said", ["", "new", "2.x", "\N{SNOWMAN}"])
def test_a_file_that_names_no_version_says_nothing(said: str) -> None:
    assert set(verdicts(replace(PLAIN, min_runtime_version=said)).values()) == {static.DOES_NOT_SAY}
    assert "it does not say" in str(replace(PLAIN, min_runtime_version=""))


def test_flex_and_custom_operators_do_not_load() -> None:
    flex = replace(PLAIN, flex=("FlexErf", "FlexFft", "FlexRoll"))
    assert set(verdicts(flex).values()) == {static.DOES_NOT}
    assert "FlexErf, FlexFft and 1 more need the Flex delegate" in flex.loads[0].reason
    custom = replace(PLAIN, operators=(Operator("MyOwn", 1, 1, True),))
    assert set(verdicts(custom).values()) == {static.DOES_NOT}
    assert custom.loads[0].reason == "it has no custom operator MyOwn"
    known = replace(PLAIN, operators=(Operator("TFLite_Detection_PostProcess", 1, 1, True),))
    assert set(verdicts(known).values()) == {static.CLAIMS}


def test_an_understated_version_is_told_as_a_wrong_answer() -> None:
    report = replace(PLAIN, understated=(Understated("FULLY_CONNECTED", 1, 12),))
    assert verdicts(report) == {
        "ai-edge-litert 2.3.0": static.CLAIMS,
        "ai-edge-litert 1.4.0": static.CLAIMS,
        "tflite-runtime 2.14.0": static.MISREADS,
        "tflite-runtime 2.5.0": static.MISREADS,
    }
    assert "older runtimes load it and answer wrongly" in str(report)


def test_doubts_name_the_runtimes_and_never_one_that_runs_it() -> None:
    assert PLAIN.doubts() == replace(PLAIN, min_runtime_version="").doubts() == ""
    both = replace(
        PLAIN,
        operators=operators(("STABLEHLO_ADD", 1)),
        understated=(Understated("FULLY_CONNECTED", 1, 14),),
    )
    assert both.doubts() == (
        "does not load in tflite-runtime 2.14.0 and tflite-runtime 2.5.0; "
        "answers wrongly in ai-edge-litert 1.4.0"
    )
    everywhere = replace(PLAIN, flex=("FlexErf",)).doubts()
    assert all(f"{known.name} {known.version}" in everywhere for known in KNOWN)


def test_variables_that_nothing_sets_are_told() -> None:
    assert "variables that nothing sets" in str(replace(PLAIN, unset_variables=True))
    assert "variables" not in str(PLAIN)


def test_an_input_without_a_dimension_for_rows_is_told() -> None:
    report = replace(PLAIN, tensors=(replace(INPUT, shape=(3,)), OUTPUT))
    assert "rows (3,) float32 takes one row without a dimension for rows" in str(report)


def test_what_the_input_can_express() -> None:
    report = replace(PLAIN, input_range=(-2.5, 1041.0), input_step=4.1)
    assert "-2.5 to 1041 in steps of 4.1" in str(report)
    behind = replace(report, range_behind=("SUB", "MUL"))
    assert "in steps of 4.1, after SUB, MUL" in str(behind)


def test_a_large_file_is_still_a_few_lines() -> None:
    weight = Tensor("w", "weight", (64, 64), "int8", None, None, 64, 0)
    many = replace(
        PLAIN,
        operators=tuple(Operator(f"OP_{n}", 1, 1, False) for n in range(60)),
        tensors=(INPUT, OUTPUT, *[weight] * 298),
        tensor_count=1234,
        quantised_share=0.93,
    )
    assert len(str(many).splitlines()) < 20
    assert "and 52 more" in str(many) and "1,234, 298 quantised (298 by channel)" in str(many)
    assert "93% of it quantised" in str(many)


def test_names_from_the_file_are_text_in_html() -> None:
    report = replace(PLAIN, tensors=(replace(INPUT, name="<script>"), OUTPUT))
    assert "<script>" not in report._repr_html_() and "&lt;script&gt;" in report._repr_html_()


def test_a_report_without_a_field_is_refused() -> None:
    values = PLAIN.to_dict()
    del values["sha256"]
    with pytest.raises(ValueError, match="lacks sha256"):
        StaticReport.from_dict(values)


names = st.text(min_size=1, max_size=8)
tensors = st.builds(
    Tensor,
    name=names,
    role=st.sampled_from(["input", "output", "weight", "activation"]),
    shape=st.lists(st.integers(-1, 2**31 - 1), max_size=4).map(tuple),
    dtype=st.sampled_from(["float32", "int8"]),
    scale=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    zero_point=st.none() | st.integers(-128, 127),
    scales=st.integers(0, 999),
    axis=st.none() | st.integers(0, 3),
)
reports = st.builds(
    replace,
    st.just(PLAIN),
    operators=st.lists(
        st.builds(
            Operator,
            name=st.sampled_from(["ADD", "CAST", "GELU"]),
            version=st.integers(1, 20),
            count=st.integers(0, 9),
            custom=st.booleans(),
        )
    ).map(tuple),
    flex=st.lists(names, max_size=3).map(tuple),
    min_runtime_version=st.sampled_from(["", "1.14.0", "2.9.0", "2.17.0", "2.30.0"]) | names,
    tensors=st.lists(tensors, max_size=5).map(tuple),
    input_range=st.none() | st.tuples(st.floats(-9, 0), st.floats(0, 9)),
    input_step=st.none() | st.floats(0, 1),
    range_behind=st.lists(names, max_size=2).map(tuple),
    understated=st.lists(st.just(Understated("FULLY_CONNECTED", 1, 12)), max_size=1).map(tuple),
)


@given(reports)
def test_a_report_survives_json_and_shows_itself(report: StaticReport) -> None:
    assert StaticReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert str(report) and len(report.loads) == len(KNOWN)


@given(reports)
def test_a_newer_runtime_never_loads_less(report: StaticReport) -> None:
    loads = [claim.verdict in (static.CLAIMS, static.DOES_NOT_SAY) for claim in report.loads]
    assert loads == sorted(loads, reverse=True)  # KNOWN stands from new to old


def test_the_table_grows_with_each_runtime() -> None:
    assert all(list(column) == sorted(column) for column in static.REGISTERED)
    names = [name for names in static.REGISTERED.values() for name in names.split()]
    assert len(names) == len(set(names)) == 172


# Asked of the runtime itself: does it have each builtin operator in each version?
ASK = """
import base64, json, sys
from ai_edge_litert.interpreter import Interpreter
found = {}
for name, version, content in json.load(sys.stdin):
    try:
        Interpreter(model_content=base64.b64decode(content))
        found[name] = max(version, found.get(name, 0))
    except ValueError as error:
        assert "find op for builtin" in str(error) or "out of range" in str(error), error
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


@pytest.mark.real
def test_the_table_is_what_the_default_runtime_registers(python: Path) -> None:
    from trapfiles import naming_only, schema

    kinds: dict[str, Any] = {
        name: number
        for name, number in vars(schema().BuiltinOperator).items()
        if not name.startswith("_") and name not in ("CUSTOM", "DELEGATE")
    }
    highest = 1 + max(max(column) for column in static.REGISTERED)
    asked = [
        (name, version, base64.b64encode(naming_only(number, version)).decode())
        for name, number in kinds.items()
        for version in range(1, highest + 1)
    ]
    done = subprocess.run(
        [python, "-I", "-c", ASK],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found == {name: static.registered(name, KNOWN[0]) for name in found}
    assert found.keys() == {n for names in static.REGISTERED.values() for n in names.split()}
