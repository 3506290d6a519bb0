"""The house itself: what the wheel ships, and that its plan is true."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ggml_magic"


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in listing.splitlines() if (ROOT / name).is_file()]


def test_every_room_is_on_the_plan() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    rooms |= {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    drawn = set(re.findall(r"`([a-z]+(?:/|\.py))`", plan.split("## The rooms")[1].split("##")[0]))
    assert rooms - {"data/"} <= drawn
    assert drawn - {"widgets/", "pipelines/", "data/"} - rooms <= {"ggml_magic/"}


def test_every_module_of_the_core_is_on_its_plan() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text()
    table = plan.split("## Inside the core")[1].split("A deployment is written down")[0]
    drawn = re.findall(r"`([a-z_]+)`", table.split("|---|---|")[1])
    assert sorted(drawn) == sorted(
        path.stem for path in (PACKAGE / "core").glob("*.py") if path.name != "__init__.py"
    )


def test_every_module_has_a_test_file() -> None:
    names = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    missing = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "__init__.py":
            continue
        room = path.parent.name if path.parent != PACKAGE else ""
        wanted = f"test_{room}_{path.stem}" if room else f"test_{path.stem}"
        if wanted not in names:
            missing.append(str(path.relative_to(ROOT)))
    assert not missing


def test_nothing_of_one_machine_is_tracked() -> None:
    forbidden = re.compile(
        rf"{re.escape(str(ROOT))}|{re.escape(str(Path.home()))}/|https?://(?!127[.])\S+/simple\b"
    )
    found = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix not in {".png"}
        and path != Path(__file__)
        and forbidden.search(path.read_text(errors="replace"))
    ]
    assert not found


def test_versions_of_the_lock_and_the_metadata_agree() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    wanted = re.findall(
        r"^    ([A-Za-z0-9_.-]+)(?:\[.*\])?[><=]", (ROOT / "setup.cfg").read_text(), re.M
    )
    locked = {
        name.lower().replace("_", "-") for name in re.findall(r"^([a-zA-Z0-9_.-]+)==", lock, re.M)
    }
    missing = {name.lower().replace("_", "-") for name in wanted} - locked
    assert not missing - {"python-requires"}


@pytest.mark.real
def test_the_wheel_holds_the_package_and_its_data(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--installer",
            "uv",
            "--outdir",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in tracked():
        inside = path.relative_to(ROOT)
        if inside.parts[0] in {"widgets", "pipelines"}:
            assert f"ggml_magic/data/{inside}" in names
        if inside.parts[0] == "ggml_magic":
            assert str(inside) in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ggml_magic"}
