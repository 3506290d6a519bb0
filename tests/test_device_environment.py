from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ggml_magic.device import environment
from ggml_magic.errors import EnvironmentBuildError
from ggml_magic.runtimes import pythons

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
def test_another_python_than_this_one_makes_its_own(tmp_path: Path, wheel: Path) -> None:
    others = environment.Pythons((3, 8), (3, sys.version_info.minor - 1))
    try:
        other = pythons.find(others, "this test")
    except EnvironmentBuildError:
        pytest.skip(f"there is no {others} on this machine")
    folder, requirements = tmp_path / "work", locked(tmp_path, wheel)
    held = environment.build(folder, requirements, other)
    look = "import sys, tiny; print(*sys.version_info[:2], tiny.ANSWER)"
    seen = subprocess.run([held, "-I", "-c", look], capture_output=True, text=True)
    assert seen.stdout == "{} {} 42\n".format(*other.version)
    assert environment.find(folder, requirements, other) == held
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


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("3.99 and newer", "too old: the runtime needs Python 3.99 or newer"),
        ("3.0 to 3.1", "too new: the runtime needs Python 3.0 to 3.1"),
    ],
)
def test_a_python_that_the_lock_is_not_for_is_told_which_is(
    tmp_path: Path, says: str, why: str
) -> None:
    (tmp_path / "requirements.txt").write_text(f"# For Python {says}. Locked.\n")
    with pytest.raises(environment.BuildError, match=re.escape(why)):
        environment.build(tmp_path / "work", tmp_path / "requirements.txt")
    assert not (tmp_path / "work").exists()


def test_a_lock_that_says_nothing_is_for_every_python(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("tiny==1.0\n")
    said = environment.Pythons.of(tmp_path / "requirements.txt")
    assert said == environment.Pythons() and environment.THIS.version in said


@pytest.mark.parametrize("version", [(3, 8), (3, 9), (3, 11)])
def test_the_ends_of_a_range_are_in_it(version: tuple[int, int]) -> None:
    wanted = environment.Pythons((3, 8), (3, 11))
    assert version in wanted
    assert (3, 7) not in wanted and (3, 12) not in wanted


def test_each_version_of_python_has_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("tiny==1.0\n")
    pythons = [environment.Python(sys.executable, (3, minor)) for minor in (8, 9)]
    homes = {environment.home(tmp_path, tmp_path / "requirements.txt", one) for one in pythons}
    assert len(homes) == 2


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
