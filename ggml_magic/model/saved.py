"""A SavedModel as a stage: which signature, which input, and one row answered as in a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.errors import FeatureMismatchError, UnsupportedStageError
from ggml_magic.model.frozen import freeze
from ggml_magic.model.salvage import PARITY_BOUND, first_line, salvage
from ggml_magic.model.scan import Scanned, Signature, Value, scan
from ggml_magic.model.training import quiet, tensorflow
from ggml_magic.presentation import plural

DEFAULT_SIGNATURE = "serving_default"
MATRIX = 2
FLOATS = ("float32", "float64")
# Rows that a signature of single rows is asked one by one and together, small and large values.
ALONE_ROWS = 17
SPREADS = (1.0, 1000.0)

Call = Callable[[Mapping[str, Any]], Any]


class SavedStage:
    """A SavedModel's signature as a stage from (N, F) to (N, K).

    ``notes`` say what had to be done to call it. What was loaded is kept alive: a signature
    alone loses its variables (RUNTIMES 1).
    """

    def __init__(
        self, name: str, width: int | None, call: Callable[[Any], Any], loaded: _Loaded,
        notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.name = name
        self.width = width
        self.variables = loaded.variables
        self.notes = loaded.notes + notes
        self._call = call
        self._held = loaded

    def __call__(self, values: Any) -> Any:
        """The signature's answer to a tensor (N, F); raises ``FeatureMismatchError``."""
        width = values.shape[-1]
        if self.width is not None and width is not None and int(width) != self.width:
            raise FeatureMismatchError(
                f"the SavedModel {self.name!r} takes {plural(self.width, 'value')}",
                f"it is given {width}",
                "--features with one name for each input of the network",
            )
        return self._call(values)


def open_saved(folder: Path, signature: str, features: Sequence[str] = ()) -> SavedStage:
    """The SavedModel in ``folder`` as a stage; ``signature`` is empty where none was named.

    ``features`` names the columns of a row, for a signature with one input for each of them.
    Raises ``UnsupportedStageError`` and ``FeatureMismatchError``.
    """
    scanned = scan(folder)
    chosen = _chosen(folder, scanned, signature)
    _check_ends(folder, chosen)
    _check_floats(folder, chosen)
    if len(chosen.inputs) == 1 and chosen.inputs[0].shape != (None,):
        loaded = _loaded(folder, scanned, chosen)
        call, notes = _of_rows(folder, chosen, loaded)
        shape = chosen.inputs[0].shape
        return SavedStage(called(folder), shape[-1] if shape else None, call, loaded, notes)
    names = _matched(folder, chosen, features)
    loaded = _loaded(folder, scanned, chosen)
    call = _of_columns(chosen, loaded.call, names)
    return SavedStage(called(folder), len(names), call, loaded)


def called(folder: Path) -> str:
    """A SavedModel's name: its folder's, or the one above of a version (``rain/1``)."""
    whole = folder.resolve()
    return whole.parent.name if whole.name.isdecimal() else whole.name


def _chosen(folder: Path, scanned: Scanned, wanted: str) -> Signature:
    known = {signature.name: signature for signature in scanned.signatures}
    if wanted in known:
        return known[wanted]
    names = ", ".join(known) or "none"
    if wanted:
        raise UnsupportedStageError(
            f"the SavedModel {folder.name} has no signature {wanted!r}",
            f"it has: {names}",
            f"{folder.name}#{next(iter(known), DEFAULT_SIGNATURE)}",
        )
    if DEFAULT_SIGNATURE in known:
        return known[DEFAULT_SIGNATURE]
    if len(known) == 1:
        return next(iter(known.values()))
    what = f"the SavedModel {folder.name} has no signature {DEFAULT_SIGNATURE!r}"
    if known:
        raise UnsupportedStageError(what, f"it has: {names}", f"{folder.name}#{next(iter(known))}")
    raise UnsupportedStageError(
        what,
        "it has none at all, and without one it cannot be called",
        "tf.saved_model.save(model, folder, signatures=…) with a tf.function of one (None, F)",
    )


def _check_ends(folder: Path, signature: Signature) -> None:
    if len(signature.outputs) != 1:
        listed = "; ".join(map(str, signature.outputs))
        raise UnsupportedStageError(
            f"signature {signature.name!r} of {folder.name} has {len(signature.outputs)} outputs",
            f"a stage gives one: {listed}",
            f"{folder.name}#SIGNATURE of one output, or export one with that output alone",
        )
    if not signature.inputs:
        raise UnsupportedStageError(
            f"signature {signature.name!r} of {folder.name} takes no input",
            "a stage takes rows of shape (N, F)",
            f"{folder.name}#SIGNATURE with another one",
        )


def _check_floats(folder: Path, signature: Signature) -> None:
    for value in (*signature.inputs, *signature.outputs):
        if value.dtype not in FLOATS:
            raise UnsupportedStageError(
                f"signature {signature.name!r} of {folder.name} has {value.name} of {value.dtype}",
                "a stage takes and gives numbers of float32"
                + ("; text and tf.Example have no place there" if value.dtype == "string" else ""),
                "export it with tf.TensorSpec((None, F), tf.float32)",
            )


