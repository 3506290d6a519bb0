from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.device.contract import Contract, Decision, Feature, Missing
from ggml_magic.errors import (
    ContractError,
    FeatureMismatchError,
    GgmlError,
    GrammarError,
    MissingValuesError,
    UnknownNameError,
)
from ggml_magic.model.rows import BLOCK_ROWS, rows

NAMES = ("pressure", "temperature", "humidity")
ROW = st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3)
TABLE = st.lists(ROW, min_size=1, max_size=20)


@settings(deadline=None)
@given(TABLE, st.permutations((*NAMES, "wind")))
def test_every_way_to_give_rows_gives_the_same_rows(
    table: list[list[float]], order: list[str]
) -> None:
    expected = np.asarray(table, dtype=np.float32)
    frame = pd.DataFrame(table, columns=list(NAMES)).assign(wind=1.0)[order]
    for given_as in (table, expected, expected.astype(np.float64), expected.tolist(), frame):
        result = rows(given_as, NAMES)
        assert result.dtype == np.float32 and result.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(result, expected)


def test_a_contract_says_the_names() -> None:
    contract = Contract(tuple(Feature(n, "", 0, 0, 1, 1, 0.5) for n in NAMES), Decision("value"))
    frame = pd.DataFrame({"humidity": [3], "temperature": [2], "pressure": [1]})
    assert rows(frame, contract).tolist() == [[1.0, 2.0, 3.0]]


def test_files_are_rows_too(tmp_path: Path) -> None:
    table = np.asarray([[1, 2, 3], [4, 5, 6]], dtype=np.float64)
    np.save(tmp_path / "x.npy", table)
    (tmp_path / "x.csv").write_text("humidity, wind,pressure,temperature\n3,0,1,2\n6,0,4,5\n\n")
    for name in ("x.npy", "x.csv"):
        assert rows(str(tmp_path / name), NAMES).tolist() == table.tolist()
        assert rows(tmp_path / name, NAMES).tolist() == table.tolist()


