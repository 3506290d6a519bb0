"""The live layer: a widget while it runs, a true static result in whatever is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ggml_magic.deploy.watch import Step
from ggml_magic.notebook import asset
from ggml_magic.notebook.progress import live

STEPS = (Step(0.1, "", "", "CREATED", "deployment 1"), Step(2.0, "pi", "rain", "RUNNING"))
BEGIN = """
from ggml_magic.deploy.watch import Step
from ggml_magic.notebook.progress import live
step = Step(2.0, "pi", "com.example.Rain", "RUNNING")
"""
ENDS = {
    "well": 'with live(get_ipython(), "rain → thing/pi") as layer:\n'
    "    layer.step(step)\n"
    "    layer.done()",
    "badly": 'with live(get_ipython(), "rain → thing/pi") as layer:\n'
    "    layer.step(step)\n"
    '    raise ValueError("the device said no")',
    "interrupted": 'with live(get_ipython(), "rain → thing/pi") as layer:\n'
    "    layer.step(step)\n"
    "    raise KeyboardInterrupt",
}


def test_a_plain_shell_prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with live(InteractiveShell(), "rain → thing/pi") as layer:
        for step in STEPS:
            layer.step(step)
        layer.done()
    assert capsys.readouterr().out.splitlines() == [
        "    0.1 s  cloud  CREATED  deployment 1",
        "    2.0 s  pi  rain  RUNNING",
    ]


def test_a_failure_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), live(InteractiveShell(), "rain"):
        raise ZeroDivisionError


def test_the_front_end_is_plain_and_accessible() -> None:
    script = asset.path("deployment.js").read_text()
    assert "import " not in script
    assert "innerHTML" not in script
    for needed in ('role: "status"', '"aria-live": "polite"', '"caption"', 'scope: "col"'):
        assert needed in script
    assert "color: var(--jp-ui-font-color1" in asset.path("deployment.css").read_text()


def executed(folder: Path, cell: str) -> list[dict[str, Any]]:
    """The last cell's outputs, after a real kernel ran it."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(BEGIN), nbformat.v4.new_code_cell(cell)]
    )
    NotebookClient(
        notebook, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    ).execute()
    saved: list[dict[str, Any]] = json.loads(nbformat.writes(notebook))["cells"][-1]["outputs"]
    return saved


def text(output: dict[str, Any], kind: str) -> str:
    return "".join(output["data"][kind])


@pytest.mark.real
@pytest.mark.parametrize("end", ENDS)
def test_what_is_saved_is_static_and_true(tmp_path: Path, end: str) -> None:
    shown = executed(tmp_path, ENDS[end])[0]
    assert set(shown["data"]) == {"text/plain", "text/html"}
    word = {"well": "1 step", "badly": "failed", "interrupted": "interrupted"}[end]
    assert text(shown, "text/plain").startswith(f"rain → thing/pi: {word}\n")
    for kind in ("text/plain", "text/html"):
        assert "com.example.Rain" in text(shown, kind)
        assert "RUNNING" in text(shown, kind)


@pytest.mark.real
def test_while_it_runs_there_is_a_widget_with_text_beside_it(tmp_path: Path) -> None:
    cell = (
        "layer = live(get_ipython(), 'rain → thing/pi')\n"
        "inside = layer.__enter__()\n"
        "inside.step(step)\n"
        "print(inside._widget.steps, inside._widget.title)"
    )
    shown, printed = executed(tmp_path, cell)
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    assert text(shown, "text/plain") == "rain → thing/pi: begun"
    assert "<strong>" in text(shown, "text/html")
    assert "'state': 'RUNNING'" in "".join(printed["text"])
