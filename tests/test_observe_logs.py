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
    with pytest.raises(NotYetError, match="no component has written anything"):
        tail(workspace, Settings(), "pi", COMPONENT)


def test_on_aws_the_log_is_on_the_device(workspace: Workspace) -> None:
    with pytest.raises(CloudError, match="on pi itself") as failed:
        tail(workspace, Settings(cloud="aws"), "pi", COMPONENT)
    assert f"/aws/greengrass/UserComponent/eu-west-1/{COMPONENT}" in failed.value.remedy


def test_a_log_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"\xff\xfe broken\nfine\n")
    assert last_lines(path, 5)[-1] == "fine"


def logs_of(workspace: Workspace, *names: str) -> None:
    folder = workspace.folder("cores", "pi", "logs")
    for name in names:
        (folder / f"{name}.log").write_text(f"{name}\n")


def test_the_name_of_the_model_is_taken_too(workspace: Workspace) -> None:
    logs_of(workspace, COMPONENT, "odd")
    found = tail(workspace, Settings(), "pi", "rain")
    assert (found.component, found.lines) == (COMPONENT, (COMPONENT,))
    assert tail(workspace, Settings(), "pi", "odd").component == "odd"
    workspace.folder("models", "rain").joinpath("model.json").write_text("{}")
    with pytest.raises(CloudError, match="on pi itself") as failed:
        tail(workspace, Settings(cloud="aws"), "pi", "rain")
    assert COMPONENT in failed.value.remedy


@pytest.mark.parametrize("given", ["rian", "com.example.Rain", "nothing_like_it"])
def test_a_log_that_is_not_there_names_those_that_are(workspace: Workspace, given: str) -> None:
    logs_of(workspace, "aws.greengrass.Other", COMPONENT)
    with pytest.raises(NotYetError, match=r"where there is aws\.greengrass\.Other, com") as failed:
        tail(workspace, Settings(), "pi", given)
    assert failed.value.remedy == f"%ggml logs pi {COMPONENT}"


def test_a_core_of_nearly_that_name_is_meant(workspace: Workspace) -> None:
    workspace.folder("cores", "house-pi")
    with pytest.raises(NotYetError) as failed:
        tail(workspace, Settings(), "hous-pi", "rain")
    assert failed.value.remedy == "%ggml logs house-pi rain"
