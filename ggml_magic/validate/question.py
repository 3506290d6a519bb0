"""What is known of a failure when its cause is asked for, and a cause as it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ggml_magic.device.contract import Contract, Rows

if TYPE_CHECKING:
    from ggml_magic.model.scaling import Scaling

Ask = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Question:
    """What is known of a failure: rows (N, F) with both sides' outputs (N, K), flips first.

    ``answers`` runs the edge file and ``sources`` the notebook's model; each is called at most
    once. ``labels`` are N answers of the decision or None; ``input_range`` what the first
    quantised tensor of the input can hold, and ``range_behind`` the operators before that tensor:
    with none, the range is one of raw rows. ``tolerance`` in units of the output; ``name`` is the
    model's, for the remedies; ``flips`` how many there are in all, of which these may be a part.
    """

    contract: Contract
    scaling: Scaling | None
    rows: Rows
    source: Rows
    edge: Rows
    answers: Ask
    sources: Ask
    labels: npt.NDArray[Any] | None
    input_range: tuple[float, float] | None
    tolerance: float
    name: str = "NAME"
    flips: int | None = None
    range_behind: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suspect:
    """A cause: what it is in one sentence, the next command, and what undoing it changed.

    ``before`` and ``after`` count flips; wrong answers, or rows outside the training range,
    where the rows themselves are suspected.
    """

    kind: str
    sentence: str
    remedy: str
    before: int
    after: int
