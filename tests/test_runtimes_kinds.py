from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.runtimes import runtime
from ggml_magic.runtimes.kinds import ADAPTERS, PinnedRuntime, Runtime


@pytest.mark.parametrize(
    ("says", "pythons"),
    [
        ("3.8 to 3.11", ((3, 8), (3, 11))),
        ("3.10 and newer", ((3, 10), None)),
    ],
)
def test_the_lock_says_which_pythons_it_is_for(
    tmp_path: Path, says: str, pythons: tuple[tuple[int, int], tuple[int, int] | None]
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"# For Python {says}. Made by hand.\nnumpy==2.0\n")
    assert PinnedRuntime("it", "1.0", lock).pythons == pythons


@pytest.mark.parametrize("name", runtime.names())
def test_each_runtime_is_whole(name: str) -> None:
    held: Runtime = runtime.get(name)
    assert held.name == name and held.requirements.is_file()
    assert f"=={held.version}" in held.requirements.read_text()
    assert held.pythons[0] >= (3, 8)
    assert (ADAPTERS / held.adapter.replace(".", "/")).with_suffix(".py").is_file()
    assert "x86_64" in held.architectures
