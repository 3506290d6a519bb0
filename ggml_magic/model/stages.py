"""The stages of a prediction: which objects are accepted, and how each is called.

A stage takes one tensor of shape (N, F) and gives one of shape (N, K). Each is called in two ways:
into the graph (``chain``), and live, as the notebook calls it (``answers``). That both give the
same numbers is what ``graph.prove`` proves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.errors import FeatureMismatchError, GgmlError, UnsupportedStageError
from ggml_magic.model import arrays, modules, networks, scikit
from ggml_magic.model.reach import leaves, reaches
from ggml_magic.model.training import tensorflow
from ggml_magic.presentation import plural

ACCEPTED = (
    "models and layers of Keras 3 and tf-keras, tf.Module objects, functions of TensorFlow or "
    "numpy, scikit-learn's scalers and pipelines of them, and files of models"
)
# RUNTIMES 3: from 4,096 rows on the speed is that of the machine; this stays far below 1 GB.
BATCH_ROWS = 65_536
# What the project's own stages of files are called; each has the file's or the folder's name.
FILES = {"SavedStage": "SavedModel", "TranslatedFile": "TFLite file"}
# Rows on which a function shows whether it takes tensors.
PROBE_ROWS = 2
LONGEST_REASON = 200
ANSI = re.compile(r"\x1b\[[0-9;]*m")
BOLD = re.compile(r"\x1b\[1m(.+?)\x1b\[0m", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A stage as it stands in the chain: its kind, name, width of input and output, parameters.

    ``parameters`` is None where they are not counted: a ready file, a scaler.
    """

    kind: str
    name: str
    inputs: int
    outputs: int
    parameters: int | None

    def __str__(self) -> str:
        named = f"{self.kind} {self.name!r}" if self.name else self.kind
        counted = "" if self.parameters is None else f", {plural(self.parameters, 'parameter')}"
        return f"{named} ({self.inputs} → {self.outputs}{counted})"


def check(stages: Sequence[object], names: Sequence[str] = ()) -> None:
    """Raise ``UnsupportedStageError`` for an object that is no stage, or was never trained.

    ``names`` are the contract's features: a scaler that was fitted on a data frame knows its
    own, and ``FeatureMismatchError`` says where their order is another.
    """
    if not stages:
        raise UnsupportedStageError(
            "no stage was given", f"a stage is one of: {ACCEPTED}", "%ggml model NAME STAGE…"
        )
    for i, stage in enumerate(stages):
        if networks.package(stage) is not None:
            networks.check(stage)
        elif scikit.is_estimator(stage):
            scikit.check(stage, names if i == 0 else ())
        elif modules.holds_a_function(stage):
            modules.function(stage)
        elif scikit.is_estimator(getattr(stage, "__self__", None)):
            scikit.check_not_its_method(stage)
        elif isinstance(stage, type) or not callable(stage):
            raise UnsupportedStageError(
                f"{_described(stage)} cannot be a stage", f"accepted are {ACCEPTED}", _hint(stage)
            )


def _described(stage: object) -> str:
    kind = stage.__name__ if isinstance(stage, type) else type(stage).__name__
    article = "an" if kind[0] in "AEIOUaeiou" else "a"
    return f"the class {kind}" if isinstance(stage, type) else f"{article} {kind}"


def _hint(stage: object) -> str:
    return f"{stage.__name__}(…)" if isinstance(stage, type) else "%ggml model NAME STAGE…"


def _call(stage: Any) -> Callable[[Any], Any]:
    """How a stage is asked for its answer to a tensor, as in inference."""
    if networks.package(stage) is not None:
        return lambda values: stage(values, training=False)
    if scikit.is_estimator(stage):
        return lambda values: scikit.call(stage, values)
    if modules.holds_a_function(stage):
        return modules.function(stage)
    if modules.is_signature(stage):
        return modules.signature(stage)
    function: Callable[[Any], Any] = stage
    return function


def _single(answer: Any) -> Any:
    """The one tensor of a list or dict that holds one."""
    while isinstance(answer, (list, tuple, dict)) and len(answer) == 1:
        answer = next(iter(answer.values() if isinstance(answer, dict) else answer))
    return answer


def _is_plain(stage: Any) -> bool:
    """Whether it is a function that may be one of numpy."""
    return not (
        networks.package(stage) is not None
        or scikit.is_estimator(stage)
        or modules.holds_a_function(stage)
        or hasattr(stage, "get_concrete_function")
        or hasattr(stage, "variables")
    )


