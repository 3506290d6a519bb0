"""Edge runtimes on another machine's instructions, under qemu-user.

No root and no binfmt: qemu is called by its name with a sysroot of Debian packages, all in the
user's cache. qemu must be 10 or newer and is given the CPU to be, because older ones and the
default CPU crash or answer wrongly (RUNTIMES 5). Emulated time and memory say nothing.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ggml_magic.errors import EnvironmentBuildError, GrammarError
from ggml_magic.presentation import plural, size
from ggml_magic.runtimes import debian, known_answer, wheels
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.runtimes.kinds import Runtime
from ggml_magic.runtimes.machines import GLIBC, MACHINES, NATIVE, PYTHON, SUITE, Machine
from ggml_magic.workspace import telling_of_a_full_disk, whole_folder, write_json

REMEDY = "ggml doctor --fix emulation"
OLDEST_QEMU = (10, 0)
# Debian 12's own is 7.2. Its packages of 10 are linked statically, so they run on any Linux.
QEMU_PACKAGE = "qemu-user"
QEMU_SUITES = ("trixie", "bookworm-backports")
QEMU_BYTES = 71_100_000  # the package holds every emulator; two are kept
PROBE_SECONDS = 30


@dataclass(frozen=True)
class Interpreter:
    """What stands before ``-c``: a Python that is found ready, and the variables it needs."""

    argv: tuple[str, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Qemu:
    """An emulator on this machine and its version."""

    path: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"qemu {'.'.join(map(str, self.version))}"


@dataclass(frozen=True)
class State:
    """What of an architecture's emulation is there: ``old`` is a qemu that is not taken.

    ``sites`` and ``passed`` tell by runtime whether its wheels are there, and whether it has
    passed the examination.
    """

    qemu: Qemu | None
    old: Qemu | None
    sysroot: bool
    sites: Mapping[str, bool]
    passed: Mapping[str, bool]

    @property
    def ready(self) -> bool:
        """Whether a model can be run, for every runtime that exists there."""
        return bool(self.qemu and self.sysroot and all(self.passed.values()))


def interpreter(runtime: Runtime, arch: str) -> Interpreter:
    """The runtime's Python on that machine, examined once with models whose answers are known.

    Raises ``GrammarError`` where the runtime does not exist for the machine,
    ``EnvironmentBuildError`` when it is not set up, ``EdgeRuntimeError`` when the emulator
    computes wrongly.
    """
    machine = _machine(arch)
    _check_exists(runtime, machine)
    qemu = _qemu(machine)
    site = _site(runtime, machine)
    sysroot = _sysroot(machine)
    missing = sysroot if not sysroot.is_dir() else site if not site.is_dir() else None
    if missing:
        raise EnvironmentBuildError(
            f"{runtime.name} {runtime.version} cannot be emulated on {arch} yet",
            f"its files are not in {missing.parent}",
            REMEDY,
        )
    found = _found(qemu, machine, site)
    stamp = _stamp(qemu, machine, site)
    if not stamp.exists():
        who = f"{qemu} as {machine.cpu} ({qemu.path})"
        known_answer.examine(found.argv, found.variables, runtime, who)
        write_json(stamp, {"qemu": str(qemu), "cpu": machine.cpu, "site": site.name})
    return found


def state(arch: str) -> State:
    """What of an architecture's emulation is there; no model is run to see it."""
    machine = _machine(arch)
    found = _installed(machine)
    qemu = next((one for one in found if one.version >= OLDEST_QEMU), None)
    sites = {runtime.name: _site(runtime, machine) for runtime in _runtimes(machine)}
    return State(
        qemu,
        found[0] if found and not qemu else None,
        _sysroot(machine).is_dir(),
        {name: site.is_dir() for name, site in sites.items()},
        {
            name: qemu is not None and _stamp(qemu, machine, site).exists()
            for name, site in sites.items()
        },
    )


