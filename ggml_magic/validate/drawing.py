"""Source against edge as an inline SVG, for a report in a notebook.

It stands on white and on black: text and lines take the page's own colour, points have mid-tones
that are seen on both. It has no script, no style sheet and no id, so that two drawings in one
notebook cannot disturb each other.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ggml_magic.presentation import plural

WIDTH, HEIGHT = 360, 318
LEFT, RIGHT, TOP, BOTTOM = 68, 346, 28, 228
LABELS_AT, LEGEND_AT, LEGEND_STEP = 256, 275, 16
TITLE_LETTERS = 58
LETTER_WIDTH = 6
# More points than these add bytes and no insight: a report goes into a notebook's file.
MOST_POINTS = 600
MOST_FLIPS = 200
# Orange and blue differ for every kind of colour-blindness, and both have a contrast above 3 to
# white and to black.
FLIP_COLOUR = "#e8590c"
POINT_COLOUR = "#4391dc"
CROSS, DIAMOND = 3.5, 4.5
TICKS = 5
STEPS = (1.0, 2.0, 5.0, 10.0)
# A step that is a little finer than asked for is rounder than the next one.
NEAR = 0.7
# Outputs that lie in 0 to 1 and fill this much of it are probabilities.
PROBABILITIES = 0.2
PADDING = 0.04
PLAIN_TO, PLAIN_FROM = 1e6, 1e-4
ROUNDING = 1e-9

Values = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class _Axis:
    """The range that both axes share, so that the diagonal is where both sides agree."""

    low: float
    high: float
    step: float

    def part(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def across(self, value: float) -> str:
        return _number(LEFT + self.part(value) * (RIGHT - LEFT))

    def up(self, value: float) -> str:
        return _number(BOTTOM - self.part(value) * (BOTTOM - TOP))

    def ticks(self) -> list[float]:
        first = math.ceil(self.low / self.step - ROUNDING)
        last = math.floor(self.high / self.step + ROUNDING)
        return [number * self.step for number in range(first, last + 1)]

    def label(self, value: float) -> str:
        size = max(abs(self.low), abs(self.high))
        if size >= PLAIN_TO or self.step < PLAIN_FROM:
            return f"{value:.{max(1, math.ceil(math.log10(size / self.step)) + 1)}g}"
        decimals = max(0, -math.floor(math.log10(self.step) + ROUNDING))
        return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # never -0.0


@dataclass(frozen=True)
class Total:
    """What the points are drawn from: so many rows, so many of them flips, and what they are."""

    rows: int
    flips: int
    flip: str
    alike: str


# What a flip is called, and a row that is none.
DECISION_WORDS = ("flip", "decided alike")
VALUE_WORDS = ("difference", "near enough")


def scatter(
    source: npt.ArrayLike,
    edge: npt.ArrayLike,
    flipped: npt.ArrayLike,
    *,
    boundary: float | None,
    title: str,
    total: Total | None = None,
) -> str:
    """Outputs of the notebook's model (N,) across, of the edge file (N,) up, as an SVG element.

    ``flipped`` (N,) says which rows are flips: diamonds where the edge is at or above
    ``boundary``, crosses below it and where there is none. At most 600 other points and 200
    flips are drawn, evenly chosen; rows without a finite number are counted and not drawn.
    ``total`` counts the rows of which these are a part, for the legend; without it they are all.
    """
    x, y = (np.asarray(values, dtype=np.float64).ravel() for values in (source, edge))
    flips = np.asarray(flipped, dtype=bool).ravel()
    finite = np.isfinite(x) & np.isfinite(y)
    axis = _axis(np.concatenate([x[finite], y[finite]]), boundary)
    others = _thinned(np.flatnonzero(finite & ~flips), MOST_POINTS)
    marked = _thinned(np.flatnonzero(finite & flips), MOST_FLIPS)
    above = np.zeros(len(y), bool) if boundary is None else y >= float(np.float32(boundary))
    total = total or Total(len(flips), int(flips.sum()), *DECISION_WORDS)
    sides = int(above[marked].sum()), int((~above[marked]).sum())
    legend = _legend(total, sides, len(others), boundary)
    lost = int((~finite).sum())
    if lost:
        mark, text = legend[-1]
        some = f"{lost:,}" if len(flips) == total.rows else "those"
        legend[-1] = mark, f"{text}; {some} without a number not drawn"
    said = "; ".join(text for _, text in legend)
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11" '
            f'fill="currentColor" aria-label="{html.escape(title)}">',
            f"<title>{html.escape(title)}</title>",
            f"<desc>The notebook's output across, the edge's up. {html.escape(said)}.</desc>",
            _frame(axis, boundary, title),
            _points(axis, x[others], y[others]),
            _marks(axis, x, y, marked[~above[marked]], _cross, "2"),
            _marks(axis, x, y, marked[above[marked]], _diamond, "1.6"),
            *(
                f'{mark(12, LEGEND_AT + i * LEGEND_STEP - 4)}<text x="24" '
                f'y="{LEGEND_AT + i * LEGEND_STEP}">{html.escape(text)}</text>'
                for i, (mark, text) in enumerate(legend)
            ),
            "</svg>",
        ]
    )


def _axis(values: Values, boundary: float | None) -> _Axis:
    if boundary is not None and math.isfinite(boundary):
        values = np.append(values, boundary)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if low >= 0 and high <= 1 and high - low >= PROBABILITIES:
        low, high = 0.0, 1.0
    else:
        room = PADDING * (high - low) or abs(low) / 2 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in STEPS if step * power >= rough * NEAR)
    return _Axis(low, high, step)


def _thinned(places: Places, most: int) -> Places:
    if len(places) <= most:
        return places
    chosen: Places = places[np.linspace(0, len(places) - 1, most).round().astype(np.intp)]
    return chosen


def _frame(axis: _Axis, boundary: float | None, title: str) -> str:
    """Title, grid with numbers, axis labels, the diagonal and the boundary."""
    ticks = axis.ticks()
    grid = "".join(
        f"M{axis.across(value)} {TOP}V{BOTTOM}M{LEFT} {axis.up(value)}H{RIGHT}" for value in ticks
    )
    short = title if len(title) <= TITLE_LETTERS else title[: TITLE_LETTERS - 1] + "…"
    middle_x, middle_y = (LEFT + RIGHT) // 2, (TOP + BOTTOM) // 2
    lines = [
        f'<text x="6" y="16" font-size="12" font-weight="bold">{html.escape(short)}</text>',
        f'<path d="{grid}" stroke="currentColor" stroke-opacity=".15"/>',
        f'<path d="M{LEFT} {BOTTOM}L{RIGHT} {TOP}" stroke="currentColor" stroke-opacity=".5"/>',
        _numbers(axis, ticks),
        f'<text x="{middle_x}" y="{LABELS_AT}" text-anchor="middle">notebook\'s output</text>',
        f'<text transform="translate(11 {middle_y})rotate(-90)" text-anchor="middle">'
        "edge's output</text>",
    ]
    if boundary is not None and math.isfinite(boundary):
        x, y = axis.across(boundary), axis.up(boundary)
        lines.append(
            f'<path d="M{x} {TOP}V{BOTTOM}M{LEFT} {y}H{RIGHT}" stroke="currentColor" '
            'stroke-opacity=".8" stroke-dasharray="5 4"/>'
        )
    return "".join(lines)


def _numbers(axis: _Axis, ticks: list[float]) -> str:
    """The numbers of both axes; across only those that find room, the last one kept inside."""
    parts, end = [], 0.0
    for value in ticks:
        label = axis.label(value)
        y = axis.up(value)
        parts.append(f'<text x="{LEFT - 6}" y="{y}" dy="4" text-anchor="end">{label}</text>')
        half = len(label) * LETTER_WIDTH / 2
        x = min(float(axis.across(value)), WIDTH - half)
        if x - half > end:
            end = x + half + LETTER_WIDTH
            parts.append(
                f'<text x="{_number(x)}" y="{BOTTOM + 14}" text-anchor="middle">{label}</text>'
            )
    return "".join(parts)


def _points(axis: _Axis, x: Values, y: Values) -> str:
    """Small round dots: lines of no length with round ends, one path for all of them."""
    path = "".join(f"M{axis.across(a)} {axis.up(b)}h0" for a, b in zip(x, y, strict=True))
    return _dots(path) if path else ""


def _dots(path: str) -> str:
    return (
        f'<path d="{path}" stroke="{POINT_COLOUR}" stroke-opacity=".9" stroke-width="3.4" '
        'stroke-linecap="round"/>'
    )


def _marks(
    axis: _Axis, x: Values, y: Values, places: Places, shape: Callable[[], str], width: str
) -> str:
    path = "".join(f"M{axis.across(x[i])} {axis.up(y[i])}{shape()}" for i in places)
    return _outline(path, width) if path else ""


def _outline(path: str, width: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{FLIP_COLOUR}" stroke-width="{width}"/>'


def _cross() -> str:
    r = CROSS
    return f"m{-r} {-r}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}"


def _diamond() -> str:
    r = DIAMOND
    return f"m0 {-r}l{r} {r}l{-r} {r}l{-r} {-r}z"


Mark = Callable[[float, float], str]


def _legend(
    total: Total, drawn_sides: tuple[int, int], others: int, boundary: float | None
) -> list[tuple[Mark, str]]:
    """A mark and what it stands for, with counts; the same words go to screen readers.

    ``drawn_sides`` are the flips drawn above and below the boundary, ``others`` the other points.
    """
    over, under = drawn_sides
    all_drawn = over + under == total.flips
    lines: list[tuple[Mark, str]] = []
    said = plural(total.flips, total.flip) + ("" if all_drawn else f" ({over + under:,} drawn)")
    if boundary is None:
        lines.append((_legend_cross, said))
    elif all_drawn:
        below = f"{plural(under, total.flip)} below the boundary {boundary:g}"
        lines += [(_legend_cross, below), (_legend_diamond, f"{plural(over, total.flip)} above it")]
    else:
        # of those that are not drawn nobody knows the side
        lines += [
            (_legend_cross, f"{said}: those below the boundary {boundary:g}"),
            (_legend_diamond, "those above it"),
        ]
    rest = total.rows - total.flips
    same = f"{plural(rest, 'row')} {total.alike}" + (
        f" ({others:,} drawn)" if others < rest else ""
    )
    return [*lines, (lambda x, y: _dots(f"M{x} {y}h0"), same)]


def _legend_cross(x: float, y: float) -> str:
    return _outline(f"M{x} {y}{_cross()}", "2")


def _legend_diamond(x: float, y: float) -> str:
    return _outline(f"M{x} {y}{_diamond()}", "1.6")


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
