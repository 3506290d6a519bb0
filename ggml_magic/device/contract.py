"""The feature contract and the decision rule, the same code in the notebook and on the device.

A contract names the features in order, with units and the range seen in training. A decision
turns the network's outputs into an answer: a threshold, the best of named classes, or the
value itself. A policy says what a missing reading is: refused, or the training's median.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

FORMAT = 2
DTYPE = "float32"
Missing = Literal["reject", "median"]
MISSING: tuple[Missing, ...] = ("reject", "median")
# beyond it a reading would reach the network as infinity
FLOAT32_MAX = float(np.finfo(np.float32).max)


class ContractBreachError(ValueError):
    """A reading that the contract refuses; the text says which feature and why."""


@dataclass(frozen=True)
class Feature:
    """One input: its name, unit (as written by the user), and what training saw of it.

    The range is of the rows that had a value: extremes, 1st and 99th percentile, median.
    """

    name: str
    unit: str
    minimum: float
    p01: float
    p99: float
    maximum: float
    median: float


@dataclass(frozen=True)
class Decision:
    """How outputs of shape (N, K) become answers.

    ``threshold``: K = 1, the answer is 1 where the output is at least ``at``, else 0.
    ``argmax``: the answer is the name of the largest of K outputs; ``classes`` names them.
    ``value``: K = 1, the answer is the output itself; where ``tolerance`` is given, another
    answer may differ from it by as much, in the answer's own unit.
    """

    rule: Literal["threshold", "argmax", "value"]
    at: float = 0.5
    classes: tuple[str, ...] = ()
    tolerance: float | None = None

    def answers(self, outputs: Rows) -> npt.NDArray[Any]:
        """One answer a row: ints for a threshold, class names, or floats."""
        if self.rule == "threshold":
            reached: npt.NDArray[np.bool_] = outputs[:, 0] >= np.float32(self.at)
            return reached.astype(np.int64)
        if self.rule == "argmax":
            classes: npt.NDArray[Any] = np.asarray(self.classes, dtype=object)
            best: npt.NDArray[Any] = classes[outputs.argmax(axis=1)]
            return best
        return outputs[:, 0].astype(np.float64)

    def confidence(self, outputs: Rows) -> npt.NDArray[np.float64] | None:
        """The output behind each answer; None for ``value``, which is its own."""
        if self.rule == "value":
            return None
        column = outputs[:, 0] if self.rule == "threshold" else outputs.max(axis=1)
        return column.astype(np.float64)

    def outputs_needed(self) -> int:
        """How many outputs (K) the network must have."""
        return len(self.classes) if self.rule == "argmax" else 1

    def __str__(self) -> str:
        if self.rule == "threshold":
            return f">= {self.at:g}"
        if self.rule == "argmax":
            return f"argmax of {', '.join(self.classes)}"
        return "the value" if self.tolerance is None else f"the value within {self.tolerance:g}"


@dataclass(frozen=True)
class Contract:
    """What goes into a model and what its outputs mean.

    ``missing`` says what a missing value is: ``reject`` refuses the reading, ``median`` answers
    it with the feature's median in training.
    """

    features: tuple[Feature, ...]
    decision: Decision
    missing: Missing = "reject"

    @property
    def dtype(self) -> str:
        """The kind of number that the network takes and gives."""
        return DTYPE

    @property
    def shape(self) -> tuple[int]:
        """The shape of one row, (F,)."""
        return (len(self.features),)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names in the network's order."""
        return tuple(feature.name for feature in self.features)

    def row(self, reading: dict[str, Any]) -> Rows:
        """A reading as a row of shape (1, F), float32.

        Raises ``ContractBreachError`` for text and infinity, and for a missing feature or NaN
        unless the policy is ``median``. A reading may hold other keys beside the features.
        """
        values = [self._number(reading, feature) for feature in self.features]
        return np.asarray([values], dtype=np.float32)

    def filled(self, rows: Rows) -> Rows:
        """Rows (N, F) as the policy has them: under ``median`` each NaN is the feature's median.

        Infinity stays, and under ``reject`` NaN too. Rows that need nothing come back themselves.
        """
        if self.missing != "median":
            return rows
        filled = rows
        for i, feature in enumerate(self.features):
            absent = np.isnan(rows[:, i])
            if absent.any():
                filled = filled.copy() if filled is rows else filled
                filled[absent, i] = feature.median
        return filled

    def outside(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which values lie outside the range seen in training, shape (N, F)."""
        low = np.asarray([feature.minimum for feature in self.features], dtype=np.float32)
        high = np.asarray([feature.maximum for feature in self.features], dtype=np.float32)
        return (rows < low) | (rows > high)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; ``from_dict`` reads them back."""
        return {
            "format": FORMAT,
            "dtype": self.dtype,
            "shape": list(self.shape),
            **asdict(self),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Contract:
        """A contract from ``to_dict``'s values.

        Raises ``ContractBreachError`` for another format, and where dtype or shape are not those
        of the features.
        """
        if values.get("format") != FORMAT:
            raise ContractBreachError(f"contract format {values.get('format')!r} is not {FORMAT}")
        decision = {**values["decision"], "classes": tuple(values["decision"]["classes"])}
        contract = cls(
            tuple(Feature(**feature) for feature in values["features"]),
            Decision(**decision),
            values["missing"],
        )
        told = values["dtype"], tuple(values["shape"]), contract.missing in MISSING
        if told != (contract.dtype, contract.shape, True):
            raise ContractBreachError(
                f"the contract says {values['dtype']} rows of shape {tuple(values['shape'])}, "
                f"missing {contract.missing!r}: not what {len(contract.features)} features are"
            )
        return contract

    @classmethod
    def read(cls, path: Path) -> Contract:
        """A contract from a JSON file."""
        return cls.from_dict(json.loads(path.read_text()))

    def _number(self, reading: dict[str, Any], feature: Feature) -> float:
        name, fills = feature.name, self.missing == "median"
        value = reading.get(name)
        if fills and (value is None or _is_nan(value)):
            return feature.median
        if name not in reading:
            raise ContractBreachError(f"the reading has no {name!r}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ContractBreachError(f"{name!r} is {value!r}, not a number")
        if not abs(value) <= FLOAT32_MAX:  # so that NaN fails too
            shown = value if isinstance(value, float) else "too large an integer"
            raise ContractBreachError(f"{name!r} is {shown}, not a finite float32")
        return float(value)


def _is_nan(value: object) -> bool:
    """Whether it is the float NaN, which alone differs from itself."""
    return isinstance(value, float) and value != value
