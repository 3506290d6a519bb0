"""scikit-learn's scalers and pipelines of them, as graph operations.

Each operation is the one that ``transform`` does, in its order, so that float32 rounds alike. That
the graph equals ``transform`` is proven on rows when the model is described. scikit-learn is not
imported here: an object of it cannot exist before it was.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model import arrays
from ggml_magic.model.training import tensorflow

ACCEPTED = (
    "StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, FunctionTransformer, "
    "ColumnTransformer and Pipeline of these"
)

METHODS = ("transform", "fit_transform", "predict", "predict_proba", "decision_function")


def is_estimator(stage: object) -> bool:
    """Whether it is an object of scikit-learn."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(stage, base.BaseEstimator)


def check(stage: Any, names: Sequence[str] = ()) -> None:
    """Raise ``UnsupportedStageError`` for an estimator that is no scaler or was never fitted.

    ``names`` are the columns that it will get; ``FeatureMismatchError`` where it was fitted on
    the same columns in another order.
    """
    _check_fitted(stage, stage)
    _check_order(stage, names)


def _check_fitted(stage: Any, whole: Any) -> None:
    kind = _kind(stage)
    if kind is None:
        raise _not_accepted(stage, whole)
    if kind == "Pipeline":
        for part in _parts(stage):
            _check_fitted(part, whole)
        return
    if kind == "FunctionTransformer":
        return
    exceptions = sys.modules["sklearn.exceptions"]
    try:
        sys.modules["sklearn.utils.validation"].check_is_fitted(stage)
    except exceptions.NotFittedError as error:
        raise _not_fitted(stage, whole, kind) from error
    if kind == "ColumnTransformer":
        for _, part, _ in stage.transformers_:
            if not isinstance(part, str):
                _check_fitted(part, whole)


def _not_accepted(stage: Any, whole: Any) -> UnsupportedStageError:
    name = type(stage).__name__
    inside = "" if stage is whole else f" in the {type(whole).__name__}"
    why = f"of scikit-learn are accepted {ACCEPTED}"
    remedy = "do that step before the first stage, and give its result as the features"
    if hasattr(stage, "predict"):
        why = f"trees and other estimators have no place in the graph: {why}"
        remedy = (
            f"a Keras network, trained on the same rows, instead of the {name}: "
            'keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, '
            'activation="sigmoid")])'
        )
        if inside and _kind(whole) == "Pipeline":
            remedy = f"pipeline[:-1] as the first stage, then {remedy}"
    return UnsupportedStageError(f"{_article(name)}{inside} cannot be a stage", why, remedy)


def _not_fitted(stage: Any, whole: Any, kind: str) -> UnsupportedStageError:
    """The error that names the part that lacks its ``fit``, and the object to call it on."""
    name = type(stage).__name__
    why = "it has no mean and no scale yet"
    if kind == "ColumnTransformer":
        parts = ", ".join(
            f"{named!r} ({part if isinstance(part, str) else type(part).__name__})"
            for named, part, _ in stage.transformers
        )
        why = f"its parts, {parts}, are fitted through it, also where one was fitted alone"
    if stage is whole:
        call = "transformer.fit(X_train)" if kind == "ColumnTransformer" else "scaler.fit(X_train)"
        return UnsupportedStageError(f"{_article(name)} has never been fitted", why, call)
    call = "pipeline.fit(X_train)" if _kind(whole) == "Pipeline" else "transformer.fit(X_train)"
    inside = f"{_article(name)} in the {type(whole).__name__}"
    return UnsupportedStageError(f"{inside} has never been fitted", why, call)


def check_not_its_method(stage: Any) -> None:
    """Raise ``UnsupportedStageError`` for ``scaler.transform`` in the place of ``scaler``."""
    owner = getattr(stage, "__self__", None)
    if is_estimator(owner):
        raise _of_its_method(owner, "", getattr(stage, "__name__", "transform"))


def wrapped(function: Any) -> UnsupportedStageError | None:
    """The error for a function that calls ``scaler.transform`` inside; None for any other."""
    if not inspect.isfunction(function):
        return None
    called = [name for name in function.__code__.co_names if name in METHODS]
    seen = inspect.getclosurevars(function)
    for name, value in {**seen.globals, **seen.nonlocals}.items():
        if called and is_estimator(value):
            return _of_its_method(value, name, called[0])
    return None


def _of_its_method(owner: Any, name: str, method: str) -> UnsupportedStageError:
    try:
        check(owner)  # a forest cannot be a stage by any name
    except UnsupportedStageError as error:
        return error
    kind = type(owner).__name__
    return UnsupportedStageError(
        f"{method} of {_article(kind)} cannot be a stage",
        "scikit-learn's methods take arrays only; the object itself is known as a stage",
        f"give the scaler itself: {name}" if name else f"the {kind} itself, without .{method}",
    )


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _kind(stage: object) -> str | None:
    """The name of the class of scikit-learn that a stage is, or is derived from."""
    for base in type(stage).__mro__:
        if base.__module__.partition(".")[0] == "sklearn" and base.__name__ in _OPERATIONS:
            return base.__name__
    return None


def _parts(stage: Any) -> list[Any]:
    return [part for _, part in stage.steps if not _passes(part)]


