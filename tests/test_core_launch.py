"""First processes are waited for, and any process is ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ggml_magic.core import launch
from ggml_magic.core.daemon import NOT_READY

pytestmark = pytest.mark.real


def test_the_exit_code_is_the_word_and_nobody_is_waited_for_too_long() -> None:
    assert launch.first_process([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    forever = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert launch.first_process(forever, seconds=0.3) == NOT_READY


def test_nobodys_credentials_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no business of a core's")
    look = "import os; raise SystemExit(any(name.startswith('AWS_') for name in os.environ))"
    assert launch.first_process([sys.executable, "-c", look]) == 0


@pytest.mark.parametrize("prelude", ["", "import signal; signal.signal(15, signal.SIG_IGN); "])
def test_a_process_is_ended_whether_it_wants_or_not(
    prelude: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "STOP_SECONDS", 0.5)
    process = subprocess.Popen(
        [sys.executable, "-c", f"{prelude}print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    launch.end(process.pid)
    assert process.poll() is not None
    launch.end(process.pid)
    process.communicate()
