"""The stages as verbs, on a real model: what each hands on, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import GateError, InferenceCodeError, NotYetError
from ggml_magic.headless import receipts
from ggml_magic.verbs import run as running
from ggml_magic.verbs import stages
from ggml_magic.workspace import Workspace

CODE = "def read(context):\n    return context.shadow()\n"
ROWS = np.random.default_rng(1).normal([1013, 12, 65], [8, 9, 20], (50, 3)).astype("float32")


def test_the_default_code_is_shown_as_it_is() -> None:
    shown = stages.DeviceCode("rain", "if a < b:\n    pass\n", own=False)
    assert str(shown).splitlines()[1:] == ["  if a < b:", "      pass"]
    assert "<pre>if a &lt; b:" in shown._repr_html_()


def test_your_own_code_is_named_and_not_repeated() -> None:
    code = f"def write(result, context): ...\n{CODE}def helper(): ...\n"
    shown = stages.DeviceCode("rain", code, own=True)
    assert str(shown) == "rain: the device runs your own read, write"


def test_each_stage_says_which_comes_before(workspace: Workspace) -> None:
    for verb, options in (
        (stages.convert, {}),
        (stages.validate, {"inputs": ROWS}),
        (stages.inference, {}),
        (stages.package, {}),
    ):
        with pytest.raises(NotYetError, match="there is no model 'rain'"):
            verb("rain", **options)
    assert [receipt.status for receipt in receipts.read(workspace)] == ["failed"] * 4


@pytest.mark.real
def test_code_is_stored_shown_and_refused(proven: Workspace) -> None:
    default = stages.inference("rain")
    assert not default.own
    assert "def read" in default.code
    assert stages.inference("rain", code=CODE).own
    with pytest.raises(InferenceCodeError, match="line 1"):
        stages.inference("rain", code="def raed(context): ...")
    assert stages.inference("rain").code == CODE


@pytest.mark.real
def test_a_model_of_the_disk_is_proven_and_packaged(proven: Workspace) -> None:
    report = stages.validate("rain", inputs=ROWS)
    assert (report.passed, report.rows) == (True, 50)
    first, again = stages.package("rain"), stages.package("rain")
    assert first.root.version == again.root.version == "1.0.0"
    assert stages.package("rain", interval=0.5).root.version == "1.0.1"
    packaged = [each for each in receipts.read(proven) if each.verb == "package"]
    assert packaged[0].outputs_sha256 == packaged[1].outputs_sha256
    assert packaged[0].outputs_sha256 != packaged[2].outputs_sha256


@pytest.mark.real
def test_without_a_passing_proof_nothing_is_packaged(proven: Workspace) -> None:
    # no output differs by less than nothing: this gate cannot be passed
    with pytest.raises(GateError):
        stages.validate("rain", inputs=ROWS, tolerance=1e-12)
    with pytest.raises(GateError):
        stages.package("rain")


def scaler_and_network() -> tuple[Any, Any]:
    import keras

    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    scaler = keras.layers.Normalization(mean=[1013, 12, 65], variance=[64, 81, 400])
    scaler.build((None, 3))
    return scaler, network


@pytest.mark.real
def test_live_stages_are_those_of_the_last_description(workspace: Workspace) -> None:
    scaler, network = scaler_and_network()
    edge = stages.model(
        "rain", scaler, network, features="pressure,temperature,humidity", inputs=ROWS
    )
    assert running.described[workspace.root, "rain"] is edge
    with pytest.raises(NotYetError, match="was not converted"):
        stages.validate("rain", inputs=ROWS)
    network.layers[-1].set_weights([np.ones((3, 1)), np.ones(1)])
    # another process described it meanwhile: the live stages are not its stages any more
    other = stages.model(
        "rain", scaler, network, features=["pressure", "temperature", "humidity"], inputs=ROWS
    )
    assert other.contract.names == edge.contract.names
    assert other.sha256 != edge.sha256
    running.described[workspace.root, "rain"] = edge
    assert running.Run("validate", workspace).model("rain").stages == ()
