from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge import Device, device, environment

from ggml_magic.runtimes import runtime
from ggml_magic.runtimes.tflite import TFLITE

pytestmark = pytest.mark.real

# issue 2 wants 0.15 s; a busy machine gets some room
SECONDS_WHEN_BUILT = 0.5


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment(tmp_path_factory.mktemp("cache")) as python:
        yield python


@pytest.fixture
def pi(tmp_path: Path, python: Path) -> Device:
    return device(tmp_path, python)


def install(pi: Device) -> tuple[int, str, str]:
    process = pi.run("install")
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def test_the_model_is_proven_on_the_device_once(pi: Device) -> None:
    stale = pi.work / "env-0123"
    stale.mkdir()
    assert install(pi) == (0, "self-test passed: 3 golden rows\n", "")
    assert not stale.exists()
    started = time.perf_counter()
    assert install(pi) == (0, "", "")
    assert time.perf_counter() - started < SECONDS_WHEN_BUILT


def test_a_model_that_answers_otherwise_is_refused_and_the_old_environment_stays(
    pi: Device,
) -> None:
    golden = json.loads((pi.component / "golden.json").read_text())
    golden["outputs"][1] = [0.1]
    (pi.component / "golden.json").write_text(json.dumps(golden))
    (pi.work / "env-0123").mkdir()
    code, _, stderr = install(pi)
    assert code == 1 and stderr.count("\n") == 1
    assert stderr.startswith("install failed: self-test failed: an output differs by 0.6")
    assert (pi.work / "env-0123").exists()


@pytest.mark.parametrize("when", ["before the first install", "after it"])
def test_a_file_that_was_damaged_is_caught(pi: Device, when: str) -> None:
    if when == "after it":
        assert install(pi)[0] == 0
    model = pi.component / "model.tflite"
    content = bytearray(model.read_bytes())
    content[-20] ^= 1
    model.write_bytes(content)
    code, _, stderr = install(pi)
    assert code == 1
    assert stderr == (
        "install failed: model.tflite is not the file that was proven: its SHA-256 differs\n"
    )


def test_a_file_that_is_missing_is_named(pi: Device) -> None:
    (pi.component / "golden.json").unlink()
    assert install(pi) == (1, "", "install failed: golden.json: No such file or directory\n")


def test_a_device_with_the_older_runtime_proves_the_model_in_that(pi: Device) -> None:
    held = runtime.environment(TFLITE).python.parent.parent
    (pi.work / held.name).symlink_to(held)
    (pi.component / "requirements.txt").write_bytes(TFLITE.requirements.read_bytes())
    assert install(pi) == (0, "self-test passed: 3 golden rows\n", "")
    assert json.loads((pi.work / "proven.txt").read_text())["python"].split("/")[-3] == held.name


def test_a_lock_for_another_python_is_refused_before_anything_is_fetched(pi: Device) -> None:
    lock = pi.component / "requirements.txt"
    lock.write_text("# For Python 3.0 to 3.1. Locked.\n")
    code, stdout, stderr = install(pi)
    assert (code, stdout) == (1, "")
    assert re.fullmatch(
        r"install failed: Python 3\.\d+ is too new: the runtime needs Python 3\.0 to 3\.1\n", stderr
    )
