"""The same verbs in a terminal: exit codes, files, and two clean lines on a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ggml_magic import command
from ggml_magic.errors import GateError, GgmlError, GrammarError, NotYetError, UnknownNameError
from ggml_magic.grammar.table import VERBS
from ggml_magic.grammar.verb import Argument
from ggml_magic.workspace import Workspace

INPUTS = VERBS["replay"].argument("inputs")
CODE = VERBS["inference"].argument("code")

Captured = pytest.CaptureFixture[str]


def test_help_and_version(capsys: Captured) -> None:
    assert command.main([]) == command.DONE
    assert command.main(["deploy", "--help"]) == command.DONE
    assert command.main(["--version"]) == command.DONE
    shown = capsys.readouterr().out
    assert "ggml VERB --help explains one." in shown
    assert "ggml deploy NAME --to TARGET" in shown
    assert "ggml_magic 0." in shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["deplyo", "rain"],
            2,
            ["no verb 'deplyo'; did you mean deploy?", "Next: ggml --help"],
        ),
        (
            ["deploy", "rain", "--too", "x"],
            2,
            ["deploy has no option --too; did you mean --to?", "Next: ggml deploy --help"],
        ),
        (
            ["model", "rain", "network"],
            2,
            [
                "there is no saved model 'network' here: a terminal has no live Python objects; "
                "it takes a file, a folder, s3://… or sagemaker:training-job/NAME",
                "Next: ggml model --help",
            ],
        ),
        (
            ["convert", "rain"],
            1,
            [
                "there is no model 'rain' in this workspace: no model was described yet",
                "Next: ggml model rain STAGE… --features … --inputs X_train",
            ],
        ),
        (
            ["config", "cloud=mars"],
            1,
            [
                "cloud cannot be 'mars': it is one of sandbox, aws",
                "Next: ggml config cloud=sandbox",
            ],
        ),
    ],
)
def test_a_failure_is_an_exit_code_and_two_lines(
    words: list[str], code: int, said: list[str], workspace: Workspace, capsys: Captured
) -> None:
    assert command.main(words) == code
    shown = capsys.readouterr()
    assert shown.err.splitlines() == said
    assert not shown.out


def test_what_a_verb_returns_is_printed(workspace: Workspace, capsys: Captured) -> None:
    assert command.main(["config", "prefix=org.weather"]) == command.DONE
    assert "prefix        org.weather" in capsys.readouterr().out


def test_data_is_a_file(tmp_path: Path) -> None:
    rows = tmp_path / "rows.npy"
    np.save(rows, np.zeros((2, 3)))
    assert command.look(INPUTS, str(rows)) == rows
    with pytest.raises(UnknownNameError, match="there is no file"):
        command.look(INPUTS, str(tmp_path / "gone.npy"))
    with pytest.raises(GrammarError, match=r"not 'X_test': it ends with \.npy or \.csv") as told:
        command.look(INPUTS, "X_test")
    assert told.value.remedy == "--inputs FILE.npy or FILE.csv"


def test_code_is_a_file(tmp_path: Path) -> None:
    handler = tmp_path / "handler.py"
    handler.write_text("def read(context): ...\n")
    assert command.look(CODE, str(handler)) == "def read(context): ...\n"
    for broken in (tmp_path / "gone.py", tmp_path):
        with pytest.raises(GrammarError, match="cannot be read"):
            command.look(CODE, str(broken))


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (NotYetError("a", remedy="%ggml convert rain"), "Next: ggml convert rain"),
        (GateError("a", remedy="%%ggml inference rain"), "Next: ggml inference rain"),
        (NotYetError("a", remedy="%ggml model rain …"), "Next: ggml model rain …"),
    ],
)
def test_remedies_are_commands_where_there_is_one(
    error: GgmlError, last: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fails(argument: Argument, text: str) -> object:
        raise error

    monkeypatch.setattr(command, "look", fails)
    assert command.main(["replay", "rain", "--inputs", "x.npy"]) == command.FAILED
    assert capsys.readouterr().err.splitlines()[-1] == last


def test_the_module_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ggml_magic.command", "xyzzy"], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "no verb 'xyzzy'\nNext: ggml --help\n"


@pytest.mark.real
def test_a_terminal_sees_the_steps_and_the_end(proven: Workspace, capfd: Captured) -> None:
    for words in (
        ["sandbox", "core", "hand-pi"],
        ["package", "rain"],
        ["plan", "rain", "--to", "thing/hand-pi"],
        ["deploy", "rain", "--to", "thing/hand-pi", "--watch"],
    ):
        assert command.main(words) == command.DONE, capfd.readouterr().err
    shown = capfd.readouterr().out
    steps = [line for line in shown.splitlines() if " s  hand-pi" in line]
    assert any("RUNNING" in line for line in steps)
    assert "rain → thing/hand-pi on sandbox: SUCCEEDED" in shown
    assert shown.index(steps[0]) < shown.index("SUCCEEDED in")


@pytest.mark.real
def test_a_reader_who_has_enough_gets_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    line = [sys.executable, "-m", "ggml_magic.command", "sandbox", "--help"]
    ended = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (command.UNREAD, "")
