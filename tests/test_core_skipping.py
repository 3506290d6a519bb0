"""When a step is not run (EDGE-CORE 5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.core.skipping import skipped


def test_a_command_is_looked_for_on_the_components_path(tmp_path: Path) -> None:
    assert skipped("onpath sh")
    assert not skipped("! onpath sh")
    assert skipped("!onpath no-such-command")
    assert not skipped("onpath sh", str(tmp_path))


def test_a_path_may_begin_with_home(tmp_path: Path) -> None:
    (tmp_path / "there is").touch()
    assert skipped(f"exists {tmp_path}/there is")
    assert skipped(f"! exists {tmp_path}/x")
    assert skipped(f"!EXISTS {tmp_path}/x")
    assert skipped("exists ~")
    assert skipped("exists ~/there is", home=str(tmp_path))
    assert not skipped("exists ~/nothing", home=str(tmp_path))


@pytest.mark.parametrize("wrong", ["", "onpath", "sometimes x", "exists", "!! exists x"])
def test_what_is_neither_is_wrong(wrong: str) -> None:
    with pytest.raises(ValueError, match="neither onpath nor exists"):
        skipped(wrong)
