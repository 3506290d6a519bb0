from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ggml_magic.device import measure
from ggml_magic.device.measure import Task, answer, peak_bytes

FOREVER = 3600.0


class Doubling:
    """A model that doubles its rows, at most three at a time."""

    features, width, step = 2, 2, 3

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        self.sizes.append(len(rows))
        return 2 * rows


@pytest.fixture(autouse=True)
def _no_alarm() -> Iterator[None]:
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_all_rows_go_to_the_file_in_steps(tmp_path: Path, count: int) -> None:
    rows = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    model = Doubling()
    answer(model, rows, tmp_path / "outputs.npy", FOREVER)
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), 2 * rows)
    assert max(model.sizes) <= 3 and sum(model.sizes) == count


def test_the_clock_is_wound_as_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wound: list[float] = []
    monkeypatch.setattr(measure, "_wind", wound.append)
    rows = np.zeros((3 * measure.ROWS_A_LAP, 2), np.float32)
    answer(Doubling(), rows, tmp_path / "outputs.npy", 9.0)
    assert len(wound) >= 3 and set(wound) == {9.0}


def test_winding_sets_the_clock_that_ends_the_process() -> None:
    measure._wind(FOREVER)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    assert FOREVER - 60 < left <= FOREVER


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left on device"):
        answer(Doubling(), np.zeros((5, 2), np.float32), tmp_path / "outputs.npy", FOREVER)


def test_few_rows_are_repeated_to_time_a_whole_batch() -> None:
    rows = np.arange(4, dtype=np.float32).reshape(2, 2)
    assert measure._repeated(rows, 5).tolist() == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]
    assert measure._repeated(rows, 1).tolist() == [[0, 1]]
    assert not len(measure._repeated(rows[:0], 5))


def test_the_peak_is_what_the_system_says_of_this_process() -> None:
    status = Path("/proc/self/status").read_text()
    assert peak_bytes() >= int(status.split("VmHWM:")[1].split()[0]) * 1024 > 1_000_000


def test_an_unlimited_process_stays_so() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    measure._widen(1 << 20)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.mark.real
def test_the_peak_is_the_childs_own_though_its_parent_holds_much(tmp_path: Path) -> None:
    """``ru_maxrss`` would be the parent's: 651 MB were told of a 38 MB process (RUNTIMES 6)."""
    held = bytearray(os.urandom(1 << 20)) * 400
    code = "from ggml_magic.device.measure import peak_bytes; print(peak_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(held)


@pytest.mark.real
def test_figures_are_of_every_kind_and_failures_one_line(tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text(
        "class Doubling:\n"
        "    features, width, step = 2, 2, 3\n"
        "    def outputs(self, rows):\n"
        "        return 2 * rows\n"
        "def load(path, module):\n"
        "    return Doubling()\n"
    )
    np.save(tmp_path / "rows.npy", np.ones((7, 2), np.float32))
    files = [str(tmp_path / name) for name in ("m", "rows.npy", "outputs.npy", "figures.json")]

    def run(adapter: str) -> subprocess.CompletedProcess[str]:
        task = Task(adapter, "any", *files, FOREVER)
        command = [sys.executable, "-m", "ggml_magic.device.measure", json.dumps(vars(task))]
        variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, env=variables)

    assert run("doubling").returncode == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["batch_rows"] == 3 and figures["machine"] == os.uname().machine
    numbers = {name for name in figures if name != "machine"}
    assert {"load_seconds", "row_microseconds_p99", "batch_microseconds_p99"} < numbers
    assert all(figures[name] >= 0 for name in numbers)
    failed = run("nowhere")
    assert failed.returncode == 1
    assert failed.stderr == "ModuleNotFoundError: No module named 'nowhere'\n"
