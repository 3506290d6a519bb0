from __future__ import annotations

import pytest

from ggml_magic.errors import GrammarError
from ggml_magic.model.flips import FlipLimit
from ggml_magic.validate.limits import (
    Limits,
    parse,
    parse_bytes,
    parse_cpus,
    parse_microseconds,
    parse_tolerance,
)


def test_tolerances() -> None:
    assert parse_tolerance(None) is None
    assert parse_tolerance("1e-3") == parse_tolerance(0.001) == 0.001
    for wrong in ("small", "nan", "inf", 0, -1, "", True, [1.0]):
        with pytest.raises(GrammarError, match="cannot read the tolerance"):
            parse_tolerance(wrong)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512MB", 512_000_000),
        ("4 KB", 4000),
        ("1.5GB", 1_500_000_000),
        ("64KiB", 65_536),
        ("12 mib", 12 * 2**20),
        ("900B", 900),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_bytes(text, "--max-size") == count


@pytest.mark.parametrize(
    "text", ["", "512", "MB", "-1MB", "0MB", "0.1B", "1e3MB", "512Mbit", "5 M B", "nanMB", "½MB"]
)
def test_text_that_is_no_size(text: str) -> None:
    with pytest.raises(GrammarError, match="cannot read --max-memory") as caught:
        parse_bytes(text, "--max-memory")
    assert "--max-memory 512MB" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("2ms", 2000.0), ("150us", 150.0), ("150µs", 150.0), ("0.5 s", 500_000.0), ("1.25us", 1.25)],
)
def test_times(text: str, microseconds: float) -> None:
    assert parse_microseconds(text, "--max-latency-p95") == microseconds


@pytest.mark.parametrize("text", ["", "2", "ms", "0ms", "-2ms", "2 MS", "2min", "infms"])
def test_text_that_is_no_time(text: str) -> None:
    with pytest.raises(GrammarError, match="cannot read --max-latency-p95") as caught:
        parse_microseconds(text, "--max-latency-p95")
    assert "--max-latency-p95 2ms" in caught.value.remedy


def test_processors() -> None:
    assert parse_cpus(None) is None
    assert parse_cpus("2") == parse_cpus(2) == parse_cpus(2.0) == 2
    for wrong in (0, -1, "one", 1.5, True, "", "²"):
        with pytest.raises(GrammarError, match="cannot read --cpus"):
            parse_cpus(wrong)


def test_all_limits_at_once() -> None:
    assert parse("1%") == Limits(FlipLimit(0.01, None))
    assert parse(3, 0.1, "2ms", "64MB", "4KB") == Limits(
        FlipLimit(None, 3), 0.1, 2000.0, 64_000_000, 4000
    )


def test_an_emulated_run_has_no_latency_and_no_memory() -> None:
    parse("0%", max_latency_p95="2ms", max_memory="64MB").check_measurable("native")
    parse("0%", max_size="4KB").check_measurable("aarch64")
    for changes in ({"max_latency_p95": "2ms"}, {"max_memory": "64MB"}):
        with pytest.raises(GrammarError, match="cannot be asked of --arch aarch64") as caught:
            parse("0%", **changes).check_measurable("aarch64")
        assert "--arch out" in caught.value.remedy


def test_a_number_of_processors_is_told_as_it_was_written() -> None:
    # the command's line reads every number as a float
    for wrong, told in ((0.0, "--cpus 0"), (2.5, "--cpus 2.5"), ("many", "--cpus 'many'")):
        with pytest.raises(GrammarError) as caught:
            parse_cpus(wrong)
        assert caught.value.what == f"cannot read {told}"
