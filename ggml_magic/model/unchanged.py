"""Whether a model's live stages still answer as they did when they were described."""

from __future__ import annotations

import numpy as np

from ggml_magic.errors import NotYetError
from ggml_magic.model.graph import PARITY_BOUND
from ggml_magic.model.model import EdgeModel
from ggml_magic.model.stages import answers


def check_unchanged(model: EdgeModel) -> None:
    """Raise ``NotYetError`` where the notebook trained on since the model was described.

    What was exported then holds the old weights. A model without live stages passes: nothing of
    it can have changed.
    """
    if not model.stages or model.ready is not None:
        return
    sample, described = model.sample()
    now = answers(model.stages, sample)
    moved = np.abs(now - described) / np.maximum(1.0, np.abs(described))
    if not float(moved.max()) <= PARITY_BOUND:  # so that NaN fails too
        raise NotYetError(
            f"the stages of {model.name} have changed since they were described",
            "they were trained on, and what is in the workspace holds the old weights",
            f"run the cell of %ggml model {model.name} again, then %ggml convert {model.name}",
        )
