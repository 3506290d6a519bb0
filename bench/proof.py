"""Conversion and proof beside the bare converter, the bare interpreter and the model itself.

Five million rows of the rain network go through ``ggml_magic.validate``, receipt included; beside
it stand what no proof can do without: the source model in large batches through one traced
function, a bare interpreter loop in the runtime's environment, and the rows written and read once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figure import Figure

ROWS = 5_000_000
# all five are of issue 3
PROOF_RATIO = 1.5
PROOF_ALLOWANCE_SECONDS = 0.5
KERNEL_GROWTH_MB = 200.0
BATCHING_RATIO = 40.0
CONVERSION_RATIO = 1.5
ENVIRONMENT_SECONDS = 0.2

# One process stands for the kernel: it describes, converts twice and proves.
KERNEL = """
import json, sys, time
from pathlib import Path
import numpy as np, keras, tensorflow as tf
import ggml_magic

count, folder = int(sys.argv[1]), Path(sys.argv[2])
random = np.random.default_rng(3)

def network(seed):
    random = np.random.default_rng(seed)
    scaler = keras.layers.Normalization(mean=[1013, 12, 65], variance=[64, 81, 400])
    scaler.build((None, 3))
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")])
    for layer in net.layers:
        layer.set_weights([random.normal(size=w.shape) for w in layer.get_weights()])
    return scaler, net

def rows_of(count):
    rows = random.standard_normal((count, 3), dtype="float32")
    rows *= np.float32([8, 9, 20])
    rows += np.float32([1013, 12, 65])
    return rows

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(l for l in lines if l.startswith(name)).split()[1]) * 1024

def describe(name, stages):
    return ggml_magic.model(name, *stages, inputs=rows_of(2000), decide=">= 0.5",
                            features="pressure:hPa,temperature:degC,humidity:%")

def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin

figures = {}
first, second = network(1), network(2)
described = describe("first", first), describe("rain", second)
ggml_magic.convert("first")
figures["convert"] = seconds(lambda: ggml_magic.convert("rain"))

def bare(model):
    tf.lite.TFLiteConverter.from_saved_model(str(model.saved_model)).convert()

bare(described[0])
figures["bare_convert"] = min(seconds(lambda: bare(described[1])) for _ in range(3))

rows = rows_of(count)
chain = tf.function(lambda x: second[1](second[0](x), training=False),
                    input_signature=[tf.TensorSpec((None, 3), tf.float32)])

def source():
    out = np.empty((count, 1), "float32")
    for at in range(0, count, 65536):
        out[at:at + 65536] = chain(tf.constant(rows[at:at + 65536])).numpy()

def store():
    np.save(folder / "rows.npy", rows)
    assert np.load(folder / "rows.npy").shape == rows.shape

ggml_magic.validate("rain", inputs=rows[:50_000], max_flips="0.1%")  # the environment is there
source()
figures["source"] = seconds(source)
figures["store"] = seconds(store)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = status("VmRSS")
figures["validate"] = seconds(
    lambda: ggml_magic.validate("rain", inputs=rows, max_flips="0.1%"))
figures["growth"] = status("VmHWM") - before
figures["file"] = str(next(described[1].folder.rglob("float32.tflite")))
print(json.dumps(figures))
"""

# In the runtime's own environment: the interpreter with nothing around it.
BARE = """
import json, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
rows = np.load(sys.argv[2])
def loop(step, count):
    interpreter = Interpreter(sys.argv[1], num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, [step, rows.shape[1]])
    interpreter.allocate_tensors()
    out = interpreter.get_output_details()[0]["index"]
    answers = np.empty((count, 1), "float32")
    begin = time.perf_counter()
    for at in range(0, count - step + 1, step):
        interpreter.set_tensor(index, rows[at:at + step])
        interpreter.invoke()
        answers[at:at + step] = interpreter.get_tensor(out)
    return (time.perf_counter() - begin) / count
