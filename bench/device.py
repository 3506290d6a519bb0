"""The device's process beside the seeds' way, and how soon a deployment predicts.

The seeds' way is a process that loads the two SavedModels with TensorFlow (seed 004). Ours is
the real component on a core of the sandbox. Memory is ``VmHWM`` of a freshly executed process:
``getrusage`` would report the parent's (RUNTIMES 6).
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from bench.figure import Figure
from ggml_magic.cloud.connect import Cloud, sandbox_maker

THING = "bench-pi"
COMPONENT = "com.example.Rain.Inference"
READING = {"pressure": 1002.0, "temperature": 11.5, "humidity": 93.0}
SHARE_LIMIT = 9  # issue 2: at most 1/9 of the seeds' way
UPDATE_SECONDS, NOTHING_SECONDS = 2.0, 0.3  # issue 4
DEPLOY_SECONDS = 5.0  # issue 2, with the device's environment already built
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.01

MODEL = """
import sys
from pathlib import Path
import numpy as np, keras
import ggml_magic
random = np.random.default_rng(int(sys.argv[2]))
rows = random.normal([1013, 12, 65], [8, 9, 20], (2000, 3)).astype("float32")
scaler = keras.Sequential([keras.Input((3,)), keras.layers.Normalization(
    mean=[1013, 12, 65], variance=[64, 81, 400])])
network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(16, activation="relu"),
    keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")])
for layer in network.layers:
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
for name, model in (("standardiser", scaler), ("rain_predictor", network)):
    model.export(Path(sys.argv[1]) / name, verbose=False)
ggml_magic.model("rain", scaler, network, inputs=rows,
                 features="pressure:hPa,temperature:degC,humidity:%", decide=">= 0.5")
ggml_magic.convert("rain")
ggml_magic.validate("rain", inputs=rows)
"""

SEEDS_WAY = """
import sys, time
from pathlib import Path
import tensorflow as tf
folder = Path(sys.argv[1])
standardiser = tf.saved_model.load(str(folder / "standardiser"))
predictor = tf.saved_model.load(str(folder / "rain_predictor"))
first, second = (m.signatures["serving_default"] for m in (standardiser, predictor))
row = tf.constant([[float(v) for v in sys.argv[2:5]]])
(standard,) = first(row).values()
(answer,) = second(standard).values()
answer.numpy()
done = time.time()
peak = next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]
print(done, int(peak) * 1024)
"""


def figures(folder: Path) -> list[Figure]:
    """Deploys a model twice on a sandbox in ``folder`` and measures the second time."""
    os.environ["GGML_WORKSPACE"] = str(folder / ".ggml")
    import ggml_magic
    from ggml_magic import settings, workspace
    from ggml_magic.cloud.connect import connect

    here = workspace.find()
    try:
        ggml_magic.sandbox("core", THING)
        cloud = connect(settings.load(here), here)
        cloud.things.update_shadow(THING, READING)
        _deployed(folder, seed=1)  # builds the device's environment
        seconds = _deployed(folder, seed=2)
        update, nothing = _update_seconds(cloud), _nothing_seconds(cloud)
        process = _device_process()
        born, memory = process.create_time(), _peak_bytes(process.pid)
        first = _first_answer(here.root / "cores" / THING / "logs" / f"{COMPONENT}.log", born)
    finally:
        ggml_magic.sandbox("stop")
    seeds_first, seeds_memory = _seeds_way(folder)
    return [
        _share("device: peak memory", memory / 1e6, seeds_memory / 1e6, "MB"),
        _share("device: start to first prediction", first, seeds_first, "s"),
        Figure(
            "deploy to first prediction",
            f"{seconds:.2f} s",
            f"device's own start {first:.2f} s",
            f"{seconds / first:.1f} x",
            f"{DEPLOY_SECONDS:.0f} s",
            seconds <= DEPLOY_SECONDS,
        ),
        _within("a new model, CreateDeployment to RUNNING", update, UPDATE_SECONDS),
        _within("a deployment that changes nothing, decided", nothing, NOTHING_SECONDS),
    ]


def _within(name: str, seconds: float, limit: float) -> Figure:
    return Figure(
        name, f"{seconds:.2f} s", "the sandbox's own times", "", f"{limit} s", seconds < limit
    )


def _update_seconds(cloud: Cloud) -> float:
    """From the newest deployment's creation to its component's RUNNING, by the sandbox's clock."""
    (created, _), greengrass = _latest(cloud), _greengrass(cloud)
    for found in greengrass.list_installed_components(coreDeviceThingName=THING)[
        "installedComponents"
    ]:
        if found["componentName"] == COMPONENT and found["lifecycleState"] == "RUNNING":
            return float((found["lastStatusChangeTimestamp"] - created).total_seconds())
    raise RuntimeError(f"{COMPONENT} does not run")


