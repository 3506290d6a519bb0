"""The choice by evidence, on candidates as a runtime would leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ggml_magic.convert.candidates import Candidate
from ggml_magic.convert.choice import chosen, compared, tolerance
from ggml_magic.model.flips import parse_flips

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


def test_the_tolerance_grows_with_the_outputs() -> None:
    assert tolerance("float32", np.asarray([[0.5]], dtype=np.float32)) == 1e-4
    assert tolerance("float32", np.asarray([[-1000.0]], dtype=np.float32)) == pytest.approx(0.1)
    assert tolerance("dynamic", np.zeros((1, 1), dtype=np.float32)) > 1e-4
