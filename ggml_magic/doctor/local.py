"""Checks of this machine: Python, packages, runtimes, emulation, disk.

``CHECKS`` is the table of them; another room of checks is another such table.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

from packaging.version import Version

from ggml_magic.device.environment import Pythons
from ggml_magic.doctor.check import Check, Diagnosis
from ggml_magic.errors import GgmlError
from ggml_magic.presentation import size
from ggml_magic.runtimes import emulation, machines, pythons
from ggml_magic.runtimes import runtime as runtimes

OLDEST_PYTHON = (3, 10)  # setup.cfg's python_requires
# papermill 2.5 ends green on a notebook that failed with a usage error (JUPYTER 2)
OLDEST_PAPERMILL = "2.7"
# the environments of the runtimes (TensorFlow's 1.5 GB among them), both emulations, and room
# for the pip that builds them (RUNTIMES 1, 2, 5)
CACHE_BYTES = 3_000_000_000
SANDBOX = ("moto", "amqtt", "awsiotsdk")


def checks() -> tuple[Check, ...]:
    """Everything of this machine that is looked at; nothing is built or fetched."""
    return tuple(check for look in CHECKS for check in look())


def diagnose() -> Diagnosis:
    """What this machine has and lacks."""
    return Diagnosis(checks())


def python() -> Iterator[Check]:
    """The Python of this kernel."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    mend = f"a kernel with Python {oldest} or newer"
    ok = sys.version_info[:2] >= OLDEST_PYTHON
    yield Check(
        "Python", ok, f"{platform.python_version()} at {sys.executable}", "" if ok else mend
    )


def tensorflow() -> Iterator[Check]:
    """TensorFlow of whatever build; it is not imported for it."""
    names = metadata.packages_distributions().get("tensorflow", [])
    if names:
        yield Check("TensorFlow", True, f"{names[0]} {metadata.version(names[0])}")
    else:
        yield Check("TensorFlow", False, "not installed", "pip install 'ggml_magic[train]'")


def papermill() -> Iterator[Check]:
    """The runner of headless notebooks, new enough to tell failures."""
    found = _version("papermill")
    new = found is not None and Version(found) >= Version(OLDEST_PAPERMILL)
    mend = "" if new else f"pip install 'papermill>={OLDEST_PAPERMILL}'"
    yield Check("papermill", new, found or "not installed", mend)


def sandbox() -> Iterator[Check]:
    """The packages of the sandbox."""
    found = {name: _version(name) for name in SANDBOX}
    ok = all(found.values())
    saw = ", ".join(f"{name} {version or 'not installed'}" for name, version in found.items())
    yield Check("sandbox", ok, saw, "" if ok else "pip install 'ggml_magic[sandbox]'")


def environments() -> Iterator[Check]:
    """Each edge runtime's environment, or the Python that would make it."""
    for name in runtimes.names():
        runtime = runtimes.get(name)
        what = f"runtime {name}"
        built = runtimes.find(runtime)
        if built:
            yield Check(what, True, f"{runtime.version}, environment built")
            continue
        try:
            made_by = pythons.find(Pythons.of(runtime.requirements), name).version
        except GgmlError as error:
            yield Check(what, False, f"{runtime.version}, {error.why}", error.remedy)
            continue
        saw = f"{runtime.version}, not built; Python {made_by[0]}.{made_by[1]} would make it"
        yield Check(what, False, saw, "ggml doctor --fix runtimes")


def emulations() -> Iterator[Check]:
    """The emulation of each architecture: qemu, its sysroot, and whether it was examined."""
    for arch in machines.MACHINES:
        what = f"emulated {arch}"
        if platform.system() != "Linux":
            yield Check(what, None, f"qemu-user does not run on {platform.system()}")
            continue
        seen = emulation.state(arch)
        ok = seen.ready
        yield Check(what, ok, _emulation(seen), "" if ok else emulation.REMEDY)


def disk() -> Iterator[Check]:
    """Room for the cache."""
    folder = runtimes.cache_folder().absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    ok = free >= CACHE_BYTES
    mend = f"free {size(CACHE_BYTES - free)}, or set GGML_CACHE to another disk"
    saw = f"{size(free)} free for {runtimes.cache_folder()}"
    yield Check("disk", ok, saw, "" if ok else mend)


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    python,
    tensorflow,
    papermill,
    sandbox,
    environments,
    emulations,
    disk,
)


def _emulation(seen: emulation.State) -> str:
    if seen.qemu:
        qemu = str(seen.qemu)
    elif seen.old:
        qemu = f"{seen.old} at {seen.old.path} is too old"
    else:
        qemu = "no qemu"
    absent = [name for name, there in seen.sites.items() if not there]
    failed = [name for name, well in seen.passed.items() if not well and name not in absent]
    lines = [qemu, "sysroot" if seen.sysroot else "no sysroot"]
    lines += [f"no wheels of {name}" for name in absent]
    lines += [f"{name} not examined" for name in failed]
    lines += ["examined: answers as it should"] if seen.ready else []
    return ", ".join(lines)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
