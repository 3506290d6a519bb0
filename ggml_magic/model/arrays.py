"""Functions of numpy, traced: a small array type that hands numpy's calls to TensorFlow.

numpy asks an argument that has ``__array_ufunc__`` or ``__array_function__`` to do the call itself
(NEP 13 and 18). ``Traced`` does, with ``tf.experimental.numpy``, which is public. All numbers stay
float32, as on the device. What it cannot do is refused; it never gives up its tensor for a plain
array, so that no function can turn into a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ggml_magic.model.training import tensorflow

# Names that tf.experimental.numpy does not have, or has for other arguments.
RENAMED = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "pow": "power",
    "fmax": "maximum",
    "fmin": "minimum",
    "degrees": "rad2deg",
    "radians": "deg2rad",
    "invert": "logical_not",
}
WHOLE = slice(None)


class NotTraceableError(TypeError):
    """A function does something with its input that has no operation; the text says what."""


def traced(function: Callable[[Any], Any], values: Any) -> Any:
    """The tensor that a function of numpy gives for a tensor of shape (N, F).

    Raises whatever the function raises, and ``NotTraceableError``.
    """
    answer = function(Traced(values))
    return answer.tensor if isinstance(answer, Traced) else answer


class Traced(NDArrayOperatorsMixin):
    """A tensor of the graph that behaves as an array to numpy's functions and operators."""

    __array_priority__ = 1000.0

    def __init__(self, tensor: Any) -> None:
        tf = tensorflow()
        self.tensor = tf.cast(tensor, tf.float32) if tensor.dtype == tf.float64 else tensor

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        if method != "__call__" or options:
            raise NotTraceableError(f"np.{ufunc.__name__} with {', '.join(options) or method}")
        answer = _wrapped(_operation(ufunc.__name__)(*_as_one_kind(inputs)))
        if out is None:
            return answer
        (target,) = out
        if not isinstance(target, Traced):
            raise NotTraceableError(f"np.{ufunc.__name__} writes into an array of numbers")
        target.tensor = answer.tensor
        return target

    def __array_function__(
        self, func: Any, types: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        if func.__name__ in _FACTS:
            return getattr(args[0], func.__name__)
        special = _SPECIAL.get(func.__name__)
        if special is not None:
            return _wrapped(special(*args, **kwargs))
        arguments = [_plain(argument) for argument in args]
        options = {name: _plain(value) for name, value in kwargs.items() if value is not None}
        return _wrapped(_operation(func.__name__)(*arguments, **options))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise NotTraceableError("the input is turned into a plain array")

    def __bool__(self) -> bool:
        raise NotTraceableError("'if', 'and', 'or' or 'while' on values; np.where chooses by row")

    def __float__(self) -> float:
        raise NotTraceableError("float() of values")

    def __int__(self) -> int:
        raise NotTraceableError("int() of values")

    def __len__(self) -> int:
        raise NotTraceableError("len() of the rows, which is another for each batch")

    def __iter__(self) -> Any:
        raise NotTraceableError("a loop over the rows")

    @property
    def shape(self) -> tuple[int | None, ...]:
        """As numpy's, but the number of rows is None."""
        return tuple(self.tensor.shape.as_list())

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self.tensor.shape.rank)

    @property
    def dtype(self) -> Any:
        """The numpy type of the values."""
        return np.dtype(self.tensor.dtype.as_numpy_dtype)

    @property
    def T(self) -> Traced:  # noqa: N802  numpy's name
        """Transposed."""
        return Traced(tensorflow().transpose(self.tensor))

    def astype(self, dtype: Any, **_: Any) -> Traced:
        """As another type; float64 is float32, as on the device."""
        kind = np.dtype(dtype)
        return Traced(tensorflow().cast(self.tensor, np.float32 if kind == np.float64 else kind))

    def copy(self) -> Traced:
        """The same tensor under another name."""
        return Traced(self.tensor)

    def reshape(self, *shape: Any, **_: Any) -> Traced:
        """As numpy's."""
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return Traced(tensorflow().reshape(self.tensor, [int(size) for size in sizes]))

    def __getattr__(self, name: str) -> Any:
        """``x.sum(axis=1)`` and the like are ``np.sum(x, axis=1)``."""
        function = getattr(np, name, None)
        if name.startswith("_") or not callable(function) or not hasattr(np.ndarray, name):
            raise AttributeError(f"a traced array has no {name!r}")
        return lambda *args, **kwargs: function(self, *args, **kwargs)

    def __getitem__(self, key: Any) -> Traced:
        return Traced(_taken(self.tensor, key if isinstance(key, tuple) else (key,)))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tensor = _replaced(self, key, value)


def _operation(name: str) -> Callable[..., Any]:
    tf = tensorflow()
    named = RENAMED.get(name, name)
    found = getattr(tf.experimental.numpy, named, None) or getattr(tf.math, named, None)
    if found is None:
        raise NotTraceableError(f"np.{name} has no operation of TensorFlow")
    operation: Callable[..., Any] = found
    return operation


def _wrapped(answer: Any) -> Any:
    if isinstance(answer, (list, tuple)):
        return type(answer)(Traced(each) for each in answer)
    return Traced(answer)


def _plain(argument: Any) -> Any:
    """An argument without wrappers; arrays of float64 as float32."""
    if isinstance(argument, Traced):
        return argument.tensor
    if isinstance(argument, (list, tuple)) and any(
        isinstance(each, (Traced, np.ndarray)) for each in argument
    ):
        return [_plain(each) for each in argument]
    if isinstance(argument, (np.ndarray, np.generic)) and argument.dtype == np.float64:
        return argument.astype(np.float32)
    return argument


