"""What could be wrong between a file, its rows and a model: each mistake as its own undoing.

Whoever has a suspicion about a file or about rows finds here the change of the rows, or of the
outputs, that would undo it. Nothing is run here and nothing is judged: ``suspects`` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations, product
from typing import TYPE_CHECKING

import numpy as np

from ggml_magic.device.contract import Contract, Decision, Feature, Rows

if TYPE_CHECKING:
    from ggml_magic.model.scaling import Scaling

# 4 features have 23 other orders; 5 would have 119, of which people make the plain ones.
ALL_ORDERS_UP_TO = 4
# The swaps of 32 features; beyond, only neighbours are swapped.
MOST_SWAPS = 500
# Two units wrong at once, as in imperial readings; three are somebody else's table.
MOST_PAIRS = 100
# The simplest cause first: where two explain the same, the lower number is named.
SCALER, ONE_UNIT, CUT_OFF, OUTPUT, SWAP, ORDER, TWO_UNITS = range(7)
TWO_MOVED = 2
DIGITS = 6

# float32 holds 7 digits
SAME = 1e-6

Change = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Hypothesis:
    """One mistake: its ``kind``, how simple it is, and the ``change`` that undoes it.

    ``change`` takes rows (N, F), or outputs (N, K) where the outputs are suspected; ``says`` is
    the begin of a sentence that ends with what the change did.
    """

    kind: str
    rank: int
    change: Change
    says: str
    remedy: str


def of_the_file(contract: Contract, scaling: Scaling | None, name: str) -> tuple[Hypothesis, ...]:
    """What a file may take instead of the contract's rows; ``change`` gives it that."""
    remedy = f"%ggml convert {name} --quantize none"
    found = []
    if scaling is not None and all(scaling.scale):  # a factor of 0 has no way back
        found += [
            Hypothesis(
                "scaler missing",
                SCALER,
                scaling.forward,
                "The file has no scaler: with rows scaled before it,",
                remedy,
            ),
            Hypothesis(
                "scaler twice",
                SCALER,
                scaling.inverse,
                "The file scales twice: with one scaling taken back before it,",
                remedy,
            ),
        ]
    for unit in _units(contract):
        found.append(
            Hypothesis(
                "unit",
                unit.rank,
                unit.to_other,
                f"The file takes {unit.named}: with {unit.sum_to_other},",
                remedy,
            )
        )
    for order in _orders(contract.names):
        names = ", ".join(contract.names[place] for place in order)
        found.append(
            Hypothesis(
                "order",
                _rank(order),
                _columns(order),
                f"The file takes the features in the order {names}: given so,",
                remedy,
            )
        )
    return tuple(found)


def of_the_rows(contract: Contract, scaling: Scaling | None, name: str) -> tuple[Hypothesis, ...]:
    """What rows may hold instead of the contract's; ``change`` makes them the contract's."""
    again = f"%ggml validate {name} --inputs X_test"
    found = []
    if scaling is not None and all(scaling.scale):
        found += [
            Hypothesis(
                "already scaled",
                SCALER,
                scaling.inverse,
                "The rows are scaled already, and the model scales them again: unscaled,",
                f"{again} (the rows as they were before the scaler)",
            ),
            Hypothesis(
                "scaled twice",
                SCALER,
                lambda rows: scaling.inverse(scaling.inverse(rows)),
                "The rows are scaled twice, and the model scales them again: unscaled,",
                f"{again} (the rows as they were before the scaler)",
            ),
        ]
    for unit in _units(contract):
        found.append(
            Hypothesis(
                "unit of the rows",
                unit.rank,
                unit.from_other,
                f"The rows give {unit.named}: with {unit.sum_from_other},",
                f"{again} --units {unit.option}",
            )
        )
    for order in _orders(contract.names):
        names = ", ".join(contract.names[place] for place in order)
        back = [order.index(place) for place in range(len(order))]
        found.append(
            Hypothesis(
                "order of the rows",
                _rank(order),
                _columns(back),
                f"The rows' columns are {names}: put in order,",
                f"X_test = X_test[:, {back}], then {again}",
            )
        )
    return tuple(found)


def of_the_outputs(
    decision: Decision, source: Rows, edge: Rows, name: str
) -> tuple[Hypothesis, ...]:
    """What a file may answer instead of the model's outputs (N, K); ``change`` undoes it."""
    remedy = f"%ggml convert {name} --quantize none"
    if decision.rule == "threshold":
        return (
            Hypothesis(
                "inverted output",
                OUTPUT,
                lambda outputs: 1 - outputs,
                "The file answers 1 - p instead of p: turned round,",
                remedy,
            ),
            Hypothesis(
                "logits",
                OUTPUT,
                _sigmoid,
                "The file has no sigmoid at its end: with one,",
                remedy,
            ),
        )
    order = _best_match(source, edge) if decision.rule == "argmax" else None
    if order is None:
        return ()
    classes = [""] * len(order)
    for at, place in enumerate(order):
        classes[place] = decision.classes[at]
    return (
        Hypothesis(
            "order of the classes",
            OUTPUT,
            _columns(order),
            f"The file answers the classes in the order {', '.join(classes)}: put in order,",
            remedy,
        ),
    )


