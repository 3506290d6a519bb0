from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from edge import device, environment

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


def test_what_is_not_installed_is_not_run(tmp_path: Path, python: Path) -> None:
    pi = device(tmp_path, python)
    (pi.work / python.parent.parent.name).unlink()
    process = pi.run("launch")
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert stderr == "not installed: the environment is not complete\n"
