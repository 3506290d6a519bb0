"""Wheels of another machine, of the runtime's own lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.errors import EnvironmentBuildError
from ggml_magic.runtimes import wheels
from ggml_magic.runtimes.litert import LITERT
from ggml_magic.runtimes.tflite import TFLITE

LOCK = """# a comment
awscrt==0.36.1 \\
    --hash=sha256:aa
numpy==2.2.6 ; python_full_version < '3.11' \\
    --hash=sha256:bb
numpy==2.4.6 ; python_full_version == '3.11.*' \\
    --hash=sha256:cc \\
    --hash=sha256:dd
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:ee
tool==1.0 ; platform_machine == 'armv7l' \\
    --hash=sha256:ff
"""


def test_markers_count_for_the_other_machine_and_python() -> None:
    chosen = wheels.selected(LOCK, "aarch64", "3.11.2", ())
    assert chosen == "numpy==2.4.6 --hash=sha256:cc --hash=sha256:dd\n"
    assert "numpy==2.2.6 " in wheels.selected(LOCK, "aarch64", "3.10.4", ())
    assert "tool==1.0 " in wheels.selected(LOCK, "armv7l", "3.11.2", ())


def test_what_comes_from_elsewhere_is_left_out() -> None:
    assert "numpy" not in wheels.selected(LOCK, "armv7l", "3.11.2", {"numpy"})


@pytest.mark.parametrize("runtime", [LITERT, TFLITE])
def test_the_runtimes_locks_keep_their_version_and_hashes(runtime: object) -> None:
    lock = runtime.requirements.read_text()  # type: ignore[attr-defined]  # a parameter
    lines = wheels.selected(lock, "aarch64", "3.11.2", ()).splitlines()
    assert any(line.startswith(f"{runtime.name}=={runtime.version} ") for line in lines)  # type: ignore[attr-defined]
    assert all("--hash=sha256:" in line for line in lines)
    assert sum(line.startswith("numpy==") for line in lines) == 1


@pytest.mark.real
def test_another_file_than_the_locked_one_is_refused(tmp_path: Path) -> None:
    false = f"typing-extensions==4.16.0 --hash=sha256:{'0' * 64}\n"
    with pytest.raises(EnvironmentBuildError, match="DO NOT MATCH THE HASHES"):
        wheels.install(false, "aarch64", "3.11.2", 36, tmp_path)


@pytest.mark.real
def test_a_line_without_a_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBuildError, match="--require-hashes"):
        wheels.install("typing-extensions==4.16.0\n", "aarch64", "3.11.2", 36, tmp_path)


@pytest.mark.real
def test_a_wheel_that_does_not_exist_for_the_machine_is_an_error(tmp_path: Path) -> None:
    lock = wheels.selected(LITERT.requirements.read_text(), "armv7l", "3.11.2", {"numpy"})
    with pytest.raises(EnvironmentBuildError, match="could not fetch the wheels for armv7l"):
        wheels.install(lock, "armv7l", "3.11.2", 36, tmp_path)
