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
from ggml_magic.convert.variants import FLOAT32, INT8, SPLIT, content
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
from ggml_magic.model.stages import answers
from ggml_magic.model.training import tensorflow
from ggml_magic.runtimes import emulation
from ggml_magic.validate import kept
from ggml_magic.validate.validate import gate, load, validate
from ggml_magic.workspace import Workspace, read_json

RANDOM = np.random.default_rng(4)
ROWS = RANDOM.normal([1013, 12, 65], [8, 9, 20], (3000, 3)).astype(np.float32)


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
    assert report.passed and report.flip_count == len(report.flips) == 0 and report.reasons == ()
    assert report.rows == 3000 and report.distinct_outputs > 2000
    assert report.max_abs_diff < 1e-5 and report.tolerance == 1e-4
    assert report.out_of_range_share == 0.0 and set(report.out_of_range.values()) == {0.0}
    assert 0 <= report.mean_abs_diff <= report.p99_abs_diff <= report.max_abs_diff
    assert report.source_accuracy == report.accuracy and report.auc is not None
    assert report.suspects == () and report.variant == FLOAT32
    assert (report.features, report.outputs, report.boundary) == (3, 1, 0.52)
    assert report.accuracy == pytest.approx(0.99, abs=0.001)
    assert report.majority == pytest.approx(max(labels.mean(), 1 - labels.mean()))
    assert report.precision is not None and report.recall is not None
    assert (report.runtime, report.runtime_version) == ("ai-edge-litert", "2.3.0")
    assert (report.arch, report.emulated) == ("native", False)
    assert report.load_seconds > 0 and report.peak_bytes > 10_000_000
    assert 0 < report.latency.row_p50 <= report.latency.row_p95 <= report.latency.row_p99
    assert report.latency.batch_p50 > 0 and report.latency.batch_rows > 1
    assert report.size == kit.conversion.file.stat().st_size
    assert str(report).startswith("rain PASSED: 0 of 3,000 decisions flip on ai-edge-litert 2.3.0")
    assert load(kit.workspace, kit.model) == report
    assert gate(kit.workspace, kit.model, kit.conversion) == report
    vectors = read_json(kept.golden_vectors(kit.model, report))
    assert len(vectors["rows"]) == len(vectors["outputs"]) >= 50
    assert vectors["tolerance"] == 1e-4
    medians = [float(np.float32(feature.median)) for feature in kit.model.contract.features]
    assert medians in vectors["rows"]  # a corner of the contract that is no row of the data
    assert not list(kit.model.folder.glob("ggml-validate-*"))


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
    report = kit.validate(inputs=shuffled)
    assert report.out_of_range_share == report.out_of_range["pressure"] == 0.25
    assert report.out_of_range["humidity"] == 0.0