def fails(values: object, error: type[GgmlError], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        rows(values, NAMES, "X_train")
    assert type(caught.value) is error
    assert caught.value.what and caught.value.remedy and "\n" not in caught.value.why


def test_another_number_of_columns() -> None:
    fails(np.ones((2, 4)), FeatureMismatchError, "X_train has 4 columns.*3 features: pressure")
    fails(np.ones((2, 1)), FeatureMismatchError, "X_train has 1 column:")


def test_another_shape() -> None:
    fails([1.0, 2.0, 3.0], FeatureMismatchError, r"shape \(3,\)")
    fails(np.ones((2, 3, 1)), FeatureMismatchError, r"\(2, 3, 1\)")
    fails(7, FeatureMismatchError, r"shape \(\)")
    fails([[1, 2, 3], [4]], FeatureMismatchError, "different lengths")


def test_one_column_is_never_cut_into_rows() -> None:
    for values in (np.ones(3000), pd.Series(np.ones(3000))):
        with pytest.raises(FeatureMismatchError, match=r"shape \(3000,\)") as caught:
            rows(values, ("wind speed", "humidity"), "X")
        assert "reshape" not in caught.value.remedy
        assert 'df[["wind speed", "humidity"]]' in caught.value.remedy
        assert "np.column_stack([wind_speed, humidity])" in caught.value.remedy
    with pytest.raises(FeatureMismatchError) as caught:
        rows([1.0, 2.0, 3.0], NAMES, "X")
    assert caught.value.remedy == "[X], if it is one row"
    with pytest.raises(FeatureMismatchError) as caught:
        rows(np.ones(9), ("humidity",), "X")
    assert caught.value.remedy == "X.reshape(-1, 1)"


def test_columns_of_a_frame() -> None:
    frame = pd.DataFrame({"pressure": [1.0], "temp": [2.0], "humidity": [3.0]})
    fails(frame, FeatureMismatchError, "no column 'temperature'.*pressure, temp, humidity")
    twice = pd.DataFrame([[1, 2, 3, 4]], columns=[*NAMES, "humidity"])
    fails(twice, FeatureMismatchError, "'humidity' 2 times")
    fails(frame["pressure"], FeatureMismatchError, "shape")


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_missing_values_name_feature_count_and_row(missing: float) -> None:
    table = np.ones((5, 3))
    table[2, 1] = table[4, 1] = table[3, 0] = missing
    fails(
        table,
        MissingValuesError,
        r"pressure \(1 row, first row 3\), temperature \(2 rows, first row 2\)",
    )


def test_missing_values_of_every_kind() -> None:
    fails([[1.0, None, 3.0]], MissingValuesError, "temperature")
    nullable = pd.DataFrame(dict.fromkeys(NAMES, pd.array([1, None], dtype="Int64")))
    fails(nullable, MissingValuesError, "humidity")
    fails([[1.0, 2.0, 1e300]], MissingValuesError, "humidity")


def test_data_that_are_no_numbers() -> None:
    fails([["1", "2", "3"]], FeatureMismatchError, "X_train is not numeric: it holds '1'")
    frame = pd.DataFrame({"pressure": [1.0], "temperature": ["mild"], "humidity": [3.0]})
    fails(frame, FeatureMismatchError, "column 'temperature' of X_train is not numeric.*'mild'")
    dates = pd.DataFrame(dict.fromkeys(NAMES, pd.to_datetime(["2020-01-01"])))
    fails(dates, FeatureMismatchError, "column 'pressure' of X_train is not numeric")
    fails([[1, 2, {}]], FeatureMismatchError, "is not numeric")


@pytest.mark.parametrize("empty", [[], np.empty((0, 3)), pd.DataFrame(columns=list(NAMES))])
def test_no_rows(empty: object) -> None:
    fails(empty, ContractError, "X_train has no rows")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    fails(str(tmp_path / "x.npy"), UnknownNameError, "no file")
    fails("X_test", GrammarError, "cannot read rows from 'X_test'")
    (tmp_path / "x.npy").write_bytes(b"nothing")
    fails(str(tmp_path / "x.npy"), GrammarError, "cannot read x.npy")
    csv = tmp_path / "x.csv"
    csv.write_text("pressure,temperature\n1,2\n")
    fails(str(csv), FeatureMismatchError, "no column 'humidity'")
    csv.write_text("pressure,temperature,humidity\n1,2,3\n1,warm,3\n")
    fails(str(csv), FeatureMismatchError, "column 'temperature' of x.csv.*row 1 holds 'warm'")
    csv.write_text("pressure,temperature,humidity\n1,,3\n")
    fails(str(csv), MissingValuesError, "temperature")
    csv.write_text("pressure,temperature,humidity\n1,2\n")
    fails(str(csv), FeatureMismatchError, "row 0 has 2 cells")
    csv.write_text("pressure,temperature,humidity\n")
    fails(str(csv), ContractError, "no rows")
    csv.write_text("")
    fails(str(csv), FeatureMismatchError, "no column")


UNITS = ("hPa", "degC", "%")
MEDIANS = (1013.0, 12.0, 65.0)


def described(missing: Missing = "reject") -> Contract:
    features = tuple(
        Feature(*named, 0, 0, 1, 1, median)
        for *named, median in zip(NAMES, UNITS, MEDIANS, strict=True)
    )
    return Contract(features, Decision("value"), missing)


def test_units_are_the_contracts_afterwards() -> None:
    given = np.asarray([[101300, 285.15, 0.65]], dtype=np.float32)
    for units in (
        "pressure:Pa, temperature:K, humidity:fraction",
        {"pressure": "Pa", "temperature": "K", "humidity": "fraction"},
    ):
        np.testing.assert_allclose(
            rows(given, described(), units=units), [[1013, 12, 65]], rtol=1e-6
        )
    assert given[0, 0] == 101300
    with pytest.raises(ContractError, match="'pressure' cannot be turned from 'm' into 'hPa'"):
        rows(given, described(), units="pressure:m")


def test_under_median_nan_is_filled_and_infinity_refused() -> None:
    given = np.asarray([[1, np.nan, 3], [np.nan, 5, 6]], dtype=np.float32)
    assert rows(given, described("median")).tolist() == [[1, 12, 3], [1013, 5, 6]]
    frame = pd.DataFrame(given, columns=list(NAMES))
    assert rows(frame, described("median")).tolist() == [[1, 12, 3], [1013, 5, 6]]
    # the median is in the contract's unit already
    kelvin = rows(given + 273.15, described("median"), units="temperature:K")
    np.testing.assert_allclose(kelvin[:, 1], [12, 5], atol=1e-3)
    given[0, 0] = np.inf
    with pytest.raises(MissingValuesError, match="infinity in pressure"):
        rows(given, described("median"))
    with pytest.raises(MissingValuesError, match="--missing median"):
        rows(given, described("reject"))


def test_float32_rows_pass_without_a_copy_and_others_with_one() -> None:
    count = 20 * BLOCK_ROWS
    table = np.ones((count, 3), dtype=np.float32)
    frame = pd.DataFrame(np.ones((count, 3)), columns=list(NAMES))
    for values, copies in ((table, 0), (table.astype(np.float64), 1), (frame, 1)):
        tracemalloc.start()
        result = rows(values, described())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert np.shares_memory(result, table) == (copies == 0)
        assert peak < copies * table.nbytes + table.nbytes / 2
    table[-1, 2] = np.nan
    with pytest.raises(MissingValuesError, match=f"first row {count - 1:}"):
        rows(table, described())


def test_a_memory_map_stays_one(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 3), dtype=np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(rows(mapped, described()), mapped)
