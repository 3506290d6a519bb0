"""What one step of float32 does to the live chain's answers is measured, not supposed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ggml_magic.model.rounding import moved

pytestmark = pytest.mark.real

ROWS = np.random.default_rng(0).normal([12, 1013], [9, 8], size=(200, 2)).astype(np.float32)


def test_a_step_is_carried_through_the_scaler() -> None:
    scaler = StandardScaler().fit(ROWS)
    steps = moved([scaler], ROWS)
    expected = np.spacing(ROWS) / scaler.scale_
    np.testing.assert_allclose(steps.outputs, expected, rtol=0.2, atol=5e-7)
    assert steps.feature == 1 and steps.again == 0


def test_what_is_between_the_stages_rounds_too_and_so_do_a_pipelines_parts() -> None:
    scaler = StandardScaler().fit(np.log1p(np.abs(ROWS)))
    stages = [np.abs, np.log1p, scaler]
    alone = moved([scaler], np.log1p(np.abs(ROWS))).outputs
    assert (moved(stages, ROWS).outputs >= alone * 0.99).all() and alone[:, 1].min() > 2e-5
    functions = (FunctionTransformer(np.abs), FunctionTransformer(np.log1p))
    pipeline = make_pipeline(*functions, StandardScaler()).fit(ROWS)
    assert (moved([pipeline], ROWS).outputs[:, 1] > 2e-5).all()


def test_what_is_random_is_seen() -> None:
    random = np.random.default_rng(0)
    assert moved([lambda x: x + random.normal(size=x.shape)], ROWS).again > 0.1
