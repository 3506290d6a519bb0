"""The gate: what must pass passes, and each measured way to be wrong is caught."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ggml_magic.convert.convert import Conversion, convert
from ggml_magic.device.contract import Decision, Rows
from ggml_magic.errors import (
    ContractError,
    EdgeRuntimeError,
    FeatureMismatchError,
    GateError,
    GgmlError,
    GrammarError,
    MissingValuesError,
    NotYetError,
)
from ggml_magic.model.graph import SIGNATURE, export, fuse
from ggml_magic.model.model import EdgeModel, describe
from ggml_magic.model.model import load as load_model
from ggml_magic.model.training import tensorflow
from ggml_magic.validate.compare import compare
from ggml_magic.validate.limits import parse_flips
from ggml_magic.validate.validate import (
    GOLDEN_FILE,
    REPORT_FILE,
    gate,
    load,
    reasons_against,
    validate,
)
from ggml_magic.workspace import Workspace, read_json

RANDOM = np.random.default_rng(4)
ROWS = RANDOM.normal([1013, 12, 65], [8, 9, 20], (3000, 3)).astype(np.float32)
HALF = Decision("threshold", 0.5)


def column(*values: float) -> Rows:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


def reasons(decision: Decision, source: Rows, edge: Rows, flips: str, tolerance: float) -> str:
    compared = compare(decision, source, edge, tolerance)
    return "; ".join(reasons_against(decision, source, compared, parse_flips(flips), tolerance))


def test_the_gate_opens_within_its_limits() -> None:
    assert reasons(HALF, column(0.1, 0.9), column(0.1, 0.9), "0%", 1e-9) == ""
    assert reasons(HALF, column(0.1, 0.9), column(0.6, 0.9), "1", 1.0) == ""
    assert reasons(HALF, column(0.1, 0.9), column(0.6, 0.9), "50%", 1.0) == ""
    assert reasons(Decision("value"), column(5, 6), column(5.05, 6), "0%", 0.1) == ""


def test_each_reason_against_is_told() -> None:
    flips = reasons(HALF, column(0.1, 0.9), column(0.6, 0.9), "0%", 1.0)
    assert flips == "1 of 2 decisions flips (50.00%), and 0% may"
    assert "an output differs by 0.2, and 0.1 is allowed" in reasons(
        HALF, column(0.1, 0.9), column(0.3, 0.9), "0%", 0.1
    )
    assert "one answer to every row" in reasons(
        HALF, column(0.1, 0.2), column(0.2, 0.2), "100%", 1.0
    )
    assert "NaN or infinity to 1 row" in reasons(
        HALF, column(0.1, 0.9), column(np.nan, 0.9), "100%", 1.0
    )
    value = reasons(Decision("value"), column(5, 6), column(5.2, 6), "0%", 0.1)
    assert value == "1 of 2 answers differs by more than 0.1 (50.00%), and 0% may"


def test_flips_on_the_boundary_itself_are_told_as_such() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    told = reasons(HALF, column(0.5, 0.9), column(float(below), 0.9), "0%", 1e-4)
    assert "move the threshold off the data" in told
    assert "move" not in reasons(HALF, column(0.6, 0.9), column(0.4, 0.9), "0%", 1.0)


@dataclass(frozen=True)
class Kit:
    """A described and converted network whose weights tests may change and put back."""

    workspace: Workspace
    model: EdgeModel
    conversion: Conversion
    weights: Any
    mean: Any

    def validate(self, conversion: Conversion | None = None, **changes: Any) -> Any:
        options = {"inputs": ROWS, **changes}
        return validate(self.workspace, self.model, conversion or self.conversion, **options)

    def fails(self, conversion: Conversion | None = None, **changes: Any) -> GateError:
        with pytest.raises(GateError) as caught:
            self.validate(conversion, **changes)
        assert not load(self.workspace, self.model).passed
        assert not (self.model.folder / GOLDEN_FILE).exists()
        with pytest.raises(GateError):
            gate(self.workspace, self.model, conversion or self.conversion)
        return caught.value


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    tf = tensorflow()
    mean, deviation = tf.constant([1013.0, 12, 65]), tf.constant([8.0, 9, 20])
    weights = tf.Variable([[1.0], [-0.5], [2.0]])
    workspace = Workspace(tmp_path_factory.mktemp("validate") / ".ggml")
    model = describe(
        workspace,
        "rain",
        [lambda x: (x - mean) / deviation, lambda x: tf.sigmoid(x @ weights)],
        features="pressure:hPa,temperature:degC,humidity:%",
        inputs=ROWS,
        decide=">= 0.52",
    )
    return Kit(workspace, model, convert(workspace, model), weights, mean)


@pytest.fixture
def instead(kit: Kit, tmp_path: Path) -> Callable[[Any, int], Conversion]:
    """A conversion whose file is really another function's, as a wrong conversion would be."""

    def call(function: Any, features: int = 3) -> Conversion:
        tf = tensorflow()
        export(fuse([function], features), tmp_path / "other")
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(tmp_path / "other"), signature_keys=[SIGNATURE]
        )
        content = converter.convert()
        path = tmp_path / "other.tflite"
        path.write_bytes(content)
        other = replace(
            kit.conversion.candidate, path=path, sha256=hashlib.sha256(content).hexdigest()
        )
        return replace(kit.conversion, candidates=(other,))

    return call


