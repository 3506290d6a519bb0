"""Small models with weights from a seed: no training, and the same in each run."""

from __future__ import annotations

from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.model.model import EdgeModel, describe
from ggml_magic.workspace import Workspace

MEANS, DEVIATIONS = [1013.0, 12.0, 65.0], [8.0, 9.0, 20.0]
RAIN_FEATURES = "pressure:hPa,temperature:degC,humidity:%"
RAIN_ROWS: Rows = np.random.default_rng(1).normal(MEANS, DEVIATIONS, (600, 3)).astype(np.float32)
STEPS, VALUES = 4, 3
SERIES: Rows = np.random.default_rng(2).normal(size=(200, STEPS * VALUES)).astype(np.float32)


def rain_stages(units: int) -> list[Any]:
    """A scaler and a network of two hidden layers of so many units."""
    import keras

    keras.utils.set_random_seed(1)
    scaler = keras.layers.Normalization(mean=MEANS, variance=np.square(DEVIATIONS))
    scaler.build((None, 3))
    layers = keras.layers
    hidden = [layers.Dense(units, activation="relu") for _ in range(2)]
    network = [keras.Input((3,)), *hidden, layers.Dense(1, activation="sigmoid")]
    return [scaler, keras.Sequential(network)]


def rain(workspace: Workspace, units: int = 16, name: str = "rain") -> EdgeModel:
    """The rain model, described."""
    return describe(workspace, name, rain_stages(units), features=RAIN_FEATURES, inputs=RAIN_ROWS)


def recurrent(workspace: Workspace) -> EdgeModel:
    """A model with an LSTM layer, described."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((STEPS * VALUES,)),
            layers.Reshape((STEPS, VALUES)),
            layers.LSTM(16),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    names = [f"f{i}" for i in range(STEPS * VALUES)]
    return describe(workspace, "gust", [network], features=names, inputs=SERIES)
