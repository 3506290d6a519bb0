"""Each hypothesis undoes exactly its mistake, and says which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.model.scaling import Scaling
from ggml_magic.validate.hypotheses import (
    MOST_PAIRS,
    MOST_SWAPS,
    Hypothesis,
    changing,
    of_the_file,
    of_the_outputs,
    of_the_rows,
)

ROWS = np.asarray([[1013, 12, 65], [990, -3, 80]], dtype=np.float32)


def contract(names: Sequence[str], units: Sequence[str] = ()) -> Contract:
    units = units or [""] * len(names)
    features = tuple(
        Feature(name, unit, 0.0, 0.0, 1.0, 1.0, 0.5)
        for name, unit in zip(names, units, strict=True)
    )
    return Contract(features, Decision("threshold"))


RAIN = contract(["pressure", "temperature", "humidity"], ["hPa", "degC", "%"])
SCALING = Scaling((0.125, 0.1, 0.05), (-126.0, -1.2, -3.25))


def said(found: Sequence[Hypothesis], part: str) -> Hypothesis:
    (one,) = [hypothesis for hypothesis in found if part in hypothesis.says]
    return one


def test_units_go_both_ways() -> None:
    to_pa = said(of_the_file(RAIN, None, "rain"), "takes pressure in Pa: ").change(ROWS)
    np.testing.assert_allclose(to_pa[:, 0], [101_300, 99_000])
    np.testing.assert_array_equal(to_pa[:, 1:], ROWS[:, 1:])
    back = said(of_the_rows(RAIN, None, "rain"), "give pressure in Pa: ")
    np.testing.assert_allclose(back.change(to_pa), ROWS)
    assert back.remedy.endswith("--units pressure:Pa")
    fahrenheit = said(of_the_file(RAIN, None, "rain"), "takes temperature in degF: ")
    np.testing.assert_allclose(fahrenheit.change(ROWS)[:, 1], [53.6, 26.6], rtol=1e-5)
    both = said(of_the_rows(RAIN, None, "rain"), "give pressure in Pa and temperature in K")
    assert both.remedy.endswith("--units pressure:Pa,temperature:K")
    assert "pressure x 0.01 and temperature - 273.15," in both.says


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1))
def test_what_a_file_takes_the_rows_give_back(values: list[list[float]]) -> None:
    """The hypothesis about rows undoes what the same hypothesis about the file does."""
    rows = np.asarray(values, dtype=np.float32)
    to_file, to_rows = of_the_file(RAIN, SCALING, "rain"), of_the_rows(RAIN, SCALING, "rain")
    for there, back in zip(to_file, to_rows, strict=True):
        if not there.kind.startswith("scaler"):
            np.testing.assert_allclose(back.change(there.change(rows)), rows, rtol=1e-4, atol=1e-1)


def test_the_scaler_only_where_there_is_one() -> None:
    kinds = [h.kind for h in of_the_file(RAIN, SCALING, "rain")][:2]
    assert kinds == ["scaler missing", "scaler twice"]
    assert not [h for h in of_the_file(RAIN, None, "rain") if "scale" in h.kind]
    missing = of_the_file(RAIN, SCALING, "rain")[0]
    np.testing.assert_allclose(missing.change(ROWS), SCALING.forward(ROWS))
    twice = of_the_rows(RAIN, SCALING, "rain")[1]
    scaled = SCALING.forward(SCALING.forward(ROWS))
    np.testing.assert_allclose(twice.change(scaled), ROWS, rtol=1e-2, atol=0.5)


def test_a_scaler_that_forgets_a_feature_cannot_be_taken_back() -> None:
    forgets = Scaling((0.125, 0.0, 0.05), (-126.0, 0.0, -3.25))
    for found in (of_the_file(RAIN, forgets, "rain"), of_the_rows(RAIN, forgets, "rain")):
        assert found and not [h for h in found if "scale" in h.kind]


@pytest.mark.parametrize(("features", "orders"), [(1, 0), (2, 1), (3, 5), (4, 23), (5, 11)])
def test_orders_are_each_tried_once(features: int, orders: int) -> None:
    names = [f"f{i}" for i in range(features)]
    found = [h for h in of_the_file(contract(names), None, "x") if h.kind == "order"]
    rows = np.arange(features, dtype=np.float32)[None]
    tried = {tuple(h.change(rows)[0]) for h in found}
    assert len(found) == len(tried) == orders and tuple(rows[0]) not in tried


def test_many_features_are_tried_by_name_and_by_neighbours() -> None:
    names = [f"f{i}" for i in range(60)]  # f10 sorts before f2
    found = [h for h in of_the_file(contract(names), None, "x") if h.kind == "order"]
    assert len(found) == 61 <= MOST_SWAPS
    rows = np.arange(60, dtype=np.float32)[None]
    assert list(found[0].change(rows)[0, :4]) == [0, 1, 10, 11]
    wide = contract(names, ["hPa"] * 60)
    assert len([h for h in of_the_file(wide, None, "x") if " and " in h.says]) == MOST_PAIRS


def test_the_rows_order_is_the_inverse() -> None:
    given_order = ROWS[:, [2, 0, 1]]
    found = said(of_the_rows(RAIN, None, "rain"), "columns are humidity, pressure, temperature")
    np.testing.assert_array_equal(found.change(given_order), ROWS)
    assert found.remedy.startswith("X_test = X_test[:, [1, 2, 0]]")


def test_unknown_and_missing_units_have_no_hypothesis() -> None:
    odd = contract(["a", "b"], ["zorg", ""])
    assert {h.kind for h in of_the_file(odd, None, "x")} == {"order"}


def outputs(*rows: Sequence[float]) -> Rows:
    return np.asarray(rows, dtype=np.float32)


def test_outputs() -> None:
    p = outputs([0.2], [0.9])
    inverted, logits = of_the_outputs(Decision("threshold"), p, p, "x")
    np.testing.assert_allclose(inverted.change(p), [[0.8], [0.1]], rtol=1e-6)
    np.testing.assert_allclose(logits.change(outputs([0.0], [1e4])), [[0.5], [1.0]])
    assert of_the_outputs(Decision("value"), p, p, "x") == ()
    three = Decision("argmax", classes=("a", "b", "c"))
    source = outputs([0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.7, 0.1])
    assert of_the_outputs(three, source, source, "x") == ()
    edge = source[:, [1, 2, 0]]
    (order,) = of_the_outputs(three, source, edge, "x")
    np.testing.assert_array_equal(order.change(edge), source)
    assert "order b, c, a" in order.says
    assert of_the_outputs(three, source, np.full_like(source, np.nan), "x") == ()
    assert of_the_outputs(three, source, source[:, [0, 0, 1]] * 0 + 0.3, "x") == ()


def test_a_change_that_changes_nothing_is_not_tried() -> None:
    nothing = Scaling((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    tried = changing(of_the_file(RAIN, nothing, "rain"), ROWS)
    assert tried and not [h for h in tried if "scaler" in h.kind]