@dataclass(frozen=True)
class _Loaded:
    """How to call a signature, and as what it must be kept.

    ``call`` takes inputs of the saved shapes by name, ``free()`` gives a function that takes the
    one input in any shape; ``held`` keeps the variables alive.
    """

    call: Call
    free: Callable[[], Callable[..., Any]]
    held: Any
    variables: tuple[Any, ...]
    notes: tuple[str, ...]


def _loaded(folder: Path, scanned: Scanned, signature: Signature) -> _Loaded:
    output = signature.outputs[0].name
    try:
        with quiet():
            loaded = tensorflow().saved_model.load(str(folder), tags=list(scanned.tags))
            function = loaded.signatures[signature.name]
    except Exception as error:  # noqa: BLE001  old objects fail in any way
        saved = salvage(folder, scanned, signature, first_line(error))
        return _Loaded(saved.call, lambda: saved.function, None, (), (saved.note,))
    return _Loaded(
        lambda inputs: function(**inputs)[output],
        lambda: freeze(function),
        loaded,
        tuple(function.variables),
        (),
    )


def _of_rows(
    folder: Path, signature: Signature, loaded: _Loaded
) -> tuple[Callable[[Any], Any], tuple[str, ...]]:
    """How a signature of one input is called with (N, F), whatever it says of N."""
    (value,), output = signature.inputs, signature.outputs[0]
    shape = value.shape

    def whole(values: Any) -> Any:
        inputs = {value.name: tensorflow().cast(values, value.dtype)}
        return _as_table(loaded.call(inputs), output)

    if shape is None or (len(shape) == MATRIX and shape[0] is None):
        return whole, ()
    if shape[:-1] not in ((), (1,)) or not shape or shape[-1] is None:
        raise UnsupportedStageError(
            f"signature {signature.name!r} of {folder.name} takes {value}",
            "a stage takes rows of shape (N, F)",
            "export it with tf.TensorSpec((None, F), tf.float32)",
        )
    free = loaded.free()
    width = output.shape[-1] if output.shape else 1

    def together(values: Any) -> Any:
        answer = free(tensorflow().cast(values, value.dtype))
        return tensorflow().reshape(answer, (-1, width))

    _prove_alone(folder, signature, loaded.call, together)
    note = (
        f"{folder.name} was saved for one row of shape {shape}, not for rows (N, {shape[-1]}). "
        f"It answers {ALONE_ROWS} random rows together as it answers each alone."
    )
    return together, (note,)


def _prove_alone(
    folder: Path, signature: Signature, alone: Call, together: Callable[[Any], Any]
) -> None:
    """Refuse a signature of one row unless each row of a batch is answered as it is alone."""
    (value,) = signature.inputs
    tf, random = tensorflow(), np.random.default_rng(0)
    shape = tuple(size or 1 for size in value.shape or ())
    width = shape[-1]
    for spread in SPREADS:
        rows = (random.normal(size=(ALONE_ROWS, width)) * spread).astype(value.dtype)
        try:
            shaped = [tf.constant(np.reshape(row, shape)) for row in rows]
            ones = np.stack([np.ravel(alone({value.name: row})) for row in shaped])
            many = np.asarray(together(tf.constant(rows)))
            bound = PARITY_BOUND * np.maximum(1.0, np.abs(ones))
            same = many.shape == ones.shape and bool((np.abs(many - ones) <= bound).all())
        except (tf.errors.OpError, ValueError, TypeError):
            same = False  # a graph that cannot take more rows at all
        if not same:
            raise UnsupportedStageError(
                f"signature {signature.name!r} of {folder.name} takes one row, {value}",
                f"rows of shape (N, {width}) together are not answered as each is alone",
                f"export it with tf.TensorSpec((None, {width}), tf.float32)",
            )


def _as_table(answer: Any, output: Value) -> Any:
    """An answer of one value a row, (N,), as (N, 1)."""
    if output.shape is not None and len(output.shape) == 1:
        return tensorflow().reshape(answer, (-1, 1))
    return answer


def _matched(folder: Path, signature: Signature, features: Sequence[str]) -> tuple[str, ...]:
    """The signature's inputs in the order of a row's columns, matched by name."""
    names = [value.name for value in signature.inputs]
    odd = next((v for v in signature.inputs if v.shape not in ((None,), (None, 1))), None)
    if odd is not None:
        raise UnsupportedStageError(
            f"signature {signature.name!r} of {folder.name} has {len(names)} inputs",
            f"beside a single (N, F), only one (N, 1) for each feature is taken, and it has {odd}",
            "export it with tf.TensorSpec((None, F), tf.float32)",
        )
    if len(names) == 1:
        return (names[0],)
    if sorted(names) != sorted(features):
        raise FeatureMismatchError(
            f"signature {signature.name!r} of {folder.name} takes one input for each feature",
            f"it names them {', '.join(names)}; the columns are {', '.join(features) or 'unnamed'}",
            f"the same names, and this as the first stage: --features {','.join(names)}",
        )
    return tuple(features)


def _of_columns(signature: Signature, call: Call, names: Sequence[str]) -> Callable[[Any], Any]:
    values = {value.name: value for value in signature.inputs}

    def columns(rows: Any) -> Any:
        tf = tensorflow()
        inputs = {
            name: tf.cast(
                rows[:, i] if values[name].shape == (None,) else rows[:, i : i + 1],
                values[name].dtype,
            )
            for i, name in enumerate(names)
        }
        return _as_table(call(inputs), signature.outputs[0])

    return columns
