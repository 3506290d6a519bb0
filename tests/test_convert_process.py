"""The child process: whatever happens in it, the notebook's process lives and is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ggml_magic.convert import process
from ggml_magic.convert.process import Child, Limits, how_ended, last_line, plain, scratch

pytestmark = pytest.mark.real
GONE_SECONDS = 10.0


@pytest.fixture
def starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Child]]:
    """Starts a child whose module has the code given; it finds ``tell`` and ``requests``."""
    children = []

    def start(code: str) -> Child:
        head = (
            "import json, os, signal, subprocess, sys\n"
            "requests, responses = open(int(sys.argv[2])), int(sys.argv[3])\n"
            "def tell(**part): os.write(responses, json.dumps(part).encode() + b'\\n')\n"
        )
        (tmp_path / "stand_in.py").write_text(head + code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(process, "MODULE", "stand_in")
        children.append(Child(tmp_path / "log"))
        return children[-1]

    yield start
    for child in children:
        child.end()


def test_what_it_tells_comes_back_and_it_stands_alone(
    starting: Callable[[str], Child], tmp_path: Path
) -> None:
    child = starting(
        "asked = json.loads(requests.readline())\n"
        "tell(step='one'); tell(group=os.getsid(0), at=os.getcwd(), asked=asked, done=True)\n"
        "print('printed', flush=True); requests.readline()"
    )
    outcome = child.ask({"a": "ä" * 70_000}, Limits())
    assert outcome.ended == "" and outcome.step == "one" and child.alive
    assert outcome.response["group"] == child.pid and outcome.response["at"] == "/"
    assert outcome.response["asked"] == {"a": "ä" * 70_000}
    child.end()
    assert not child.alive


def test_a_crash_is_a_clause_with_the_signal_and_the_step(
    starting: Callable[[str], Child],
) -> None:
    child = starting("tell(step='int8'); os.kill(os.getpid(), signal.SIGSEGV)")
    outcome = child.ask({}, Limits())
    assert (outcome.ended, outcome.step) == ("crashed (SIGSEGV)", "int8")
    assert how_ended(-200) == "crashed (signal 200)"


def test_an_end_without_an_answer_is_told(starting: Callable[[str], Child], tmp_path: Path) -> None:
    outcome = starting("sys.exit('my last words')").ask({}, Limits())
    assert (outcome.ended, outcome.step) == ("ended with exit code 1", "start")
    assert last_line(tmp_path / "log") == "my last words"


def test_at_the_time_limit_it_ends_with_its_own_children(
    starting: Callable[[str], Child],
) -> None:
    child = starting(
        "more = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "tell(step='slow', more=more.pid); more.wait()"
    )
    outcome = child.ask({}, Limits(seconds=2))
    assert (outcome.ended, outcome.step) == ("did not end within 2 s", "slow")
    more = outcome.response["more"]
    left = [psutil.Process(more)] if psutil.pid_exists(more) else []
    _, alive = psutil.wait_procs(left, timeout=GONE_SECONDS)
    assert not alive and not child.alive


def test_each_step_has_the_whole_time(starting: Callable[[str], Child]) -> None:
    child = starting(
        "import threading\n"
        "for i in range(3): tell(step=str(i)); threading.Event().wait(0.8)\n"
        "tell(done=True)"
    )
    assert child.ask({}, Limits(seconds=2)).ended == ""


def test_the_memory_of_it_and_its_own_children_is_limited(
    starting: Callable[[str], Child],
) -> None:
    child = starting(
        "code = 'held = bytearray(300_000_000); import signal; signal.pause()'\n"
        "subprocess.run([sys.executable, '-c', code])"
    )
    outcome = child.ask({}, Limits(seconds=30, memory_bytes=200_000_000))
    assert outcome.ended.startswith("held 2") or outcome.ended.startswith("held 3")
    assert outcome.ended.endswith(" MB of memory, and 200.0 MB are allowed")


def test_without_a_limit_it_is_a_share_of_the_machine() -> None:
    whole = psutil.virtual_memory().total
    assert 0.5 * whole < Limits().memory() < whole


def test_an_interrupt_ends_it(
    starting: Callable[[str], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = starting("signal.pause()")

    def interrupted(_: Child) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Child, "_resident", interrupted)
    with pytest.raises(KeyboardInterrupt):
        child.ask({}, Limits())
    assert not child.alive and not psutil.pid_exists(child.pid)


def test_no_pipe_stays_open(starting: Callable[[str], Child]) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    child = starting("requests.readline()")
    child.end()
    child.end()
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_forked_copy_leaves_it_alone(starting: Callable[[str], Child]) -> None:
    child = starting("requests.readline(); tell(done=True); requests.readline()")
    copy = os.fork()
    if not copy:
        child.forget()
        child.end()
        os._exit(0)
    os.waitpid(copy, 0)
    assert child.ask({}, Limits()).ended == "" and child.alive
    os.kill(child.pid, signal.SIGKILL)


def test_the_scratch_folder_goes(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        (folder / "x").write_text("x")
    assert not list(tmp_path.iterdir())


def test_a_reason_is_one_line() -> None:
    assert plain("\n  ConverterError: no\nat line 3\n") == "ConverterError: no"
    assert len(plain("x" * 999)) == 200
    assert plain(" \n") == "no reason was given"
