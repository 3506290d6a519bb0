"""A runtime's wheels for another machine, of the same lock as its own environment."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection
from pathlib import Path

from packaging.requirements import Requirement

from ggml_magic.errors import EnvironmentBuildError
from ggml_magic.runtimes import debian

# What the component needs to talk to its device, and no proof does: it has no wheel everywhere.
NOT_PROVEN = frozenset({"awscrt", "awsiotsdk"})
OLDEST_GLIBC = 17  # 2.17, of manylinux2014


def selected(lock: str, machine: str, python: str, without: Collection[str]) -> str:
    """The lock's lines, hashes included, that count on Linux on ``machine`` with ``python``.

    ``python`` is a full version such as ``3.11.2``; ``without`` names packages that come from
    elsewhere.
    """
    target = {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
    }
    kept = []
    for line in lock.replace("\\\n", " ").splitlines():
        text, *hashes = line.split(" --hash=")
        if not text.strip() or text.lstrip().startswith(("#", "-")):
            continue
        wanted = Requirement(text.strip())
        counts = wanted.marker is None or wanted.marker.evaluate(target)
        if counts and wanted.name not in NOT_PROVEN and wanted.name not in without:
            hashed = "".join(f" --hash={value.strip()}" for value in hashes)
            kept.append(f"{wanted.name}{wanted.specifier}{hashed}")
    return "\n".join(kept) + "\n"


def install(requirements: str, machine: str, python: str, glibc: int, into: Path) -> None:
    """Install wheels for a machine with glibc ``2.<glibc>`` into the folder ``into``.

    Every hash is checked and nothing is built. Raises ``EnvironmentBuildError``.
    """
    if importlib.util.find_spec("pip") is None:
        raise EnvironmentBuildError(
            f"the wheels for {machine} could not be fetched",
            "this Python has no pip",
            f"{sys.executable} -m ensurepip",
        )
    lock = into / "requirements.txt"
    lock.write_text(requirements)
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(glibc, OLDEST_GLIBC - 1, -1)]
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--no-compile", "--target", str(into)]
    command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(lock)]
    command += ["--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={name}" for name in [*platforms, f"manylinux2014_{machine}"]]
    debian.run(command, f"the wheels for {machine}")
