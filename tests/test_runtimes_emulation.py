"""Runtimes under qemu: refused when it cannot be right, and right where it runs."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ggml_magic.errors import EdgeRuntimeError, EnvironmentBuildError, GrammarError
from ggml_magic.runtimes import emulation, known_answer
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.litert import LITERT
from ggml_magic.runtimes.tensorflow import TENSORFLOW
from ggml_magic.runtimes.tflite import TFLITE

ROWS = np.random.default_rng(3).normal(size=(20_000, 3)).astype(np.float32)
FLOAT = known_answer.FOLDER / "float32.tflite"
INT8 = known_answer.FOLDER / "int8.tflite"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it, and a PATH with a folder for false emulators."""
    monkeypatch.setenv("GGML_CACHE", str(tmp_path / "cache"))
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return programs


def program(folder: Path, name: str, says: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", (7, 2, 22)),
        ("qemu-arm version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright", (10, 0, 13)),
        ("qemu-arm version 11.1", (11, 1)),
        ("no such thing", ()),
    ],
)
def test_the_version_is_read(said: str, found: tuple[int, ...]) -> None:
    assert emulation.version(said) == found


def test_an_old_emulator_is_refused_by_its_name(empty: Path) -> None:
    program(empty, "qemu-aarch64-static", "qemu-aarch64 version 7.2.22 (Debian)")
    with pytest.raises(EnvironmentBuildError, match=r"qemu 7\.2\.22 at .* too old") as caught:
        emulation.interpreter(LITERT, "aarch64")
    assert caught.value.remedy == "ggml doctor --fix emulation"
    seen = emulation.state("aarch64")
    assert seen.qemu is None and seen.old is not None and not seen.ready
    assert seen.old.version == (7, 2, 22)


def test_a_new_emulator_on_the_path_is_taken(empty: Path) -> None:
    program(empty, "qemu-aarch64", "qemu-aarch64 version 7.2.22")
    program(empty, "qemu-aarch64-static", "qemu-aarch64 version 10.1.0")
    qemu = emulation.state("aarch64").qemu
    assert qemu is not None and str(qemu) == "qemu 10.1.0"
    assert not any("qemu-user" in line for line in emulation.plan("aarch64"))
    with pytest.raises(EnvironmentBuildError, match="cannot be emulated on aarch64 yet") as caught:
        emulation.interpreter(LITERT, "aarch64")
    assert caught.value.remedy == "ggml doctor --fix emulation"


def test_nothing_there_is_said_with_the_remedy_and_the_sizes(empty: Path) -> None:
    with pytest.raises(EnvironmentBuildError, match="there is none"):
        emulation.interpreter(TFLITE, "armv7l")
    planned = "\n".join(emulation.plan("armv7l"))
    assert "71.1 MB" in planned and "21.8 MB" in planned and "tflite-runtime" in planned
    assert "ai-edge-litert" not in planned


def test_a_runtime_without_wheels_for_the_machine_names_one_that_has_them() -> None:
    with pytest.raises(GrammarError, match="no wheels for armv7l") as caught:
        emulation.interpreter(LITERT, "armv7l")
    assert caught.value.remedy == "--runtime tflite-runtime"


def test_tensorflow_is_not_emulated() -> None:
    with pytest.raises(GrammarError, match=r"tensorflow .* is not emulated"):
        emulation.interpreter(TENSORFLOW, "aarch64")


@pytest.mark.parametrize("arch", ["native", "riscv64"])
def test_a_machine_that_is_none_is_refused(arch: str) -> None:
    with pytest.raises(GrammarError, match="aarch64, armv7l"):
        emulation.set_up(arch, lambda _: None)


def test_other_systems_are_told_what_is_needed(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation.platform, "system", lambda: "Darwin")
    with pytest.raises(EnvironmentBuildError, match="Darwin"):
        emulation.set_up("aarch64", lambda _: None)


