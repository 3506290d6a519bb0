"""One measured figure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What was measured, beside what, and the limit that it must keep."""

    name: str
    ours: str
    baseline: str
    result: str
    limit: str
    within: bool


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    rows = [("figure", "ours", "beside", "result", "limit", "")]
    rows += [
        (f.name, f.ours, f.baseline, f.result, f.limit, "ok" if f.within else "OVER")
        for f in figures
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
