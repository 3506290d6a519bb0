"""Golden vectors: rows whose proven outputs travel with the component to the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_magic.convert.child import FLOAT32
from ggml_magic.convert.convert import tolerance as variant_tolerance
from ggml_magic.device.contract import Decision, Rows
from ggml_magic.validate.compare import margins

# At least 50 are wanted; 64 leave room for those that two reasons choose.
GOLDEN_ROWS = 64
NEAREST = 16
OF_EACH_ANSWER = 8

Places = npt.NDArray[np.intp]


def golden(decision: Decision, rows: Rows, edge: Rows, tolerance: float) -> dict[str, Any]:
    """Rows (M, F) with the outputs (M, K) that the proven file gave, as JSON values.

    Chosen are the extremes of each feature, rows of each answer, rows near the boundary of the
    decision, and evenly spaced ones up to ``GOLDEN_ROWS``. ``tolerance`` is never below that of
    float32, whose last bits differ between processors (RUNTIMES 5).
    """
    rounding = variant_tolerance(FLOAT32, edge)
    places = choose(decision, rows, edge, rounding)
    return {
        "rows": rows[places].astype(np.float64).tolist(),
        "outputs": edge[places].astype(np.float64).tolist(),
        "tolerance": max(tolerance, rounding),
    }


def choose(decision: Decision, rows: Rows, outputs: Rows, rounding: float) -> Places:
    """The places of the golden rows, in order and each once.

    A row within ``rounding`` of the boundary is left out: another processor may decide it
    otherwise and still be right.
    """
    margin = margins(decision, outputs)
    steady = np.flatnonzero(margin > rounding)
    if len(steady) == 0:
        steady = np.arange(len(rows))
    wanted = [
        *rows[steady].argmin(axis=0),
        *rows[steady].argmax(axis=0),
        *margin[steady].argsort(kind="stable")[:NEAREST],
        *_of_each_answer(decision, outputs[steady]),
    ]
    chosen = set(steady[np.asarray(wanted)].tolist())
    rest = np.asarray([place for place in steady if place not in chosen], dtype=np.intp)
    missing = min(max(GOLDEN_ROWS - len(chosen), 0), len(rest))
    chosen |= set(rest[_spaced(len(rest), missing)].tolist())
    return np.asarray(sorted(chosen), dtype=np.intp)


def _of_each_answer(decision: Decision, outputs: Rows) -> list[int]:
    if decision.rule == "value":
        return [int(outputs[:, 0].argmin()), int(outputs[:, 0].argmax())]
    answers = decision.answers(outputs).astype(str)
    places = []
    for answer in np.unique(answers):
        of_it = np.flatnonzero(answers == answer)
        places += of_it[_spaced(len(of_it), min(OF_EACH_ANSWER, len(of_it)))].tolist()
    return places


def _spaced(count: int, wanted: int) -> Places:
    """``wanted`` places out of ``count``, evenly spaced."""
    places: Places = np.linspace(0, max(count - 1, 0), wanted).round().astype(np.intp)
    return places
