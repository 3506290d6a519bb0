"""The warm child of a process, with TensorFlow in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from trained import RAIN_ROWS, rain

from ggml_magic.convert import worker as room
from ggml_magic.convert.process import Limits
from ggml_magic.convert.worker import Worker
from ggml_magic.errors import ConversionError, MissingExtraError
from ggml_magic.model.model import EdgeModel
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real
GONE_SECONDS = 3.0  # TensorFlow's import takes longer: it is broken off
NOTHING = {"task": "inspect", "files": []}


@pytest.fixture
def model(workspace: Workspace) -> Iterator[EdgeModel]:
    yield rain(workspace)
    room.end()


def ask(worker: Worker, log: Path) -> int | None:
    outcome = worker.ask(NOTHING, log, Limits())
    assert outcome.response == {"reports": {}, "done": True}
    return worker.pid


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.end()


def test_one_child_answers_all_threads(worker: Worker, tmp_path: Path) -> None:
    pids: list[int | None] = []
    threads = [
        threading.Thread(target=lambda i=i: pids.append(ask(worker, tmp_path / f"log{i}")))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 4 and len(set(pids)) == 1 and pids[0] is not None


def test_after_a_kill_another_is_started(worker: Worker, tmp_path: Path) -> None:
    first = ask(worker, tmp_path / "log")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first)], timeout=GONE_SECONDS)
    second = ask(worker, tmp_path / "log")
    assert second not in (None, first)


def test_it_ends_when_it_is_idle_and_another_comes(tmp_path: Path) -> None:
    worker = Worker(idle_seconds=0.2)
    first = ask(worker, tmp_path / "log")
    if first is not None:
        psutil.wait_procs([psutil.Process(first)], timeout=10)
    assert worker.pid is None
    assert ask(worker, tmp_path / "log") != first
    worker.end()


def test_a_forked_copy_starts_its_own(worker: Worker, tmp_path: Path) -> None:
    first = ask(worker, tmp_path / "log")
    copy = os.fork()
    if not copy:
        worker.forget()
        own = ask(worker, tmp_path / "other")
        worker.end()
        os._exit(0 if own not in (None, first) else 1)
    assert os.waitpid(copy, 0)[1] == 0
    assert ask(worker, tmp_path / "log") == first


PARENT = """
import sys, threading
from pathlib import Path
from ggml_magic.convert import worker
from ggml_magic.convert.process import Limits
log = Path(sys.argv[1])
request = {"task": "inspect", "files": []}
worker.ask(request, log, Limits())
if sys.argv[2] == "busy":
    request = {"task": "answer", "saved_model": "/nowhere"}
    threading.Thread(target=worker.ask, args=(request, log, Limits()), daemon=True).start()
print(worker.pid(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("end", ["killed", "left"])
def test_it_ends_with_its_parent(tmp_path: Path, state: str, end: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log"), state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None and parent.stdin is not None
        child = psutil.Process(int(parent.stdout.readline()))
        if end == "killed":
            parent.kill()
        else:
            parent.stdin.close()
        parent.wait()
        _, alive = psutil.wait_procs([child], timeout=GONE_SECONDS)
    for process in alive:
        process.kill()
    assert not alive


def test_limits_are_told_with_the_log(model: EdgeModel, tmp_path: Path) -> None:
    rows, outputs = tmp_path / "rows.npy", tmp_path / "outputs.npy"
    np.save(rows, RAIN_ROWS)
    log = str(model.folder / room.ANSWER_LOG)
    room.end()
    with pytest.raises(ConversionError, match=r"did not end within 0\.3 s") as caught:
        room.source_outputs(model, rows, outputs, limits=Limits(seconds=0.3))
    assert caught.value.log == log and caught.value.remedy == f"cat {log}"
    with pytest.raises(ConversionError, match=r"held \d+\.\d MB of memory, and 150\.0 MB"):
        room.source_outputs(model, rows, outputs, limits=Limits(memory_bytes=150_000_000))
    assert room.pid() is None
    room.source_outputs(model, rows, outputs)
    np.testing.assert_allclose(np.load(outputs), model.sample()[1], rtol=1e-5, atol=1e-6)
    warm = room.pid()
    room.source_outputs(model, rows, outputs)
    assert room.pid() == warm is not None
    (model.saved_model / "saved_model.pb").unlink()
    with pytest.raises(ConversionError, match=r"saved_model\.pb"):
        room.source_outputs(model, rows, outputs)
    assert "Traceback" in Path(log).read_text() and room.pid() == warm


def test_without_tensorflow_no_child_is_started(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError):
        worker.ask(NOTHING, tmp_path / "log", Limits())
    assert worker.pid is None and not (tmp_path / "log").exists()