def plan(arch: str) -> tuple[str, ...]:
    """What ``set_up`` would fetch, in plain lines with sizes; empty when all is there."""
    machine, seen = _machine(arch), state(arch)
    lines = []
    if not seen.qemu:
        lines.append(f"{QEMU_PACKAGE} >= {OLDEST_QEMU[0]} from Debian: {size(QEMU_BYTES)}")
    if not seen.sysroot:
        fetched = size(machine.package_bytes)
        lines.append(f"Python 3.11 for {arch} from Debian {SUITE}: about {fetched}")
    lines += [f"the wheels of {name} for {arch}" for name, there in seen.sites.items() if not there]
    return tuple(lines)


def set_up(arch: str, tell: Callable[[str], None]) -> None:
    """Fetch what is missing for an architecture into the user's cache, and examine it.

    ``tell`` gets a line for each step. A second call fetches nothing; two at a time wait for
    each other. Raises ``EnvironmentBuildError``, ``EdgeRuntimeError``, ``DiskFullError``.
    """
    machine = _machine(arch)
    if platform.system() != "Linux":
        raise EnvironmentBuildError(
            f"{arch} cannot be emulated on {platform.system()}",
            "qemu-user runs on Linux only",
            "the same in a Debian container",
        )
    root = _root()
    with telling_of_a_full_disk(root):
        root.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(root / ".lock"),
            tempfile.TemporaryDirectory(dir=root, prefix=".apt.") as held,
        ):
            if not state(arch).qemu:
                _fetch_qemu(Path(held) / "qemu", tell)
            if not _sysroot(machine).is_dir():
                _fetch_sysroot(machine, Path(held) / "sysroot", tell)
            for runtime in _runtimes(machine):
                _fetch_site(runtime, machine, tell)
    for runtime in _runtimes(machine):
        interpreter(runtime, arch)
        tell(f"{runtime.name} {runtime.version} on {arch}: answers as it should")


def version(output: str) -> tuple[int, ...]:
    """The version in what ``qemu --version`` prints; empty when it says none."""
    found = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", output)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def _machine(arch: str) -> Machine:
    machine = MACHINES.get(arch)
    if machine is None:
        raise GrammarError(
            f"no machine called {arch!r} can be emulated",
            f"there are {', '.join(MACHINES)}",
            f"--arch {next(iter(MACHINES))}",
        )
    return machine


def _check_exists(runtime: Runtime, machine: Machine) -> None:
    named = f"{runtime.name} {runtime.version}"
    if runtime.takes != "tflite":
        raise GrammarError(
            f"{named} is not emulated",
            "it runs the SavedModel, which is the same on every machine; "
            "the emulation is for what a device runs",
            f"--arch {NATIVE}, or --runtime {runtimes.DEFAULT}",
        )
    if machine.name not in runtime.architectures:
        others = " or ".join(f"--runtime {other.name}" for other in _runtimes(machine))
        raise GrammarError(
            f"{named} has no wheels for {machine.name}",
            f"it is built for {', '.join(runtime.architectures)}",
            others or f"--arch {NATIVE}",
        )


def _runtimes(machine: Machine) -> tuple[Runtime, ...]:
    """The installed runtimes that exist for a machine."""
    every = (runtimes.get(name) for name in runtimes.names())
    return tuple(
        one for one in every if one.takes == "tflite" and machine.name in one.architectures
    )


def _root() -> Path:
    # qemu's guest has folders of its own: a relative name would be another place there
    return runtimes.cache_folder().absolute() / "emulation"


def _sysroot(machine: Machine) -> Path:
    content = repr((SUITE, machine.packages, machine.links))
    return _root() / f"{machine.name}-{_digest(content)}"


def _site(runtime: Runtime, machine: Machine) -> Path:
    content = repr((SUITE, PYTHON, _wheels(runtime, machine)))
    return _root() / f"{runtime.name}-{runtime.version}-{machine.name}-{_digest(content)}"


def _wheels(runtime: Runtime, machine: Machine) -> str:
    lock = runtime.requirements.read_text()
    return wheels.selected(lock, machine.name, PYTHON, machine.of_debian)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _stamp(qemu: Qemu, machine: Machine, site: Path) -> Path:
    """The mark of a passed examination; another qemu, CPU or package has another."""
    emulator = hashlib.sha256(qemu.path.read_bytes()).hexdigest()
    identity = (emulator, machine.cpu, _sysroot(machine).name, site.name, known_answer.digest())
    return _root() / "examined" / f"{_digest(json.dumps(identity))}.json"


