"""The child process: whatever happens in it, the notebook's process lives and is told."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import psutil
import pytest

from ggml_magic.convert import process
from ggml_magic.convert.process import ask, plain, scratch, signal_name, supervise
from ggml_magic.errors import ConversionError, MissingExtraError

SECONDS = 30.0
GONE_SECONDS = 5.0


def run(code: str, log: Path, seconds: float = SECONDS) -> int:
    return supervise([sys.executable, "-c", code], log, timeout_seconds=seconds)


def test_the_exit_code_comes_back_and_the_output_goes_to_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    assert run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", log) == 3
    assert set(log.read_text().split()) == {"out", "err"}
    assert capfd.readouterr() == ("", "")


def test_a_signal_is_a_negative_code(tmp_path: Path) -> None:
    code = run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path / "log")
    assert signal_name(code) == "SIGSEGV"
    assert signal_name(-200) == "signal 200"


def test_the_child_has_a_session_of_its_own_and_stands_nowhere(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run("import os; print(os.getsid(0) == os.getpid(), os.getcwd())", log)
    assert log.read_text().split() == ["True", "/"]


def test_at_the_limit_it_is_ended_with_its_own_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, pathlib\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid)); p.wait()"
    )
    with pytest.raises(ConversionError, match="did not end within 2 s") as caught:
        run(code, tmp_path / "log", seconds=2)
    assert caught.value.log == str(tmp_path / "log") and caught.value.remedy
    grandchild = int((tmp_path / "pid").read_text())
    left = [psutil.Process(grandchild)] if psutil.pid_exists(grandchild) else []
    try:
        _, alive = psutil.wait_procs(left, timeout=GONE_SECONDS)
        assert not alive
    finally:
        for process_left in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process_left.kill()


def test_without_tensorflow_no_child_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError):
        ask({"task": "convert"}, tmp_path, tmp_path / "log", timeout_seconds=SECONDS)
    assert not (tmp_path / "log").exists()


def test_a_child_without_a_response_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MODULE", "ggml_magic.no_such_module")
    with pytest.raises(ConversionError, match=r"No module named ggml_magic\.no_such") as caught:
        ask({"task": "convert"}, tmp_path, tmp_path / "log", timeout_seconds=SECONDS)
    assert caught.value.remedy == f"cat {tmp_path / 'log'}"


def test_the_scratch_folder_goes(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        (folder / "x").write_text("x")
    assert not list(tmp_path.iterdir())


def test_a_reason_is_one_line() -> None:
    assert plain("\n  ConverterError: no\nat line 3\n") == "ConverterError: no"
    assert len(plain("x" * 999)) == 200
    assert plain(" \n") == "no reason was given"