loop(4096, 40960)
print(json.dumps({"batch": loop(4096, len(rows)) * len(rows), "row": loop(1, 200_000) * len(rows)}))
"""


def figures(folder: Path) -> list[Figure]:
    """Describes, converts and proves in a workspace of its own under ``folder``."""
    from ggml_magic.runtimes import runtime as runtimes

    environment = runtimes.environment(runtimes.get())
    again = runtimes.environment(runtimes.get())
    with tempfile.TemporaryDirectory(dir=folder) as place:
        kernel = _json(
            [sys.executable, "-c", KERNEL, str(ROWS), place],
            {**os.environ, "GGML_WORKSPACE": str(Path(place) / ".ggml")},
        )
        rows = Path(place) / "rows.npy"
        bare = _json([str(environment.python), "-c", BARE, str(kernel["file"]), str(rows)])
        edge = _edge_seconds(Path(str(kernel["file"])), rows, Path(place))
    return [
        _conversion(float(kernel["convert"]), float(kernel["bare_convert"])),
        _proof(kernel, float(bare["batch"])),
        _growth(float(kernel["growth"]) / 1e6),
        _batching(edge, float(bare["row"])),
        _environment(again.seconds),
    ]


def _edge_seconds(model: Path, rows: Path, folder: Path) -> float:
    """Seconds that the edge half's own loop took: rows from a file in, outputs to a file."""
    from ggml_magic.runtimes import runtime as runtimes

    with runtimes.start(runtimes.get(), model, rows, folder) as running:
        run = running.wait()
    if run.bulk_seconds is None:
        raise RuntimeError("a native run measures itself")
    return run.bulk_seconds


def _json(command: list[str], variables: dict[str, str] | None = None) -> dict[str, object]:
    ran = subprocess.run(
        command, env=variables, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _conversion(ours: float, bare: float) -> Figure:
    return Figure(
        "second conversion, child warm",
        f"{ours:.2f} s",
        f"bare converter {bare:.2f} s",
        f"{ours / bare:.2f} x",
        f"{CONVERSION_RATIO} x",
        ours <= CONVERSION_RATIO * bare,
    )


def _proof(kernel: dict[str, object], edge: float) -> Figure:
    ours, source, store = (float(str(kernel[name])) for name in ("validate", "source", "store"))
    parts = source + edge + store
    return Figure(
        f"proof of {ROWS:,} rows",
        f"{ours:.2f} s",
        f"source {source:.2f} + edge {edge:.2f} + file {store:.2f} s",
        f"{(ours - PROOF_ALLOWANCE_SECONDS) / parts:.2f} x + {PROOF_ALLOWANCE_SECONDS} s",
        f"{PROOF_RATIO} x + {PROOF_ALLOWANCE_SECONDS} s",
        ours <= PROOF_RATIO * parts + PROOF_ALLOWANCE_SECONDS,
    )


def _growth(megabytes: float) -> Figure:
    return Figure(
        "the kernel's memory in that proof",
        f"{megabytes:+.0f} MB",
        "its memory before",
        f"{megabytes:+.0f} MB",
        f"+{KERNEL_GROWTH_MB:.0f} MB",
        megabytes < KERNEL_GROWTH_MB,
    )


def _batching(ours: float, row_by_row: float) -> Figure:
    return Figure(
        "the edge half of it alone",
        f"{ours:.3f} s",
        f"bare interpreter, row by row {row_by_row:.2f} s",
        f"{row_by_row / ours:.0f} x faster",
        f"{BATCHING_RATIO:.0f} x",
        ours * BATCHING_RATIO <= row_by_row,
    )


def _environment(seconds: float) -> Figure:
    return Figure(
        "a runtime's environment, again",
        f"{seconds * 1000:.1f} ms",
        "building it takes some 10 s",
        f"{seconds * 1000:.1f} ms",
        f"{ENVIRONMENT_SECONDS * 1000:.0f} ms",
        seconds < ENVIRONMENT_SECONDS,
    )
