"""What a component's log tells of its states and its last words."""

from __future__ import annotations

from pathlib import Path

from ggml_magic.core.disk import Layout
from ggml_magic.core.logs import Log
from ggml_magic.deploy import lasting

A = "com.example.A"


def test_states_since_a_moment_are_the_core_s_own_words(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    log = Log(layout.log(A))
    assert lasting.states_since(tmp_path, A, "") == ()
    log.info("state: RUNNING")
    with layout.log(A).open("a") as file:
        file.write("no entry\n[]\n{}\n")
    log.info("state: ERRORED")
    log.write("INFO", "state: BROKEN", "run", "stdout")
    log.close()
    assert lasting.states_since(tmp_path, A, "") == ("ERRORED", "RUNNING")
    # years sort as their texts do
    assert lasting.states_since(tmp_path, A, "9") == ()
    assert lasting.now() > "2020-"


def test_last_words_are_the_last_warning_without_its_time(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    assert lasting.last_words(tmp_path, A) == ""
    log = Log(layout.log(A))
    log.write("WARN", "no such module", "run", "stderr")
    log.info("state: ERRORED")
    log.close()
    assert lasting.last_words(tmp_path, A) == "run: no such module"
