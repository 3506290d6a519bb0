"""Why a proof fails: causes that were tried, each named only if undoing it ends the failure.

Two families. The file disagrees with the notebook's model (``disagreement``): another order of
features, another unit, a scaler too few or too many, inputs cut off, outputs turned round. Or
both agree and are wrong (``doubt``): the rows are in another order or unit, or scaled already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.errors import GgmlError
from ggml_magic.validate import disagreement, doubt
from ggml_magic.validate.question import Ask, Question, Suspect

__all__ = ["Question", "Suspect", "find"]

MOST_SUSPECTS = 3


def find(question: Question) -> tuple[Suspect, ...]:
    """The causes that explain the failure, at most three, best first; none when nothing does.

    An error of the two callables is not raised: the verdict stands without a cause.
    """
    split = disagreement.split(question)
    doubted = doubt.doubt(question, agreed=split is None)
    to_file = [] if split is None else [h.change(split.rows) for h in split.hypotheses]
    cuts = [] if split is None else split.cuts()
    of_rows = [] if doubted is None else doubted.hypotheses()
    to_model = [] if question.labels is None else [h.change(question.rows) for h in of_rows]
    to_model += [] if split is None else [h.change(split.rows) for h in cuts]
    edges, sources = _asked(question.answers, to_file), _asked(question.sources, to_model)
    by_rows, by_cut = sources[: -len(cuts) or None], sources[len(sources) - len(cuts) :]
    found: list[Suspect] = []
    if doubted is not None:
        found += doubted.named(of_rows, by_rows)
    if split is not None:
        verdicts = [*split.by_file(edges), *split.by_cut(cuts, by_cut), *split.by_output()]
        found += split.named(verdicts) or split.signature(edges)
    return tuple(found[:MOST_SUSPECTS])


def _asked(ask: Ask, inputs: Sequence[Rows]) -> list[Rows]:
    """The answers to each of the inputs, from one call: each starts a process."""
    if not inputs:
        return []
    try:
        outputs = ask(np.concatenate(inputs))
    except GgmlError:  # a limit that the proof's own rows kept; its verdict is what counts
        return []
    return np.split(outputs, np.cumsum([len(rows) for rows in inputs])[:-1])
