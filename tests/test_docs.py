"""What the documents say works: lines are grammar, targets exist, the README's example runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sandboxes import until

import ggml_magic
from ggml_magic import settings
from ggml_magic.grammar import help as helps
from ggml_magic.grammar import reading, table
from ggml_magic.grammar.verb import Call
from ggml_magic.workspace import Workspace

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
FOLDER_PLACEHOLDERS = ("NAME", "VERB", "…", "PATH")


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def lines() -> list[str]:
    found = []
    for page in PAGES:
        for text in blocks(page, ""):
            found += [line for line in text.splitlines() if line.startswith("%ggml ")]
    return [line for line in found if not any(word in line for word in FOLDER_PLACEHOLDERS)]


@pytest.mark.parametrize("line", lines())
def test_a_documented_line_is_grammar(line: str) -> None:
    words = reading.split(line.removeprefix("%ggml "))
    call = reading.read(words, helps.MAGIC, lambda name, _: name, None)
    assert isinstance(call, Call)


def test_the_documents_name_every_verb_and_setting() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    for verb in table.VERBS:
        assert re.search(rf"`[^`\n]*\b{verb}\b|ggml {verb}\b", text), verb
    for name in settings.NAMES:
        assert f"`{name}`" in text, name


def test_the_package_lists_the_verbs_of_the_grammar() -> None:
    assert set(table.VERBS) == ggml_magic.VERBS


def test_the_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"make ([a-z-]+)", " ".join(blocks(page, "sh"))):
            assert re.search(rf"^{target}:", makefile, re.M), target


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.real
def test_the_readmes_own_model_runs(workspace: Workspace, tmp_path: Path) -> None:
    import nbformat

    from ggml_magic.sandbox import client

    readme = ROOT / "README.md"
    (python,) = blocks(readme, "python")
    (magic,) = (text for text in blocks(readme, "") if "wind-pi" in text)
    cells = [python, *magic.strip().splitlines()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "--no-progress-bar"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    finally:
        client.stop(workspace)
    assert ran.returncode == 0, ran.stderr
    last = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[-1]
    assert last["data"]["text/plain"].startswith("5 predictions of wind on thing/wind-pi")


@pytest.mark.real
def test_the_components_from_a_folder_run(workspace: Workspace, tmp_path: Path) -> None:
    from ggml_magic.sandbox import client

    page = ROOT / "docs" / "core.md"
    files = {
        "recipes/com.example.Hello-1.0.0.yaml": blocks(page, "yaml"),
        "artifacts/com.example.Hello/1.0.0/hello.sh": blocks(page, "sh"),
        "recipes/com.example.Talk-1.0.0.json": blocks(page, "json"),
        "artifacts/com.example.Talk/1.0.0/talk.py": blocks(page, "python"),
        # the device SDK is here already, and not fetched for a test
        ".ggml/cores/hello-pi/work/com.example.Talk/venv/bin/python": [
            f'#!/bin/sh\nexec {sys.executable} "$@"\n'
        ],
    }
    for name, (content,) in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / name).chmod(0o700)

    def said(line: str) -> str:
        command = [sys.executable, "-m", "ggml_magic.command", *line.split()[1:]]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    try:
        first, deploy, logs, *others = blocks(page, "console")[0].splitlines()
        assert "hello-pi" in said(first)
        said(deploy)
        # the script runs, and speaks in its own time
        until(lambda: "Hello, world, from hello-pi" in said(logs))
        said(deploy.replace("Hello", "Talk"))
        assert "{'said': 'hello'}" in said("ggml messages talk/hello").replace('"', "'")
        for line in others:
            assert "hello-pi" in said(line)
    finally:
        client.stop(workspace)
