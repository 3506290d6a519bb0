"""Stages that hold a function: ``tf.Module`` objects and what ``tf.saved_model.load`` gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ggml_magic.errors import UnsupportedStageError

SERVING = "serving_default"
# What TensorFlow says of a function whose object is gone: it holds its variables weakly.
LOST = "referencing variables which have been deleted"


def holds_a_function(stage: object) -> bool:
    """Whether it is a module that cannot be called itself; ``function`` finds what can."""
    tf = sys.modules.get("tensorflow")
    if tf is None or isinstance(stage, type) or callable(stage):
        return False
    return isinstance(stage, tf.Module) or isinstance(getattr(stage, "signatures", None), Mapping)


def function(stage: Any) -> Callable[[Any], Any]:
    """The one function of a module: its signature, else its only ``tf.function``.

    Raises ``UnsupportedStageError`` when there is none, or when there are several.
    """
    signatures = getattr(stage, "signatures", None)
    if isinstance(signatures, Mapping) and signatures:
        chosen = signatures.get(SERVING)
        if chosen is None:
            chosen = _only(stage, dict(signatures), "signature")
        return _of_signature(stage, chosen)
    only: Callable[[Any], Any] = _only(stage, _functions(stage), "tf.function")
    return only


def _functions(stage: Any) -> dict[str, Any]:
    traced = sys.modules["tensorflow"].types.experimental.PolymorphicFunction
    names = [name for name in dir(stage) if not name.startswith("_")]
    found = {name: getattr(stage, name, None) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, traced)}


def _only(stage: Any, found: dict[str, Any], noun: str) -> Any:
    if len(found) == 1:
        return next(iter(found.values()))
    kind = type(stage).__name__
    if not found:
        raise UnsupportedStageError(
            f"the module {kind} cannot be called",
            "it has no __call__, no signature and no tf.function",
            "@tf.function on the method that predicts",
        )
    names = ", ".join(sorted(found))
    raise UnsupportedStageError(
        f"the module {kind} has {len(found)} of kind {noun}: {names}",
        "a stage is one of them",
        f"give one as the stage, and keep the module in a variable: stage = {_named(found, noun)}",
    )


def _named(found: dict[str, Any], noun: str) -> str:
    first = min(found)
    return f"module.{first}" if noun == "tf.function" else f"module.signatures[{first!r}]"


def has_lost_its_variables(error: Exception) -> bool:
    """Whether a function was called that outlived the model that it came from."""
    return LOST in str(error)


def lost(title: str) -> UnsupportedStageError:
    """The error for such a stage: nothing can bring its variables back."""
    return UnsupportedStageError(
        f"{title} has lost its variables",
        "the model that it is of is in no variable, and a function alone does not keep them",
        "module = tf.saved_model.load(FOLDER), kept as long as its function; or give module "
        "itself or FOLDER as the stage",
    )


def is_signature(stage: object) -> bool:
    """Whether it is a signature itself, which takes its tensor by name only."""
    names = getattr(stage, "structured_input_signature", None)
    return isinstance(names, tuple) and len(names) == 2 and not names[0] and bool(names[1])


def signature(stage: Any) -> Callable[[Any], Any]:
    """A signature as a function of one tensor."""
    return _of_signature(stage, stage)


def _of_signature(stage: Any, chosen: Any) -> Callable[[Any], Any]:
    names = chosen.structured_input_signature[1]
    if len(names) != 1:
        raise UnsupportedStageError(
            f"the signature of {type(stage).__name__} takes {len(names)} tensors",
            f"{', '.join(sorted(names))}; a stage takes one, of shape (N, F)",
            "def stage(x): return signature(first=x[:, 0:1], second=x[:, 1:2])",
        )
    ((name, specification),) = names.items()

    # a module is held too: a signature alone does not keep its variables (RUNTIMES 1)
    def call(values: Any, _held: Any = stage) -> Any:
        tf = sys.modules["tensorflow"]
        return chosen(**{name: tf.cast(values, specification.dtype)})

    return call
