from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.errors import ContractError, GgmlError, GrammarError, UnknownNameError
from ggml_magic.model.units import FAMILIES, Conversion, confusable, converted, parse_units


def contract_of(*units: str) -> Contract:
    features = tuple(Feature(f"f{i}", unit, 0, 0, 1, 1, 0.5) for i, unit in enumerate(units))
    return Contract(features, Decision("value"))


@pytest.mark.parametrize(
    ("given_unit", "wanted", "value", "expected"),
    [
        ("Pa", "hPa", 101325, 1013.25),
        ("mbar", "hPa", 1000, 1000),
        ("kPa", "Pa", 1, 1000),
        ("degF", "degC", 212, 100),
        ("°F", "°C", 32, 0),
        ("K", "degC", 273.15, 0),
        ("C", "K", 0, 273.15),
        ("F", "degC", 50, 10),
        ("degC", "C", 7, 7),
        ("K", "C", 280.15, 7),
        ("%", "fraction", 65, 0.65),
        ("fraction", "%", 0.65, 65),
        ("percent", "%", 5, 5),
        ("km/h", "m/s", 36, 10),
        ("W/m2", "kW/m^2", 1000, 1),
        ("mm", "m", 5, 0.005),
    ],
)
def test_known_units_are_converted(
    given_unit: str, wanted: str, value: float, expected: float
) -> None:
    rows = np.asarray([[value]], dtype=np.float32)
    result = converted(rows, contract_of(wanted), f"f0:{given_unit}")
    np.testing.assert_allclose(result, [[expected]], rtol=1e-6, atol=1e-4)


PAIRS = [(a, b) for family in FAMILIES for a in family for b in family]


@settings(deadline=None)
@given(st.sampled_from(PAIRS), st.floats(-1e4, 1e4, width=32))
def test_there_and_back_is_where_it_was(pair: tuple[str, str], value: float) -> None:
    first, second = pair
    there = parse_units({"f0": first}, contract_of(second))
    back = parse_units({"f0": second}, contract_of(first))
    assert len(there) == len(back)
    for out, home in zip(there, back, strict=True):
        returned = (value * out.scale + out.offset) * home.scale + home.offset
        assert returned == pytest.approx(value, rel=1e-9, abs=1e-6)


def test_only_the_named_columns_change_and_the_callers_rows_never() -> None:
    rows = np.asarray([[1, 2, 3]], dtype=np.float32)
    contract = contract_of("hPa", "hPa", "zorkmid")
    assert converted(rows, contract, "f1:Pa").tolist() == [[1, np.float32(0.02), 3]]
    assert rows.tolist() == [[1, 2, 3]]
    # the same unit by text needs nobody who knows it
    assert converted(rows, contract, "f2:zorkmid,f0:mbar") is rows
    assert parse_units("f1:Pa", contract) == (Conversion(1, "Pa", "hPa", 0.01, 0.0),)


def test_many_rows_are_converted_block_by_block_all_of_them() -> None:
    rows = np.ones((200_001, 1), dtype=np.float32)
    assert (converted(rows, contract_of("Pa"), "f0:hPa") == 100).all()


@pytest.mark.parametrize(
    ("given_unit", "wanted", "why"),
    [
        ("m", "Pa", "measure different things"),
        ("zorkmid", "Pa", "'zorkmid' is no unit that is known"),
        ("Pa", "zorkmid", "'zorkmid' is no unit that is known"),
        ("Pa", "", "no unit for it"),
        ("degree", "%", "measure different things"),
        ("C", "Pa", "measure different things"),
        ("dB", "fraction", "logarithm"),
        ("9**9**9", "Pa", "is no unit that is known"),
        ("1/0", "Pa", "is no unit that is known"),
        ("(m", "Pa", "is no unit that is known"),
    ],
)
def test_units_that_cannot_be_brought_together(given_unit: str, wanted: str, why: str) -> None:
    with pytest.raises(ContractError, match=why) as caught:
        parse_units({"f0": given_unit}, contract_of(wanted))
    assert repr(given_unit) in str(caught.value) and repr(wanted or "no unit") in str(caught.value)
    assert caught.value.remedy and len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("units", "error", "match"),
    [
        ("", GrammarError, "NAME:UNIT"),
        ("f0", GrammarError, "NAME:UNIT"),
        ("f0:", GrammarError, "NAME:UNIT"),
        ("f0:Pa,f0:hPa", GrammarError, "'f0' is named twice"),
        (3, GrammarError, "a text or a dict"),
        ("pressure:Pa", UnknownNameError, "no feature is called 'pressure'.*f0"),
    ],
)
def test_text_that_is_no_list_of_units(units: Any, error: type[GgmlError], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        parse_units(units, contract_of("hPa"))
    assert caught.value.remedy


def test_what_people_confuse_with_a_unit() -> None:
    assert ("Pa", 0.01, 0.0) in confusable("hPa")
    assert ("K", 1.0, -273.15) in confusable("degC") and confusable("C") == confusable("degC")
    assert confusable("%") == (("fraction", 100.0, 0.0),)
    assert confusable("") == confusable("zorkmid") == ()
    for unit in ("hPa", "degC", "fraction", "m/s"):
        for other, scale, offset in confusable(unit):
            (conversion,) = parse_units({"f0": other}, contract_of(unit))
            assert (conversion.scale, conversion.offset) == (scale, offset)


def test_pint_is_not_imported_for_units_that_are_the_same() -> None:
    code = (
        "import sys\n"
        "from ggml_magic.device.contract import Contract, Decision, Feature\n"
        "from ggml_magic.model.units import parse_units\n"
        "one = Feature('a', 'hPa', 0, 0, 1, 1, 0.5)\n"
        "print(parse_units('a:hPa', Contract((one,), Decision('value'))), 'pint' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "() False"
