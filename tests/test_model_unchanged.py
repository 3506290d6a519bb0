"""Live stages that were trained on are told apart from those that were described."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ggml_magic.errors import NotYetError
from ggml_magic.model.model import describe
from ggml_magic.model.training import tensorflow
from ggml_magic.model.unchanged import check_unchanged
from ggml_magic.workspace import Workspace

ROWS = np.random.default_rng(3).normal(size=(200, 2)).astype("float32")


@pytest.mark.real
def test_stages_that_changed_are_refused(workspace: Workspace) -> None:
    tf = tensorflow()
    weights = tf.Variable([[0.5], [-0.25]])
    stage = [lambda x: tf.sigmoid(x @ weights)]
    model = describe(workspace, "rain", stage, features="a,b", inputs=ROWS)
    check_unchanged(model)
    weights.assign([[0.5], [-0.26]])
    with pytest.raises(NotYetError, match="have changed since they were described"):
        check_unchanged(model)
    weights.assign([[0.5], [float("nan")]])
    with pytest.raises(NotYetError):
        check_unchanged(model)
    # one from the disk has no stages that could have changed
    check_unchanged(replace(model, stages=()))