def _as_one_kind(inputs: Sequence[Any]) -> list[Any]:
    """Operands beside a float32 tensor become float32: numpy's scalars would widen it."""
    tf = tensorflow()
    plain = [_plain(value) for value in inputs]
    tensors = [value for value in plain if tf.is_tensor(value)]
    # an array of numbers that is no truth value makes all float
    floats = any(value.dtype.is_floating for value in tensors) or any(
        not tf.is_tensor(value) and np.asarray(value).dtype.kind == "f" for value in plain
    )
    if not floats:
        return plain
    return [
        value if tf.is_tensor(value) and value.dtype == tf.float32 else tf.cast(value, tf.float32)
        for value in plain
    ]


def _where(condition: Any, *branches: Any) -> Any:
    if len(branches) != 2:
        raise NotTraceableError("np.where without both branches")
    first, second = _as_one_kind(branches)
    return tensorflow().where(_plain(condition), first, second)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, **bounds: Any) -> Any:
    low, high = bounds.pop("min", a_min), bounds.pop("max", a_max)
    if bounds:
        raise NotTraceableError(f"np.clip with {', '.join(bounds)}")
    if low is not None:
        a = np.maximum(a, low)
    if high is not None:
        a = np.minimum(a, high)
    return _plain(a)


def _beside(values: Any, axis: int = 0, **_: Any) -> Any:
    return tensorflow().concat(_as_one_kind(_along(values)), axis=axis)


def _stacked(values: Any, axis: int = 0, **_: Any) -> Any:
    return tensorflow().stack(_as_one_kind(_along(values)), axis=axis)


def _column_stack(values: Any) -> Any:
    columns = [value[:, np.newaxis] if np.ndim(value) == 1 else value for value in _along(values)]
    return _beside(columns, axis=1)


def _along(values: Any) -> list[Any]:
    if isinstance(values, Traced):
        raise NotTraceableError("joining the rows of one array")
    return list(values)


def _hstack(values: Any, **_: Any) -> Any:
    values = _along(values)
    return _beside(values, axis=0 if np.ndim(values[0]) == 1 else 1)


def _like(values: Any, number: float) -> Any:
    return tensorflow().fill(tensorflow().shape(values.tensor), np.float32(number))


def _nan_to_num(values: Any, copy: bool = True, nan: float = 0.0, **bounds: Any) -> Any:
    if bounds:
        raise NotTraceableError("np.nan_to_num with posinf or neginf")
    return _where(np.isnan(values), nan, values)


def _rounded(values: Any, decimals: int = 0, **_: Any) -> Any:
    if decimals:
        raise NotTraceableError("np.round to decimals")
    return tensorflow().round(values.tensor)


def _norm(values: Any, axis: int | None = None, keepdims: bool = False, **options: Any) -> Any:
    if options or not isinstance(axis, int):
        raise NotTraceableError("np.linalg.norm of another kind than along one axis")
    return tensorflow().norm(values.tensor, axis=axis, keepdims=keepdims)


def _copy(values: Any, **_: Any) -> Any:
    return values.tensor


# asked of an array, they are no arrays themselves
_FACTS = frozenset(("ndim", "shape"))
_SPECIAL: dict[str, Callable[..., Any]] = {
    "where": _where,
    "clip": _clip,
    "concatenate": _beside,
    "concat": _beside,
    "stack": _stacked,
    "column_stack": _column_stack,
    "hstack": _hstack,
    "zeros_like": lambda values, **_: _like(values, 0),
    "ones_like": lambda values, **_: _like(values, 1),
    "full_like": lambda values, number, **_: _like(values, number),
    "nan_to_num": _nan_to_num,
    "round": _rounded,
    "norm": _norm,
    "copy": _copy,
}


def _taken(tensor: Any, key: tuple[Any, ...]) -> Any:
    """``tensor[key]``; a list or a mask of columns is gathered, as numpy does."""
    tf = tensorflow()
    chosen = [i for i, part in enumerate(key) if isinstance(part, (list, np.ndarray, Traced))]
    if not chosen:
        return tensor[key]
    if len(chosen) > 1 or any(part is None or part is Ellipsis for part in key):
        raise NotTraceableError("two lists of places at once")
    (axis,) = chosen
    if isinstance(key[axis], Traced) or axis == 0:
        raise NotTraceableError("rows chosen by their values; np.where keeps each row")
    if any(isinstance(part, (int, np.integer)) for part in key[:axis]):
        raise NotTraceableError("a row by its number beside a list of columns")
    places = np.asarray(key[axis])
    places = np.flatnonzero(places) if places.dtype == np.bool_ else places % tensor.shape[axis]
    rest = tuple(WHOLE if i == axis else part for i, part in enumerate(key))
    return tf.gather(tensor, places, axis=axis)[rest]


def _replaced(array: Traced, key: Any, value: Any) -> Any:
    """The array after ``array[:, columns] = value``; other places cannot be written."""
    tf = tensorflow()
    if not (isinstance(key, tuple) and len(key) == 2 and key[0] == WHOLE and array.ndim == 2):
        raise NotTraceableError("writing to other places than whole columns; np.where chooses")
    count = int(array.tensor.shape[1])
    places = np.atleast_1d(np.arange(count)[key[1]])
    given = _as_one_kind([array, value])[1]
    if isinstance(key[1], (int, np.integer)) and len(given.shape) == 1:
        given = given[:, tf.newaxis]
    given = tf.broadcast_to(given, [tf.shape(array.tensor)[0], len(places)])
    columns = [array.tensor[:, i : i + 1] for i in range(count)]
    for i, place in enumerate(places):
        columns[int(place)] = given[:, i : i + 1]
    return tf.concat(columns, axis=1)
