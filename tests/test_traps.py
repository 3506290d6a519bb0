"""The measured traps (RUNTIMES 1 and 2, PEERS 0.2): real files in the real runtimes.

First what each runtime does with each file, then that the proof says no and names the cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import trapfiles
from edge import environment
from trapfiles import ANY, Made, Rows

from ggml_magic.convert import static
from ggml_magic.convert.convert import convert
from ggml_magic.convert.inspection import inspect
from ggml_magic.convert.static import StaticReport
from ggml_magic.errors import ConversionError, EdgeRuntimeError, GateError
from ggml_magic.model.model import EdgeModel, describe
from ggml_magic.runtimes import runtime
from ggml_magic.runtimes.litert import LITERT
from ggml_magic.runtimes.tflite import TFLITE
from ggml_magic.validate import validate as proof
from ggml_magic.validate.report import Report
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real

# the dynamic-range and int16 files are that near to their source (RUNTIMES 2)
NEAR = 0.1


@pytest.fixture(scope="module", autouse=True)
def _environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both runtimes, built once: in the cache where one is named."""
    with environment(tmp_path_factory.mktemp("cache")):
        runtime.environment(TFLITE)
        yield


def answers(which: runtime.Runtime, content: bytes, folder: Path, rows: Rows = ANY) -> Rows:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return runtime.run(which, path, rows).outputs


def said(content: bytes, which: runtime.Runtime) -> str:
    """What the static report says of the runtime that the test runs the file in."""
    loads = StaticReport.from_dict(inspect(content)).loads
    known = {(claim.runtime, claim.version): claim.verdict for claim in loads}
    return known[which.name, which.version]


def flip_share(source: Rows, edge: Rows) -> float:
    return float(((source >= 0.5) != (edge >= 0.5)).mean())


# What each runtime does ---------------------------------------------------------------------------


def test_dynamic_range_of_a_wide_net_does_not_load_in_an_old_runtime(tmp_path: Path) -> None:
    made = trapfiles.wide(dynamic=True)
    with pytest.raises(EdgeRuntimeError, match="FULLY_CONNECTED version 12 is newer"):
        answers(TFLITE, made.content, tmp_path)
    assert said(made.content, TFLITE) == static.DOES_NOT
    assert np.abs(answers(LITERT, made.content, tmp_path) - made.source(ANY)).max() < NEAR
    assert said(made.content, LITERT) == static.CLAIMS


def test_gelu_in_int16_fails_only_when_it_is_run(tmp_path: Path) -> None:
    made = trapfiles.gelu_int16()
    # it loads, and nothing in the file says that it will fail
    assert said(made.content, TFLITE) == static.CLAIMS
    with pytest.raises(EdgeRuntimeError, match=r"cannot run the model: .*got INT16.*GELU"):
        answers(TFLITE, made.content, tmp_path)
    assert np.abs(answers(LITERT, made.content, tmp_path) - made.source(ANY)).max() < NEAR


def test_a_version_that_was_not_raised_answers_one_constant(tmp_path: Path) -> None:
    made = trapfiles.unraised()
    wrong = answers(TFLITE, made.content, tmp_path)
    assert len(np.unique(wrong)) == 1 and np.isfinite(wrong).all()
    assert flip_share(made.source(ANY), wrong) > 0.2
    assert said(made.content, TFLITE) == static.MISREADS
    assert np.abs(answers(LITERT, made.content, tmp_path) - made.source(ANY)).max() < NEAR


@pytest.mark.parametrize("which", [LITERT, TFLITE], ids=lambda which: which.name)
def test_flex_is_named(which: runtime.Runtime, tmp_path: Path) -> None:
    content = trapfiles.flex_lstm()
    with pytest.raises(EdgeRuntimeError) as caught:
        answers(which, content, tmp_path)
    assert "TensorFlow's own operators (Flex" in caught.value.why
    assert said(content, which) == static.DOES_NOT
    assert len(str(caught.value).splitlines()) <= 2


def test_a_wrong_conversion_answers_garbage_without_an_error(tmp_path: Path) -> None:
    """NaN, a constant, or what the memory held: the variables were never set (RUNTIMES 1)."""
    made = trapfiles.unset_variables()
    wrong = answers(LITERT, made.content, tmp_path)
    assert not (np.abs(wrong - made.source(ANY)) < NEAR).all()
    assert StaticReport.from_dict(inspect(made.content)).unset_variables
    with pytest.raises(EdgeRuntimeError, match="READ_VARIABLE"):
        answers(TFLITE, made.content, tmp_path)