@pytest.mark.real
def test_a_scaler_left_out_is_caught(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    wrong = instead(lambda x: tf.sigmoid(x @ kit.weights))
    error = kit.fails(wrong)
    report = load(kit.workspace, kit.model)
    assert report.flip_share == report.flip_count / 3000 > 0.1
    flips = report.flips
    assert len(flips) == report.flip_count
    assert (flips["source"] != flips["edge"]).all() and set(flips["source"]) <= {0, 1}
    assert ((flips["source_output"] >= np.float32(0.52)) == flips["source"].astype(bool)).all()
    assert flips["margin"].tolist() == pytest.approx(abs(flips["source_output"] - 0.52), abs=1e-6)
    np.testing.assert_array_equal(flips[["pressure"]], ROWS[flips["row"], :1])
    assert "decisions flip" in error.why and error.what.startswith("rain does not pass")
    assert report.suspects and "scale" in report.suspects[0].sentence.lower()
    assert report.suspects[0].sentence.removesuffix(".") in error.why
    assert str(error.report) == str(report) and report.suspects[0].remedy == error.remedy
    assert report.suspects[0].sentence in str(report) and "<svg" in report._repr_html_()
    # the vectors of a file that failed are there for --force, and no other file's
    golden = read_json(kept.golden_vectors(kit.model, report))
    assert golden["file_sha256"] == wrong.candidate.sha256
    assert gate(kit.workspace, kit.model, wrong, force="a lesson") == report
    assert "\n" not in error.why and error.remedy


@pytest.mark.real
def test_a_constant_answer_is_caught_whatever_the_limit(
    kit: Kit, instead: Callable[..., Conversion]
) -> None:
    constant = instead(lambda x: x[:, :1] * 0.0 + 0.441)
    error = kit.fails(constant, max_flips="100%", tolerance=1.0)
    assert error.why.startswith(
        "it gives one answer to every row, and the notebook's model does not"
    )
    assert load(kit.workspace, kit.model).distinct_outputs == 1


@pytest.mark.real
def test_nan_is_caught_whatever_the_limit(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    broken = instead(lambda x: tf.math.log(x[:, :1] * 0.0 - 1.0))
    error = kit.fails(broken, max_flips="100%", tolerance=1.0)
    assert "NaN or infinity to 3,000 rows" in error.why
    report = load(kit.workspace, kit.model)
    assert report.not_finite == 3000 and report.passed is False
    with pytest.raises(NotYetError, match="has no golden vectors"):
        kept.golden_vectors(kit.model, report)


@pytest.mark.real
def test_a_file_of_another_shape(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    with pytest.raises(EdgeRuntimeError, match=r"shape \(3000, 3\)"):
        kit.validate(instead(tf.tanh))


@pytest.mark.real
def test_the_limits_decide(kit: Kit, instead: Callable[..., Conversion]) -> None:
    tf = tensorflow()
    shifted = instead(lambda x: tf.sigmoid(((x - kit.mean) / [8.0, 9, 20]) @ kit.weights) + 0.004)
    kit.fails(shifted, tolerance=0.01)
    flips = load(kit.workspace, kit.model).flip_count
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
    for path in (kit.model.folder / "reports").iterdir():
        path.unlink()
    with pytest.raises(NotYetError, match="rain has not been proven on") as caught:
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
        ({"arch": "mips"}, GrammarError),
        ({"arch": "aarch64", "max_latency_p95": "2ms"}, GrammarError),
        ({"arch": "aarch64", "max_memory": "2MB"}, GrammarError),
        ({"max_latency_p95": "2"}, GrammarError),
        ({"max_memory": "lots"}, GrammarError),
        ({"max_size": 4072}, GrammarError),
        ({"memory": "512"}, GrammarError),
        ({"cpus": 0}, GrammarError),
        ({"cpus": 10_000}, GrammarError),
        ({"units": "pressure:parsec"}, ContractError),
        ({"inputs": ROWS[0]}, FeatureMismatchError),
    ]
    for changes, error in mistakes:
        with pytest.raises(error) as caught:
            kit.validate(**changes)
        assert type(caught.value) is error and caught.value.remedy, changes
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
    assert report.source_abs_error == pytest.approx(2.0, abs=1e-3)
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


@pytest.mark.real
def test_latency_memory_and_size_are_limits_too(kit: Kit) -> None:
    kit.validate(max_latency_p95="1s", max_memory="4GB", max_size="1MB", memory="4GB", cpus=1)
    error = kit.fails(max_latency_p95="0.001us", max_memory="1MB", max_size="10B")
    for told in ("is allowed", "a row takes", "its memory is", "the file has"):
        assert told in error.why
    report = load(kit.workspace, kit.model)
    assert report.flip_count == 0 and report.suspects == ()
    assert error.remedy == "%ggml profile rain --inputs X_test"


@pytest.mark.real
def test_a_threshold_that_nothing_reaches_passes_with_a_caution(kit: Kit) -> None:
    tf = tensorflow()
    stage = [lambda x: tf.sigmoid((x - kit.mean) / [8.0, 9, 20] @ kit.weights)]
    options: dict[str, Any] = {"features": "a,b,c", "inputs": ROWS}
    model = describe(kit.workspace, "never", stage, decide=">= 1.5", **options)
    conversion = convert(kit.workspace, model)
    labels = np.zeros(len(ROWS), dtype=int)
    labels[:90] = 1
    report = validate(kit.workspace, model, conversion, inputs=ROWS, labels=labels)
    assert report.passed and report.distinct_outputs > 2000
    assert (report.distinct_decisions, report.source_distinct_decisions) == (1, 1)
    assert "Every row is decided 0 by both: the rows or the threshold" in str(report)
    assert "does not beat the commonest label alone (97.00%)" in str(report)
    assert report.feature_names == ("a", "b", "c")
    assert str(load(kit.workspace, model)) == str(report)
    with pytest.raises(GateError) as caught:
        validate(kit.workspace, model, conversion, inputs=ROWS, tolerance=1e-9)
    asked = caught.value.remedy.rpartition(" --tolerance ")[2]
    assert validate(kit.workspace, model, conversion, inputs=ROWS, tolerance=asked).passed


@pytest.mark.real
def test_rows_in_another_unit_are_converted(kit: Kit) -> None:
    pascal = ROWS.copy()
    pascal[:, 0] *= 100
    report = kit.validate(inputs=pascal, units="pressure:Pa", max_flips="1%")
    assert report.out_of_range_share < 0.01


@pytest.mark.real
def test_rows_in_a_unit_that_nobody_told_are_suspected(kit: Kit) -> None:
    pascal = ROWS.copy()
    pascal[:, 0] *= 100
    error = kit.fails(inputs=pascal)  # both sides answer 1 to everything
    assert "no proof" in error.why and "pressure" in error.why
    report = load(kit.workspace, kit.model)
    assert report.flip_count == 0 and report.out_of_range_share == 1.0
    assert error.remedy == report.suspects[0].remedy
    assert error.remedy.endswith("--units pressure:Pa")


@pytest.mark.real
def test_the_saved_model_in_its_own_runtime(kit: Kit) -> None:
    report = kit.validate(runtime="tensorflow", inputs=ROWS[:200])
    assert report.passed and report.runtime == "tensorflow" and report.variant == "saved_model"
    assert report.file_sha256 == kit.model.sha256 and report.size > 4096
    assert gate(kit.workspace, kit.model, kit.conversion, runtime="tensorflow") == report
    with pytest.raises(NotYetError, match="no golden vectors"):
        kept.golden_vectors(kit.model, report)
    # the device's own runtime is another matter
    native = kit.validate()
    assert gate(kit.workspace, kit.model, kit.conversion) == native != report


@pytest.mark.real
def test_an_emulated_processor_proves_answers_and_no_speed(kit: Kit) -> None:
    native = kit.validate()
    emulation.set_up("aarch64", lambda line: None)
    report = kit.validate(arch="aarch64", inputs=ROWS[:500])
    assert report.passed and report.emulated and report.arch == report.architecture == "aarch64"
    assert report.latency is report.peak_bytes is report.load_seconds is None
    assert "not measured: emulated" in str(report) and "µs" not in report.sentences()
    assert 0 < report.max_abs_diff < 1e-5  # never the same bits (RUNTIMES 5)
    assert load(kit.workspace, kit.model, arch="aarch64") == report
    assert load(kit.workspace, kit.model) == native
    # the golden vectors stay those of this machine's own run
    assert len(read_json(kept.golden_vectors(kit.model, native))["rows"]) >= 50
    assert gate(kit.workspace, kit.model, kit.conversion) == native
    with pytest.raises(GateError):
        kit.validate(arch="aarch64", inputs=ROWS[:500], max_size="10B")
    with pytest.raises(GateError, match="for aarch64"):
        gate(kit.workspace, kit.model, kit.conversion)
    assert kit.validate(arch="aarch64", inputs=ROWS[:500]).passed


@pytest.mark.real
def test_a_tolerance_of_the_decision_is_the_gates(kit: Kit) -> None:
    tf = tensorflow()
    factor = tf.Variable(2.0)
    rows = np.arange(200, dtype=np.float32).reshape(-1, 1)
    stage = [lambda x: x * factor]
    options: dict[str, Any] = {"features": "a", "inputs": rows}
    model = describe(kit.workspace, "near", stage, decide="value within 0.5", **options)
    conversion = convert(kit.workspace, model)
    assert validate(kit.workspace, model, conversion, inputs=rows).tolerance == 0.5
    strict = validate(kit.workspace, model, conversion, inputs=rows, tolerance=0.25)
    assert strict.tolerance == 0.25
    # without one, a hundredth of the largest answer (398), however rough the variant may be
    plain = describe(kit.workspace, "plain", stage, decide="value", **options)
    rough = convert(kit.workspace, plain, file=conversion.file)
    assert validate(kit.workspace, plain, rough, inputs=rows).tolerance == pytest.approx(3.98)


@pytest.mark.real
def test_a_limit_of_memory_is_the_models_own(kit: Kit) -> None:
    before = kit.validate()
    with pytest.raises(EdgeRuntimeError, match="address space are too few") as caught:
        kit.validate(memory="64MB")
    assert "\n" not in caught.value.why and caught.value.remedy.startswith("--memory ")
    assert load(kit.workspace, kit.model) == before  # nothing was proven, and nothing is lost


@pytest.mark.real
@pytest.mark.parametrize("count", [1, 10])
def test_few_rows_pass_with_a_caution_and_enough_golden_vectors(kit: Kit, count: int) -> None:
    report = kit.validate(inputs=ROWS[:count])
    assert report.passed and report.rows == count
    told = f"Proven on {count} row{'s' if count > 1 else ''} only"
    assert told in str(report) and told in report.sentences() and told in report._repr_html_()
    vectors = read_json(kept.golden_vectors(kit.model, report))
    assert len({tuple(row) for row in vectors["rows"]}) == len(vectors["rows"]) >= 50
    assert ROWS[0].astype(np.float64).tolist() in vectors["rows"]
    rows, outputs = (np.asarray(vectors[name], np.float32) for name in ("rows", "outputs"))
    np.testing.assert_allclose(outputs, answers(kit.model.stages, rows), atol=1e-5)


@pytest.mark.real
def test_the_shape_is_the_files_own(kit: Kit, tmp_path: Path) -> None:
    def said(report: Any) -> str:
        (line,) = [line for line in report.sentences().splitlines() if line.startswith("shape: ")]
        return str(line)

    assert "(N, 3) to (N, 1)" in said(kit.validate())
    options: dict[str, Any] = {"tolerance": 1e-4}
    one = kit.validate(convert(kit.workspace, kit.model, file=_fixed(kit, tmp_path, 1)), **options)
    assert one.input_shape == (1, 3) and "(1, 3) to (1, 1)" in said(one)
    assert "takes 1 row at a time" in said(one) and "went in as (1, 3)" in said(one)
    four = kit.validate(convert(kit.workspace, kit.model, file=_fixed(kit, tmp_path, 4)), **options)
    assert "(4, 3) to (4, 1)" in said(four) and "4 times over" in said(four)


def _fixed(kit: Kit, folder: Path, rows: int) -> Path:
    """The model as a file that takes so many rows and no other number."""
    tf = tensorflow()
    held = tf.saved_model.load(str(kit.model.saved_model))
    serve = held.signatures[SIGNATURE]
    call = tf.function(lambda x: next(iter(serve(x).values())))
    concrete = call.get_concrete_function(tf.TensorSpec([rows, 3], tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], held)
    path = folder / f"{rows}.tflite"
    path.write_bytes(converter.convert())
    return path


def _calibrated(kit: Kit, folder: Path, variant: str, rows: Any) -> Conversion:
    """A variant calibrated on rows that convert would refuse, adopted as a device's own file."""
    path = folder / f"{variant}.tflite"
    path.write_bytes(content(str(kit.model.saved_model), variant, rows, step=1))
    return convert(kit.workspace, kit.model, file=path)


@pytest.mark.real
@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated:UserWarning")
def test_inputs_that_a_quantised_file_cuts_off(kit: Kit, tmp_path: Path) -> None:
    low = ROWS[np.argsort(ROWS[:, 0])[:100]]  # of low pressure alone
    error = kit.fails(_calibrated(kit, tmp_path, INT8, low), tolerance=0.3)
    (suspect,) = load(kit.workspace, kit.model).suspects
    assert suspect.kind == "inputs cut off" and suspect.after < suspect.before / 2
    assert "quantised input holds" in suspect.sentence and "cuts off pressure" in suspect.sentence
    assert error.remedy == suspect.remedy
    # the range of a file that scales in float is not one of raw rows: here (x - mean) is left
    scaled = np.abs((ROWS - [1013, 12, 65]) / [8, 9, 20]).max(axis=1)
    split = _calibrated(kit, tmp_path, SPLIT, ROWS[scaled < 0.3])
    assert split.candidate.static is not None and split.candidate.static.range_behind == ("SUB",)
    kit.fails(split, tolerance=0.3)
    (suspect,) = load(kit.workspace, kit.model).suspects
    assert "quantised input inside the scaler holds -" in suspect.sentence


@pytest.mark.real
def test_a_rough_file_cuts_nothing_off_behind_a_scaler_that_it_does_not_have(
    kit: Kit, tmp_path: Path
) -> None:
    rough = _calibrated(kit, tmp_path, INT8, ROWS[:10])
    assert rough.candidate.static is not None and rough.candidate.static.range_behind == ()
    kit.fails(rough, tolerance=0.3)
    assert "behind the scaler" not in str(load(kit.workspace, kit.model))