def test_a_failed_set_up_leaves_nothing_half_made(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "apt.conf"
    (tmp_path / "parts").mkdir()
    (tmp_path / "list").write_text("deb http://127.0.0.1:9/debian bookworm main\n")
    config.write_text(
        f'Dir::Etc::parts "/dev/null";\nDir::Etc::sourcelist "{tmp_path}/list";\n'
        f'Dir::Etc::sourceparts "{tmp_path}/parts";\nAcquire::Retries "0";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))
    with pytest.raises(EnvironmentBuildError, match=r"qemu-user for .* could not be fetched"):
        emulation.set_up("aarch64", lambda _: None)
    left = sorted(path.name for path in (tmp_path / "cache/emulation").iterdir())
    assert left in ([], [".lock"])


@pytest.fixture(scope="module")
def both() -> None:
    """Both machines, set up in the cache of the test run."""
    for arch in ("aarch64", "armv7l"):
        emulation.set_up(arch, lambda _: None)


@pytest.mark.real
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("both")
class TestReal:
    """Under the real qemu."""

    @pytest.mark.parametrize(
        ("runtime", "arch", "model", "most", "share"),
        [
            (LITERT, "aarch64", FLOAT, 2e-7, 1.0),
            (LITERT, "aarch64", INT8, 0.0, 0.0),
            (TFLITE, "aarch64", FLOAT, 2e-7, 1.0),
            # 2.14's x86 kernels round int8 otherwise in 0.05% of the rows, by 7 steps at most
            (TFLITE, "aarch64", INT8, 8 / 256, 0.002),
            (TFLITE, "armv7l", FLOAT, 2e-5, 1.0),
            (TFLITE, "armv7l", INT8, 8 / 256, 0.002),
        ],
    )
    def test_the_machines_answer_alike(
        self, runtime: runtimes.PinnedRuntime, arch: str, model: Path, most: float, share: float
    ) -> None:
        native = runtimes.run(runtime, model, ROWS)
        emulated = runtimes.run(runtime, model, ROWS, arch=arch)
        assert emulated.emulated and emulated.architecture == arch
        assert emulated.peak_bytes is None and emulated.row_microseconds_p50 is None
        apart = np.abs(native.outputs - emulated.outputs)
        assert float(np.max(apart)) <= most
        assert float(np.mean(apart > 0)) <= share

    def test_int8_is_the_same_on_both_machines(self) -> None:
        both = [runtimes.run(TFLITE, INT8, ROWS, arch=arch) for arch in emulation.MACHINES]
        assert np.array_equal(both[0].outputs, both[1].outputs)

    @pytest.mark.parametrize("arch", ["aarch64", "armv7l"])
    def test_it_is_the_machine_that_was_asked_for(self, arch: str, tmp_path: Path) -> None:
        made = emulation.interpreter(TFLITE, arch)
        (tmp_path / "json.py").write_text("raise SystemExit('of the caller')")
        code = "import json, platform, sys; print(platform.machine(), sys.version_info[:2])"
        done = subprocess.run(
            [*made.argv, "-c", code],
            env=dict(made.variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == [arch, "(3,", "11)"], done.stderr

    @pytest.mark.parametrize(("arch", "cpu"), [("aarch64", "cortex-a72"), ("armv7l", "cortex-a7")])
    def test_qemu_is_told_the_cpu_to_be(self, arch: str, cpu: str) -> None:
        # as the default one it crashes, or answers int8 models wrongly (RUNTIMES 5)
        argv = emulation.interpreter(TFLITE, arch).argv
        assert argv[argv.index("-cpu") + 1] == cpu

    def test_a_second_set_up_fetches_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")  # no apt, no dpkg: it is as if offline
        lines: list[str] = []
        started = time.perf_counter()
        emulation.set_up("aarch64", lines.append)
        assert time.perf_counter() - started < 5
        assert emulation.plan("aarch64") == () and emulation.state("aarch64").ready
        assert all("answers as it should" in line for line in lines) and len(lines) == 2

    def test_an_examination_is_not_repeated_but_another_is_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = []
        monkeypatch.setattr(known_answer, "examine", lambda *given: taken.append(given[3]))
        emulation.interpreter(LITERT, "aarch64")
        assert not taken
        machine = emulation.MACHINES["aarch64"]
        other = dataclasses.replace(machine, cpu="cortex-a53")
        monkeypatch.setitem(emulation.MACHINES, "aarch64", other)
        emulation.interpreter(LITERT, "aarch64")
        qemu = emulation.state("aarch64").qemu
        assert qemu is not None
        site = emulation._site(LITERT, other)
        emulation._stamp(qemu, other, site).unlink()  # it was not really examined
        assert len(taken) == 1 and "cortex-a53" in taken[0]

    def test_a_wrong_emulator_is_not_believed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(known_answer.TOLERANCES, "float32", 0.0)  # no machine is that exact
        with pytest.raises(EdgeRuntimeError, match=r"qemu \d+.* as cortex-a72"):
            emulation.interpreter(LITERT, "aarch64")
        with pytest.raises(EdgeRuntimeError):  # and no stamp was left
            emulation.interpreter(LITERT, "aarch64")

    def test_two_set_ups_at_a_time_wait_for_each_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        qemu = emulation.state("armv7l").qemu
        assert qemu is not None
        monkeypatch.setenv("PATH", f"{qemu.path.parent}:/usr/bin:/bin")
        monkeypatch.setenv("GGML_CACHE", str(tmp_path))
        lines: list[str] = []
        threads = [
            threading.Thread(target=emulation.set_up, args=("armv7l", lines.append))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum("packages" in line for line in lines) == 1
        assert sum("its wheels" in line for line in lines) == 1
        assert emulation.state("armv7l").ready
