"""Each cause is found by trying it, and a sound model is accused of nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_validate_report import FAILED, PASSED

from ggml_magic.convert.inspection import inspect
from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.model.decide import flipped
from ggml_magic.model.graph import SIGNATURE, export, fuse
from ggml_magic.model.scaling import Scaling
from ggml_magic.model.training import tensorflow
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.validate.suspects import (
    MOST_SUSPECTS,
    Question,
    Suspect,
    asked_rows,
    find,
    is_doubtful,
)

MEAN = np.asarray([1013.0, 12.0, 65.0])
DEVIATION = np.asarray([8.0, 9.0, 20.0])
SCALING = Scaling(tuple(1 / DEVIATION), tuple(-MEAN / DEVIATION))
NAMES = ("pressure", "temperature", "humidity")
UNITS = ("hPa", "degC", "%")
HALF = Decision("threshold", 0.5)

Answer = Callable[[Rows], Rows]


def rows_of(count: int, seed: int = 3) -> Rows:
    random = np.random.default_rng(seed)
    rows = random.normal(MEAN, DEVIATION, (count, 3)).astype(np.float32)
    rows[:, 2] = rows[:, 2].clip(13, 100)
    return rows


TRAINING = rows_of(20_000, 1)


def contract(
    rows: Rows = TRAINING,
    decision: Decision = HALF,
    names: tuple[str, ...] = NAMES,
    units: tuple[str, ...] = UNITS,
) -> Contract:
    low, p01, p50, p99, high = np.percentile(rows, [0, 1, 50, 99, 100], axis=0)
    features = tuple(
        Feature(*(name, unit), *map(float, figures))
        for name, unit, *figures in zip(names, units, low, p01, p99, high, p50, strict=True)
    )
    return Contract(features, decision)


def network(seed: int = 2, outputs: int = 1, width: int = 3) -> Answer:
    """A small network behind its scaler, with weights from a seed."""
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(width, 16)), random.normal(size=(16, outputs))

    def answer(rows: Rows) -> Rows:
        hidden = np.maximum(((rows - MEAN) / DEVIATION) @ first, 0)
        scores = hidden @ second - (hidden @ second).mean() * 0
        if outputs == 1:
            return (1 / (1 + np.exp(-scores.clip(-80, 80)))).astype(np.float32)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    return answer


@dataclass
class Asked:
    """A callable that counts how often it was called."""

    answer: Answer
    calls: list[int] = field(default_factory=list)

    def __call__(self, rows: Rows) -> Rows:
        self.calls.append(len(rows))
        return self.answer(rows)


def question(source: Answer, edge: Answer, count: int = 1500, **changes: Any) -> Question:
    """A failure as ``validate`` hands it on: flips first."""
    rows = changes.pop("rows", rows_of(count))
    of = changes.pop("contract", contract())
    labels = changes.pop("labels", None)
    tolerance = changes.pop("tolerance", 1e-4)
    ours, theirs = source(rows), edge(rows)
    first = np.argsort(~flipped(of.decision, ours, theirs, tolerance), kind="stable")
    asked = Question(
        contract=of,
        scaling=SCALING,
        rows=rows[first],
        source=ours[first],
        edge=theirs[first],
        answers=Asked(edge),
        sources=Asked(source),
        labels=None if labels is None else labels[first],
        input_range=None,
        tolerance=tolerance,
        name="rain",
        flips=int(flipped(of.decision, ours, theirs, tolerance).sum()),
    )
    return replace(asked, **changes)


def only(found: tuple[Suspect, ...]) -> Suspect:
    assert len(found) == 1, [suspect.sentence for suspect in found]
    return found[0]


RAIN = network()


def takes(change: Callable[[Any], Any]) -> Answer:
    """A file that does something to its rows before the network sees them."""
    return lambda rows: RAIN(change(rows.astype(np.float64)))


def column(place: int, scale: float, offset: float = 0.0) -> Callable[[Any], Any]:
    def change(rows: Any) -> Any:
        changed = rows.copy()
        changed[:, place] = changed[:, place] * scale + offset
        return changed

    return change


def test_a_file_that_takes_another_unit() -> None:
    asked = question(RAIN, takes(column(0, 0.01)))
    suspect = only(find(asked))
    assert suspect.kind == "unit" and suspect.after == 0 and suspect.before > 100
    assert suspect.sentence == (
        f"The file takes pressure in Pa: with pressure x 100, all {suspect.before:,} flips vanish."
    )
    assert suspect.remedy == "%ggml convert rain --quantize none"


def test_the_file_is_asked_once_and_the_model_not_at_all() -> None:
    asked = question(RAIN, takes(column(0, 0.01)))
    find(asked)
    assert len(asked.answers.calls) == 1 and asked.sources.calls == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (column(1, 5 / 9, -160 / 9), "temperature in degF: with temperature x 1.8 + 32, all"),
        (column(1, 1, -273.15), "temperature in K: with temperature + 273.15, all"),
        (column(2, 100), "humidity in fraction: with humidity x 0.01, all"),
    ],
)
def test_offsets_and_fractions(change: Callable[[Any], Any], sentence: str) -> None:
    suspect = only(find(question(RAIN, takes(change))))
    assert suspect.sentence.startswith(f"The file takes {sentence}")


def test_two_units_at_once() -> None:
    wrong = column(1, 5 / 9, -160 / 9)
    suspect = only(find(question(RAIN, takes(lambda rows: column(0, 0.01)(wrong(rows))))))
    assert "takes pressure in Pa and temperature in degF" in suspect.sentence


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ([1, 0, 2], "temperature, pressure, humidity"),
        ([2, 1, 0], "humidity, temperature, pressure"),
        ([1, 2, 0], "humidity, pressure, temperature"),
    ],
)
def test_a_file_that_takes_the_features_in_another_order(order: list[int], names: str) -> None:
    # the file's first column is humidity where the network's third is its first
    suspect = only(find(question(RAIN, takes(lambda rows: rows[:, order]))))
    assert suspect.kind == "order" and suspect.after == 0
    assert f"in the order {names}: given so, all" in suspect.sentence


def test_a_file_without_the_scaler_and_one_with_two() -> None:
    missing = only(find(question(RAIN, takes(lambda rows: rows * DEVIATION + MEAN))))
    assert missing.kind == "scaler missing" and "has no scaler" in missing.sentence
    twice = only(find(question(RAIN, takes(lambda rows: (rows - MEAN) / DEVIATION))))
    assert twice.kind == "scaler twice" and "scales twice" in twice.sentence
    assert not find(question(RAIN, takes(lambda rows: rows * DEVIATION + MEAN), scaling=None))


def test_inputs_that_the_quantised_tensor_cannot_hold() -> None:
    def cut(rows: Rows) -> Rows:
        return RAIN(rows.clip(-50, 1010))

    asked = question(RAIN, cut, input_range=(-50.0, 1010.0))
    suspect = only(find(asked))
    assert suspect.kind == "inputs cut off" and suspect.after == 0
    assert "holds -50 to 1010 and cuts off pressure in" in suspect.sentence
    assert suspect.remedy == "%ggml convert rain --quantize int8 --representative X_train"
    assert asked.sources.calls == [1500]  # type: ignore[attr-defined]
    assert not find(replace(asked, range_behind=("SUB", "MUL")))  # no range of raw rows
    assert not find(replace(asked, input_range=(-50.0, 5000.0)))


def test_a_quantised_tensor_behind_the_scaler() -> None:
    def cut(rows: Rows) -> Rows:
        return RAIN(SCALING.inverse(SCALING.forward(rows).clip(-0.4, 0.4)))

    asked = question(RAIN, cut, input_range=(-0.4, 0.4))
    for behind in (("SUB", "MUL"), ("MUL", "ADD"), ("RESHAPE", "SUB", "DIV")):
        suspect = only(find(replace(asked, range_behind=behind)))
        assert "quantised input behind the scaler holds -0.4 to 0.4" in suspect.sentence
    # raw rows, half a scaler, what is more than one or none: no such reading explains the flips
    for behind in ((), ("SUB",), ("SUB", "MUL", "FULLY_CONNECTED"), ("LOG",), ("RESHAPE",)):
        assert find(replace(asked, range_behind=behind)) == (), behind
    assert find(replace(asked, range_behind=("SUB", "MUL"), scaling=None)) == ()
    flat = Scaling((0.0, *SCALING.scale[1:]), SCALING.offset)
    assert find(replace(asked, range_behind=("SUB", "MUL"), scaling=flat)) == ()


def test_a_scaler_of_factors_alone() -> None:
    third = Scaling((1.0, 1 / 9, 1 / 20), (0.0, 0.0, 0.0))

    def cut(rows: Rows) -> Rows:
        return RAIN(third.inverse(third.forward(rows).clip(-50, 1010)))

    asked = question(RAIN, cut, input_range=(-50.0, 1010.0), scaling=third)
    assert "behind the scaler" in only(find(replace(asked, range_behind=("MUL",)))).sentence


@pytest.mark.parametrize("first", ["SUB", "MUL"])
def test_a_quantised_tensor_inside_the_scaler(first: str) -> None:
    """The other half of a scaler is folded into the weights of the first layer."""
    half = {
        "SUB": Scaling((1.0, 1.0, 1.0), tuple(-MEAN)),
        "MUL": Scaling(SCALING.scale, (0.0, 0.0, 0.0)),
    }[first]
    low, high = np.percentile(half.forward(TRAINING)[:, 0], [40, 60])
    low, high = (float(low), float(high)) if first == "SUB" else (-50.0, float(high))

    def cut(rows: Rows) -> Rows:
        return RAIN(half.inverse(half.forward(rows).clip(low, high)))

    asked = question(RAIN, cut, input_range=(low, high))
    suspect = only(find(replace(asked, range_behind=(first,))))
    assert "quantised input inside the scaler holds" in suspect.sentence and suspect.after == 0


def test_operators_that_this_scaler_does_not_have() -> None:
    third = Scaling((1.0, 1 / 9, 1 / 20), (0.0, 0.0, 0.0))
    shift = Scaling((1.0, 1.0, 1.0), tuple(-MEAN))
    asked = question(RAIN, takes(lambda rows: rows.clip(-50, 1010)), input_range=(-50.0, 1010.0))
    assert only(find(asked)).kind == "inputs cut off"
    assert find(replace(asked, scaling=shift, range_behind=("MUL",))) == ()
    asked = replace(asked, scaling=third)
    assert find(replace(asked, range_behind=("SUB",))) == ()


def test_an_output_turned_round_and_one_without_its_sigmoid() -> None:
    turned = only(find(question(RAIN, lambda rows: 1 - RAIN(rows))))
    assert turned.kind == "inverted output" and "1 - p" in turned.sentence

    def logits(rows: Rows) -> Rows:
        p = RAIN(rows).astype(np.float64).clip(1e-6, 1 - 1e-6)
        return np.log(p / (1 - p)).astype(np.float32)

    assert only(find(question(RAIN, logits))).kind == "logits"


def test_classes_in_another_order() -> None:
    levels = network(5, outputs=4)
    of = contract(decision=Decision("argmax", classes=("dry", "damp", "wet", "soaked")))
    # what the model calls soaked is the file's first output
    asked = question(levels, lambda rows: levels(rows)[:, [3, 0, 1, 2]], contract=of)
    suspect = only(find(asked))
    assert suspect.kind == "order of the classes" and suspect.after == 0
    assert (
        "in the order soaked, dry, damp, wet: put in order, all 1,500 flips vanish"
        in suspect.sentence
    )


def test_values_of_a_regression() -> None:
    def value(rows: Rows) -> Rows:
        return (RAIN(rows) * 40).astype(np.float32)

    of = contract(decision=Decision("value"))
    edge = lambda rows: value(column(0, 0.01)(rows.astype(np.float64)))  # noqa: E731  # a file
    suspect = only(find(question(value, edge, contract=of, tolerance=0.1)))
    assert suspect.kind == "unit" and suspect.before > 1000 and suspect.after == 0


def test_differences_without_a_flip() -> None:
    of = contract(decision=Decision("threshold", 2.0))  # nothing reaches it
    suspect = only(find(question(RAIN, takes(column(0, 0.01)), contract=of)))
    assert suspect.kind == "unit" and "all 1,500 differences tried vanish" in suspect.sentence


def test_one_answer_to_everything_is_an_operators_version() -> None:
    asked = question(RAIN, lambda rows: np.full((len(rows), 1), 0.441, dtype=np.float32))
    suspect = only(find(asked))
    assert suspect.kind == "constant" and suspect.before == suspect.after > 100
    assert "an operator's version is older than its format" in suspect.sentence


def test_one_answer_that_has_a_cause_is_not_blamed_on_an_operator() -> None:
    steep = lambda rows: (RAIN(rows) > 0.5).astype(np.float32)  # noqa: E731  # a network
    # fed unscaled, the file answers 1 to all
    edge = lambda rows: steep((rows * DEVIATION + MEAN).astype(np.float32))  # noqa: E731
    assert len(np.unique(edge(rows_of(1500)))) == 1
    assert only(find(question(steep, edge))).kind == "scaler missing"


def test_a_file_that_answers_no_number() -> None:
    asked = question(RAIN, lambda rows: np.full((len(rows), 1), np.nan, dtype=np.float32))
    assert only(find(asked)).kind == "no number"


def test_a_quantised_file_keeps_its_own_rounding() -> None:
    def int8(rows: Rows) -> Rows:
        return (RAIN(column(0, 0.01)(rows.astype(np.float64))) * 64).round().astype(np.float32) / 64

    found = find(question(RAIN, int8, tolerance=0.05))
    assert found[0].kind == "unit" and len(found) == 1
    assert "flips vanish" in found[0].sentence


def test_all_flips_of_many_are_called_tried() -> None:
    asked = question(RAIN, takes(column(0, 0.01)))
    bad = flipped(HALF, asked.source, asked.edge, 0)
    only_flips = replace(
        asked, rows=asked.rows[bad], source=asked.source[bad], edge=asked.edge[bad], flips=9_000
    )
    suspect = only(find(only_flips))
    assert f"all {suspect.before:,} flips tried vanish" in suspect.sentence


def test_of_two_that_explain_the_simplest_is_named() -> None:
    def alike(rows: Rows) -> Rows:  # temperature and humidity weigh the same
        scaled = (rows - MEAN) / [8.0, 1.0, 1.0]
        return (1 / (1 + np.exp(-(scaled @ [[2.0], [0.5], [0.5]] + 0.0)))).astype(np.float32)

    edge = lambda rows: alike(rows[:, [1, 0, 2]])  # noqa: E731  # a file
    suspect = only(find(question(alike, edge)))
    assert "in the order temperature, pressure, humidity" in suspect.sentence


def test_a_file_that_cannot_be_asked_has_no_cause() -> None:
    def refuses(rows: Rows) -> Rows:
        raise EdgeRuntimeError("the file could not be run", "it took too long", "")

    asked = question(RAIN, takes(column(0, 0.01)))
    assert find(replace(asked, answers=refuses)) == ()
    turned = question(RAIN, lambda rows: 1 - RAIN(rows))
    assert only(find(replace(turned, answers=refuses))).kind == "inverted output"


def test_many_features_ask_no_more_rows_than_allowed() -> None:
    random = np.random.default_rng(8)
    weights = random.normal(size=(30, 1))
    wide = lambda rows: (1 / (1 + np.exp(-(rows @ weights)))).astype(np.float32)  # noqa: E731
    rows = random.normal(size=(2000, 30)).astype(np.float32)
    names = tuple(f"f{i:02}" for i in range(30))
    swapped = [*range(30)]
    swapped[4], swapped[9] = 9, 4
    asked = question(
        wide,
        lambda rows: wide(rows[:, swapped]),
        rows=rows,
        contract=contract(rows, names=names, units=("",) * 30),
        scaling=None,
    )
    suspect = only(find(asked))
    assert suspect.kind == "order" and "f09, f05, f06, f07, f08, f04" in suspect.sentence
    assert sum(asked.answers.calls) <= 120_000  # type: ignore[attr-defined]


# ---- whether and of which rows it is asked


def test_what_is_worth_a_suspicion() -> None:
    assert not is_doubtful(PASSED) and is_doubtful(FAILED)
    for changes in (
        {"accuracy": PASSED.majority},
        {"mean_abs_error": 2.0, "baseline_abs_error": 2.0},
        {"mean_abs_error": float("nan"), "baseline_abs_error": 2.0},
        {"out_of_range_share": 0.51},
        {"passed": False, "max_abs_diff": 1.0},
        {"passed": False, "distinct_outputs": 1},
    ):
        assert is_doubtful(replace(PASSED, **changes)), changes
    assert not is_doubtful(replace(PASSED, passed=False, reasons=("too slow",)))
    assert not is_doubtful(replace(PASSED, flip_count=2, max_abs_diff=1.0))  # within its limits


@settings(deadline=None)
@given(st.integers(1, 9_000), st.integers(0, 9_000))
def test_the_rows_that_are_asked_have_the_flipped_ones_first(rows: int, flips: int) -> None:
    flipped = np.random.default_rng(flips).permutation(rows)[:flips]
    flipped.sort()
    places = asked_rows(flipped, rows)
    assert len(set(places.tolist())) == len(places) == min(rows, 2_000) or len(places) <= 2_000
    assert len(places) >= min(rows, 1_000)
    first = np.isin(places, flipped)
    count = int(first.sum())
    assert first[:count].all() and count >= min(len(flipped), 1_000)


# ---- real files


WEIGHTS = tuple(np.random.default_rng(2).normal(size=shape) for shape in ((3, 16), (16, 1)))


def rain_graph(rows: Any) -> Any:
    """The network as TensorFlow traces it."""
    tf = tensorflow()
    first, second = (tf.constant(weights, tf.float32) for weights in WEIGHTS)
    scaled = (rows - tf.constant(MEAN, tf.float32)) / tf.constant(DEVIATION, tf.float32)
    return tf.sigmoid(tf.nn.relu(scaled @ first) @ second)


def converted(graph: Callable[[Any], Any], folder: Path, calibration: Rows | None = None) -> bytes:
    """A ``.tflite`` file of a function, int8 inside where there are rows to calibrate on."""
    lite = tensorflow().lite
    export(fuse([graph], 3), folder)
    converter = lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE])
    if calibration is not None:
        converter.optimizations = [lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in calibration)
    return bytes(converter.convert())


def asked_of_a_file(content: bytes, folder: Path, **changes: Any) -> tuple[Suspect, ...]:
    path = folder / "rain.tflite"
    path.write_bytes(content)
    return find(
        question(
            lambda rows: np.asarray(rain_graph(rows)),
            lambda rows: runtimes.run(runtimes.get(), path, rows).outputs,
            **changes,
        )
    )


@pytest.mark.real
@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda rows: rows, None, ""),
        (lambda rows: rows * [0.01, 1, 1], "unit", "pressure in Pa: with pressure x 100, all"),
        (
            lambda rows: tensorflow().gather(rows, [1, 2, 0], axis=1),
            "order",
            "in the order humidity, pressure, temperature",
        ),
        (lambda rows: rows * DEVIATION + MEAN, "scaler missing", "has no scaler"),
        (lambda rows: (rows - MEAN) / DEVIATION, "scaler twice", "scales twice"),
    ],
)
def test_causes_in_real_files(
    tmp_path: Path, change: Callable[[Any], Any], kind: str | None, said: str
) -> None:
    content = converted(lambda rows: rain_graph(change(rows)), tmp_path / "other")
    found = asked_of_a_file(content, tmp_path)
    if kind is None:
        assert found == ()
        return
    suspect = only(found)
    assert suspect.kind == kind and said in suspect.sentence
    assert suspect.before > 100 and suspect.after == 0


@pytest.mark.real
def test_a_calibration_on_a_few_rows(tmp_path: Path) -> None:
    """Ten rows or a hundred, all of one kind of weather: the rest is cut off."""
    rows = rows_of(3000, 9)
    low = rows[np.argsort(rows[:, 0])[:100]]  # of low pressure
    content = converted(rain_graph, tmp_path / "narrow", low)
    held = inspect(content)["input_range"]
    suspect = only(asked_of_a_file(content, tmp_path, input_range=held, tolerance=0.3))
    assert suspect.kind == "inputs cut off" and suspect.after < suspect.before / 2
    wide = converted(rain_graph, tmp_path / "wide", rows[:1000])
    held = inspect(wide)["input_range"]
    assert asked_of_a_file(wide, tmp_path, input_range=held, tolerance=0.3) == ()


# ---- the rows themselves


TRUE = (RAIN(rows_of(1500))[:, 0] >= 0.5).astype(np.int64)


def doubted(change: Callable[[Any], Any], **changes: Any) -> tuple[Suspect, ...]:
    rows = change(rows_of(1500).astype(np.float64)).astype(np.float32)
    return find(question(RAIN, RAIN, rows=rows, **changes))


@pytest.mark.parametrize("labels", [None, TRUE])
@pytest.mark.parametrize(
    ("change", "kind", "said", "remedy"),
    [
        (
            column(0, 100),
            "unit of the rows",
            "The rows give pressure in Pa: with pressure x 0.01",
            "%ggml validate rain --inputs X_test --units pressure:Pa",
        ),
        (
            column(2, 0.01),
            "unit of the rows",
            "The rows give humidity in fraction: with humidity x 100",
            "%ggml validate rain --inputs X_test --units humidity:fraction",
        ),
        (
            lambda rows: rows[:, [2, 0, 1]],
            "order of the rows",
            "The rows' columns are humidity, pressure, temperature: put in order,",
            "X_test = X_test[:, [1, 2, 0]], then %ggml validate rain --inputs X_test",
        ),
        (
            lambda rows: (rows - MEAN) / DEVIATION,
            "already scaled",
            "The rows are scaled already",
            "(the rows as they were before the scaler)",
        ),
        (
            lambda rows: ((rows - MEAN) / DEVIATION - MEAN) / DEVIATION,
            "scaled twice",
            "The rows are scaled twice",
            "(the rows as they were before the scaler)",
        ),
    ],
)
def test_rows_that_are_not_the_contracts(
    change: Callable[[Any], Any], kind: str, said: str, remedy: str, labels: Any
) -> None:
    suspect = only(doubted(change, labels=labels))
    assert suspect.kind == kind and suspect.after < suspect.before / 10
    assert suspect.sentence.startswith(said) and suspect.remedy.endswith(remedy)


def test_labels_find_what_no_range_tells() -> None:
    """Features that are all alike: only the labels know their order."""
    alike = contract(np.full((2, 3), [[-1e3], [2e3]], dtype=np.float32), units=("", "", ""))
    rows = rows_of(1500)
    asked = question(RAIN, RAIN, rows=rows[:, [1, 2, 0]], contract=alike, labels=TRUE, scaling=None)
    suspect = only(find(asked))
    assert suspect.kind == "order of the rows" and suspect.after < 10
    assert "the wrong answers fall from" in suspect.sentence
    assert find(replace(asked, labels=None)) == ()


def test_labels_that_mean_the_opposite() -> None:
    suspect = only(doubted(lambda rows: rows, labels=1 - TRUE))
    assert suspect.kind == "labels turned round" and suspect.after == 0


def test_labels_near_the_boundary_tell_nothing() -> None:
    """Where the file disagrees, the rows are its flips, and the labels are not judged."""
    asked = question(RAIN, takes(column(0, 0.01)), labels=1 - TRUE)
    assert only(find(asked)).kind == "unit"


def test_a_warm_week_is_no_other_unit() -> None:
    winter = rows_of(5000, 5)
    winter[:, 1] = np.random.default_rng(1).normal(5, 6, 5000)
    summer = rows_of(600, 6)
    summer[:, 1] = np.random.default_rng(2).normal(31, 3, 600)
    assert contract(winter).outside(summer).any(axis=1).mean() > 0.5
    assert find(question(RAIN, RAIN, rows=summer, contract=contract(winter))) == ()


# ---- no false accusation


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    noise=st.sampled_from([0.0, 1e-7, 1e-4, 3e-3, 2e-2]),
    outputs=st.sampled_from([1, 3]),
)
def test_a_sound_file_is_accused_of_nothing(seed: int, noise: float, outputs: int) -> None:
    sound = network(seed, outputs)
    random = np.random.default_rng(seed)
    classes = ("dry", "damp", "wet") if outputs > 1 else ()
    of = contract(decision=Decision("argmax", classes=classes) if classes else HALF)

    def rounded(rows: Rows) -> Rows:
        exact = sound(rows)
        return (exact + random.normal(scale=noise, size=exact.shape)).astype(np.float32)

    answers = of.decision.answers(sound(rows_of(1500)))
    for labels in (None, answers):
        asked = question(sound, rounded, contract=of, labels=labels, input_range=(-20, 1025))
        assert find(asked) == ()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_useless_features_explain_no_rounding(seed: int) -> None:
    """A swap of two features that hardly count makes a rounding flip vanish by chance."""
    random = np.random.default_rng(seed)
    weights = np.asarray([[1.0], [1e-4], [1e-4]])
    sound = lambda rows: (  # noqa: E731  # a network
        1 / (1 + np.exp(-((rows - MEAN) / DEVIATION) @ weights))
    ).astype(np.float32)
    edge = lambda rows: (  # noqa: E731  # a file
        sound(rows) + random.normal(scale=3e-3, size=(len(rows), 1))
    ).astype(np.float32)
    assert find(question(sound, edge, scaling=None)) == ()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_another_network_has_no_cause(seed: int) -> None:
    assert find(question(RAIN, network(seed + 100))) == ()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), skill=st.floats(0.0, 1.0))
def test_a_poor_model_is_no_fault_of_the_rows(seed: int, skill: float) -> None:
    random = np.random.default_rng(seed)
    sound = network(seed)
    rows = rows_of(1500)
    labels = np.where(
        random.random(1500) < skill, sound(rows)[:, 0] >= 0.5, random.random(1500) < 0.4
    )
    assert find(question(sound, sound, rows=rows, labels=labels.astype(np.int64))) == ()


def test_few_rows_prove_nothing() -> None:
    edge = takes(column(0, 0.01))
    for count in range(1, 12):
        asked = question(RAIN, edge, count=count)
        flips = flipped(HALF, asked.source, asked.edge, 0).sum()
        assert len(find(asked)) <= (1 if flips >= 5 or count >= 5 else 0)
    assert find(question(RAIN, RAIN, rows=rows_of(10) * np.float32(100))) == ()


def test_never_more_than_three() -> None:
    assert MOST_SUSPECTS == 3