@pytest.mark.real
def test_a_true_conversion_passes(kit: Kit) -> None:
    source = 1 / (1 + np.exp(-((ROWS - [1013, 12, 65]) / [8, 9, 20] @ [[1.0], [-0.5], [2.0]])))
    labels = (source[:, 0] >= 0.52).astype(int)
    labels[:30] = 1 - labels[:30]
    report = kit.validate(labels=labels)
    assert report.passed and report.flips == () and report.reasons == ()
    assert report.rows == 3000 and report.distinct_outputs > 2000
    assert report.max_abs_diff < 1e-5 and report.tolerance == 1e-4
    assert report.out_of_range_share == 0.0
    assert report.accuracy == pytest.approx(0.99, abs=0.001)
    assert report.majority == pytest.approx(max(labels.mean(), 1 - labels.mean()))
    assert report.precision is not None and report.recall is not None
    assert (report.runtime, report.runtime_version) == ("ai-edge-litert", "2.3.0")
    assert report.load_seconds > 0 and report.row_microseconds_p50 > 0
    assert report.peak_bytes > 10_000_000
    assert str(report).startswith("rain PASSED: 0 of 3,000 decisions flip on ai-edge-litert 2.3.0")
    assert load(kit.workspace, kit.model) == report
    assert gate(kit.workspace, kit.model, kit.conversion) == report
    vectors = read_json(kit.model.folder / GOLDEN_FILE)
    assert len(vectors["rows"]) == len(vectors["outputs"]) >= 50
    assert vectors["tolerance"] == 1e-4


@pytest.mark.real
def test_a_model_from_disk_is_proven_by_its_saved_model(kit: Kit) -> None:
    loaded = load_model(kit.workspace, "rain")
    assert not loaded.stages
    report = validate(kit.workspace, loaded, kit.conversion, inputs=ROWS[:200])
    assert report.passed and report.rows == 200


@pytest.mark.real
def test_rows_by_name_outside_the_training_range_are_counted(kit: Kit) -> None:
    frame = pd.DataFrame(ROWS[:100], columns=list(kit.model.contract.names))
    frame.loc[:24, "pressure"] = 100_000.0  # Pa for hPa
    shuffled = frame[["humidity", "temperature", "pressure"]]
    assert kit.validate(inputs=shuffled).out_of_range_share == 0.25


