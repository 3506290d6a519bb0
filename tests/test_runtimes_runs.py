from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from edge import environment, wait_for, write_model

from ggml_magic.errors import EdgeRuntimeError, GrammarError
from ggml_magic.runtimes import runtime
from ggml_magic.runtimes.kinds import PinnedRuntime
from ggml_magic.runtimes.limits import MEBIBYTE, Limits
from ggml_magic.runtimes.litert import LITERT

pytestmark = pytest.mark.real

ROWS = np.zeros((50, 2), np.float32)
# Adapters as another package would bring them. SEES answers with what its process sees.
SEES = """
import os, resource, sys
import numpy as np
class Sees:
    features, width, step = 2, 4, 16
    def __init__(self, path, module):
        assert module == "any"
        self.module = module
    def outputs(self, rows):
        memory = resource.getrlimit(resource.RLIMIT_AS)[0]
        threads = int(os.environ["OPENBLAS_NUM_THREADS"])
        seen = [len(os.sched_getaffinity(0)), memory / 2**20, threads, hasattr(self, "module")]
        return np.tile(np.float32(seen), (len(rows), 1))
load = Sees
"""
ENDS = """
import os, signal
def load(path, module):
    {how}
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


@pytest.fixture
def model(python: Path, tmp_path: Path) -> Path:
    return write_model(python, tmp_path / "m.tflite", [[1.0, 2.0]], [0.0])


def adapted(folder: Path, code: str) -> PinnedRuntime:
    """The environment that there is, with an adapter of one's own."""
    (folder / "of_another_package.py").write_text(code)
    return replace(LITERT, module="any", adapter="of_another_package", adapters=folder)


def test_a_model_is_run_and_measured_as_a_device_would(model: Path) -> None:
    run = runtime.run(runtime.get(), model, ROWS)
    assert (run.outputs == 0.5).all()
    assert (run.runtime, run.version) == ("ai-edge-litert", LITERT.version)
    assert (run.architecture, run.emulated) == (os.uname().machine, False)
    row = run.row_microseconds_p50, run.row_microseconds_p95, run.row_microseconds_p99
    batch = run.batch_microseconds_p50, run.batch_microseconds_p95, run.batch_microseconds_p99
    for p50, p95, p99 in (row, batch):
        assert p50 is not None and p95 is not None and p99 is not None
        assert 0 < p50 <= p95 <= p99 < 1e6
    assert run.batch_rows == 4096
    # a batch costs far less than its rows one by one: about 140 times (RUNTIMES 3)
    assert batch[0] is not None and row[0] is not None and batch[0] < 4096 * row[0] / 10
    assert run.load_seconds is not None and 0 < run.load_seconds < 10
    # Python with numpy and the runtime is about 40 MB (RUNTIMES 6); TensorFlow would be 500
    assert run.peak_bytes is not None and 20e6 < run.peak_bytes < 80e6


