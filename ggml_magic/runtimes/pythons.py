"""The Pythons of this machine that an edge runtime can run in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ggml_magic.device.environment import THIS, Python, Pythons, clean_environment
from ggml_magic.errors import EnvironmentBuildError

NEWEST_KNOWN = (3, 14)  # where a runtime names no newest Python, the search begins here
PROBE_SECONDS = 30
# A name is no proof: pyenv's shims are there for Pythons that are not, and Debian's Python has
# no venv until it is asked for.
PROBE = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
CONDAS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba")


def versions(wanted: Pythons) -> tuple[tuple[int, int], ...]:
    """The versions that are wanted: this process's own first, then from the newest down."""
    newest = wanted.newest or max(NEWEST_KNOWN, THIS.version)
    down = [(3, minor) for minor in range(newest[1], wanted.oldest[1] - 1, -1)]
    return tuple(sorted(down, key=lambda version: version != THIS.version))


def find(wanted: Pythons, what: str) -> Python:
    """A Python of a wanted version that can make environments; this process's own if it fits.

    ``what`` is the runtime's name for the error, an ``EnvironmentBuildError`` that tells the
    line which installs one.
    """
    if THIS.version in wanted:
        return THIS
    for version in versions(wanted):
        for path in _places(version):
            if _works(path, version):
                return Python(str(path), version)
    newest = versions(wanted)[0]
    raise EnvironmentBuildError(
        f"{what} needs {wanted}",
        f"the running Python is {THIS.version[0]}.{THIS.version[1]}, and no other that fits "
        "and has venv was found on the PATH, in pyenv, conda or uv",
        _installation(f"{newest[0]}.{newest[1]}"),
    )


def _places(version: tuple[int, int]) -> Iterator[Path]:
    name = f"python{version[0]}.{version[1]}"
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield Path(folder or ".") / name
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/*/bin/{name}"), reverse=True)
    for conda in _condas(home):
        yield conda / "bin" / name
        yield from sorted(conda.glob(f"envs/*/bin/{name}"))
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    yield from sorted(data.glob(f"uv/python/*/bin/{name}"), reverse=True)


def _condas(home: Path) -> Iterator[Path]:
    executable = os.environ.get("CONDA_EXE")
    if executable:
        yield Path(executable).parent.parent
    for name in CONDAS:
        yield home / name
    yield Path("/opt/conda")


def _works(path: Path, version: tuple[int, int]) -> bool:
    if not os.access(path, os.X_OK):
        return False
    try:
        done = subprocess.run(
            [str(path), "-I", "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.split() == [str(part) for part in version]


def _installation(version: str) -> str:
    """The line that installs a Python with what this machine has; each place is searched."""
    if shutil.which("uv"):
        return f"uv python install {version}"
    if shutil.which("pyenv"):
        return f"pyenv install {version}"
    if shutil.which("conda"):
        return f"conda create --yes --name python{version} python={version}"
    return f"sudo apt-get install -y python{version} python{version}-venv"
