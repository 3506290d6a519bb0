"""Variants and runtimes side by side: figures where it runs, the reason where it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggml_magic.convert import convert as conversions
from ggml_magic.convert.candidates import CONVERSION_FILE
from ggml_magic.convert.convert import convert
from ggml_magic.errors import (
    ConversionError,
    FeatureMismatchError,
    GateError,
    GrammarError,
    NotYetError,
)
from ggml_magic.model.model import EdgeModel, describe
from ggml_magic.model.training import tensorflow
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.runtime import NATIVE
from ggml_magic.validate.profile import ANY, Line, Profile, profile
from ggml_magic.validate.validate import validate
from ggml_magic.workspace import Workspace, read_json

RANDOM = np.random.default_rng(4)
ROWS = RANDOM.normal([1013, 12, 65], [8, 9, 20], (600, 3)).astype(np.float32)
LITERT = runtimes.DEFAULT

FULL = Line(
    "float32", LITERT, "2.3.0", 4072, 0, 1.8e-7, 0.91, None, 0.002, 1.25, 2.0, 1e8, 38_000_000
)
SMALL = replace(FULL, variant="dynamic", size=3100, max_abs_diff=2e-3, row_microseconds_p50=1.5)
BROKEN = Line("int8", "tflite-runtime", "2.14.0", 3000, why="Didn't find op for FULLY_CONNECTED")


def made(*lines: Line, arch: str = NATIVE) -> Profile:
    return Profile("rain", 3000, arch, "x86_64", lines)


def test_the_card_shows_figures_and_reasons() -> None:
    text = str(made(FULL, SMALL, BROKEN))
    assert text.startswith("rain: 3 lines on 3,000 rows")
    assert "4,072 B" in text and "1.8e-07" in text and "100,000,000" in text and "38 MB" in text
    assert "Didn't find op for FULLY_CONNECTED" in text and "91.00%" in text
    assert "dynamic on ai-edge-litert 2.3.0 is the smallest" in text
    assert "none is faster than another (times within a factor of 2 are equal)" in text
    assert "fresh process" in text and "this x86_64" in text
    assert "mean error" not in text  # no line has one


def test_the_fastest_is_not_what_the_next_run_turns_round() -> None:
    slow = replace(SMALL, row_microseconds_p50=2.51)
    assert "and float32 on ai-edge-litert 2.3.0 the fastest." in str(made(FULL, slow))
    quick = replace(SMALL, row_microseconds_p50=0.6)
    assert "the smallest and the fastest." in str(made(FULL, quick))
    other = replace(FULL, runtime="tensorflow")
    assert (
        "and the fastest are float32 on ai-edge-litert 2.3.0 and float32 on tensorflow 2.3.0 "
        "(times within a factor of 2 are equal)"
    ) in str(made(FULL, slow, other))


def test_rows_a_second_have_three_digits() -> None:
    text = str(made(replace(FULL, rows_per_second=12_345_678.9)))
    assert "12,300,000" in text and "12,345" not in text
    assert " 123 " in str(made(replace(FULL, rows_per_second=123.4)))


def test_a_card_without_failures_has_no_column_for_them() -> None:
    assert "does not run" not in str(made(FULL))
    assert "is the smallest and the fastest" in str(made(FULL))
    assert "does not run" in str(made(BROKEN))
    assert "No line keeps every decision" in str(made(BROKEN, replace(FULL, flips=3)))


def test_emulated_lines_have_no_times() -> None:
    times = {"load_seconds", "row_microseconds_p50", "row_microseconds_p95", "rows_per_second"}
    emulated = replace(FULL, **dict.fromkeys({*times, "peak_bytes"}))
    text = str(made(emulated, arch="aarch64"))
    assert "µs" not in text and "memory would be the emulator's" in text
    assert "float32 on ai-edge-litert 2.3.0 is the smallest." in text


def test_as_values() -> None:
    lost = replace(FULL, max_abs_diff=float("inf"))
    values = json.loads(json.dumps(made(lost, BROKEN).to_dict(), allow_nan=False))
    assert values["lines"][0]["max_abs_diff"] == "inf" and values["rows"] == 3000
    assert values["lines"][1]["why"] and values["lines"][1]["flips"] is None
    frame = made(FULL, BROKEN).to_df()
    assert list(frame["variant"]) == ["float32", "int8"]
    assert frame.loc[0, "row_microseconds_p95"] == 2.0 and frame.loc[0, "why"] == ""
    assert "<table>" in made(FULL)._repr_html_()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, EdgeModel]:
    tf = tensorflow()
    mean, deviation = tf.constant([1013.0, 12, 65]), tf.constant([8.0, 9, 20])
    first = tf.constant(RANDOM.normal(size=(3, 256)), tf.float32)
    second = tf.constant(RANDOM.normal(size=(256, 256)) / 16, tf.float32)
    third = tf.constant(RANDOM.normal(size=(256, 1)), tf.float32)

    def network(x: Any) -> Any:
        return tf.sigmoid(tf.nn.relu(tf.nn.relu(x @ first) @ second) @ third)

    workspace = Workspace(tmp_path_factory.mktemp("profile") / ".ggml")
    model = describe(
        workspace,
        "rain",
        [lambda x: (x - mean) / deviation, network],
        features="pressure:hPa,temperature:degC,humidity:%",
        inputs=ROWS,
        decide=">= 0.52",
    )
    convert(workspace, model, quantize="dynamic")
    return workspace, model


@pytest.mark.real
def test_what_convert_left_is_measured(kit: tuple[Workspace, EdgeModel]) -> None:
    workspace, model = kit
    said: list[str] = []
    labels = (RANDOM.random(600) < 0.5).astype(int)
    found = profile(
        workspace,
        model,
        inputs=ROWS,
        labels=labels,
        runtime_names=[LITERT],
        progress=said.append,
    )
    assert [line.variant for line in found.lines] == ["float32", "dynamic"]
    assert said == [f"float32 on {LITERT}", f"dynamic on {LITERT}"]
    for line in found.lines:
        assert line.why == "" and line.version == runtimes.get().version
        assert line.row_microseconds_p50 and line.row_microseconds_p95
        assert line.row_microseconds_p50 <= line.row_microseconds_p95
        assert line.rows_per_second and line.rows_per_second > 1000
        assert line.peak_bytes and line.peak_bytes > 10_000_000 and line.load_seconds
        assert line.accuracy is not None and 0.3 < line.accuracy < 0.7
    full, dynamic = found.lines
    assert full.flips == 0 and full.max_abs_diff is not None and full.max_abs_diff < 1e-5
    assert dynamic.size is not None and full.size is not None and dynamic.size < full.size
    assert found.rows == 600 and found.arch == NATIVE


@pytest.mark.real
def test_the_reference_is_the_proofs(kit: tuple[Workspace, EdgeModel]) -> None:
    workspace, model = kit
    (line,) = profile(
        workspace, model, inputs=ROWS, variants=["float32"], runtime_names=[LITERT]
    ).lines
    full = replace(conversions.load(workspace, model), chosen="float32")
    assert line.max_abs_diff == validate(workspace, model, full, inputs=ROWS).max_abs_diff > 0


@pytest.mark.real
def test_all_runtimes_are_tried_and_each_failure_says_why(
    kit: tuple[Workspace, EdgeModel],
) -> None:
    """Dynamic range needs FULLY_CONNECTED 12, which 2.14 does not know (RUNTIMES 2)."""
    workspace, model = kit
    found = profile(workspace, model, inputs=ROWS[:50])
    assert {line.runtime for line in found.lines} == set(runtimes.names())
    for line in found.lines:
        assert (line.flips is None) == bool(line.why) and "\n" not in line.why
    (saved,) = [line for line in found.lines if line.runtime == "tensorflow"]
    assert saved.variant in ("saved_model", ANY) and (saved.flips == 0 or saved.why)
    old = [line for line in found.lines if line.runtime == "tflite-runtime"]
    if len(old) == 2:  # its environment can be built here
        assert old[0].flips == 0 and "FULLY_CONNECTED" in old[1].why
    else:
        assert old[0].variant == ANY and old[0].why


@pytest.mark.real
def test_a_variant_that_is_asked_for_is_made_and_nothing_is_chosen(
    kit: tuple[Workspace, EdgeModel],
) -> None:
    workspace, model = kit
    stands = model.folder / CONVERSION_FILE
    before = read_json(stands)
    found = profile(
        workspace,
        model,
        inputs=ROWS[:50],
        variants=["float16", "float32", "float16"],
        runtime_names=[LITERT],
    )
    assert [line.variant for line in found.lines] == ["float16", "float32"]
    assert read_json(stands) == before
    stands.unlink()
    try:
        with pytest.raises(NotYetError, match="rain has no converted file"):
            profile(workspace, model, inputs=ROWS[:50])
        again = profile(
            workspace, model, inputs=ROWS[:50], variants=["float32"], runtime_names=[LITERT]
        )
        assert again.lines[0].flips == 0 and not stands.exists()
    finally:
        conversions.convert(workspace, model, quantize="dynamic")


@pytest.mark.real
def test_a_limit_is_a_reason(kit: tuple[Workspace, EdgeModel]) -> None:
    workspace, model = kit
    small = runtimes.Limits(memory_bytes=40_000_000)
    found = profile(workspace, model, inputs=ROWS[:5], runtime_names=[LITERT], limits=small)
    assert [line.variant for line in found.lines] == ["float32", "dynamic"]
    assert all(line.why and line.flips is None for line in found.lines)


@pytest.mark.real
def test_a_runtime_that_cannot_be_built_is_one_line(
    kit: tuple[Workspace, EdgeModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, model = kit
    missing = tmp_path / "none.txt"
    missing.write_text(runtimes.get().requirements.read_text().splitlines()[0] + "\nno-such==1\n")
    broken: Any = replace(runtimes.get(), name="broken", requirements=missing)  # type: ignore[type-var]
    monkeypatch.setattr(runtimes, "get", lambda name: broken)
    (line,) = profile(workspace, model, inputs=ROWS[:5], runtime_names=["broken"]).lines
    assert line.variant == ANY and line.size is None and line.why


@pytest.mark.real
def test_mistakes(kit: tuple[Workspace, EdgeModel]) -> None:
    workspace, model = kit
    mistakes: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"runtime_names": ["abacus"]}, GrammarError),
        ({"variants": ["int3"]}, GrammarError),
        ({"inputs": ROWS[:, :2]}, FeatureMismatchError),
        ({"arch": "z80"}, GrammarError),
    ]
    for changes, error in mistakes:
        with pytest.raises(error) as caught:
            profile(workspace, model, **{"inputs": ROWS[:5], **changes})
        assert type(caught.value) is error


@pytest.mark.real
def test_a_variant_that_cannot_be_made_is_told(
    kit: tuple[Workspace, EdgeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, model = kit

    def refuses(*_: Any, **__: Any) -> Any:
        raise ConversionError("rain could not be converted", "the converter crashed", "")

    monkeypatch.setattr(conversions, "convert", refuses)
    options = {"inputs": ROWS[:5], "runtime_names": [LITERT]}
    found = profile(workspace, model, variants=["float32", "int16x8"], **options)  # type: ignore[arg-type]
    assert [(line.variant, line.why) for line in found.lines][1] == (
        "int16x8",
        "the converter crashed",
    )
    with pytest.raises(ConversionError, match="the converter crashed"):
        profile(workspace, model, variants=["int16x8"], **options)  # type: ignore[arg-type]


@pytest.mark.real
def test_auto_profile_and_validate_count_the_same_flips(kit: tuple[Workspace, EdgeModel]) -> None:
    """A value may differ by a hundredth, however rough the variant: int8 alone may lose 0.3."""
    workspace, _ = kit
    tf = tensorflow()
    first = tf.constant(RANDOM.normal(size=(3, 16)), tf.float32)
    second = tf.constant(RANDOM.normal(size=(16, 1)), tf.float32)
    mean, deviation = tf.constant([1013.0, 12, 65]), tf.constant([8.0, 9, 20])
    model = describe(
        workspace,
        "warmth",
        [lambda x: tf.nn.relu(((x - mean) / deviation) @ first) @ second],
        features="pressure:hPa,temperature:degC,humidity:%",
        inputs=ROWS,
        decide="value",
    )
    auto = convert(workspace, model, quantize="auto")
    counted = {c.variant: c.flips for c in auto.candidates}
    rows = model.sample()[0]
    lines = profile(workspace, model, inputs=rows, runtime_names=[LITERT]).lines
    assert {line.variant: line.flips for line in lines} == counted
    assert counted["float32"] == 0 and (counted["int8"] or 0) > 100
    for variant, flips in counted.items():
        try:
            report = validate(workspace, model, replace(auto, chosen=variant), inputs=rows)
        except GateError as error:
            report = error.report
        assert report.flip_count == flips, variant