def changing(hypotheses: Sequence[Hypothesis], rows: Rows) -> list[Hypothesis]:
    """Those that change these rows at all: mbar are hPa, and a scaler may do nothing."""
    return [h for h in hypotheses if not np.allclose(h.change(rows), rows, rtol=SAME, atol=0)]


@dataclass(frozen=True)
class _Unit:
    """One feature in another unit: contract = other * scale + offset."""

    place: int
    feature: Feature
    other: str
    scale: float
    offset: float


@dataclass(frozen=True)
class _Units:
    """One or two features in other units."""

    units: tuple[_Unit, ...]

    @property
    def rank(self) -> int:
        return ONE_UNIT if len(self.units) == 1 else TWO_UNITS

    @property
    def named(self) -> str:
        return " and ".join(f"{unit.feature.name} in {unit.other}" for unit in self.units)

    @property
    def option(self) -> str:
        return ",".join(f"{unit.feature.name}:{unit.other}" for unit in self.units)

    @property
    def sum_to_other(self) -> str:
        sums = [
            _sum(unit.feature.name, 1 / unit.scale, -unit.offset / unit.scale)
            for unit in self.units
        ]
        return " and ".join(sums)

    @property
    def sum_from_other(self) -> str:
        return " and ".join(_sum(u.feature.name, u.scale, u.offset) for u in self.units)

    def to_other(self, rows: Rows) -> Rows:
        changed = rows.astype(np.float64)
        for unit in self.units:
            changed[:, unit.place] = (changed[:, unit.place] - unit.offset) / unit.scale
        return changed.astype(np.float32)

    def from_other(self, rows: Rows) -> Rows:
        changed = rows.astype(np.float64)
        for unit in self.units:
            changed[:, unit.place] = changed[:, unit.place] * unit.scale + unit.offset
        return changed.astype(np.float32)


def _units(contract: Contract) -> Iterator[_Units]:
    """Each feature in each unit that people confuse with its own, then pairs of them."""
    # pint takes a while to import, and a proof that passes never needs it
    from ggml_magic.model.units import confusable

    ones = [
        [_Unit(place, feature, *other) for other in confusable(feature.unit)]
        for place, feature in enumerate(contract.features)
        if feature.unit
    ]
    yield from (_Units((unit,)) for units in ones for unit in units)
    pairs = (pair for a, b in combinations(ones, 2) for pair in product(a, b))
    yield from (_Units(pair) for pair, _ in zip(pairs, range(MOST_PAIRS), strict=False))


def _sum(name: str, scale: float, offset: float) -> str:
    times = "" if np.isclose(scale, 1) else f" x {scale:.{DIGITS}g}"
    plus = f" {'-' if offset < 0 else '+'} {abs(offset):.{DIGITS}g}" if offset else ""
    return f"{name}{times}{plus}"


def _orders(names: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Other orders of the features, each once: place i of the order holds feature ``order[i]``."""
    count = len(names)
    own = tuple(range(count))
    if count <= ALL_ORDERS_UP_TO:
        yield from (order for order in permutations(own) if order != own)
        return
    # by name, as JSON and data bases sort columns, and turned round
    plain = [tuple(sorted(own, key=lambda place: names[place])), own[::-1]]
    swaps = list(combinations(own, 2))
    if len(swaps) > MOST_SWAPS:
        swaps = list(pairwise(own))
    yield from dict.fromkeys(
        order for order in (*plain, *(_swapped(own, *pair) for pair in swaps)) if order != own
    )


def _swapped(own: tuple[int, ...], one: int, other: int) -> tuple[int, ...]:
    order = list(own)
    order[one], order[other] = order[other], order[one]
    return tuple(order)


def _rank(order: Sequence[int]) -> int:
    moved = sum(place != at for at, place in enumerate(order))
    return SWAP if moved == TWO_MOVED else ORDER


def _columns(order: Sequence[int]) -> Change:
    places = list(order)
    return lambda rows: np.ascontiguousarray(rows[:, places])


def _sigmoid(outputs: Rows) -> Rows:
    with np.errstate(over="ignore"):
        result: Rows = (1 / (1 + np.exp(-outputs.astype(np.float64)))).astype(np.float32)
    return result


def _best_match(source: Rows, edge: Rows) -> tuple[int, ...] | None:
    """Which of the edge's outputs is nearest to each of the source's; None if that is no order."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(source[:, :, None] - edge[:, None, :]).mean(axis=0)
    if not np.isfinite(apart).all():
        return None
    order = tuple(int(place) for place in apart.argmin(axis=1))
    own = tuple(range(len(order)))
    return None if order == own or sorted(order) != list(own) else order