def chain(stages: Sequence[Any], values: Any, steps: list[Step]) -> Any:
    """All stages after each other, on a symbolic tensor; what each is goes to ``steps``.

    Raises ``FeatureMismatchError`` where a stage takes another width than the one before gives,
    ``UnsupportedStageError`` where one cannot be traced.
    """
    for i, stage in enumerate(stages):
        width = int(values.shape[-1])
        _check_width(stage, width, first=i == 0)
        if networks.package(stage) is not None:
            networks.build(stage, width)
        values = _traced(stage, values)
        steps.append(_step(stage, width, int(values.shape[-1])))
    return tensorflow().cast(values, "float32")


def _traced(stage: Any, values: Any) -> Any:
    title = _title(stage)
    try:
        answer = _symbolic(stage, values)
    except GgmlError:
        raise
    except arrays.NotTraceableError as error:
        inside = scikit.wrapped(stage)
        if inside is not None:
            raise inside from error
        raise UnsupportedStageError(
            f"{title} cannot be taken into a graph",
            f"{error}: that cannot be traced",
            "a function of numpy that works on whole columns, or one of TensorFlow operations",
        ) from error
    except Exception as error:  # whatever the user's own code raises becomes one sentence
        if modules.has_lost_its_variables(error):
            raise modules.lost(title) from error
        raise UnsupportedStageError(
            f"{title} cannot be taken into a graph",
            _reason(error),
            f"a stage takes one (N, {values.shape[-1]}) tensor and uses TensorFlow operations, "
            "or numpy's on whole columns",
        ) from error
    if tensorflow().is_tensor(answer) and leaves(answer):
        raise in_python(title)
    shape: Any = getattr(answer, "shape", None)
    if shape is None or isinstance(answer, (np.ndarray, np.generic)) or not _is_table(shape):
        raise _no_table(stage, title, shape, int(values.shape[-1]))
    if not reaches(answer, values):
        raise UnsupportedStageError(
            f"{title} does not look at its input",
            "its answer is made of constants alone, or of code that TensorFlow cannot see",
            "a function of TensorFlow or numpy operations on its argument, without .numpy()",
        )
    return tensorflow().cast(answer, "float32")


def in_python(title: str) -> UnsupportedStageError:
    """The error for a graph that calls Python code."""
    return UnsupportedStageError(
        f"{title} runs Python inside the graph",
        "tf.py_function and tf.numpy_function call code of this notebook, and Python inside a "
        "graph cannot go to a device",
        "the same in operations of TensorFlow, or of numpy on whole columns",
    )


def _no_table(stage: Any, title: str, shape: Any, width: int) -> UnsupportedStageError:
    found = "no tensor" if shape is None else f"the shape {_shape(shape)}"
    why, remedy = (
        "a stage gives one tensor of shape (N, K), a row for each row",
        "tf.reshape(y, (-1, K)) at its end",
    )
    inside = tuple(shape or ())[1:] if getattr(shape, "rank", None) else ()
    if networks.package(stage) is not None and len(inside) > 1 and None not in inside:
        why = "stages hand on tables of shape (N, K), a row for each row"
        only_shapes = not stage.weights  # a Reshape, of which the next stage was to take rows
        remedy = networks.behind_reshape(inside, width) if only_shapes else networks.FLATTENED
    return UnsupportedStageError(f"{title} gives {found}", why, remedy)


def _symbolic(stage: Any, values: Any) -> Any:
    """The stage's answer to a symbolic tensor; a function of numpy is traced as such."""
    if not _is_plain(stage):
        return _single(_call(stage)(values))
    try:
        answer = _single(stage(values))
        if tensorflow().is_tensor(answer):
            return answer
        reason: Exception | None = None
    except GgmlError:
        raise
    # numpy asks a symbolic tensor for its values, which it does not have: NotImplementedError,
    # TypeError or AttributeError, by function
    except Exception as error:  # noqa: BLE001  told below, where numpy's way fails too
        reason = error
        answer = None
    try:
        return _single(arrays.traced(stage, values))
    except arrays.NotTraceableError:
        raise
    # the first reason is TensorFlow's own, and clearer to who wrote TensorFlow code
    except Exception as error:
        if reason is None:
            return answer
        raise reason from error


def _is_table(shape: Any) -> bool:
    rank = shape.rank if hasattr(shape, "rank") else len(shape)
    return bool(rank == 2 and shape[0] is None and shape[1] is not None)


def _shape(shape: Any) -> str:
    if getattr(shape, "rank", 0) is None:  # tf.TensorShape(None), which has no length
        return "unknown"
    inside = ", ".join("N" if size is None else str(size) for size in shape)
    return f"({inside})"


def _reason(error: Exception) -> str:
    text = str(error)
    bold = BOLD.search(text)
    lines = [line.strip() for line in ANSI.sub("", bold.group(1) if bold else text).splitlines()]
    said = next((line for line in lines if line and not line.startswith("Exception enc")), "")
    return f"{type(error).__name__}: {said}"[:LONGEST_REASON]