@pytest.mark.parametrize("which", [LITERT, TFLITE], ids=lambda which: which.name)
def test_nan_is_answered_without_an_error(which: runtime.Runtime, tmp_path: Path) -> None:
    made = trapfiles.without_numbers()
    assert np.isfinite(made.source(ANY)).all()
    assert np.isnan(answers(which, made.content, tmp_path)).all()


@pytest.mark.parametrize("which", [LITERT, TFLITE], ids=lambda which: which.name)
def test_a_bare_row_is_refused_where_a_table_of_rows_is_needed(
    which: runtime.Runtime, tmp_path: Path
) -> None:
    with pytest.raises(EdgeRuntimeError, match=r"shape \[?\(?3") as caught:
        answers(which, trapfiles.without_rows(), tmp_path, trapfiles.weather())
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("which", [LITERT, TFLITE], ids=lambda which: which.name)
def test_rain_as_it_should_be_flips_nothing(which: runtime.Runtime, tmp_path: Path) -> None:
    rows = trapfiles.weather()
    right = answers(which, trapfiles.right(), tmp_path, rows)
    assert np.abs(right - trapfiles.rain().source(rows)).max() < 1e-6


@pytest.mark.parametrize("pascals", [False, True], ids=["scaler skipped", "Pa for hPa"])
def test_a_mistake_that_accuracy_hides(pascals: bool, tmp_path: Path) -> None:
    """It never rains, every rain is missed, and accuracy goes up (PEERS 0.2)."""
    rows, labels = trapfiles.weather(), trapfiles.labels(trapfiles.weather())
    content = trapfiles.right() if pascals else trapfiles.scaler_skipped()
    given = rows * np.float32([trapfiles.PASCALS, 1, 1]) if pascals else rows
    wrong, source = answers(LITERT, content, tmp_path, given), trapfiles.rain().source(rows)
    assert not (wrong >= 0.5).any()
    assert flip_share(source, wrong) == (source >= 0.5).mean() > 0.1
    assert ((wrong[:, 0] >= 0.5) == labels).mean() > ((source[:, 0] >= 0.5) == labels).mean()


def test_features_in_another_order(tmp_path: Path) -> None:
    rows = trapfiles.weather()
    content, source = trapfiles.another_order(), trapfiles.rain().source(rows)
    assert flip_share(source, answers(LITERT, content, tmp_path, rows)) > 0.5
    # given as it expects them, nothing is wrong
    assert flip_share(source, answers(LITERT, content, tmp_path, rows[:, [1, 2, 0]])) == 0


def test_ten_rows_to_calibrate_by_raise_the_accuracy(tmp_path: Path) -> None:
    made = trapfiles.ten_rows_int8()
    rows = trapfiles.weather()
    scaled, labels = trapfiles.standard(rows), trapfiles.labels(rows)
    wrong, source = answers(LITERT, made.content, tmp_path, scaled), made.source(scaled)
    assert flip_share(source, wrong) > 0.07
    assert ((wrong[:, 0] >= 0.5) == labels).mean() > ((source[:, 0] >= 0.5) == labels).mean()
    reach = StaticReport.from_dict(inspect(made.content)).input_range
    assert (
        reach is not None and ((scaled < reach[0]) | (scaled > reach[1])).any(axis=1).mean() > 0.5
    )


# What the proof says ------------------------------------------------------------------------------


def rain(workspace: Workspace) -> EdgeModel:
    stages = (trapfiles.rain().scaler, trapfiles.rain().network)
    return describe(
        workspace, "rain", stages, features=trapfiles.FEATURES, inputs=trapfiles.weather()
    )


def net(workspace: Workspace, made: Made) -> EdgeModel:
    return describe(workspace, "net", (made.model,), features="a,b,c", inputs=ANY)


def refused(
    workspace: Workspace,
    model: EdgeModel,
    content: bytes,
    rows: Rows = ANY,
    *,
    labels: object = None,
    which: str = LITERT.name,
) -> Report:
    """The report of a file that must not pass, adopted as the model's own."""
    path = workspace.root / "given.tflite"
    path.write_bytes(content)
    conversion = convert(workspace, model, file=path)
    with pytest.raises(GateError):
        proof.validate(
            workspace,
            model,
            conversion,
            inputs=rows,
            labels=labels,
            max_flips="0.5%",
            runtime=which,
        )
    return proof.load(workspace, model, runtime=which)


def kinds(report: Report) -> list[str]:
    return [suspect.kind for suspect in report.suspects]


def test_the_proof_names_a_scaler_that_was_skipped(workspace: Workspace) -> None:
    report = refused(
        workspace,
        rain(workspace),
        trapfiles.scaler_skipped(),
        trapfiles.weather(),
        labels=trapfiles.labels(trapfiles.weather()),
    )
    assert kinds(report)[0] == "scaler missing" and report.suspects[0].after == 0
    # accuracy alone would have let it through
    assert report.accuracy is not None and report.majority is not None
    assert report.accuracy >= report.majority and report.distinct_outputs == 1


