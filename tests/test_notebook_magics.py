"""``%ggml`` in a real IPython shell: values, expansion, silence, and failures that fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from ggml_magic.errors import GateError, GrammarError, NotYetError, UnknownNameError
from ggml_magic.headless import receipts
from ggml_magic.notebook.magics import register
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace


@pytest.fixture
def shell(workspace: Workspace) -> Iterator[InteractiveShell]:
    """A shell with the extension, and no history on the disk."""
    config = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})
    shell = InteractiveShell.instance(config=config)
    register(shell)
    yield shell
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> ExecutionResult:
    return shell.run_cell(cell)


def failure(shell: InteractiveShell, cell: str) -> BaseException:
    error = run(shell, cell).error_in_exec
    assert error is not None
    return error


def test_a_line_returns_the_verbs_value(shell: InteractiveShell) -> None:
    assert isinstance(run(shell, "%ggml config").result, Settings)
    run(shell, "mine = %ggml config prefix=org.weather")
    assert shell.user_ns["mine"].prefix == "org.weather"


def test_a_semicolon_silences_and_does_not_reach_the_verb(shell: InteractiveShell) -> None:
    done = run(shell, "%ggml config prefix=org.weather;")
    assert done.success
    assert done.result is None
    assert run(shell, "%ggml config").result.prefix == "org.weather"


@pytest.mark.parametrize("line", ["%ggml", "%ggml --help", "%ggml deploy --help"])
def test_help_is_a_value(shell: InteractiveShell, line: str) -> None:
    assert "%ggml" in str(run(shell, line).result)


@pytest.mark.parametrize("written", ["$name", "{name}", "{name.lower()}"])
def test_lines_are_expanded_as_notebook_users_know_it(
    shell: InteractiveShell, written: str
) -> None:
    shell.user_ns["name"] = "weather"
    assert run(shell, f"%ggml config prefix=org.{written}").result.prefix == "org.weather"


def test_a_functions_own_names_are_seen(shell: InteractiveShell) -> None:
    cell = (
        "def keep(prefix):\n"
        "    %ggml config prefix={prefix}\n"
        "    own = object()\n"
        "    %ggml replay rain --inputs own.missing --to thing/pi\n"
        "keep('org.local')"
    )
    error = failure(shell, cell)
    assert str(error).startswith("own has no 'missing'")
    assert run(shell, "%ggml config").result.prefix == "org.local"


def test_what_could_not_be_expanded_is_refused(shell: InteractiveShell) -> None:
    shell.user_ns["thing"] = "pi"
    error = failure(shell, "%ggml plan rain --to thing/$thnig")
    assert isinstance(error, UnknownNameError)
    assert "'thnig'" in error.what
    assert "thing" in error.why


@pytest.mark.parametrize(
    "written",
    [
        """'{"com.example.Hello": {"MERGE": {"Name": "x"}}}' --thing $thing""",
        """'{conf}' --thing {thing}""",
        "{conf} --thing {thing}",
        "'{text}' --thing {thing}",
    ],
)
def test_json_is_a_value_as_it_is(shell: InteractiveShell, written: str) -> None:
    shell.user_ns["thing"] = "pi"
    shell.user_ns["conf"] = {"com.example.Hello": {"MERGE": {"Name": "x"}}}
    shell.user_ns["text"] = json.dumps(shell.user_ns["conf"])
    # understood as far as the core device, of which there is none
    error = failure(shell, f"%ggml core deploy --configuration {written}")
    assert str(error).startswith("there is no core device pi here")


def test_json_with_a_mistake_is_told_as_such(shell: InteractiveShell) -> None:
    error = failure(shell, """%ggml core deploy --configuration '{"a": }'""")
    assert isinstance(error, UnknownNameError)
    assert "neither a Python expression nor a JSON object" in error.what


def test_a_cell_goes_to_verbs_that_take_one(shell: InteractiveShell) -> None:
    assert isinstance(failure(shell, "%%ggml deploy rain --to thing/x\npass"), GrammarError)
    assert isinstance(failure(shell, "%%ggml inference rain\npass"), NotYetError)


@pytest.mark.real
def test_a_cells_body_is_never_expanded(proven: Workspace, shell: InteractiveShell) -> None:
    shell.user_ns["name"] = "rain"
    body = "def read(context):\n    return {'x': f'{name} $name'}\n"
    assert run(shell, "%%ggml inference {name}\n" + body).result.code == body


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("%ggml deplyo rain", GrammarError, "no verb 'deplyo'; did you mean deploy?"),
        ("%ggml plan rain --two x", GrammarError, "plan has no option --two; did you mean --to?"),
        ("%ggml plan 'rain", GrammarError, "the line has a stray quote"),
        (
            "%ggml replay rain --inputs X_tset --to thing/pi",
            UnknownNameError,
            "there is no 'X_tset' in this notebook",
        ),
    ],
)
def test_a_mistake_is_an_error_of_two_lines(
    shell: InteractiveShell,
    line: str,
    kind: type[Exception],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shell.user_ns["X_test"] = [[1.0]]
    error = failure(shell, line)
    assert isinstance(error, kind)
    assert str(error).startswith(said)
    shown = capsys.readouterr().out
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) == 2


def test_what_nobody_expected_keeps_its_traceback(shell: InteractiveShell) -> None:
    class Odd:
        @property
        def rows(self) -> Any:
            raise ZeroDivisionError("odd")

    shell.user_ns["odd"] = Odd()
    error = failure(shell, "%ggml replay rain --inputs odd.rows --to thing/pi")
    assert isinstance(error, ZeroDivisionError)


def test_a_failed_verb_leaves_a_receipt(shell: InteractiveShell, workspace: Workspace) -> None:
    failure(shell, "%ggml convert rain")
    (receipt,) = receipts.read(workspace)
    assert (receipt.verb, receipt.name, receipt.status) == ("convert", "rain", "failed")
    assert receipt.error == "NotYetError"


def papermill(folder: Path, *cells: str) -> subprocess.CompletedProcess[str]:
    """A notebook of these cells, run as a scheduler would."""
    notebook = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "source": cell,
                "execution_count": None,
                "outputs": [],
            }
            for number, cell in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"display_name": "p", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "in.ipynb").write_text(json.dumps(notebook))
    return subprocess.run(
        [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "--no-progress-bar"],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def outputs(folder: Path) -> list[list[dict[str, Any]]]:
    executed = json.loads((folder / "out.ipynb").read_text())
    code = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    return [cell["outputs"] for cell in code]


@pytest.mark.real
@pytest.mark.parametrize(
    ("line", "ename", "said"),
    [
        ("%ggml deplyo rain", "GrammarError", "no verb 'deplyo'; did you mean deploy?"),
        ("%ggml convert rain --quant auto", "GrammarError", "convert has no option --quant"),
        (
            "%ggml validate rain --inputs X_tset",
            "UnknownNameError",
            "there is no 'X_tset' in this notebook: there is X_test",
        ),
        ("%ggml convert rain", "NotYetError", "there is no model 'rain' in this workspace"),
    ],
)
def test_papermill_fails_with_one_clean_sentence(
    tmp_path: Path, workspace: Workspace, line: str, ename: str, said: str
) -> None:
    ran = papermill(tmp_path, "%load_ext ggml_magic\nX_test = [[1.0]]", line, "never = True")
    assert ran.returncode == 1, ran.stderr
    _, failed, never = outputs(tmp_path)[-3:]
    (error,) = failed
    assert error["ename"] == ename
    assert error["traceback"][0].startswith(f"{ename}: {said}")
    assert len(error["traceback"]) == 2
    assert error["traceback"][1].startswith("Next: ")
    assert never == []


@pytest.mark.real
def test_a_failing_proof_leaves_its_report_in_the_cell(
    shell: InteractiveShell, proven: Workspace, tmp_path: Path
) -> None:
    shell.user_ns["rows"] = np.float32([[1013, 12, 65], [990, -3, 95], [1030, 20, 30]])
    with capture_output() as shown:
        error = failure(shell, "%ggml validate rain --inputs rows --max-size 1KB")
    assert isinstance(error, GateError) and "1,000 B is allowed" in error.why
    (output,) = shown.outputs
    assert "rain FAILED" in output.data["text/plain"] and "<svg" in output.data["text/html"]
