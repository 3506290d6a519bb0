"""The choice by evidence, on candidates as a runtime would leave them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trapfiles
from edge import environment
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.convert.candidates import Candidate
from ggml_magic.convert.choice import Target, chosen, compared, judged, tried
from ggml_magic.convert.tolerance import TOLERANCES, allowed
from ggml_magic.device.contract import Decision, Rows
from ggml_magic.errors import EdgeRuntimeError
from ggml_magic.model.flips import parse_flips
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.litert import LITERT
from ggml_magic.runtimes.tflite import TFLITE
from ggml_magic.validate.compare import compare, peak
from ggml_magic.validate.gate import reasons_against
from ggml_magic.validate.limits import Limits

FULL = Candidate("float32", Path("a"), "0", 100_000, 0, 1e-7, "", 4.0)


def other(
    variant: str, size: int, flips: int | None, diff: float = 0.01, speed: float = 4.0
) -> Candidate:
    return Candidate(variant, Path("a"), "0", size, flips, diff, "", speed)


def best(*others: Candidate, limit: str = "0%") -> str:
    return chosen([FULL, *others], parse_flips(limit), 1000)[0].variant


def test_flips_come_first_then_size() -> None:
    half, quarter = other("float16", 50_000, 0), other("int8", 25_000, 9)
    assert best(half, quarter) == "float16"
    assert best(half, quarter, limit="1%") == "int8"
    assert best(half, other("dynamic", 25_000, 0)) == "dynamic"


def test_what_did_not_run_is_never_chosen() -> None:
    assert best(other("int8", 25_000, None)) == "float32"


def test_what_gains_nothing_is_not_chosen() -> None:
    assert best(other("dynamic", 100_000, 0), other("float16", 99_000, 0)) == "float32"
    assert best(other("int8", 101_000, 0, diff=0.0, speed=3.0)) == "float32"
    reason = chosen([FULL, other("float16", 103_000, 0)], parse_flips("0%"), 1000)[1]
    assert reason == "Quantising gains nothing: no variant is smaller."


def test_of_one_size_the_slow_one_goes_and_noise_decides_nothing() -> None:
    near, quick = other("int16x8", 50_000, 0, 1e-4, speed=30.0), other("int8", 51_000, 0, 1e-2)
    assert best(near, quick) == "int8"
    assert best(other("int16x8", 50_000, 0, 1e-4, speed=7.9), quick) == "int16x8"


def test_where_all_flip_float32_is_told_as_the_nearest() -> None:
    flipping = Candidate("float32", Path("a"), "0", 1, 5, 0.1, "", 1.0)
    candidate, reason = chosen([flipping], parse_flips("0%"), 1000)
    assert candidate is flipping and reason.startswith("Every variant flips more")


def test_what_has_a_fault_is_not_taken_at_any_limit() -> None:
    broken, half = replace(other("int8", 25_000, 3), fault="why"), other("float16", 50_000, 900)
    for limit in ("100%", "1000", "5000"):
        assert best(broken, limit=limit) == "float32"
        assert best(broken, half, limit=limit) == "float16"


def test_gains_are_in_plain_words() -> None:
    sizes = {"float16": 51_000, "dynamic": 100_000, "int8": 104_000, "int8-split": 100_016}
    noted = compared([FULL, *(other(v, s, 0) for v, s in sizes.items())])
    assert [c.note for c in noted] == [
        "",
        "49% smaller than float32",
        "gains nothing: as big as float32",
        "gains nothing: 4% bigger than float32",
        "gains nothing: 16 B bigger than float32",
    ]


NUMBERS = [0.0, 0.3, 0.46, 0.5, 0.505, 0.52, 0.9, 40.0]


@given(
    st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from([*NUMBERS, np.nan, np.inf]))),
    st.sampled_from(list(TOLERANCES)),
    st.sampled_from([Decision("threshold"), Decision("value"), Decision("value", tolerance=0.1)]),
    st.sampled_from(["0%", "1", "50%", "100%"]),
)
def test_what_may_be_chosen_is_what_the_proof_lets_through(
    pairs: list[tuple[float, float]], variant: str, decision: Decision, limit: str
) -> None:
    """The same rows, the same rule: the choice and the gate never disagree."""
    outputs = np.asarray([*pairs, (0.1, 0.1)], dtype=np.float32)
    source, edge = outputs[:, :1], outputs[:, 1:]
    asked = Target(LITERT, source, source, decision, parse_flips(limit))
    seen = judged(asked, other(variant, 25_000, None), edge)
    within = allowed(decision, variant, peak(source))
    compared_too = compare(decision, source, edge, within)
    against = reasons_against(decision.rule, compared_too, Limits(asked.limit), within)
    assert seen.flips == compared_too.flip_count
    assert (chosen([FULL, seen], asked.limit, len(source))[0] is seen) == (not against)


# Tried in the runtimes themselves -----------------------------------------------------------------

THRESHOLD = Decision("threshold", 0.5)


@pytest.fixture(scope="module")
def _environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with environment(tmp_path_factory.mktemp("cache")):
        runtimes.environment(TFLITE)
        yield


def placed(folder: Path, content: bytes, variant: str = "dynamic") -> Candidate:
    path = folder / f"{variant}.tflite"
    path.write_bytes(content)
    return Candidate(variant, path, "0", len(content), note="as it was")


def target(
    which: runtimes.Runtime,
    source: Rows,
    decision: Decision = THRESHOLD,
    rows: Rows = trapfiles.ANY,
) -> Target:
    return Target(which, rows, source, decision, parse_flips("99%"))


@pytest.mark.real
@pytest.mark.usefixtures("_environments")
def test_one_answer_to_every_row_is_a_fault_beside_its_flips(tmp_path: Path) -> None:
    """An old runtime's constant agrees with many rows, and is never chosen (RUNTIMES 2)."""
    made = trapfiles.unraised()
    source = made.source(trapfiles.ANY)
    candidate = placed(tmp_path, made.content)
    asked = target(TFLITE, source)
    constant = tried(asked, candidate)
    assert constant.fault == "gives one answer to every row" and constant.note == "as it was"
    answer = runtimes.run(TFLITE, candidate.path, trapfiles.ANY).outputs[0, 0]
    assert constant.flips == ((source >= 0.5) != (answer >= 0.5)).sum() < len(source)
    assert constant.max_abs_diff is not None and constant.max_abs_diff < 1
    full = Candidate("float32", Path("a"), "0", 10 * candidate.size, 0, 0.0, "", 4.0)
    assert chosen([full, constant], asked.limit, len(source))[0] is full
    # the same file in a runtime that reads it
    sound = tried(target(LITERT, source), candidate)
    assert sound.flips is not None and sound.flips < len(source) / 10
    assert not sound.fault and sound.row_microseconds
    assert chosen([full, sound], asked.limit, len(source))[0] is sound


