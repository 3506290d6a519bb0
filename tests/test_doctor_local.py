"""What the doctor sees of this machine, and the exact mend for what is missing."""

from __future__ import annotations

from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from ggml_magic.doctor import local
from ggml_magic.doctor.check import Check
from ggml_magic.runtimes import pythons
from ggml_magic.runtimes import runtime as runtimes

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGML_CACHE", str(tmp_path / "not" / "yet"))


def without(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """Let every package have this version, or be absent."""

    def answer(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(local.metadata, "version", answer)
    monkeypatch.setattr(local.metadata, "packages_distributions", dict)


def test_a_whole_look_builds_nothing_and_names_everything(tmp_path: Path) -> None:
    diagnosis = local.diagnose()
    seen = {check.name for check in diagnosis.checks}
    assert {f"runtime {name}" for name in runtimes.names()} <= seen
    assert {"Python", "TensorFlow", "papermill", "sandbox", "disk"} <= seen
    assert {"emulated aarch64", "emulated armv7l"} <= seen
    assert not (tmp_path / "not").exists()
    assert all(check.mend for check in diagnosis.checks if check.ok is False)
    assert not any(check.mend for check in diagnosis.checks if check.ok)


def test_this_python_is_fine_and_an_older_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.ok for check in local.python()] == [True]
    monkeypatch.setattr(local, "OLDEST_PYTHON", (99, 0))
    (check,) = local.python()
    assert check.ok is False and "99.0" in check.mend


@pytest.mark.parametrize(
    ("look", "mend"),
    [
        (local.tensorflow, "pip install 'ggml_magic[train]'"),
        (local.sandbox, "pip install 'ggml_magic[sandbox]'"),
        (local.papermill, "pip install 'papermill>=2.7'"),
    ],
)
def test_absent_packages_come_with_their_line(
    look: object, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(look)
    without(monkeypatch, None)
    (check,) = look()
    assert check.ok is False and "not installed" in check.saw and check.mend == mend


@pytest.mark.parametrize(("version", "ok"), [("2.5.0", False), ("2.7.0", True), ("2.10", True)])
def test_an_old_papermill_hides_failures(
    version: str, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, version)
    (check,) = local.papermill()
    assert check.ok is ok and check.saw == version


def test_a_runtime_that_is_not_built_says_who_would_build_it() -> None:
    checks = {check.name: check for check in local.environments()}
    check = checks["runtime ai-edge-litert"]
    assert check.ok is False and "not built; Python 3." in check.saw
    assert check.mend == "ggml doctor --fix runtimes"


def test_a_runtime_without_a_python_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "THIS", pythons.THIS.__class__("", (3, 99)))
    monkeypatch.setattr(pythons, "_works", lambda *_: False)
    check = next(one for one in local.environments() if one.name == "runtime tflite-runtime")
    assert check.ok is False and "no other that fits" in check.saw and "3.11" in check.mend


def test_a_small_disk_says_how_much_to_free(monkeypatch: pytest.MonkeyPatch) -> None:
    free = local.CACHE_BYTES - 2_000_000
    monkeypatch.setattr(local.shutil, "disk_usage", lambda _: Usage(0, 0, free))
    (check,) = local.disk()
    assert check.ok is False and check.mend.startswith("free 2.0 MB")


def test_an_emulation_that_is_not_there_has_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/nowhere")
    checks = list(local.emulations())
    assert [check.ok for check in checks] == [False, False]
    assert all(check.mend == "ggml doctor --fix emulation" for check in checks)
    assert checks[0].saw.startswith("no qemu, no sysroot, no wheels of ai-edge-litert")


def test_elsewhere_the_emulation_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.platform, "system", lambda: "Darwin")
    checks: list[Check] = list(local.emulations())
    assert [check.state for check in checks] == ["not checked", "not checked"]
