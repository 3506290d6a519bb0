"""Golden vectors: rows whose proven outputs travel with the component to the device."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ggml_magic.device.contract import Contract, Decision, Rows
from ggml_magic.model.decide import codes
from ggml_magic.validate.compare import CHUNK_ROWS, Places, chunks, margins

# At least 50 are wanted; 64 leave room for those that two reasons choose.
GOLDEN_ROWS = 64
# Rows of the model's own sample stand in where few rows were given: more than are needed, since
# those near the boundary are left out.
SPARE_ROWS = 2 * GOLDEN_ROWS
NEAREST = 16
OF_EACH_ANSWER = 8
# A runtime's quantised answer is another version's two steps (RUNTIMES 5).
STEPS_OFF = 2
# So many rows show two neighbouring answers of the 256 that int8 has.
STEP_ROWS = 2_000
# float32 keeps a multiple of a step whole to some thousandths.
WHOLE = 0.05
# Extremes are taken of so many features, evenly spaced: of hundreds they would be a data set.
WIDEST = 32
# Every combination of low and high of so many features is 16 rows.
MOST_COMBINED = 4


def corners(contract: Contract) -> Rows:
    """Rows (C, F) at the corners of the contract, whether the data has such rows or not.

    All features at their minimum, 1%, median, 99% and maximum; each at its minimum and maximum
    with the others at the median; of few features every combination of 1% and 99%.
    """
    low, p01, median, p99, high = (
        np.asarray([getattr(feature, name) for feature in contract.features], dtype=np.float32)
        for name in ("minimum", "p01", "median", "p99", "maximum")
    )
    wanted = [low, p01, median, p99, high]
    for place in _spaced(len(median), WIDEST):
        for end in (low, high):
            row = median.copy()
            row[place] = end[place]
            wanted.append(row)
    if len(median) <= MOST_COMBINED:
        wanted += [np.where(ends, p99, p01) for ends in product((False, True), repeat=len(median))]
    found: Rows = np.unique(np.asarray(wanted, dtype=np.float32), axis=0)
    return found


def extras(contract: Contract, sample: Rows) -> Rows:
    """Rows (E, F) that run beside the given ones: the corners, then spaced ones of the sample."""
    return np.concatenate([corners(contract), sample[_spaced(len(sample), SPARE_ROWS)]])


def golden(
    contract: Contract,
    rows: Rows,
    edge: Rows,
    extra: Rows,
    extra_outputs: Rows,
    *,
    tolerance: float,
    rounding: float,
) -> dict[str, Any] | None:
    """Rows (M, F) with the outputs (M, K) that the proven file gave, as JSON values.

    Chosen are the extremes of each feature, rows of each answer, rows near the boundary of the
    decision, evenly spaced ones up to ``GOLDEN_ROWS``, and the contract's corners; where these
    are fewer than ``GOLDEN_ROWS``, rows of the model's sample too. Each row is there once.
    ``extra_outputs`` are the file's to ``extras``. ``tolerance`` is what a device's output may
    be off, and ``rounding`` that of float32, whose last bits differ between processors
    (RUNTIMES 5); the tolerance is never below it. None where no output is a number.
    """
    decision = contract.decision
    seen = np.concatenate([edge[_spaced(len(edge), STEP_ROWS)], extra_outputs])
    unsure = max(rounding, STEPS_OFF * step(seen))
    best = best_of(decision, rows, edge, unsure)
    inputs = np.concatenate([rows[best], extra])
    outputs = np.concatenate([edge[best], extra_outputs])
    steady = np.isfinite(outputs).all(axis=1)
    sure = steady & (margins(decision, outputs) > unsure)
    kept = _each_once(inputs, np.flatnonzero(sure if sure.any() else steady))
    if not len(kept):
        return None
    kept = _filled_up(kept, len(best) + len(corners(contract)))
    return {
        "rows": inputs[kept].astype(np.float64).tolist(),
        "outputs": outputs[kept].astype(np.float64).tolist(),
        "tolerance": max(tolerance, rounding),
    }


def _each_once(inputs: Rows, places: Places) -> Places:
    """The places, in order, of rows that no earlier one of them equals."""
    _, first = np.unique(inputs[places], axis=0, return_index=True)
    return places[np.sort(first)]


def _filled_up(places: Places, wanted: int) -> Places:
    """All places below ``wanted``, and as many of the spare ones as make ``GOLDEN_ROWS``."""
    own, spare = places[places < wanted], places[places >= wanted]
    room = max(GOLDEN_ROWS - len(own), 0)
    return np.concatenate([own, spare[_spaced(len(spare), room)]])


def best_of(
    decision: Decision, rows: Rows, edge: Rows, rounding: float, chunk_rows: int = CHUNK_ROWS
) -> Places:
    """The places of the golden rows among any number of them.

    The best of each chunk, and of these the best.
    """
    found = [
        part.start + choose(decision, np.asarray(rows[part]), np.asarray(edge[part]), rounding)
        for part in chunks(len(rows), chunk_rows)
    ]
    places = np.concatenate(found)
    if len(found) == 1:
        return places
    return places[choose(decision, rows[places], edge[places], rounding)]


def choose(decision: Decision, rows: Rows, outputs: Rows, rounding: float) -> Places:
    """The places of the golden rows, in order and each once.

    A row within ``rounding`` of the boundary is left out, and one without a number for an
    answer: another processor may decide it otherwise and still be right.
    """
    margin = margins(decision, outputs)
    steady = np.flatnonzero((margin > rounding) & np.isfinite(outputs).all(axis=1))
    if len(steady) == 0:
        steady = np.arange(len(rows))
    columns = [rows[:, place].take(steady) for place in _spaced(rows.shape[1], WIDEST)]
    wanted = [
        *(column.argmin() for column in columns),
        *(column.argmax() for column in columns),
        *_smallest(margin.take(steady), NEAREST),
        *_of_each_answer(decision, outputs.take(steady, axis=0)),
    ]
    chosen = np.zeros(len(rows), dtype=np.bool_)
    chosen[steady[np.asarray(wanted)]] = True
    rest = steady[~chosen[steady]]
    chosen[rest[_spaced(len(rest), max(GOLDEN_ROWS - int(chosen.sum()), 0))]] = True
    return np.flatnonzero(chosen)


def _smallest(values: Any, count: int) -> Places:
    if len(values) <= count:
        return np.arange(len(values))
    return np.argpartition(values, count)[:count]


def _of_each_answer(decision: Decision, outputs: Rows) -> list[int]:
    if decision.rule == "value":
        return [int(outputs[:, 0].argmin()), int(outputs[:, 0].argmax())]
    answers = codes(decision, outputs)
    places: list[int] = []
    for answer in np.flatnonzero(np.bincount(answers)):
        of_it = np.flatnonzero(answers == answer)
        places += of_it[_spaced(len(of_it), OF_EACH_ANSWER)].tolist()
    return places


def step(outputs: Rows) -> float:
    """The step of quantised outputs (N, K), 0 where they are continuous.

    All outputs of a quantised file are whole numbers of steps.
    """
    values = np.unique(outputs[np.isfinite(outputs)].astype(np.float64))
    if len(values) <= 1:
        return 0.0
    smallest = float(np.diff(values).min())
    multiples = values / smallest
    whole = np.abs(multiples - multiples.round()).max() < WHOLE
    return smallest if whole else 0.0


def _spaced(count: int, wanted: int) -> Places:
    """At most ``wanted`` places out of ``count``, evenly spaced."""
    places = np.linspace(0, max(count - 1, 0), min(wanted, count))
    return np.asarray(places.round(), dtype=np.intp)