def parts(stage: Any) -> list[Any]:
    """A pipeline's parts, and those of the pipelines in it; any other stage itself."""
    if not is_estimator(stage) or _kind(stage) != "Pipeline":
        return [stage]
    return [inner for part in _parts(stage) for inner in parts(part)]


def _passes(part: object) -> bool:
    return part is None or (isinstance(part, str) and part == "passthrough")


def _check_order(stage: Any, names: Sequence[str]) -> None:
    fitted = fitted_names(stage)
    if not fitted or not names or len(fitted) != len(names):
        return
    for own, given in zip(fitted, names, strict=True):
        # a renamed column is the user's affair; a column in another's place never is
        if own != given and (own in names or given in fitted):
            raise FeatureMismatchError(
                f"the {type(stage).__name__} was fitted on {', '.join(fitted)}",
                f"the contract's features are {', '.join(names)}",
                f"--features in the order {','.join(fitted)}",
            )


def fitted_names(stage: Any) -> tuple[str, ...]:
    """The columns of the data frame that it was fitted on; none when it was fitted on an array."""
    return tuple(str(name) for name in getattr(stage, "feature_names_in_", ()))


def width(stage: Any) -> int | None:
    """How many values it takes."""
    count = getattr(stage, "n_features_in_", None)
    return None if count is None else int(count)


def transformed(stage: Any, rows: Rows) -> Rows:
    """What ``transform`` itself gives for rows (N, F), as the notebook would call it."""
    given: Any = np.array(rows)  # a scaler with copy=False writes into what it gets
    names = getattr(stage, "feature_names_in_", None)
    if names is not None:
        import pandas as pd  # type: ignore[import-untyped]  # it has no types

        given = pd.DataFrame(given, columns=names)
    answer = stage.transform(given)
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    result: Rows = np.asarray(answer, dtype=np.float32)
    return result


def call(stage: Any, values: Any) -> Any:
    """The stage as operations on a tensor (N, F)."""
    return _OPERATIONS[_kind(stage) or type(stage).__name__](stage, values)


def _constant(numbers: Any) -> Any:
    return tensorflow().constant(np.asarray(numbers, dtype=np.float32))


def _standard(stage: Any, values: Any) -> Any:
    if stage.with_mean:
        values = values - _constant(stage.mean_)
    return values / _constant(stage.scale_) if stage.with_std else values


def _minmax(stage: Any, values: Any) -> Any:
    values = values * _constant(stage.scale_) + _constant(stage.min_)
    if not stage.clip:
        return values
    low, high = (np.float32(bound) for bound in stage.feature_range)
    return tensorflow().clip_by_value(values, low, high)


def _maxabs(stage: Any, values: Any) -> Any:
    values = values / _constant(stage.scale_)
    if not getattr(stage, "clip", False):
        return values
    return tensorflow().clip_by_value(values, np.float32(-1), np.float32(1))


def _robust(stage: Any, values: Any) -> Any:
    if stage.with_centering:
        values = values - _constant(stage.center_)
    return values / _constant(stage.scale_) if stage.with_scaling else values


def _function(stage: Any, values: Any) -> Any:
    if stage.func is None:
        return values
    arguments = stage.kw_args or {}
    return arrays.traced(lambda x: stage.func(x, **arguments), values)


def _pipeline(stage: Any, values: Any) -> Any:
    for part in _parts(stage):
        values = call(part, values)
    return values


def _columns(stage: Any, values: Any) -> Any:
    """The parts beside each other in the order of the transformers, the remainder last.

    So the output's columns stand in another order than the input's.
    """
    tf = tensorflow()
    outputs = []
    for name, part, columns in stage.transformers_:
        places = _places(stage, columns)
        if not places or (isinstance(part, str) and part == "drop"):
            continue
        taken = tf.gather(values, places, axis=1)
        answer = taken if _passes(part) else call(part, taken)
        weight = (stage.transformer_weights or {}).get(name)
        outputs.append(answer if weight is None else answer * np.float32(weight))
    return tf.concat(outputs, axis=1)


def _places(stage: Any, columns: Any) -> list[int]:
    """The indices of columns that are named by name, index, slice or mask."""
    names = list(getattr(stage, "feature_names_in_", ()))
    count = int(stage.n_features_in_)
    if isinstance(columns, slice):
        return _sliced(columns, names, count)
    if isinstance(columns, (str, int, np.integer)):
        columns = [columns]
    listed = list(columns)
    if listed and all(isinstance(column, (bool, np.bool_)) for column in listed):
        return [i for i, taken in enumerate(listed) if taken]
    return [
        names.index(column) if isinstance(column, str) else int(column) % count for column in listed
    ]


def _sliced(columns: slice, names: list[str], count: int) -> list[int]:
    start, stop = columns.start, columns.stop
    if isinstance(start, str):
        start = names.index(start)
    if isinstance(stop, str):
        stop = names.index(stop) + 1  # by name, the last one belongs to it, as in pandas
    return list(range(count))[slice(start, stop, columns.step)]


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "StandardScaler": _standard,
    "MinMaxScaler": _minmax,
    "MaxAbsScaler": _maxabs,
    "RobustScaler": _robust,
    "FunctionTransformer": _function,
    "Pipeline": _pipeline,
    "ColumnTransformer": _columns,
}