@pytest.mark.real
def test_a_scaler_left_out_is_caught(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    wrong = instead(lambda x: tf.sigmoid(x @ kit.weights))
    error = kit.fails(wrong)
    report = load(kit.workspace, kit.model)
    assert report.flip_share == len(report.flips) / 3000 > 0.1
    first = report.flips[0]
    assert first.source != first.edge and first.source in (0, 1)
    assert (first.source_output >= np.float32(0.52)) == bool(first.source)
    assert "decisions flip" in error.why and error.what.startswith("rain does not pass")
    assert "\n" not in error.why and error.remedy


@pytest.mark.real
def test_a_constant_answer_is_caught_whatever_the_limit(
    kit: Kit, instead: Callable[..., Conversion]
) -> None:
    constant = instead(lambda x: x[:, :1] * 0.0 + 0.441)
    error = kit.fails(constant, max_flips="100%", tolerance=1.0)
    assert error.why == "it gives one answer to every row, and the notebook's model does not"


@pytest.mark.real
def test_nan_is_caught_whatever_the_limit(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    broken = instead(lambda x: tf.math.log(x[:, :1] * 0.0 - 1.0))
    error = kit.fails(broken, max_flips="100%", tolerance=1.0)
    assert "NaN or infinity to 3,000 rows" in error.why
    assert load(kit.workspace, kit.model).not_finite == 3000


@pytest.mark.real
def test_a_file_of_another_shape(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    with pytest.raises(EdgeRuntimeError, match=r"shape \(3000, 3\)"):
        kit.validate(instead(tf.tanh))


@pytest.mark.real
def test_the_limits_decide(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    shifted = instead(lambda x: tf.sigmoid(((x - kit.mean) / [8.0, 9, 20]) @ kit.weights) + 0.004)
    flips = len(kit.fails(shifted, tolerance=0.01) and load(kit.workspace, kit.model).flips)
    assert 0 < flips < 100
    assert kit.validate(shifted, tolerance=0.01, max_flips=str(flips)).passed
    error = kit.fails(shifted, max_flips=str(flips))
    assert "an output differs by 0.004, and 0.0001 is allowed" in error.why
    kit.fails(shifted, tolerance=0.01, max_flips=str(flips - 1))


@pytest.mark.real
def test_the_proof_is_of_one_file(kit: Kit) -> None:
    kit.validate()
    other = replace(kit.conversion.candidate, sha256="0" * 64)
    with pytest.raises(GateError, match="converted again since it was proven"):
        gate(kit.workspace, kit.model, replace(kit.conversion, candidates=(other,)))
    (kit.model.folder / REPORT_FILE).unlink()
    with pytest.raises(NotYetError, match="rain has not been proven") as caught:
        gate(kit.workspace, kit.model, kit.conversion)
    assert caught.value.remedy == "%ggml validate rain --inputs X_test"


@pytest.mark.real
def test_a_network_trained_on_since_is_told(kit: Kit) -> None:
    before = kit.weights.numpy()
    kit.weights.assign(before * 1.1)
    try:
        with pytest.raises(NotYetError, match="have changed since they were described"):
            kit.validate()
    finally:
        kit.weights.assign(before)
    assert kit.validate().passed
    old = replace(kit.conversion, model_sha256="0" * 64)
    with pytest.raises(NotYetError, match="described again since it was converted"):
        kit.validate(old)


@pytest.mark.real
def test_mistakes_leave_the_last_report(kit: Kit) -> None:
    kept = kit.validate()
    missing = ROWS.copy()
    missing[5, 2] = np.nan
    mistakes: list[tuple[dict[str, Any], type[GgmlError]]] = [
        ({"inputs": ROWS[:, :2]}, FeatureMismatchError),
        ({"inputs": pd.DataFrame(ROWS, columns=["a", "b", "c"])}, FeatureMismatchError),
        ({"inputs": missing}, MissingValuesError),
        ({"inputs": ROWS[:0]}, ContractError),
        ({"labels": [0, 1]}, ContractError),
        ({"max_flips": "few"}, GrammarError),
        ({"tolerance": -1.0}, GrammarError),
        ({"runtime": "abacus"}, GrammarError),
    ]
    for changes, error in mistakes:
        with pytest.raises(error) as caught:
            kit.validate(**changes)
        assert type(caught.value) is error and caught.value.remedy
    assert load(kit.workspace, kit.model) == kept


@pytest.mark.real
def test_only_the_last_rows_of_the_sample_tell(kit: Kit) -> None:
    switch = tensorflow().Variable(1e9)
    rows = np.arange(1000, dtype=np.float32).reshape(-1, 1)
    tf = tensorflow()
    stage = [lambda x: tf.minimum(x, switch)]
    model = describe(
        kit.workspace, "late", stage, features="a", inputs=rows, labels=rows, decide="value"
    )
    conversion = convert(kit.workspace, model)
    report = validate(kit.workspace, model, conversion, inputs=rows, labels=rows + 2)
    assert report.rule == "value" and "answers differ by more than 0.1 on" in report.verdict
    assert report.mean_abs_error == pytest.approx(2.0, abs=1e-3)
    assert report.baseline_abs_error == pytest.approx(250.0)
    assert report.accuracy is None and load(kit.workspace, model) == report
    switch.assign(900.0)
    with pytest.raises(NotYetError, match="have changed since they were described") as caught:
        validate(kit.workspace, model, conversion, inputs=rows)
    assert caught.value.remedy == (
        "run the cell of %ggml model late again, then %ggml convert late"
    )


@pytest.mark.real
def test_three_named_classes(kit: Kit) -> None:
    tf = tensorflow()
    matrix = tf.Variable(RANDOM.normal(size=(5, 3)), dtype=tf.float32)
    rows = RANDOM.normal(size=(400, 5)).astype(np.float32)
    names = np.asarray(["low", "mid", "high"])
    labels = names[(rows @ matrix.numpy()).argmax(axis=1)]
    model = describe(
        kit.workspace,
        "levels",
        [lambda x: tf.nn.softmax(x @ matrix)],
        features="a,b,c,d,e",
        inputs=rows,
        labels=labels,
        decide="argmax low,mid,high",
    )
    conversion = convert(kit.workspace, model)
    report = validate(kit.workspace, model, conversion, inputs=rows, labels=labels)
    assert report.passed and report.accuracy == 1.0
    assert report.majority is not None and report.majority < 0.8
    assert report.precision is None
