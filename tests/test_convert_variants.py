"""Each variant against the source, on the rain network, in the runtime of the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained import DEVIATIONS, MEANS, RAIN_ROWS, rain, rain_stages

from ggml_magic.convert.scaler import scaler, stayed
from ggml_magic.convert.variants import (
    CALIBRATION_BATCH,
    DYNAMIC,
    FLOAT16,
    FLOAT32,
    INT8,
    INT16X8,
    MADE,
    SPLIT,
    NothingToSplitError,
    content,
)
from ggml_magic.device.contract import Rows
from ggml_magic.model.graph import export, fuse
from ggml_magic.model.model import EdgeModel
from ggml_magic.model.training import tensorflow
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.workspace import Workspace

# the converter warns of its own quantiser's statistics (RUNTIMES 1)
pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore::UserWarning")]
# what RUNTIMES 3 and PEERS 0.2 measured, with room for another network
WORST = {FLOAT32: 1e-6, FLOAT16: 3e-3, DYNAMIC: 1e-6, INT8: 0.3, INT16X8: 0.3, SPLIT: 0.03}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EdgeModel:
    return rain(Workspace(tmp_path_factory.mktemp("variants") / ".ggml"))


@pytest.fixture(scope="module")
def made(model: EdgeModel) -> dict[str, bytes]:
    step = CALIBRATION_BATCH
    return {v: content(str(model.saved_model), v, RAIN_ROWS, step=step) for v in MADE}


@pytest.fixture(scope="module")
def differences(
    made: dict[str, bytes], model: EdgeModel, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Rows]:
    rows, source = model.sample()
    found = {}
    for variant, file in made.items():
        path = tmp_path_factory.mktemp("files") / f"{variant}.tflite"
        path.write_bytes(file)
        outputs = runtimes.run(runtimes.get(), path, rows).outputs
        assert outputs.shape == source.shape and outputs.dtype == np.float32
        found[variant] = np.abs(outputs - source)
    return found


@pytest.mark.parametrize("variant", MADE)
def test_it_takes_and_gives_float32_and_answers_as_the_source(
    differences: dict[str, Rows], variant: str
) -> None:
    assert differences[variant].max() <= WORST[variant]


def test_a_scaler_in_float_answers_better_than_all_in_int8(
    differences: dict[str, Rows], made: dict[str, bytes]
) -> None:
    assert differences[SPLIT].max() < differences[INT8].max() / 3
    assert differences[SPLIT].mean() < differences[INT8].mean() / 3
    names = scaler(made[FLOAT32])
    assert len(names) == 2  # subtract the mean, multiply by the deviation
    assert stayed(made[SPLIT], made[FLOAT32], names)
    assert not stayed(made[INT8], made[FLOAT32], names)


def test_without_a_scaler_there_is_nothing_to_split(tmp_path: Path) -> None:
    export(fuse(rain_stages(4)[1:], 3), tmp_path / "saved")
    with pytest.raises(NothingToSplitError, match="nothing to split"):
        content(str(tmp_path / "saved"), SPLIT, RAIN_ROWS, step=CALIBRATION_BATCH)


def test_a_scaler_that_was_quantised_all_the_same_is_refused(
    model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TensorFlow that does not heed the list of what to leave in float: it is experimental."""
    lite = tensorflow().lite.experimental
    options = lite.QuantizationDebugOptions
    monkeypatch.setattr(lite, "QuantizationDebugOptions", lambda denylisted_nodes: options())
    with pytest.raises(NothingToSplitError, match="did not leave the scaler as it is"):
        content(str(model.saved_model), SPLIT, RAIN_ROWS, step=CALIBRATION_BATCH)


def test_a_scaler_that_asks_is_split_as_well(tmp_path: Path) -> None:
    """Its bool is no float32, and stays what it is."""

    def scale(rows: Any) -> Any:
        tf = tensorflow()
        return tf.where(rows > 0.0, (rows - MEANS) / DEVIATIONS, 0.0)

    export(fuse([scale, *rain_stages(4)[1:]], 3), tmp_path / "saved")
    made = content(str(tmp_path / "saved"), SPLIT, RAIN_ROWS, step=CALIBRATION_BATCH)
    assert made[4:8] == b"TFL3"


def test_float32_is_the_same_each_time(made: dict[str, bytes], model: EdgeModel) -> None:
    assert content(str(model.saved_model), FLOAT32, None, step=1) == made[FLOAT32]
