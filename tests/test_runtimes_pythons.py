from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.device.environment import THIS, Python, Pythons
from ggml_magic.errors import EnvironmentBuildError
from ggml_magic.runtimes import pythons

# no Python of this version is anywhere, but where a test puts one
WANTED = Pythons((3, 98), (3, 99))


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it: what a test finds it has put there."""
    for name in ("PYENV_ROOT", "CONDA_EXE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def python(path: Path) -> Path:
    return executable(path, f"echo {path.name.removeprefix('python').replace('.', ' ')}")


def test_the_running_python_is_taken_where_it_fits() -> None:
    assert pythons.find(Pythons((3, 8)), "it") == THIS


@pytest.mark.parametrize(
    "place",
    [
        "bin/python3.99",
        ".pyenv/versions/3.99.1/bin/python3.99",
        "miniconda3/bin/python3.99",
        "miniforge3/envs/old/bin/python3.99",
        ".local/share/uv/python/cpython-3.99-linux/bin/python3.99",
    ],
)
def test_another_is_found_where_people_keep_them(machine: Path, place: str) -> None:
    held = python(machine / place)
    assert pythons.find(WANTED, "it") == Python(str(held), (3, 99))


def test_conda_is_found_by_its_own_variable(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_EXE", str(machine / "apps" / "conda" / "bin" / "conda"))
    held = python(machine / "apps" / "conda" / "envs" / "old" / "bin" / "python3.98")
    assert pythons.find(WANTED, "it").path == str(held)


def test_the_newest_that_works_is_taken(machine: Path) -> None:
    python(machine / "bin" / "python3.98")
    python(machine / ".pyenv" / "versions" / "3.99.1" / "bin" / "python3.99")
    assert pythons.find(WANTED, "it").version == (3, 99)


@pytest.mark.parametrize(
    "script",
    [
        "echo 'pyenv: python3.99: command not found' >&2; exit 127",
        "echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1",
        "echo 3 12",
        "echo",
    ],
)
def test_a_name_is_no_proof(machine: Path, script: str) -> None:
    executable(machine / "bin" / "python3.99", script)
    held = python(machine / ".pyenv" / "versions" / "3.98.0" / "bin" / "python3.98")
    assert pythons.find(WANTED, "it").path == str(held)


def test_a_file_that_cannot_be_run_is_passed_over(machine: Path) -> None:
    (machine / "bin" / "python3.99").write_text("no program at all")
    (machine / "bin" / "python3.99").chmod(0o755)
    (machine / "bin" / "python3.98").write_text("not even executable")
    with pytest.raises(EnvironmentBuildError):
        pythons.find(WANTED, "it")


@pytest.mark.parametrize(
    ("tool", "line"),
    [
        ("uv", "uv python install 3.99"),
        ("pyenv", "pyenv install 3.99"),
        ("conda", "conda create --yes --name python3.99 python=3.99"),
        ("", "sudo apt-get install -y python3.99 python3.99-venv"),
    ],
)
def test_where_none_is_the_line_that_installs_one_is_told(
    machine: Path, tool: str, line: str
) -> None:
    if tool:
        executable(machine / "bin" / tool, "true")
    with pytest.raises(EnvironmentBuildError) as caught:
        pythons.find(WANTED, "tflite-runtime 2.14.0")
    error = caught.value
    assert error.what == "tflite-runtime 2.14.0 needs Python 3.98 to 3.99"
    assert f"the running Python is {THIS.version[0]}.{THIS.version[1]}" in error.why
    assert error.remedy == line


def test_versions_are_this_ones_then_from_the_newest_down() -> None:
    this = THIS.version
    listed = pythons.versions(Pythons((3, 8), (3, 20)))
    assert listed[0] == this and set(listed) == {(3, minor) for minor in range(8, 21)}
    assert list(listed[1:]) == sorted(listed[1:], reverse=True)
    assert pythons.versions(Pythons((3, 10)))[0] == this