def _check_width(stage: Any, width: int, *, first: bool) -> None:
    expected = _input_width(stage)
    if expected in (None, width):
        return
    given = "the contract" if first else "the stage before it"
    noun = "feature" if first else "value"
    raise FeatureMismatchError(
        f"{_title(stage)} takes {plural(expected or 0, noun)}",
        f"{given} gives {width}",
        "--features with one name for each input of the network"
        if first
        else "give the stages in the order in which a row passes them",
    )


def _input_width(stage: Any) -> int | None:
    """How many values a stage takes, where it knows."""
    if networks.package(stage) is not None:
        return networks.width(stage, _title(stage))
    return scikit.width(stage) if scikit.is_estimator(stage) else None


def _title(stage: Any) -> str:
    name, kind = _name(stage), _kind(stage)
    return f"{kind} {name!r}" if name else kind


def _kind(stage: Any) -> str:
    """What messages and cards call it: its class, or what the class stands for."""
    kind = type(stage).__name__
    return FILES.get(kind, kind)


def _name(stage: Any) -> str:
    name = getattr(stage, "name", None) or getattr(stage, "__name__", "")
    # a signature's is bytes, with a number that is another in each process
    return name if isinstance(name, str) and name != "<lambda>" else ""


def _step(stage: Any, inputs: int, outputs: int) -> Step:
    if _is_plain(stage) or scikit.is_estimator(stage):
        return Step(_kind(stage), _name(stage), inputs, outputs, None)
    # weights are Keras' name for them; of another module it may be any attribute of its own
    named = "variables" if networks.package(stage) is None else "weights"
    weights: Any = getattr(stage, named, ())
    parameters = None
    if isinstance(weights, (list, tuple)) and all(hasattr(one, "shape") for one in weights):
        parameters = sum(int(np.prod(weight.shape)) for weight in weights)
    return Step(_kind(stage), _name(stage), inputs, outputs, parameters)


def answers(stages: Sequence[Any], rows: Rows, out: Rows | None = None) -> Rows:
    """What the notebook's own live stages answer to rows (N, F): outputs (N, K), float32.

    They are called one after the other as the notebook would, in batches of ``BATCH_ROWS``; a
    scaler through its ``transform``, a function of numpy with an array. ``out`` is where to write,
    for example a memory map of shape (N, K); no more than one batch is held beside it.
    """
    chain = [live(stage) for stage in stages]
    for start in range(0, len(rows), BATCH_ROWS):
        values: Any = rows[start : start + BATCH_ROWS]
        for stage in chain:
            values = stage(values)
        batch, asked = np.asarray(values), min(BATCH_ROWS, len(rows) - start)
        if batch.shape[:1] != (asked,):
            raise UnsupportedStageError(
                f"the stages give the shape {batch.shape} for {plural(asked, 'row')}",
                "a device needs an answer to each row, and a stage leaves some out",
                "tf.where or np.where, which keep each row",
            )
        if out is None:
            out = np.empty((len(rows), *batch.shape[1:]), dtype=np.float32)
        out[start : start + len(batch)] = batch
    if out is None:
        raise ValueError("no rows")
    return out


def live(stage: Any) -> Callable[[Any], Any]:
    """The stage as the notebook calls it: takes and gives arrays or tensors of float32."""
    if scikit.is_estimator(stage):
        return lambda values: scikit.transformed(stage, np.asarray(values))
    if _is_plain(stage):
        return _Function(stage)
    called = _call(stage)
    return lambda values: _single(called(_tensor(values)))


class _Function:
    """A function of TensorFlow or of numpy; the first rows show which.

    One that works on both is called as numpy's, whose float64 is the stricter measure.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._gives_arrays: bool | None = None

    def __call__(self, values: Any) -> Any:
        if self._gives_arrays is None:
            self._gives_arrays = self._tried(np.array(values[:PROBE_ROWS]))
        if not self._gives_arrays:
            return _tensor(_single(self._function(_tensor(values))))
        # a copy, since such a function may write into its argument
        return np.asarray(self._function(np.array(values)), dtype=np.float32)

    def _tried(self, rows: Rows) -> bool:
        try:
            answer = self._function(rows)
        except Exception:  # noqa: BLE001  it takes tensors, or raises again with one
            return False
        return isinstance(answer, (np.ndarray, np.generic))


def _tensor(values: Any) -> Any:
    tf = tensorflow()
    if tf.is_tensor(values):
        return tf.cast(values, tf.float32)
    return tf.constant(np.asarray(values, dtype=np.float32))
