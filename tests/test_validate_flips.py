from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.errors import MissingExtraError
from ggml_magic.validate.flips import DRAWN_FLIPS, DRAWN_ROWS, flips, none, packed, read, sample

FEATURES = tuple(Feature(name, "", 0, 1, 8, 9, 5) for name in ("pressure", "row"))
HALF = Contract(FEATURES, Decision("threshold", 0.5))
NAMED = Contract(FEATURES, Decision("argmax", classes=("dry", "wet", "storm")))
VALUE = Contract(FEATURES, Decision("value"))
ROWS = np.asarray([[1, 1], [10, 2], [3, -1], [-4, 99]], dtype=np.float32)
BEFORE = np.asarray([[0.1], [0.6], [0.4], [0.9]], dtype=np.float32)
AFTER = np.asarray([[0.1], [0.3], [0.55], [0.9]], dtype=np.float32)
PLACES = np.asarray([1, 2])


def test_the_frame_has_both_answers_the_margin_and_what_was_strange() -> None:
    frame = flips(HALF, PLACES, ROWS, BEFORE, AFTER).frame()
    assert list(frame.columns) == [
        "row",
        "pressure",
        "row (feature)",
        "source",
        "edge",
        "source_output",
        "edge_output",
        "margin",
        "out_of_range",
    ]
    assert frame["row"].tolist() == [1, 2]
    assert frame["pressure"].tolist() == [10.0, 3.0]
    assert (frame["source"].tolist(), frame["edge"].tolist()) == ([1, 0], [0, 1])
    assert frame["margin"].tolist() == pytest.approx([0.1, 0.1])
    assert frame["out_of_range"].tolist() == [("pressure",), ("row",)]


def test_classes_are_texts_and_values_have_no_margin() -> None:
    before = np.asarray([[0.1, 0.7, 0.2]], dtype=np.float32)
    after = np.asarray([[0.5, 0.3, 0.2]], dtype=np.float32)
    frame = flips(NAMED, np.asarray([0]), ROWS, before, after).frame()
    assert (frame["source"][0], frame["edge"][0]) == ("wet", "dry")
    assert frame["source_output"][0] == pytest.approx(0.7)
    assert frame["margin"][0] == pytest.approx(0.5)
    assert np.isinf(flips(VALUE, PLACES, ROWS, BEFORE, AFTER).frame()["margin"]).all()


@pytest.mark.parametrize("contract", [HALF, VALUE])
def test_they_are_read_back_without_pickles(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    kept = flips(contract, PLACES, ROWS, BEFORE, AFTER)
    points = sample(contract.decision, PLACES, BEFORE, AFTER, 0.01)
    path.write_bytes(packed(kept, points))
    again, drawn = read(path)
    assert again.frame().equals(kept.frame())
    np.testing.assert_array_equal(drawn.source, points.source)
    np.testing.assert_array_equal(drawn.flipped, [False, True, True, False])
    path.write_bytes(packed(none(("a", "b")), points))
    assert len(read(path)[0]) == 0 and read(path)[0].names == ("a", "b")


def test_the_drawing_has_few_points_and_the_flips_among_them() -> None:
    count = 50_000
    before = np.linspace(0, 1, count, dtype=np.float32).reshape(-1, 1)
    after = before.copy()
    flipped = np.arange(10_000, 10_500)
    after[flipped] = 0.9
    points = sample(HALF.decision, flipped, before, after, 0.0)
    assert DRAWN_ROWS <= len(points.source) <= DRAWN_ROWS + DRAWN_FLIPS
    assert points.flipped.sum() >= DRAWN_FLIPS
    assert (points.edge[points.flipped] == np.float32(0.9)).all()


def test_classes_are_drawn_by_the_class_that_the_source_chose() -> None:
    before = np.asarray([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1]], dtype=np.float32)
    after = np.asarray([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]], dtype=np.float32)
    points = sample(NAMED.decision, np.asarray([0]), before, after, 0.0)
    assert points.source.tolist() == pytest.approx([0.7, 0.5])
    assert points.edge.tolist() == pytest.approx([0.3, 0.6])
    assert points.flipped.tolist() == [True, False]


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(none(("a",)).frame().columns)[:2] == ["row", "a"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pandas is not installed"):
        none(()).frame()
