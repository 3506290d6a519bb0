"""The gate's limits as a user writes them: ``0.5%``, ``3``, ``2ms``, ``512MB``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ggml_magic.errors import GrammarError
from ggml_magic.model.flips import FlipLimit, parse_flips
from ggml_magic.runtimes.runtime import NATIVE


def parse_tolerance(value: float | str | None) -> float | None:
    """A tolerance as a number above 0, or None for the variant's own.

    Raises ``GrammarError`` for anything else.
    """
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise GrammarError(
            f"cannot read the tolerance {value!r}",
            "it is the largest difference of an output, a number above 0",
            "--tolerance 0.0001",
        )
    return number


# Decimal as everywhere in the reports, and binary where it is written so.
BYTES: Mapping[str, int] = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
MICROSECONDS: Mapping[str, float] = {"us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Zµμ]+)")


def parse_bytes(text: str | None, option: str) -> int | None:
    """A number of bytes with its unit, as ``512MB`` or ``4 KB``; None stays None.

    ``option`` is what the message calls it. Raises ``GrammarError`` for anything else.
    """
    if text is None:
        return None
    number, unit = _quantity(text)
    count = number * BYTES.get(unit.upper(), 0)
    if not count >= 1:
        raise GrammarError(
            f"cannot read {option} {text!r}",
            "it is a number with its unit: B, KB, MB, GB, KiB, MiB or GiB",
            f"{option} 512MB or {option} 64KB",
        )
    return round(count)


def parse_microseconds(text: str | None, option: str) -> float | None:
    """A time with its unit, as ``2ms`` or ``150us``, in microseconds; None stays None.

    ``option`` is what the message calls it. Raises ``GrammarError`` for anything else.
    """
    if text is None:
        return None
    number, unit = _quantity(text)
    count = number * MICROSECONDS.get(unit, 0.0)
    if not count > 0:
        raise GrammarError(
            f"cannot read {option} {text!r}",
            "it is a time of one row with its unit: us, ms or s",
            f"{option} 2ms or {option} 150us",
        )
    return count


def _quantity(text: object) -> tuple[float, str]:
    found = QUANTITY.fullmatch(str(text).strip())
    return (float(found[1]), found[2]) if found else (0.0, "")


def parse_cpus(value: float | str | None) -> int | None:
    """A number of processors, 1 at least; None stays None.

    Raises ``GrammarError`` for anything else.
    """
    if value is None:
        return None
    text = f"{value:g}" if isinstance(value, float) else str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and int(text) > 0):
        raise GrammarError(
            f"cannot read --cpus {text if isinstance(value, float) else repr(value)}",
            "it is how many processors the model may use, a whole number above 0",
            "--cpus 1",
        )
    return int(text)


@dataclass(frozen=True)
class Limits:
    """What a proof must hold, as numbers; None is no limit, a ``tolerance`` the variant's own.

    The latency is the 95th percentile of one row.
    """

    flips: FlipLimit
    tolerance: float | None = None
    latency_p95_microseconds: float | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None

    def check_measurable(self, arch: str) -> None:
        """Raise ``GrammarError`` where an emulated run is asked for latency or memory.

        It would take the emulator's for the device's (RUNTIMES 5 and 6).
        """
        asked = {
            "--max-latency-p95": self.latency_p95_microseconds,
            "--max-memory": self.memory_bytes,
        }
        for option, limit in asked.items():
            if arch != NATIVE and limit is not None:
                raise GrammarError(
                    f"{option} cannot be asked of --arch {arch}",
                    "that architecture is emulated here, and the emulator's figures are not its",
                    f"leave {option} out, or leave --arch out",
                )


def parse(
    max_flips: str | int,
    tolerance: float | str | None = None,
    max_latency_p95: str | None = None,
    max_memory: str | None = None,
    max_size: str | None = None,
) -> Limits:
    """The gate's limits from their texts; raises ``GrammarError`` for one that cannot be read."""
    return Limits(
        parse_flips(max_flips),
        parse_tolerance(tolerance),
        parse_microseconds(max_latency_p95, "--max-latency-p95"),
        parse_bytes(max_memory, "--max-memory"),
        parse_bytes(max_size, "--max-size"),
    )