def test_the_proof_names_pascals(workspace: Workspace) -> None:
    report = refused(workspace, rain(workspace), trapfiles.expecting_pascals(), trapfiles.weather())
    assert kinds(report)[0] == "unit" and "Pa" in report.suspects[0].sentence


def test_the_proof_names_the_order_of_the_features(workspace: Workspace) -> None:
    report = refused(workspace, rain(workspace), trapfiles.another_order(), trapfiles.weather())
    assert kinds(report)[0] == "order"
    assert "temperature, humidity, pressure" in report.suspects[0].sentence


def test_the_proof_refuses_ten_calibration_rows_though_accuracy_rises(
    workspace: Workspace,
) -> None:
    made, rows = trapfiles.ten_rows_int8(), trapfiles.standard(trapfiles.weather())
    model = describe(workspace, "net", (made.model,), features="a,b,c", inputs=rows)
    labels = trapfiles.labels(trapfiles.weather())
    report = refused(workspace, model, made.content, rows, labels=labels)
    assert report.flip_share > 0.07
    assert report.accuracy is not None and report.source_accuracy is not None
    assert report.accuracy > report.source_accuracy
    assert kinds(report) == ["inputs cut off"]


def test_the_proof_refuses_a_constant(workspace: Workspace) -> None:
    made = trapfiles.unraised()
    report = refused(workspace, net(workspace, made), made.content, which=TFLITE.name)
    assert report.distinct_outputs == 1 and kinds(report) == ["constant"]


def test_the_same_file_passes_in_the_newer_runtime(workspace: Workspace) -> None:
    made = trapfiles.unraised()
    model = net(workspace, made)
    path = workspace.root / "given.tflite"
    path.write_bytes(made.content)
    conversion = convert(workspace, model, file=path)
    report = proof.validate(
        workspace, model, conversion, inputs=ANY, max_flips="1%", tolerance=NEAR
    )
    assert report.passed


def test_the_proof_refuses_garbage(workspace: Workspace) -> None:
    made = trapfiles.unset_variables()
    assert not refused(workspace, net(workspace, made), made.content).passed


def test_the_proof_names_what_is_no_number(workspace: Workspace) -> None:
    made = trapfiles.without_numbers()
    report = refused(workspace, net(workspace, made), made.content)
    assert report.not_finite == len(ANY) and kinds(report) == ["no number"]


@pytest.mark.parametrize(
    ("make", "which", "why"),
    [
        (lambda: trapfiles.wide(dynamic=True), TFLITE, "FULLY_CONNECTED version 12 is newer"),
        (trapfiles.gelu_int16, TFLITE, "got INT16"),
    ],
    ids=["dynamic range", "gelu int16x8"],
)
def test_the_proof_tells_what_the_runtime_refuses(
    workspace: Workspace, make: Callable[[], Made], which: runtime.Runtime, why: str
) -> None:
    made = make()
    model = net(workspace, made)
    path = workspace.root / "given.tflite"
    path.write_bytes(made.content)
    with pytest.raises(ConversionError, match=why):
        convert(workspace, model, file=path, runtime=which.name)
    # taken for a runtime that has it, and proven on one that has not
    conversion = convert(workspace, model, file=path)
    with pytest.raises(EdgeRuntimeError, match=why):
        proof.validate(workspace, model, conversion, inputs=ANY, runtime=which.name)


@pytest.mark.parametrize("which", [LITERT, TFLITE], ids=lambda which: which.name)
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            trapfiles.flex_lstm,
            r"FlexTensorList\w+, FlexTensorList\w+( and \d more)? need the Flex delegate, which "
            r"[a-z-]+ lacks",
        ),
        (
            trapfiles.without_rows,
            r"the model's input has the shape \(3,\): one bare row, where a table of rows "
            r"\(N, 3\) is needed",
        ),
    ],
    ids=["flex", "bare row"],
)
def test_what_cannot_be_adopted_is_told_in_one_sentence(
    workspace: Workspace, make: Callable[[], bytes], why: str, which: runtime.Runtime
) -> None:
    model = rain(workspace)
    path = workspace.root / "given.tflite"
    path.write_bytes(make())
    with pytest.raises(ConversionError) as caught:
        convert(workspace, model, file=path, runtime=which.name)
    assert caught.value.what == "given.tflite cannot be taken as the edge file of rain"
    assert re.fullmatch(why, caught.value.why)
    assert caught.value.remedy.startswith("%ggml convert rain --quantize auto")
