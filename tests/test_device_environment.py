from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ggml_magic.device import environment

SECONDS_WHEN_BUILT = 0.15


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one module, the only one that pip can find."""
    path = tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl"
    path.parent.mkdir()
    files = {
        "tiny.py": b"ANSWER = 42\n",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_record(held)},{len(held)}\n" for name, held in files.items())
    files["tiny-1.0.dist-info/RECORD"] = f"{record}tiny-1.0.dist-info/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, held in files.items():
            archive.writestr(name, held)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


def _record(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def locked(folder: Path, wheel: Path, *, sha256: str | None = None) -> Path:
    path = folder / "requirements.txt"
    sha256 = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    path.write_text(f"tiny==1.0 --hash=sha256:{sha256}\n")
    return path


def environments(folder: Path) -> list[Path]:
    return sorted(folder.glob("env-*"))


@pytest.mark.real
def test_it_is_built_once_by_two_at_a_time_and_what_a_killed_build_left_is_replaced(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "tiny.py").write_text("ANSWER = 'of the caller'\n")
    folder, requirements = tmp_path / "work", locked(tmp_path, wheel)
    half = environment.home(folder, requirements)
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").write_text("half a build")
    assert environment.find(folder, requirements) is None
    with ThreadPoolExecutor(2) as pool:
        pythons = set(pool.map(lambda _: environment.build(folder, requirements), range(2)))
    assert pythons == {half / "bin" / "python"} and environments(folder) == [half]
    (python,) = pythons
    seen = subprocess.run(
        [python, "-I", "-c", "import tiny; print(tiny.ANSWER)"], capture_output=True, text=True
    )
    assert seen.stdout == "42\n"
    stamp = half / environment.STAMP
    made = stamp.stat().st_mtime_ns
    assert environment.build(folder, requirements) == python
    assert stamp.stat().st_mtime_ns == made
    # a base Python that was removed makes the environment useless: it is seen, not trusted
    python.unlink()
    python.symlink_to(tmp_path / "removed")
    assert environment.find(folder, requirements) is None


@pytest.mark.real
def test_a_file_that_is_not_the_locked_one_is_named_and_nothing_stays(
    tmp_path: Path, wheel: Path
) -> None:
    folder = tmp_path / "work"
    with pytest.raises(environment.BuildError) as caught:
        environment.build(folder, locked(tmp_path, wheel, sha256="0" * 64))
    assert "tiny==1.0 is not the file that was locked" in str(caught.value)
    assert "\n" not in str(caught.value) and not environments(folder)


@pytest.mark.real
def test_what_pip_says_last_is_the_reason(tmp_path: Path, wheel: Path) -> None:
    requirements = locked(tmp_path, wheel)
    requirements.write_text(requirements.read_text().replace("tiny", "huge"))
    with pytest.raises(environment.BuildError, match=r"pip failed: .*huge==1\.0") as caught:
        environment.build(tmp_path / "work", requirements)
    assert "\n" not in str(caught.value) and not environments(tmp_path / "work")


def test_the_folders_name_is_of_the_requirements(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("tiny==1.0\n")
    two.write_text("tiny==1.1\n")
    assert environment.home(tmp_path, one) != environment.home(tmp_path, two)
    assert environment.home(tmp_path, one) == environment.home(tmp_path, one)


def test_a_python_without_venv_is_told_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("")
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(environment.BuildError, match="apt-get install -y python3-venv"):
        environment.build(tmp_path / "work", tmp_path / "requirements.txt")


def test_a_python_that_is_too_old_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("")
    monkeypatch.setattr(environment, "OLDEST_PYTHON", (99, 1))
    with pytest.raises(environment.BuildError, match=r"too old: the runtime needs 99\.1 or newer"):
        environment.build(tmp_path / "work", tmp_path / "requirements.txt")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "work").write_text("a file")
    with pytest.raises(environment.BuildError, match="work: File exists"):
        environment.build(tmp_path / "work", tmp_path / "requirements.txt")


def test_only_the_environment_in_use_survives_pruning(tmp_path: Path) -> None:
    for name in ("env-old", "env-new", "kept"):
        (tmp_path / name / "bin").mkdir(parents=True)
    environment.prune(tmp_path, tmp_path / "env-new" / "bin" / "python")
    assert sorted(path.name for path in tmp_path.glob("[a-z]*")) == ["env-new", "kept"]
