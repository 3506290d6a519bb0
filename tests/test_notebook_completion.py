"""Completion: what may stand at the cursor, and nothing else."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from ggml_magic.grammar.table import VERBS
from ggml_magic.notebook.completion import complete
from ggml_magic.workspace import Workspace, write_json

NAMES = {"X_train": 1, "X_test": 2, "scaler": 3, "_hidden": 4}


@pytest.fixture(autouse=True)
def models(workspace: Workspace) -> None:
    for name in ("rain", "wind"):
        write_json(workspace.root / "models" / name / "model.json", {"current": "0"})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("%ggml de", ["deploy"]),
        ("%ggml deploy ", ["--force", "--help", "--timeout", "--to", "--watch", "rain", "wind"]),
        ("%ggml deploy r", ["rain"]),
        ("%ggml deploy rain --w", ["--watch"]),
        ("%ggml deploy rain --watch --", ["--force", "--help", "--timeout", "--to"]),
        ("%ggml deploy rain --to ", ["thing/", "thinggroup/"]),
        ("%ggml model rain --missing ", ["median", "reject"]),
        ("%ggml validate rain --runtime ai", ["ai-edge-litert"]),
        ("%ggml convert rain --quantize d", ["dynamic"]),
        ("%ggml validate rain --inputs X_", ["X_test", "X_train"]),
        ("%ggml validate rain --max-flips ", []),
        ("%ggml model rain s", ["scaler"]),
        ("%ggml model rain scaler X", ["X_test", "X_train"]),
        ("%ggml sandbox st", ["start", "status", "stop"]),
        ("%ggml config cloud=", ["cloud=", "cloud=aws", "cloud=sandbox"]),
        ("%ggml xyzzy ", []),
        ("%%ggml inference w", ["wind"]),
    ],
)
def test_candidates(text: str, wanted: list[str]) -> None:
    assert complete(NAMES, text) == wanted


def test_all_verbs_come_first() -> None:
    assert set(complete(NAMES, "%ggml ")) == {*VERBS, "--help"}


def test_ipython_asks_us() -> None:
    shell = InteractiveShell()
    from ggml_magic.notebook.magics import register

    register(shell)
    for line in ("%ggml deploy rain --wa", "x = 1\n%ggml deploy rain --wa"):
        with provisionalcompleter():
            found = [c.text for c in shell.Completer.completions(line, len(line))]
        assert "--watch" in found