def test_rows_and_outputs_are_files_and_the_run_is_under_way_meanwhile(
    model: Path, tmp_path: Path
) -> None:
    rows = np.random.default_rng(1).normal(size=(20_000, 2)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    with runtime.start(LITERT, model, tmp_path / "rows.npy", tmp_path) as first:
        second = runtime.start(LITERT, model, tmp_path / "rows.npy", tmp_path)
        runs = [first.wait(), second.wait()]
    for run in runs:
        assert isinstance(run.outputs, np.memmap) and run.outputs.shape == (20_000, 1)
        expected = 1 / (1 + np.exp(-(rows @ np.float32([[1], [2]]))))
        np.testing.assert_allclose(run.outputs, expected, atol=1e-6)
    assert runs[0].outputs.filename != runs[1].outputs.filename


def test_a_large_set_goes_through_in_batches(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((1_000_000, 2), np.float32))
    with runtime.start(LITERT, model, tmp_path / "rows.npy", tmp_path) as running:
        run = running.wait()
    assert run.bulk_seconds is not None and run.row_microseconds_p50 is not None
    # issue 3 wants 40 times; a busy machine gets some room
    assert run.bulk_seconds < 1_000_000 * run.row_microseconds_p50 / 1e6 / 10


def test_the_environment_is_the_lock_and_not_the_notebooks(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('of the notebook')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert (runtime.run(LITERT, model, ROWS).outputs == 0.5).all()


def test_a_runtime_of_another_package_brings_its_adapter_and_sees_its_limits(
    python: Path, tmp_path: Path
) -> None:
    limits = Limits(cpus=1, memory_bytes=512 * MEBIBYTE)
    run = runtime.run(adapted(tmp_path, SEES), tmp_path, ROWS, limits=limits)
    assert run.batch_rows == 16 and run.outputs.shape == (50, 4)
    cpus, memory, threads, module = run.outputs[0]
    assert (cpus, threads, module) == (1, 1, 1)
    # the maps of the rows and of the outputs are not the model's
    assert 512 <= memory < 513
    unlimited = runtime.run(adapted(tmp_path, SEES), tmp_path, ROWS).outputs[0]
    assert unlimited[0] == len(os.sched_getaffinity(0)) and unlimited[1] != memory


@pytest.mark.parametrize(
    ("how", "limits", "why"),
    [
        ("signal.pause()", Limits(seconds=0.5), r"made no progress for 0\.5 s"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Limits(), "the process died of SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", Limits(), "the system killed the process"),
        ("raise ValueError('of two\\n    lines')", Limits(), "m: of two lines$"),
        ("raise KeyError('odd')", Limits(), "m: KeyError: 'odd'$"),
        ("os._exit(7)", Limits(), "it ended with exit code 7"),
    ],
)
def test_each_way_to_end_is_one_sentence(
    python: Path, tmp_path: Path, how: str, limits: Limits, why: str
) -> None:
    broken = adapted(tmp_path, ENDS.format(how=how))
    with pytest.raises(EdgeRuntimeError) as caught:
        runtime.run(broken, tmp_path / "m", ROWS, limits=limits)
    said = str(caught.value).split("\nNext:")[0]
    assert re.search(why, said) and "\n" not in said
    assert caught.value.remedy.startswith("%ggml")


@pytest.mark.parametrize("megabytes", [1, 16, 64])
def test_too_little_memory_is_told_whatever_it_breaks(model: Path, megabytes: int) -> None:
    """1 MiB does not even start Python; 64 MiB break while the runtime is imported."""
    limits = Limits(memory_bytes=megabytes * MEBIBYTE)
    with pytest.raises(EdgeRuntimeError, match=f"{megabytes} MiB of address space are too few"):
        runtime.run(LITERT, model, ROWS, limits=limits)


def test_what_runs_without_the_limit_on_memory_failed_for_want_of_it(
    python: Path, tmp_path: Path
) -> None:
    """LiteRT says ``failed to create XNNPACK runtime`` and more, which could mean anything."""
    limited = "if resource.getrlimit(resource.RLIMIT_AS)[0] != -1: raise RuntimeError('odd')"
    few = Limits(memory_bytes=512 * MEBIBYTE)
    wanting = adapted(tmp_path, SEES.replace("self.module = module", limited))
    with pytest.raises(EdgeRuntimeError, match="512 MiB of address space are too few"):
        runtime.run(wanting, tmp_path, ROWS, limits=few)
    broken = adapted(tmp_path, ENDS.format(how="raise RuntimeError('odd')"))
    with pytest.raises(EdgeRuntimeError, match="RuntimeError: odd"):
        runtime.run(broken, tmp_path, ROWS, limits=few)


def test_a_small_model_runs_in_what_a_small_device_has(model: Path, tmp_path: Path) -> None:
    # the rows alone are 160 MB, and no part of what the model needs
    np.save(tmp_path / "rows.npy", np.zeros((20_000_000, 2), np.float32))
    limits = Limits(cpus=1, memory_bytes=256 * MEBIBYTE)
    with runtime.start(LITERT, model, tmp_path / "rows.npy", tmp_path, limits=limits) as running:
        assert len(running.wait().outputs) == 20_000_000


def test_a_run_that_is_stopped_leaves_nothing_running(python: Path, tmp_path: Path) -> None:
    hanging = adapted(
        tmp_path, ENDS.format(how=f"open({str(tmp_path / 'on')!r}, 'w'); signal.pause()")
    )
    np.save(tmp_path / "rows.npy", ROWS)
    before = time.monotonic()
    with runtime.start(hanging, tmp_path, tmp_path / "rows.npy", tmp_path) as running:
        wait_for((tmp_path / "on").exists)
    assert time.monotonic() - before < 20
    assert not [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(process.info["cmdline"] or [])
    ]
    with pytest.raises(EdgeRuntimeError, match="killed"):
        running.wait()


def test_the_remedy_names_the_model_of_the_workspace(tmp_path: Path, python: Path) -> None:
    model = tmp_path / "models" / "rain" / "abc" / "candidates" / "float32.tflite"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"no model at all, but long enough to look at")
    with pytest.raises(EdgeRuntimeError) as caught:
        runtime.run(LITERT, model, ROWS)
    assert caught.value.remedy == "%ggml convert rain"


def test_a_machine_that_there_is_not_is_told_so(model: Path) -> None:
    with pytest.raises(GrammarError, match=r"no architecture is called 'sparc'.*native"):
        runtime.run(LITERT, model, ROWS, arch="sparc")
    with pytest.raises(GrammarError, match=r"no wheels for armv7l.*x86_64, aarch64"):
        runtime.run(LITERT, model, ROWS, arch="armv7l")


def test_an_emulator_s_memory_is_no_model_s(model: Path) -> None:
    limits = runtime.Limits(memory_bytes=512_000_000)
    with pytest.raises(GrammarError, match="memory cannot be limited for aarch64"):
        runtime.run(LITERT, model, ROWS, arch="aarch64", limits=limits)
