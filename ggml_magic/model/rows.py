"""A user's rows as one float32 array of shape (N, F), in the contract's order.

Rows come as arrays, lists, data frames (columns are taken by name) or the path of a ``.npy`` or
``.csv`` file, which is how a terminal names them. Millions of rows pass without a copy where
they are float32 already, with one where they are not.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Contract, Rows
from ggml_magic.errors import (
    ContractError,
    FeatureMismatchError,
    GrammarError,
    MissingValuesError,
    UnknownNameError,
)
from ggml_magic.model.units import converted
from ggml_magic.presentation import plural

NUMERIC_KINDS = "fiub"
# looked at in blocks, so that no array of (N, F) truth values is made
BLOCK_ROWS = 65_536


def rows(
    values: object,
    expected: Contract | Sequence[str],
    what: str = "inputs",
    units: str | Mapping[str, str] | None = None,
) -> Rows:
    """Rows of shape (N, F), float32 and finite, in the contract's units.

    ``expected`` is the contract, or the features' names alone; ``what`` is what the messages call
    the data; ``units`` what the rows are in (``pressure:Pa``), where it is not the contract's.
    Under the contract's policy ``median`` NaN becomes the feature's median. A float32 array that
    needs nothing comes back as it is, not copied. Raises ``FeatureMismatchError`` (number, names
    or kind of the columns), ``MissingValuesError`` (NaN or infinity), ``ContractError`` (no rows;
    units), ``UnknownNameError`` (no such file).
    """
    names = expected.names if isinstance(expected, Contract) else tuple(expected)
    result = table(values, names, what)
    if isinstance(expected, Contract):
        result = result if units is None else converted(result, expected, units)
        result = expected.filled(result)
    check_finite(result, names, what)
    return result


def table(values: object, names: tuple[str, ...], what: str) -> Rows:
    """Rows of shape (N, F), float32 and contiguous; a value may be NaN or infinite."""
    if isinstance(values, (str, Path)):
        numbers = _file(Path(values), names, what)
    elif _is_frame(values):
        numbers = _frame(values, names, what)
    else:
        numbers = _array(values, names, what)
    if len(numbers) == 0:
        raise ContractError(f"{what} has no rows", "there is nothing to learn from", f"len({what})")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(numbers, dtype=np.float32)


def _is_frame(values: object) -> bool:
    return hasattr(values, "columns") and hasattr(values, "to_numpy")


def _frame(values: Any, names: tuple[str, ...], what: str) -> Rows:
    present = [str(column) for column in values.columns]
    _check_columns(present, names, what)
    result = np.empty((len(values), len(names)), dtype=np.float32)
    for i, name in enumerate(names):
        series = values.iloc[:, present.index(name)] if hasattr(values, "iloc") else values[name]
        column = _column(series)
        _check_numeric(column, f"column {name!r} of {what}")
        with np.errstate(over="ignore"):
            result[:, i] = column
    return result


def _column(series: Any) -> npt.NDArray[Any]:
    """A column as an array; pandas' own missing value becomes NaN."""
    column: npt.NDArray[Any] = series.to_numpy()
    if column.dtype.kind == "O" and hasattr(series, "isna"):
        column = np.where(series.isna().to_numpy(), np.nan, column)
    return _numbers(column)


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Objects that are all numbers become float64; everything else stays as it is."""
    if values.dtype.kind != "O" or any(isinstance(v, (str, bytes)) for v in values.flat):
        return values
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return values


def _check_columns(present: list[str], names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if name not in present]
    if missing:
        raise FeatureMismatchError(
            f"{what} has no column {', '.join(map(repr, missing))}",
            f"it has {', '.join(present) or 'no columns'}",
            f"rename a column, or name the features as {what} does",
        )
    twice = [name for name in names if present.count(name) > 1]
    if twice:
        raise FeatureMismatchError(
            f"{what} has the column {twice[0]!r} {present.count(twice[0])} times",
            "each feature needs one column",
            f"drop one of the columns {twice[0]!r}",
        )


def _array(values: object, names: tuple[str, ...], what: str) -> npt.NDArray[Any]:
    try:
        array = _numbers(np.asarray(values))
    except ValueError:
        raise FeatureMismatchError(
            f"{what} is not a table", "its rows have different lengths", _shape_remedy(names)
        ) from None
    if array.ndim == 1 and array.size == 0:
        return np.empty((0, len(names)), dtype=np.float32)
    if array.ndim != 2:
        raise FeatureMismatchError(
            f"{what} has the shape {array.shape}",
            f"rows of {plural(len(names), 'feature')} have the shape (N, {len(names)})",
            _column_remedy(array.size, names, what) if array.ndim == 1 else _shape_remedy(names),
        )
    if array.shape[1] != len(names):
        raise FeatureMismatchError(
            f"{what} has {plural(array.shape[1], 'column')}",
            f"the contract has {plural(len(names), 'feature')}: {', '.join(names)}",
            _shape_remedy(names),
        )
    _check_numeric(array, what)
    return array


def _shape_remedy(names: tuple[str, ...]) -> str:
    return f"give one column each for {', '.join(names)}, in this order"


def _column_remedy(size: int, names: tuple[str, ...], what: str) -> str:
    """What to give instead of one dimension: a row, or a single column of several.

    Never ``reshape(-1, F)``: it would make rows of F values of that one column.
    """
    if len(names) == 1:
        return f"{what}.reshape(-1, 1)"
    if size == len(names):
        return f"[{what}], if it is one row"
    quoted = ", ".join(f'"{name}"' for name in names)
    columns = ", ".join(re.sub(r"\W", "_", name) for name in names)
    return (
        f"a table with one column for each feature: df[[{quoted}]], or np.column_stack([{columns}])"
    )


def _check_numeric(array: npt.NDArray[Any], what: str) -> None:
    if array.dtype.kind not in NUMERIC_KINDS:
        first = next((v for v in array.flat if isinstance(v, (str, bytes))), array.flat[0])
        raise FeatureMismatchError(
            f"{what} is not numeric",
            f"it holds {str(first)!r}",
            "turn text, dates and categories into numbers first, as in training",
        )


def check_finite(values: Rows, names: tuple[str, ...], what: str) -> None:
    """Raise ``MissingValuesError``, which counts by feature, unless all values are finite."""
    if not all(np.isfinite(block).all() for block in _blocks(values)):
        raise _missing(values, names, what)


def check_no_infinity(values: Rows, names: tuple[str, ...], what: str) -> None:
    """Raise ``MissingValuesError`` for infinity; NaN may be there."""
    if any(np.isinf(block).any() for block in _blocks(values)):
        raise _missing(np.where(np.isnan(values), np.float32(0), values), names, what)


def _blocks(values: Rows) -> Iterator[Rows]:
    for start in range(0, len(values), BLOCK_ROWS):
        yield values[start : start + BLOCK_ROWS]


def _missing(values: Rows, names: tuple[str, ...], what: str) -> MissingValuesError:
    bad = ~np.isfinite(values)
    counts = bad.sum(axis=0)
    where = ", ".join(
        f"{name} ({plural(int(count), 'row')}, first row {int(bad[:, i].argmax())})"
        for i, (name, count) in enumerate(zip(names, counts, strict=True))
        if count
    )
    if np.isnan(values).any():
        return MissingValuesError(
            f"{what} has NaN or infinity in {where}",
            "a device refuses such a reading, so the proof needs rows without",
            "keep the rows X[np.isfinite(X).all(axis=1)], and the same of the labels; or "
            "describe the model with --missing median",
        )
    return MissingValuesError(
        f"{what} has infinity in {where}",
        "a device refuses such a reading, so the proof needs rows without",
        "keep the rows X[np.isfinite(X).all(axis=1)], and the same of the labels",
    )


def _file(path: Path, names: tuple[str, ...], what: str) -> npt.NDArray[Any]:
    if path.suffix == ".npy":
        return _array(read_npy(path), names, what)
    header, body = read_csv(path)
    _check_columns(header, names, what)
    places = [header.index(name) for name in names]
    numbers = np.empty((len(body), len(names)), dtype=np.float64)
    for i, line in enumerate(body):
        for j, place in enumerate(places):
            numbers[i, j] = _cell(line[place], f"column {names[j]!r} of {path.name}", i)
    return numbers


def _cell(text: str, where: str, row: int) -> float:
    if not text.strip():
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise FeatureMismatchError(
            f"{where} is not numeric",
            f"row {row} holds {text!r}",
            "turn text, dates and categories into numbers first, as in training",
        ) from None


def read_npy(path: Path) -> npt.NDArray[Any]:
    """An array of a ``.npy`` file, memory-mapped."""
    _check_file(path)
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise GrammarError(
            f"cannot read {path.name}", str(error).splitlines()[0], "np.save(path, X)"
        ) from error
    return array


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a ``.csv`` file.

    Raises ``FeatureMismatchError`` where a row has other cells than the header.
    """
    _check_file(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *body = [line for line in csv.reader(file) if line] or [[]]
    for i, line in enumerate(body):
        if len(line) != len(header):
            raise FeatureMismatchError(
                f"{path.name} is not a table",
                f"row {i} has {plural(len(line), 'cell')}, the header {len(header)}",
                f"head {path}",
            )
    return [name.strip() for name in header], body


def _check_file(path: Path) -> None:
    if path.suffix not in (".npy", ".csv"):
        raise GrammarError(
            f"cannot read rows from {str(path)!r}",
            "a file of rows ends in .npy, or in .csv with a header",
            "np.save('rows.npy', X)",
        )
    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}", "", f"ls {path.parent}")