def _nothing_seconds(cloud: Cloud) -> float:
    """From the creation of a deployment like the last one until its device said how it ended."""
    greengrass = _greengrass(cloud)
    _, deployment = _latest(cloud)
    last = greengrass.get_deployment(deploymentId=deployment)
    again = greengrass.create_deployment(
        targetArn=last["targetArn"], components=last["components"]
    )["deploymentId"]

    def ended() -> bool:
        return bool(_effective(cloud, again).get("coreDeviceExecutionStatus") == "SUCCEEDED")

    _wait(ended, "the end of a deployment that changes nothing")
    found = _effective(cloud, again)
    return float((found["modifiedTimestamp"] - found["creationTimestamp"]).total_seconds())


def _greengrass(cloud: Cloud) -> Any:
    return sandbox_maker(cloud.endpoint or "", cloud.region)("greengrassv2")


def _latest(cloud: Cloud) -> tuple[datetime, str]:
    """When the newest deployment was created, and which it is."""
    greengrass = _greengrass(cloud)
    newest = max(
        greengrass.list_deployments()["deployments"], key=lambda each: each["creationTimestamp"]
    )
    return newest["creationTimestamp"], newest["deploymentId"]


def _effective(cloud: Cloud, deployment: str) -> dict[str, Any]:
    greengrass = _greengrass(cloud)
    found = greengrass.list_effective_deployments(coreDeviceThingName=THING)
    return next(
        (each for each in found["effectiveDeployments"] if each["deploymentId"] == deployment), {}
    )


def _share(name: str, ours: float, seeds: float, unit: str) -> Figure:
    return Figure(
        name,
        f"{ours:.2f} {unit}",
        f"TensorFlow, two SavedModels {seeds:.2f} {unit}",
        f"1/{seeds / ours:.1f}",
        f"1/{SHARE_LIMIT}",
        ours * SHARE_LIMIT <= seeds,
    )


def _deployed(folder: Path, seed: int) -> float:
    """Seconds from ``deploy`` to the new version's first prediction in the cloud's shadow."""
    import ggml_magic
    from ggml_magic import settings, workspace
    from ggml_magic.cloud.connect import connect

    subprocess.run(
        [sys.executable, "-c", MODEL, str(folder / f"seeds-{seed}"), str(seed)],
        check=True,
        capture_output=True,
    )
    version = ggml_magic.package("rain", interval=0.2).root.version
    here = workspace.find()
    cloud = connect(settings.load(here), here)
    begin = time.monotonic()
    ggml_magic.deploy("rain", to=f"thing/{THING}")

    def predicted() -> bool:
        reported: dict[str, Any] = dict(cloud.things.shadow(THING).reported)
        return reported.get("rain_version") == version and "rain_prediction" in reported

    _wait(predicted, "the first prediction")
    return time.monotonic() - begin


def _device_process() -> psutil.Process:
    """The component's process: the only one of this user that runs the harness for our core."""

    def found() -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["cmdline", "environ"]):
            command, variables = process.info["cmdline"], process.info["environ"] or {}
            if (
                command
                and command[-1] == "device.harness"
                and variables.get("AWS_IOT_THING_NAME") == THING
            ):
                yield process

    (process,) = found()
    return process


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    if match is None:
        raise RuntimeError(f"process {pid} has no VmHWM")
    return int(match[1]) * 1024


def _first_answer(log: Path, born: float) -> float:
    """Seconds from a process's start to the log line of its first answer."""
    from ggml_magic.core.logs import last_lines

    for line in last_lines(log, sys.maxsize):
        moment = datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()
        if moment > born and "pressure " in line:
            return moment - born
    raise RuntimeError(f"{log.name} holds no answer")


def _seeds_way(folder: Path) -> tuple[float, int]:
    """Seconds to the first prediction, and peak bytes, of the seeds' Lambda without its SDK."""
    values = [str(value) for value in READING.values()]
    begin = time.time()
    ran = subprocess.run(
        [sys.executable, "-c", SEEDS_WAY, str(folder / "seeds-2"), *values],
        check=True,
        capture_output=True,
        text=True,
    )
    done, peak = ran.stdout.split()
    return float(done) - begin, int(peak)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {PATIENCE_SECONDS:.0f} s")
        with contextlib.suppress(InterruptedError):
            time.sleep(POLL_SECONDS)
