"""Our own processes import nothing that lies beside a notebook."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ggml_magic import child


def test_a_file_beside_the_notebook_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    command = child.command("json.tool", "--help")
    ran = subprocess.run(
        command, cwd=child.FOLDER, env=child.environment(), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_the_package_is_found_and_the_unwanted_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    given = child.environment("AWS_", "MOTO_")
    assert "AWS_SECRET_ACCESS_KEY" not in given
    package, elsewhere = given["PYTHONPATH"].split(":")
    assert (Path(package) / "ggml_magic" / "child.py").exists()
    assert elsewhere == "/elsewhere"
