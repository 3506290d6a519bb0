"""The machines that can be emulated, and what each is made of."""

from __future__ import annotations

from dataclasses import dataclass

from ggml_magic.errors import GrammarError

# this machine itself: what runs without an emulator
NATIVE = "native"
# Debian 12: the newest with Python 3.11, which every pinned runtime has wheels for
SUITE = "bookworm"
PYTHON = "3.11.2"
GLIBC = 36


@dataclass(frozen=True)
class Machine:
    """A machine to be emulated: ``name`` is what ``uname -m`` says there.

    ``links`` are what Debian's alternatives would set (link: target), ``of_debian`` the Python
    packages that come with the sysroot, because no wheel of them exists. ``package_bytes`` is
    what the sysroot's packages measured.
    """

    name: str
    qemu: str
    cpu: str
    debian: str
    packages: tuple[str, ...]
    package_bytes: int
    links: tuple[tuple[str, str], ...] = ()
    of_debian: frozenset[str] = frozenset()


_ARMHF = "usr/lib/arm-linux-gnueabihf"
_PYTHON = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")
MACHINES = {
    machine.name: machine
    for machine in (
        # the core of the Raspberry Pi 4 and of most 64-bit gateways
        Machine("aarch64", "qemu-aarch64", "cortex-a72", "arm64", _PYTHON, 15_600_000),
        # the Raspberry Pi 2's: the same instructions as the other ARMv7 cores with NEON, and
        # none of ARMv8's, so that what a real 32-bit device lacks fails here too
        Machine(
            "armv7l",
            "qemu-arm",
            "cortex-a7",
            "armhf",
            (*_PYTHON, "python3-numpy"),
            21_800_000,
            (
                (f"{_ARMHF}/libblas.so.3", "blas/libblas.so.3"),
                (f"{_ARMHF}/liblapack.so.3", "lapack/liblapack.so.3"),
            ),
            frozenset({"numpy"}),
        ),
    )
}
ARCHITECTURES = (NATIVE, *MACHINES)


def check(arch: str) -> None:
    """Raise ``GrammarError`` for what is neither this machine nor one to be emulated."""
    if arch not in ARCHITECTURES:
        raise GrammarError(
            f"no architecture is called {arch!r}",
            f"there are {', '.join(ARCHITECTURES)}",
            f"--arch {NATIVE}",
        )
