"""How far the rounding of float32 between the stages moves the live chain's answers.

A logarithm of 1,000 that is standardised by a spread of 0.01 turns one step of float32 into 4e-5:
two right ways to compute it differ by that much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.model import scikit
from ggml_magic.model.stages import answers


@dataclass(frozen=True)
class Moved:
    """What one step of float32 does to answers (N, K).

    ``outputs`` (N, K) is the sum of what it does in each value that a stage takes; ``feature`` the
    index of the feature whose step moves an answer most; ``again`` how far the answers to the
    same rows are apart, called twice: not 0 where something random is in a stage.
    """

    outputs: Rows
    feature: int
    again: float


def moved(stages: Sequence[Any], rows: Rows) -> Moved:
    """Ask the live chain with each value of rows (N, F), and between the stages, a step further.

    A pipeline's parts count as stages: each rounds.
    """
    stages = [part for stage in stages for part in scikit.parts(stage)]
    plain = answers(stages, rows)
    again = float(np.abs(answers(stages, rows) - plain).max())
    total = np.zeros_like(plain)
    by_feature: list[float] = []
    given = rows
    for i, stage in enumerate(stages):
        for column in range(given.shape[1]):
            further = np.array(given)
            further[:, column] = np.nextafter(given[:, column], np.float32(np.inf))
            step = np.abs(answers(stages[i:], further) - plain)
            total += step
            if i == 0:
                by_feature.append(float(step.max()))
        given = answers([stage], given)
    return Moved(total, int(np.argmax(by_feature)), again)
