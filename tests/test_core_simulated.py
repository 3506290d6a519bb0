"""The process that speaks for simulated devices; what they answer is in test_sandbox_fleet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sandboxes import until

from ggml_magic.core import simulated
from ggml_magic.core.simulated import SimulatedFleet
from ggml_magic.errors import CoreError

FLEET = SimulatedFleet("sim", ("sim-01", "sim-02", "sim-03"), "failure=1,offline=1")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / ".ggml" / "fleets" / "sim"
    place.mkdir(parents=True)
    yield place
    simulated.stop(place)


def start(folder: Path, idle_minutes: float = 5) -> int:
    return simulated.start(folder, folder.parents[1] / "sandbox" / "endpoint.json", idle_minutes)


def test_what_a_fleet_is_lasts(folder: Path) -> None:
    assert simulated.read(folder) is None
    simulated.write(folder, FLEET)
    assert simulated.read(folder) == FLEET
    (folder / simulated.FLEET).write_text("no json")
    assert simulated.read(folder) is None


def test_a_record_of_someone_else_is_nobody(folder: Path) -> None:
    record = {"pid": psutil.Process().pid, "born": 1}
    (folder / simulated.RECORD).write_text(json.dumps(record))
    assert simulated.running(folder) is None
    assert not simulated.stop(folder)


@pytest.mark.real
def test_it_starts_once_and_ends(folder: Path) -> None:
    simulated.write(folder, FLEET)
    pid = start(folder)
    assert start(folder) == pid == simulated.running(folder)
    assert simulated.stop(folder)
    assert simulated.running(folder) is None
    assert not (folder / simulated.RECORD).exists()


@pytest.mark.real
def test_it_ends_when_no_sandbox_answers_for_too_long(folder: Path) -> None:
    simulated.write(folder, FLEET)
    start(folder, idle_minutes=0.01)
    until(lambda: simulated.running(folder) is None, 10)


@pytest.mark.real
def test_a_folder_without_a_fleet_is_told(folder: Path) -> None:
    with pytest.raises(CoreError, match=r"the simulated fleet sim did not start: .*fleet\.json"):
        start(folder)
