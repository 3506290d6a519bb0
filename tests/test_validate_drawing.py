"""The drawing is well-formed, small, true to its counts, and alone in its notebook."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.validate.drawing import (
    BOTTOM,
    FLIP_COLOUR,
    LEFT,
    POINT_COLOUR,
    RIGHT,
    TOP,
    WIDTH,
    Total,
    scatter,
)

SVG = "{http://www.w3.org/2000/svg}"
RANDOM = np.random.default_rng(6)
SOURCE = RANDOM.random(5000)
EDGE = (SOURCE + RANDOM.normal(0, 0.1, 5000)).clip(0, 1)
FLIPS = (SOURCE >= 0.5) != (EDGE >= 0.5)


def draw(
    source: Any = SOURCE,
    edge: Any = EDGE,
    flips: Any = FLIPS,
    boundary: float | None = 0.5,
    title: str = "rain",
) -> ET.Element:
    return parsed(scatter(source, edge, flips, boundary=boundary, title=title))


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  # our own


def paths(root: ET.Element, colour: str) -> list[str]:
    return [p.get("d", "") for p in root.iter(f"{SVG}path") if p.get("stroke") == colour]


def texts(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_nothing_in_it_reaches_out_or_collides() -> None:
    text = scatter(SOURCE, EDGE, FLIPS, boundary=0.5, title='<script>alert("x")</script> & co')
    assert not re.search(r"<script|<style|\sid=|class=|href|url\(|on\w+=", text)
    assert len(text) < 60_000
    root = parsed(text)
    assert root.findtext(f"{SVG}title") == '<script>alert("x")</script> & co'
    assert root.get("role") == "img" and root.get("aria-label")
    assert set(re.findall(r'(?:stroke|fill)="([^"]+)"', text)) == {
        "none",
        "currentColor",
        FLIP_COLOUR,
        POINT_COLOUR,
    }


def test_flips_are_told_by_shape_and_counted() -> None:
    root = draw(SOURCE[:900], EDGE[:900], FLIPS[:900])
    over = int((FLIPS & (EDGE >= 0.5))[:900].sum())
    under = int((FLIPS & (EDGE < 0.5))[:900].sum())
    shapes = paths(root, FLIP_COLOUR)
    crosses = [path for path in shapes if not path.endswith("z")]
    diamonds = [path for path in shapes if path.endswith("z")]
    # one of each stands in the legend
    assert sum(path.count("m0 -7") for path in crosses) == under + 1
    assert sum(path.count("z") for path in diamonds) == over + 1
    assert f"{under:,} flips below the boundary 0.5" in texts(root)
    assert f"{over:,} flips above it" in texts(root)
    described = root.findtext(f"{SVG}desc") or ""
    assert f"{over} flips above it" in described and "across" in described


def test_many_points_are_thinned_and_said_to_be() -> None:
    root = draw()
    assert sum(path.count("h0") for path in paths(root, POINT_COLOUR)) == 600 + 1
    shapes = "".join(paths(root, FLIP_COLOUR))
    assert shapes.count("z") + shapes.count("m0 -7") == 200 + 2
    said = " ".join(texts(root))
    assert f"{FLIPS.sum():,} flips (200 drawn)" in said and "(600 drawn)" in said
    assert f"{(~FLIPS).sum():,} rows decided alike" in said


def test_a_point_lies_where_its_values_say() -> None:
    root = draw([0.0, 0.25, 1.0], [0.0, 0.75, 1.0], [False, False, False])
    path = paths(root, POINT_COLOUR)[0]
    x, y = LEFT + (RIGHT - LEFT) / 4, BOTTOM - (BOTTOM - TOP) * 3 / 4
    assert path == f"M{LEFT} {BOTTOM}h0M{x:g} {y:g}h0M{RIGHT} {TOP}h0"


def test_without_a_boundary_there_is_one_shape_and_no_line() -> None:
    root = draw(boundary=None)
    assert not any(path.endswith("z") for path in paths(root, FLIP_COLOUR))
    assert not [p for p in root.iter(f"{SVG}path") if p.get("stroke-dasharray")]
    assert [p for p in draw().iter(f"{SVG}path") if p.get("stroke-dasharray")]


def test_rows_without_a_number_are_counted() -> None:
    edge = EDGE.copy()
    edge[:3] = np.nan, np.inf, -np.inf
    assert any("3 without a number not drawn" in text for text in texts(draw(edge=edge)))
    alone = draw([0.1, 0.2], [np.nan, np.nan], [True, True])
    assert any("2 without a number" in text for text in texts(alone))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 1.0], {"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}),
        ([100_000.0, 104_000.0], {"100,000", "101,000", "102,000", "103,000", "104,000"}),
        ([-0.5, 0.5], {"-0.4", "-0.2", "0.0", "0.2", "0.4"}),
        ([1e-6, 9e-6], {"2e-06", "4e-06", "6e-06", "8e-06"}),
        ([1e9, 1.04e9], {"1e+09", "1.01e+09", "1.02e+09", "1.03e+09", "1.04e+09"}),
        ([5.0, 5.0], {"3", "4", "5", "6", "7"}),
    ],
)
def test_ticks_are_round_and_short(values: list[float], labels: set[str]) -> None:
    assert labels <= set(texts(draw(values, values, [False, False], None)))


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.floats(width=32), st.floats(width=32), st.booleans()), max_size=30
    ),
    boundary=st.none() | st.floats(-1e6, 1e6),
)
def test_any_values_make_a_drawing_inside_its_frame(
    values: list[tuple[float, float, bool]], boundary: float | None
) -> None:
    columns = list(zip(*values, strict=True)) or [(), (), ()]
    text = scatter(*columns, boundary=boundary, title="any")
    root = parsed(text)
    assert "nan" not in text and "inf" not in text
    for path in paths(root, POINT_COLOUR)[:-1]:
        for x, y in re.findall(r"M(\S+) (\S+?)h0", path):
            assert LEFT <= float(x) <= RIGHT and TOP <= float(y) <= BOTTOM
    for node in root.iter(f"{SVG}text"):
        assert 0 <= float(node.get("x", 0)) <= WIDTH


def test_a_part_of_the_rows_is_told_with_the_counts_of_all() -> None:
    x, y, flips = [0.1, 0.6, 0.2], [0.6, 0.4, 0.3], [True, True, False]

    def said(total: Total, y: list[float] = y) -> list[str]:
        text = scatter(x, y, flips, boundary=0.5, title="rain", total=total)
        return texts(parsed(text))[-3:]

    assert said(Total(800, 642, "flip", "decided alike")) == [
        "642 flips (2 drawn): those below the boundary 0.5",
        "those above it",
        "158 rows decided alike (1 drawn)",
    ]
    assert said(Total(800, 2, "flip", "decided alike")) == [
        "1 flip below the boundary 0.5",
        "1 flip above it",
        "798 rows decided alike (1 drawn)",
    ]
    lost = said(Total(800, 642, "flip", "decided alike"), [np.nan, 0.4, 0.3])
    assert lost[-1].endswith("; those without a number not drawn")
    alone = scatter(x, y, flips, boundary=None, title="t", total=Total(9, 5, "difference", "near"))
    assert texts(parsed(alone))[-2:] == ["5 differences (2 drawn)", "4 rows near (1 drawn)"]
