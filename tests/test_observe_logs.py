"""The end of a component's log, whatever its size."""

from __future__ import annotations

import pytest

from ggml_magic.core.logs import Log
from ggml_magic.errors import CloudError, GrammarError, NotYetError
from ggml_magic.observe.logs import tail
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

COMPONENT = "com.example.Rain.Inference"


def test_the_log_of_a_component_on_a_core_of_this_workspace(workspace: Workspace) -> None:
    folder = workspace.folder("cores", "pi", "logs")
    log = Log(folder / f"{COMPONENT}.log")
    log.info("one")
    log.write("INFO", "two", "run", "stdout")
    log.error("three")
    log.close()
    found = tail(workspace, Settings(), "pi", COMPONENT, lines=2)
    assert [line.partition(" ")[2] for line in found] == ["[INFO] run: two", "[ERROR] three"]
    assert str(found).splitlines() == [
        f"log of {COMPONENT} on thing/pi, sandbox",
        *(f"  {line}" for line in found.lines),
    ]
    warned = tail(workspace, Settings(), "pi", COMPONENT, level="warn")
    assert warned.lines == found.lines[1:]
    assert len(tail(workspace, Settings(), "pi", COMPONENT, level="DEBUG").lines) == 3
    with pytest.raises(GrammarError, match="no level 'loud'") as failed:
        tail(workspace, Settings(), "pi", COMPONENT, level="loud")
    assert failed.value.remedy == f"%ggml logs pi {COMPONENT} --level warn"


def test_a_log_is_read_over_its_rotation(workspace: Workspace) -> None:
    folder = workspace.folder("cores", "pi", "logs")
    log = Log(folder / f"{COMPONENT}.log", file_bytes=300)
    for number in range(5):
        log.info(f"line {number}")
    log.close()
    assert (folder / f"{COMPONENT}.log.1").exists()
    found = tail(workspace, Settings(), "pi", COMPONENT, lines=4)
    assert [line[-1] for line in found] == ["1", "2", "3", "4"]


def test_the_core_has_a_log_of_its_own(workspace: Workspace) -> None:
    log = Log(workspace.folder("cores", "pi") / "core.log")
    log.info("core device pi started")
    log.close()
    found = tail(workspace, Settings(), "pi", "core")
    assert found.component == "core"
    assert found.lines[0].endswith("[INFO] core device pi started")
    with pytest.raises(CloudError, match="the core's log is on pi itself") as failed:
        tail(workspace, Settings(cloud="aws"), "pi", "core")
    assert "/aws/greengrass/GreengrassSystemComponent/eu-west-1/System" in failed.value.remedy


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
