"""The stages as verbs, on a real model: what each hands on, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggml_magic.errors import GateError, GgmlError, InferenceCodeError, NotYetError
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


# each option at a value that cannot be, and what only its own reader says of it
IMPOSSIBLE = [
    (stages.package, {"runtime": "abacus"}, "'abacus'"),
    (stages.package, {"force": ""}, "no reason"),
    (stages.package, {"interval": -1.0}, "above 0"),
    (stages.validate, {"inputs": ROWS, "labels": [0]}, "1 label"),
    (stages.validate, {"inputs": ROWS, "units": "pressure:kg"}, "kg"),
    (stages.validate, {"inputs": ROWS, "max_flips": "often"}, "'often'"),
    (stages.validate, {"inputs": ROWS, "tolerance": -1.0}, "-1.0"),
    (stages.validate, {"inputs": ROWS, "runtime": "abacus"}, "'abacus'"),
    (stages.validate, {"inputs": ROWS, "arch": "armv7l"}, "no wheels for armv7l"),
    (stages.validate, {"inputs": ROWS, "cpus": 4096.0}, "4096 cpus"),
    (stages.validate, {"inputs": ROWS, "memory": "much"}, "--memory"),
    (stages.validate, {"inputs": ROWS, "memory": "32MB"}, "memory"),
    (stages.validate, {"inputs": ROWS, "max_latency_p95": "1us"}, "1 µs"),
    (stages.validate, {"inputs": ROWS, "max_memory": "1MB"}, "1.0 MB is allowed"),
    (stages.validate, {"inputs": ROWS, "max_size": "1KB"}, "1,000 B is allowed"),
    (stages.convert, {"quantize": "int8", "representative": ROWS[:5]}, "5 rows, and 100"),
    (stages.convert, {"quantize": "auto", "runtime": "abacus"}, "'abacus'"),
    (stages.convert, {"quantize": "auto", "max_flips": "often"}, "'often'"),
    (stages.convert, {"file": "gone.tflite"}, "gone.tflite"),
    (stages.profile, {"inputs": ROWS, "variants": "int7"}, "int7"),
    (stages.profile, {"inputs": ROWS, "runtimes": "abacus"}, "abacus"),
    (stages.profile, {"inputs": ROWS, "arch": "sparc"}, "sparc"),
    (stages.profile, {"inputs": ROWS, "cpus": 4096.0}, "4096 cpus"),
    (stages.profile, {"inputs": ROWS, "memory": "much"}, "--memory"),
    (stages.profile, {"inputs": ROWS, "units": "pressure:kg"}, "kg"),
    (stages.profile, {"inputs": ROWS, "labels": [0]}, "1 label"),
]


@pytest.mark.real
def test_each_option_reaches_its_room(proven: Workspace) -> None:
    for verb, options, said in IMPOSSIBLE:
        with pytest.raises(GgmlError) as caught:
            verb("rain", **options)
        assert said in str(caught.value), (options, str(caught.value))


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
