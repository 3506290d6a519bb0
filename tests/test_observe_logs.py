"""The end of a component's log, whatever its size."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.errors import CloudError, NotYetError
from ggml_magic.observe import logs
from ggml_magic.observe.logs import last_lines, tail
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

COMPONENT = "com.example.Rain.Inference"


@given(st.lists(st.text("abü ", max_size=9)), st.integers(0, 20), st.integers(1, 7), st.booleans())
@settings(deadline=None)
def test_the_last_lines_are_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int, piece: int, ended: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.log"
    text = "\n".join(lines) + ("\n" if ended and lines else "")
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "PIECE", piece)
        whole = text.splitlines()
        assert last_lines(path, count) == tuple(whole[len(whole) - min(count, len(whole)) :])


def test_the_log_of_a_component_on_a_core_of_this_workspace(workspace: Workspace) -> None:
    folder = workspace.folder("cores", "pi", "logs")
    (folder / f"{COMPONENT}.log").write_text("one\ntwo\nthree\n")
    found = tail(workspace, Settings(), "pi", COMPONENT, lines=2)
    assert tuple(found) == ("two", "three")
    assert str(found).splitlines() == [
        f"log of {COMPONENT} on thing/pi, sandbox",
        "  two",
        "  three",
    ]


def test_what_is_not_there_is_told_with_the_next_command(workspace: Workspace) -> None:
    with pytest.raises(NotYetError, match="no core device pi") as failed:
        tail(workspace, Settings(), "pi", COMPONENT)
    assert failed.value.remedy == "%ggml sandbox core pi"
    workspace.folder("cores", "pi")
    with pytest.raises(NotYetError, match="written nothing"):
        tail(workspace, Settings(), "pi", COMPONENT)


def test_on_aws_the_log_is_on_the_device(workspace: Workspace) -> None:
    with pytest.raises(CloudError, match="on pi itself") as failed:
        tail(workspace, Settings(cloud="aws"), "pi", COMPONENT)
    assert f"/aws/greengrass/UserComponent/eu-west-1/{COMPONENT}" in failed.value.remedy


def test_a_log_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"\xff\xfe broken\nfine\n")
    assert last_lines(path, 5)[-1] == "fine"
