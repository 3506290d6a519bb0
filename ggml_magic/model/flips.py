"""How many decisions may flip, as a user writes it: ``0%``, ``0.5%``, ``3``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ggml_magic.errors import GrammarError

EXAMPLES = "--max-flips 0% or --max-flips 0.5% or --max-flips 3 (rows)"
# a share of 0.07 of 100 rows is 7.000000000000001 in binary, and 7 for a person
DECIMALS = 6


@dataclass(frozen=True)
class FlipLimit:
    """How many decisions may flip: a share of the rows (0 to 1) or a number of them."""

    share: float | None
    count: int | None

    def rows(self, of: int) -> int:
        """The most rows that may flip of this many."""
        if self.count is not None:
            return self.count
        return math.floor(round((self.share or 0.0) * of, DECIMALS))

    def __str__(self) -> str:
        return f"{(self.share or 0.0) * 100:g}%" if self.count is None else str(self.count)


def parse_flips(text: str | int) -> FlipLimit:
    """Read a limit of flips; raises ``GrammarError`` for anything but a share or a count."""
    stripped = str(text).strip()
    try:
        if stripped.endswith("%"):
            return _share(float(stripped[:-1]) / 100)
        return _count(int(stripped))
    except ValueError:
        raise GrammarError(
            f"cannot read the limit of flips {str(text)!r}",
            "it is a percentage from 0% to 100%, or a whole number of rows",
            EXAMPLES,
        ) from None


def _share(share: float) -> FlipLimit:
    if not 0 <= share <= 1:
        raise ValueError(share)
    return FlipLimit(share, None)


def _count(count: int) -> FlipLimit:
    if count < 0:
        raise ValueError(count)
    return FlipLimit(None, count)
