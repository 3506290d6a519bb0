"""The table of machines that can be emulated."""

from __future__ import annotations

import pytest

from ggml_magic.errors import GrammarError
from ggml_magic.runtimes import machines
from ggml_magic.runtimes.machines import MACHINES


def test_the_cpu_is_never_left_to_qemu() -> None:
    # "max" answered int8 models wrongly
    assert {machine.cpu for machine in MACHINES.values()} == {"cortex-a72", "cortex-a7"}


def test_the_seam_names_the_machines() -> None:
    assert list(MACHINES) == ["aarch64", "armv7l"]
    assert all(name == machine.name for name, machine in MACHINES.items())


def test_what_is_no_machine_is_told_what_there_is() -> None:
    for arch in machines.ARCHITECTURES:
        machines.check(arch)
    with pytest.raises(GrammarError, match=r"'sparc'.*native, aarch64, armv7l"):
        machines.check("sparc")