def _found(qemu: Qemu, machine: Machine, site: Path) -> Interpreter:
    sysroot = _sysroot(machine)
    python = sysroot / "usr/bin/python3.11"
    emulator = (str(qemu.path), "-cpu", machine.cpu, "-L", str(sysroot))
    # -P: the caller's folder must not bring modules of its own
    return Interpreter((*emulator, str(python), "-B", "-s", "-P"), {"PYTHONPATH": str(site)})


def _qemu(machine: Machine) -> Qemu:
    found = _installed(machine)
    for one in found:
        if one.version >= OLDEST_QEMU:
            return one
    old = [f"{one} at {one.path} is too old: it crashes or answers wrongly" for one in found]
    raise EnvironmentBuildError(
        f"{machine.name} cannot be emulated yet",
        f"qemu {OLDEST_QEMU[0]} or newer is needed; {old[0] if old else 'there is none'}",
        REMEDY,
    )


def _installed(machine: Machine) -> tuple[Qemu, ...]:
    """The emulators of this machine: those on the PATH, then the one in the cache."""
    paths = [shutil.which(name) for name in (machine.qemu, f"{machine.qemu}-static")]
    cached = _cached_qemu() / machine.qemu
    paths.append(str(cached) if cached.exists() else None)
    return tuple(Qemu(Path(path).resolve(), _version(path)) for path in paths if path)


def _cached_qemu() -> Path:
    return _root() / f"qemu-{platform.machine()}"


def _version(path: str) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return version(done.stdout)


def _fetch_qemu(held: Path, tell: Callable[[str], None]) -> None:
    apt = _apt(held, _debian_architecture(), QEMU_SUITES, QEMU_PACKAGE, OLDEST_QEMU[0])
    tell(f"{QEMU_PACKAGE} {apt.version(QEMU_PACKAGE)} from {apt.suite}: {size(QEMU_BYTES)}")
    debian.unpack([apt.fetch_alone(QEMU_PACKAGE)], held / "all")
    with whole_folder(_cached_qemu()) as folder:
        for machine in MACHINES.values():
            shutil.copy2(held / "all/usr/bin" / machine.qemu, folder)


def _debian_architecture() -> str:
    """This machine's architecture as Debian says it; apt's tools must be there."""
    debian.require()
    return debian.architecture()


def _fetch_sysroot(machine: Machine, held: Path, tell: Callable[[str], None]) -> None:
    debian.require()
    apt = _apt(held, machine.debian, (SUITE,), machine.packages[0])
    planned = apt.plan(machine.packages)
    total = size(sum(package.size for package in planned))
    tell(f"Python 3.11 for {machine.name}: {plural(len(planned), 'package')}, {total}")
    with whole_folder(_sysroot(machine)) as folder:
        debian.unpack(apt.fetch(machine.packages), folder)
        for link, target in machine.links:
            (folder / link).symlink_to(target)


def _apt(
    held: Path, architecture: str, suites: Sequence[str], package: str, oldest: int = 0
) -> debian.Apt:
    """The first suite of the machine's Debian mirrors that has the package, new enough."""
    settings, refused = debian.settings(), "no suite has it"
    for number, (suite, archive) in enumerate(
        (suite, archive) for suite in suites for archive in debian.archives()
    ):
        apt = debian.Apt(held / str(number), architecture, suite, archive, settings)
        try:
            apt.update()
            found = apt.version(package)
        except EnvironmentBuildError as error:
            refused = error.why
            continue
        if found and int(re.sub(r"^\d+:", "", found).split(".")[0]) >= oldest:
            return apt
    raise EnvironmentBuildError(
        f"{package} for {architecture} could not be fetched from {' or '.join(suites)}",
        refused,
        debian.AGAIN,
    )


def _fetch_site(runtime: Runtime, machine: Machine, tell: Callable[[str], None]) -> None:
    site = _site(runtime, machine)
    if site.is_dir():
        return
    tell(f"{runtime.name} {runtime.version} for {machine.name}: its wheels")
    with whole_folder(site) as folder:
        wheels.install(_wheels(runtime, machine), machine.name, PYTHON, GLIBC, folder)
