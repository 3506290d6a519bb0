"""A user's labels as the decision's own answers, so that they can be compared with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Decision
from ggml_magic.errors import ContractError, MissingValuesError
from ggml_magic.model.rows import read_csv, read_npy
from ggml_magic.presentation import plural


def labels(
    values: object, decision: Decision, count: int, what: str = "labels"
) -> npt.NDArray[Any]:
    """One answer a row: 0 or 1 for a threshold, class names for argmax, floats for a value.

    Labels of argmax may be names, indices or one-hot rows. Raises ``ContractError`` for another
    length than ``count`` or for labels that the decision cannot answer, ``MissingValuesError``
    for NaN.
    """
    array = _array(values, decision, what)
    if len(array) != count:
        raise ContractError(
            f"{what} has {plural(len(array), 'label')}",
            f"the inputs have {plural(count, 'row')}",
            f"give labels of the same rows: len({what}) == {count}",
        )
    missing = _missing(array)
    if missing:
        raise MissingValuesError(
            f"{what} has {plural(missing, 'missing value')}",
            "a row without a label cannot be right or wrong",
            "drop those rows from the inputs and the labels",
        )
    if decision.rule == "argmax":
        return _classes(array, decision.classes, what)
    return _zero_or_one(array, what) if decision.rule == "threshold" else _floats(array, what)


def _array(values: object, decision: Decision, what: str) -> npt.NDArray[Any]:
    array = _file(Path(values)) if isinstance(values, (str, Path)) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 2 and array.shape[1] == len(decision.classes) and _is_one_hot(array):
        chosen: npt.NDArray[np.intp] = array.argmax(axis=1)
        return chosen
    if array.ndim != 1:
        raise ContractError(
            f"{what} has the shape {array.shape}", "there is one label a row", f"{what}.shape"
        )
    return array


def _is_one_hot(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind in "fiub" and bool(
        np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()
    )


def _file(path: Path) -> npt.NDArray[Any]:
    if path.suffix == ".npy":
        return read_npy(path)
    header, body = read_csv(path)
    if len(header) != 1:
        raise ContractError(
            f"{path.name} has {plural(len(header), 'column')}",
            "a file of labels has one",
            f"head {path}",
        )
    texts = [line[0].strip() for line in body]
    try:
        return np.asarray([float(text) for text in texts])
    except ValueError:
        return np.asarray(texts, dtype=object)


def _missing(array: npt.NDArray[Any]) -> int:
    if array.dtype.kind == "f":
        return int(np.isnan(array).sum())
    if array.dtype.kind != "O":
        return 0
    # NaN alone differs from itself; pandas' own missing value does not even answer
    return sum(1 for value in array if value is None or str(value) in ("nan", "<NA>", "NaT"))


def _classes(array: npt.NDArray[Any], classes: tuple[str, ...], what: str) -> npt.NDArray[Any]:
    if array.dtype.kind == "O":
        array = np.asarray([str(value) for value in array])
    different, places = np.unique(array, return_inverse=True)
    texts = [_name(value) for value in different]
    indices = {str(i): name for i, name in enumerate(classes)}
    if set(texts) <= set(classes):
        named = texts
    elif set(texts) <= set(indices):
        named = [indices[text] for text in texts]
    else:
        unknown = next(text for text in texts if text not in classes)
        raise ContractError(
            f"{what} has the class {unknown!r}",
            f"the decision names {', '.join(classes)}",
            f'--decide "argmax {",".join(texts)}", in the order of the network\'s outputs',
        )
    answers: npt.NDArray[Any] = np.asarray(named, dtype=object)[places]
    return answers


def _name(value: Any) -> str:
    if isinstance(value, np.bool_) or (
        isinstance(value, np.floating) and float(value).is_integer()
    ):
        return str(int(value))
    return str(value)


def _floats(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.float64]:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ContractError(
            f"{what} is not numeric", f"it holds {array.flat[0]!r}", f"{what}.astype(float)"
        ) from None


def _zero_or_one(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.int64]:
    fits = np.isin(array, (0, 1)) if array.dtype.kind in "fiub" else _each_zero_or_one(array)
    if not fits.all():
        raise ContractError(
            f"{what} has the label {array[~fits][0]!s}",
            "a threshold answers 0 or 1",
            f"({what} == …).astype(int)",
        )
    return array.astype(np.int64)


def _each_zero_or_one(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray([not isinstance(v, str) and v in (0, 1) for v in array], dtype=np.bool_)
