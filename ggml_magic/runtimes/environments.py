"""The environments of the edge runtimes: built once, kept in the user's cache."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.device import environment as device_environment
from ggml_magic.device.environment import Python, Pythons
from ggml_magic.errors import EnvironmentBuildError
from ggml_magic.runtimes import pythons
from ggml_magic.runtimes.kinds import Runtime


@dataclass(frozen=True)
class Environment:
    """A runtime's environment; ``built`` says whether it had to be, in ``seconds``."""

    python: Path
    built: bool
    seconds: float


def cache_folder() -> Path:
    """Where environments are kept between notebooks: ``GGML_CACHE``, else the user's cache."""
    named = os.environ.get("GGML_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ggml_magic"


def environment(runtime: Runtime) -> Environment:
    """The runtime's environment in the user's cache, built at first use.

    The running Python makes it where it fits, else one that is found on the machine. Raises
    ``EnvironmentBuildError``.
    """
    started = time.perf_counter()
    held = find(runtime)
    return Environment(held or _build(runtime), held is None, time.perf_counter() - started)


def find(runtime: Runtime) -> Path | None:
    """The Python of the runtime's environment, if it is built; nothing is started to see it."""
    lock = runtime.requirements
    for version in pythons.versions(Pythons.of(lock)):
        # where the Python is does not tell environments apart, only its version does
        held = device_environment.find(_folder(runtime), lock, Python("", version))
        if held is not None:
            return held
    return None


def _build(runtime: Runtime) -> Path:
    named = f"{runtime.name} {runtime.version}"
    python = pythons.find(Pythons.of(runtime.requirements), named)
    try:
        return device_environment.build(_folder(runtime), runtime.requirements, python)
    except device_environment.BuildError as error:
        raise EnvironmentBuildError(
            f"the environment of {named} could not be built",
            str(error),
            "the same command again, once that is mended",
        ) from error


def _folder(runtime: Runtime) -> Path:
    return cache_folder() / "runtimes" / runtime.name
