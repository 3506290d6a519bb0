"""What the doctor mends: it says what it fetches before it fetches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.doctor import mend
from ggml_magic.errors import EnvironmentBuildError, GrammarError
from ggml_magic.runtimes import runtime as runtimes


def test_an_unknown_fix_lists_those_that_there_are() -> None:
    with pytest.raises(GrammarError, match="emulation, runtimes") as caught:
        mend.mend("everything", lambda _: None)
    assert caught.value.remedy == "ggml doctor --fix emulation"


def test_the_sizes_come_before_the_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt: nothing can be fetched
    lines: list[str] = []
    with pytest.raises(EnvironmentBuildError, match="no apt-get"):
        mend.mend("emulation", lines.append)
    assert "71.1 MB" in lines[0] and "15.6 MB" in lines[1]


@pytest.mark.real
@pytest.mark.timeout(900)
def test_emulation_is_set_up_once() -> None:
    mend.mend("emulation", lambda _: None)
    lines: list[str] = []
    mend.mend("emulation", lines.append)
    assert lines[0] == "aarch64: nothing to fetch"
    assert sum("answers as it should" in line for line in lines) == 3


@pytest.mark.real
@pytest.mark.timeout(900)
def test_runtimes_are_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorFlow's own is 1.5 GB and no different
    monkeypatch.setattr(mend.runtimes, "names", lambda: ("ai-edge-litert", "tflite-runtime"))
    mend.mend("runtimes", lambda _: None)
    assert all(runtimes.find(runtimes.get(name)) for name in runtimes.names())
    lines: list[str] = []
    mend.mend("runtimes", lines.append)
    assert len(lines) == 2 and all(line.endswith("was built already") for line in lines)
