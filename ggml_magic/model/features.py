"""The names and units of a model's inputs, and what training saw of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Feature, Rows
from ggml_magic.errors import GrammarError, MissingValuesError

# A name is a key of the thing's shadow; a leading "$" is AWS IoT's own.
NAME = re.compile(r"^[^\s$:,\"'][^:,\"']{0,63}$")
MODEL_NAME = re.compile(r"^[a-z][a-z0-9_]{0,63}$")
# What the device writes into the same shadow, after the model's name.
ANSWER_KEYS = ("prediction", "probability", "reading", "version", "error")
PERCENTILES = (1, 50, 99)
EXAMPLE = "--features pressure:hPa,temperature:degC"


@dataclass(frozen=True)
class Declared:
    """A feature as the user wrote it; ``unit`` is empty when none was given."""

    name: str
    unit: str


def parse(features: str | Sequence[str]) -> tuple[Declared, ...]:
    """Read ``pressure:hPa,temperature:degC,humidity`` in the order of the columns.

    A list or tuple of texts is read as if commas joined them. Raises ``GrammarError`` for
    another type and for an empty, malformed or repeated name.
    """
    declared = tuple(_one(part) for part in _text(features).split(","))
    names = [feature.name for feature in declared]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise GrammarError(
            f"feature {twice!r} is named twice", "each column needs a name of its own", EXAMPLE
        )
    return declared


def _text(features: object) -> str:
    if isinstance(features, str):
        return features
    wrong = features
    if isinstance(features, (list, tuple)):
        others = [part for part in features if not isinstance(part, str)]
        if not others:
            return ",".join(features)
        wrong = others[0]
    kind = type(wrong).__name__
    raise GrammarError(
        f"cannot read features from {_article(kind)} {kind}",
        "features are one text with commas, or a list of texts NAME:UNIT or NAME",
        'features=["pressure:hPa", "temperature:degC"]',
    )


def _article(noun: str) -> str:
    return "an" if noun[0] in "AEIOUaeiou" else "a"


def _one(part: str) -> Declared:
    name, _, unit = (piece.strip() for piece in part.partition(":"))
    if not NAME.fullmatch(name) or ":" in unit:
        raise GrammarError(
            f"cannot read the feature {part.strip()!r}",
            "features are NAME:UNIT or NAME, separated by commas",
            EXAMPLE,
        )
    return Declared(name, unit)


def check_model_name(name: str) -> None:
    """Raise ``GrammarError`` unless ``name`` can name files, shadow keys and components."""
    if not MODEL_NAME.fullmatch(name):
        raise GrammarError(
            f"a model cannot be called {name!r}",
            "it names files and shadow keys: a lower-case letter, then at most 63 of a-z, 0-9, _",
            f"%ggml model {_suggestion(name)} …",
        )


def _suggestion(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
    return plain[:64] or "rain"


def check_clash(model: str, declared: tuple[Declared, ...]) -> None:
    """Raise ``GrammarError`` for a feature whose key the device itself writes."""
    written = {f"{model}_{key}" for key in ANSWER_KEYS}
    for feature in declared:
        if feature.name in written:
            raise GrammarError(
                f"a feature of {model} cannot be called {feature.name!r}",
                "the device writes its answer under that key of the shadow",
                f"rename the feature, for example to {feature.name}_in",
            )


def measured(declared: tuple[Declared, ...], rows: Rows) -> tuple[Feature, ...]:
    """Features with the range seen in rows of shape (N, F), where a value may be NaN.

    Raises ``MissingValuesError`` for a feature that no row has.
    """
    return tuple(_one_measured(d, rows[:, i]) for i, d in enumerate(declared))


def _one_measured(declared: Declared, column: npt.NDArray[np.float32]) -> Feature:
    absent = np.isnan(column)
    present = column[~absent] if absent.any() else column
    if not len(present):
        raise MissingValuesError(
            f"no row has a value of {declared.name!r}",
            "a median needs one at least",
            "leave the feature out, or give rows that have it",
        )
    seen = (present.min(), *np.percentile(present, PERCENTILES), present.max())
    low, p01, median, p99, high = (float(value) for value in seen)
    return Feature(declared.name, declared.unit, low, p01, p99, high, median)