@pytest.mark.real
@pytest.mark.usefixtures("_environments")
def test_a_constant_is_no_fault_where_the_model_itself_is_one(tmp_path: Path) -> None:
    made = trapfiles.wide(dynamic=False)
    row = np.repeat(trapfiles.ANY[:1], 50, axis=0)
    same = tried(target(LITERT, made.source(row), rows=row), placed(tmp_path, made.content))
    assert same.flips == 0 and not same.fault


@pytest.mark.real
@pytest.mark.usefixtures("_environments")
@pytest.mark.parametrize("which", [LITERT, TFLITE], ids=lambda which: which.name)
@pytest.mark.parametrize("rule", ["threshold", "value"])
def test_nan_is_a_fault_beside_its_flips(
    which: runtimes.Runtime, rule: str, tmp_path: Path
) -> None:
    made = trapfiles.without_numbers()
    source = made.source(trapfiles.ANY)
    decision = THRESHOLD if rule == "threshold" else Decision("value", tolerance=10.0)
    broken = tried(target(which, source, decision), placed(tmp_path, made.content))
    # NaN reaches no threshold, and is no value
    wanted = (source >= 0.5).sum() if rule == "threshold" else len(source)
    assert broken.flips == wanted and broken.max_abs_diff == float("inf")
    assert broken.fault == "answers NaN or infinity" and broken.note == "as it was"


@pytest.mark.real
@pytest.mark.usefixtures("_environments")
def test_what_does_not_run_is_told_and_float32_must(tmp_path: Path) -> None:
    made = trapfiles.wide(dynamic=True)
    asked = target(TFLITE, made.source(trapfiles.ANY))
    gone = tried(asked, placed(tmp_path, made.content))
    assert gone.flips is None and gone.note.startswith("does not run: ")
    assert "FULLY_CONNECTED" in gone.note and gone.note.endswith("; as it was")
    for variant in ("float32", "ready"):
        with pytest.raises(EdgeRuntimeError, match=r"FULLY_CONNECTED'? version '?12"):
            tried(asked, placed(tmp_path, made.content, variant))


@pytest.mark.real
@pytest.mark.usefixtures("_environments")
def test_a_file_of_another_model_is_told(tmp_path: Path) -> None:
    made = trapfiles.wide(dynamic=False)
    two = np.repeat(made.source(trapfiles.ANY), 2, axis=1)
    with pytest.raises(EdgeRuntimeError, match="of another model") as caught:
        tried(target(LITERT, two), placed(tmp_path, made.content))
    assert caught.value.why == "it gives 1 output to each row, and the notebook's model 2"
