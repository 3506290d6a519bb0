"""A virtual environment from hash-locked requirements, on a device and where models are proven.

Needs nothing but Python, and says in one line what is missing. The folder's name holds the
hash of what is in it, so that an environment is built once and never changed. It is built in
place, because virtual environments cannot be moved, and counts only when its stamp is written.

A lock begins with the Pythons that it has wheels for, as ``# For Python 3.8 to 3.11.`` or
``# For Python 3.10 and newer.``, so that they travel with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PYTHONS = re.compile(r"# For Python 3\.(\d+) (?:to 3\.(\d+)|and newer)\.")
STAMP = ".complete"
LOG = "build.log"
# 163 MB over a slow link onto an SD card; a build that takes longer is stuck
BUILD_SECONDS = 1800
# the caller's own packages must not leak into the environment that is built
LEAKING = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")


class BuildError(Exception):
    """The environment could not be built; the text is one line that says why."""


@dataclass(frozen=True)
class Python:
    """An interpreter and its version, such as ``(3, 11)``."""

    path: str
    version: tuple[int, int]


THIS = Python(sys.executable, sys.version_info[:2])


@dataclass(frozen=True)
class Pythons:
    """The oldest and the newest Python that a lock has wheels for; None: no newest."""

    oldest: tuple[int, int] = (3, 0)
    newest: tuple[int, int] | None = None

    @classmethod
    def of(cls, requirements: Path) -> Pythons:
        """What the lock's first line says; any Python where it says nothing."""
        with requirements.open() as file:
            said = PYTHONS.match(file.readline())
        if said is None:
            return cls()
        oldest, newest = said.groups()
        return cls((3, int(oldest)), None if newest is None else (3, int(newest)))

    def __contains__(self, version: tuple[int, int]) -> bool:
        return self.oldest <= version and (self.newest is None or version <= self.newest)

    def __str__(self) -> str:
        oldest = f"Python 3.{self.oldest[1]}"
        if self.newest is None:
            return f"{oldest} or newer"
        return oldest if self.newest == self.oldest else f"{oldest} to 3.{self.newest[1]}"


def home(folder: Path, requirements: Path, python: Python = THIS) -> Path:
    """Where the environment for these requirements and that Python lies, built or not."""
    major, minor = python.version
    tag = f"{sys.implementation.name}-{major}{minor} {platform.machine()}"
    content = hashlib.sha256(requirements.read_bytes() + tag.encode()).hexdigest()
    return folder / f"env-{content[:16]}"


def find(folder: Path, requirements: Path, python: Python = THIS) -> Path | None:
    """The Python of a complete environment, or ``None``."""
    place = home(folder, requirements, python)
    held = place / "bin" / "python"
    # access() follows the link, so that a base Python that was removed is noticed
    built = (place / STAMP).exists() and os.access(str(held), os.X_OK)
    return held if built else None


def build(folder: Path, requirements: Path, python: Python = THIS) -> Path:
    """The environment's Python; the environment is built from ``python`` when it is not there.

    Raises ``BuildError``. Two builds of one folder at a time wait for each other.
    """
    found = find(folder, requirements, python)
    if found:
        return found
    _check_version(requirements, python)
    if python == THIS:
        _check_venv()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return find(folder, requirements, python) or _build(folder, requirements, python)
    except OSError as error:
        raise BuildError(f"{folder}: {error.strerror}") from error


def prune(folder: Path, keep: Path) -> None:
    """Remove the environments of ``folder`` that ``keep``, one's Python, is not in."""
    with _locked(folder):
        for place in folder.glob("env-*"):
            if place not in keep.parents:
                shutil.rmtree(str(place), ignore_errors=True)


def clean_environment() -> dict[str, str]:
    """This process's variables, without those that bring its packages along."""
    return {name: value for name, value in os.environ.items() if name not in LEAKING}


def _check_version(requirements: Path, python: Python) -> None:
    wanted = Pythons.of(requirements)
    if python.version not in wanted:
        held = "old" if python.version < wanted.oldest else "new"
        major, minor = python.version
        raise BuildError(f"Python {major}.{minor} is too {held}: the runtime needs {wanted}")


def _check_venv() -> None:
    try:
        import ensurepip  # noqa: F401  # Debian splits it, and with it venv, off
        import venv  # noqa: F401
    except ImportError:
        raise BuildError(
            "this Python has no venv module: run `sudo apt-get install -y python3-venv`"
        ) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the system releases it when the process ends
        yield


def _build(folder: Path, requirements: Path, python: Python) -> Path:
    place = home(folder, requirements, python)
    log = folder / LOG
    shutil.rmtree(str(place), ignore_errors=True)  # what a killed build left
    held = place / "bin" / "python"
    pip = [str(held), "-m", "pip", "install", "--no-input", "--progress-bar=off"]
    locked = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(requirements)]
    try:
        _run([python.path, "-m", "venv", str(place)], log)
        _run(pip + locked, log)
        os.sync()  # a power cut must not leave a stamp on files that are not yet on the disk
        (place / STAMP).touch()
    except BaseException:
        shutil.rmtree(str(place), ignore_errors=True)
        raise
    log.unlink()
    return held


def _run(command: list[str], log: Path) -> None:
    with log.open("w") as output:
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                timeout=BUILD_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise BuildError(
                f"{command[2]} did not end within {BUILD_SECONDS} s (its output: {log})"
            ) from None
    if code:
        reason = _reason(log.read_text(errors="replace"))
        raise BuildError(f"{command[2]} failed: {reason} (its output: {log})")


def _reason(output: str) -> str:
    """The one line of pip's or venv's output that tells why it failed."""
    if "No space left on device" in output:
        return "no space left on the disk"
    if "DO NOT MATCH THE HASHES" in output:
        package = re.search(r"^\s*(\S+==\S+|\S+) from ", output, re.MULTILINE)
        named = package.group(1) if package else "a package"
        return f"{named} is not the file that was locked: its SHA-256 differs"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1]
