"""A process and a folder are recognised again, and their successors are not taken for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ggml_magic.core import identity

TICKS = os.sysconf("SC_CLK_TCK")


def test_a_process_began_once() -> None:
    found = identity.born(os.getpid())
    assert found is not None
    expected = psutil.Process().create_time() - psutil.boot_time()
    assert abs(found / TICKS - expected) < 1
    assert identity.born(os.getpid()) == found


@pytest.mark.real
def test_another_process_is_another_and_a_dead_one_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert identity.born(child.pid) not in (None, identity.born(os.getpid()))
        child.kill()
        # ended, and not yet taken notice of
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identity.born(child.pid) is None
    finally:
        child.communicate()
    assert identity.born(child.pid) is None


def test_a_folder_made_again_is_another(tmp_path: Path) -> None:
    place = tmp_path / "root"
    assert identity.folder(place) is None
    place.mkdir()
    first = identity.folder(place)
    place.rename(tmp_path / "aside")
    place.mkdir()
    assert identity.folder(place) not in (None, first)
