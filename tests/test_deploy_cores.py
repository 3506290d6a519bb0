"""Core devices found, asked and ended; real processes, no sandbox."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ggml_magic.core import access, client, simulated
from ggml_magic.core.caller import CallFailed
from ggml_magic.core.client import CoreDevice
from ggml_magic.core.daemon import LOCK
from ggml_magic.core.simulated import SimulatedFleet
from ggml_magic.deploy import cores
from ggml_magic.deploy.cores import ComponentState, CoreJson, CoreReport, GroupState, LocalState
from ggml_magic.errors import CoreError
from ggml_magic.workspace import Workspace

real = pytest.mark.real


@pytest.fixture(name="workspace")
def workspace_whose_cores_end(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(tmp_path / ".ggml")
    yield made
    cores.stop(made, None)


def start(workspace: Workspace, thing: str = "pi") -> CoreDevice:
    root = workspace.folder("cores", thing)
    return client.start(root, thing, workspace.root / "sandbox" / "endpoint.json", 5)


def failing(workspace: Workspace, thing: str | None = None) -> CoreError:
    """The error, which is two lines with the exact next command."""
    with pytest.raises(CoreError) as caught:
        cores.find(workspace, thing)
    assert len(str(caught.value).splitlines()) == 2
    return caught.value


REPORT = CoreReport(
    "pi", 7, "/cores/pi", 1000.0, 1000.0 + 3600 * 5 + 61,
    (ComponentState("a", "1.0.0", "RUNNING", ("thing/pi",)), ComponentState("b", "2.0.0", "NEW")),
    (GroupState("thing/pi", "d1", 900.0, {"a": "1.0.0"}),),
    (LocalState("d2", "FAILED", "today", "FAILED_NO_STATE_CHANGE", "no <version>"),),
)  # fmt: skip


def test_a_report_says_what_there_is_as_text_html_and_json() -> None:
    text, html = str(REPORT), REPORT._repr_html_()
    for said in ("core device pi: 2 components", "7, for 5 h 1 min", "dependency", "thing/pi"):
        assert said in text
        assert said in html
    assert "local deployment d2: FAILED, no <version>" in text
    assert "no &lt;version&gt;" in html
    found = json.loads(str(CoreJson(REPORT)))
    assert found["uptime_seconds"] == 18061.0
    assert [(each["name"], each["role"]) for each in found["components"]] == [
        ("a", "root"),
        ("b", "dependency"),
    ]
    assert found["local_deployments"][0]["cause"] == "no <version>"
    assert "<pre>" in CoreJson(REPORT)._repr_html_()


def test_a_broken_component_is_told_with_its_cause_and_the_next_command() -> None:
    broken = ComponentState("b", "2.0.0", "BROKEN", (), "run: exit code 7")
    report = replace(REPORT, components=(REPORT.components[0], broken))
    text = str(report)
    assert "  b is BROKEN: run: exit code 7\n" in text
    assert text.endswith("  Next: ggml logs pi b --level WARN")
    assert json.loads(str(CoreJson(report)))["components"][1]["cause"] == broken.cause
    assert "Next" not in str(REPORT)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_a_length_of_time(seconds: float, said: str) -> None:
    assert cores._long(seconds) == said


def test_where_there_is_none_it_says_how_to_make_one(workspace: Workspace) -> None:
    assert failing(workspace).remedy == "%ggml sandbox core weather-pi"
    assert failing(workspace, "pi").remedy == "%ggml sandbox core pi"
    assert cores.stop(workspace, None).things == ()
    assert str(cores.StoppedCores(())) == "no core device was running"
    workspace.folder("cores", "pi")
    error = failing(workspace)
    assert (error.what, error.remedy) == (
        "the core device pi does not run",
        "%ggml sandbox core pi",
    )
    error = failing(workspace, "pie")
    assert (error.why, error.remedy) == ("there is pi", "%ggml core status --thing pi")
    with pytest.raises(CoreError, match="no core device po") as caught:
        cores.stop(workspace, "po")
    assert caught.value.remedy == "%ggml sandbox core po"


def test_a_simulated_device_is_said_to_be_one(workspace: Workspace) -> None:
    fleet = SimulatedFleet("weather", ("weather-01", "weather-02"), "success")
    simulated.write(workspace.folder("fleets", "weather"), fleet)
    error = failing(workspace, "weather-02")
    assert str(error).splitlines() == [
        "weather-02 is simulated: no component runs there",
        "Next: %ggml sandbox core NAME-OF-YOUR-OWN",
    ]
    with pytest.raises(CoreError, match="weather-01 is simulated"):
        cores.stop(workspace, "weather-01")
    assert "no core device weather-03" in str(failing(workspace, "weather-03"))


def test_one_that_starts_is_waited_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "STARTING_SECONDS", 0.2)
    root = workspace.folder("cores", "pi")
    with (root / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        error = failing(workspace)
    assert error.what == "the core device pi is starting"
    assert error.remedy == f"tail {root / 'core.log'}"


@real
def test_the_only_one_is_meant_and_of_several_the_one_that_runs(workspace: Workspace) -> None:
    pi = start(workspace)
    assert cores.find(workspace, None) == pi
    workspace.folder("cores", "roof")
    assert cores.find(workspace, None) == pi
    roof = start(workspace, "roof")
    assert cores.find(workspace, "roof") == roof
    error = failing(workspace)
    assert (error.why, error.remedy) == ("running are pi, roof", "%ggml core status --thing pi")
    with pytest.raises(CoreError) as caught:
        cores.find(workspace, None, "%ggml core deploy --remove a")
    assert caught.value.remedy == "%ggml core deploy --remove a --thing pi"
    assert cores.stop(workspace, "pi").things == ("pi",)
    assert cores.find(workspace, None) == roof
    ended = cores.stop(workspace, None)
    assert str(ended).splitlines()[0] == "1 core device ended: roof"
    assert client.running(roof.root) is None


@real
def test_a_core_that_starts_meanwhile_is_found(workspace: Workspace) -> None:
    thread = threading.Thread(target=start, args=(workspace,))
    root = workspace.folder("cores", "pi")
    thread.start()
    while not cores._held(root / LOCK):
        thread.join(0.001)
    assert cores.find(workspace, "pi").thing == "pi"
    thread.join()


@real
def test_a_report_of_a_core_without_a_sandbox(workspace: Workspace) -> None:
    device = start(workspace)
    found = cores.report(device)
    assert (found.thing, found.process, found.components) == ("pi", device.pid, ())
    assert 0 <= found.now - found.started < 60
    assert "core device pi: 0 components" in str(found)
    with pytest.raises(
        CoreError, match=r"no component com\.example\.A on pi: it has none"
    ) as caught:
        cores.restart(device, "com.example.A")
    assert caught.value.remedy == "%ggml core status --thing pi"
    with pytest.raises(CallFailed):
        cores.ask(device, "GetComponentDetails", {"componentName": "com.example.A"})


@real
def test_a_core_that_died_or_forgot_the_token_is_said_to_be_lost(workspace: Workspace) -> None:
    device = start(workspace)
    granted = access.read(device.root)
    assert granted is not None
    access.grant(device.root, access.new(granted.socket))
    with pytest.raises(CoreError, match="busy"):
        cores.report(device)
    access.grant(device.root, granted)
    watched = os.pidfd_open(device.pid)
    os.kill(device.pid, signal.SIGKILL)
    with os.fdopen(watched) as ended:
        assert select.select([ended], [], [], 10)[0]
    with pytest.raises(CoreError, match="its process has ended") as caught:
        cores.report(device)
    assert caught.value.remedy == "%ggml sandbox core pi"
    access.revoke(device.root)
    with pytest.raises(CoreError, match="does not answer"):
        cores.report(device)
    assert failing(workspace).what == "the core device pi does not run"
