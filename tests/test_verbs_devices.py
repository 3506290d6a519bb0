"""What the devices do, as verbs; their answers are looked at in test_verbs_rollout."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ggml_magic.errors import GrammarError, NotYetError, TargetNotFoundError
from ggml_magic.observe import pace
from ggml_magic.sandbox import client
from ggml_magic.verbs import devices, rollout
from ggml_magic.verbs.run import Run
from ggml_magic.workspace import Workspace


@pytest.mark.parametrize("verb", [devices.predictions, rollout.status])
def test_of_what_was_never_described(workspace: Workspace, verb: Callable[[str], object]) -> None:
    with pytest.raises(NotYetError, match="there is no model 'house'") as failed:
        verb("house")
    assert failed.value.remedy.startswith("%ggml model house ")
    assert client.running(workspace) is None


@pytest.mark.real
@pytest.mark.parametrize("verb", [devices.predictions, rollout.status])
def test_of_what_was_never_deployed(proven: Workspace, verb: Callable[[str], object]) -> None:
    with pytest.raises(NotYetError, match="rain has not been deployed"):
        verb("rain")
    assert client.running(proven) is None


@pytest.mark.real
def test_predictions_of_a_thing_by_no_model(workspace: Workspace) -> None:
    try:
        Run("predictions", workspace).cloud.things.iot.client.create_thing(thingName="pi")
        with pytest.raises(NotYetError, match="there is no model 'house'"):
            devices.predictions("house", to="thing/pi")
    finally:
        client.stop(workspace)


@pytest.mark.real
def test_a_long_replay_prints_unless_someone_counts(
    proven: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # any replay is a long one, and the shadow holds the answer already: no device is needed
    monkeypatch.setattr(pace, "QUIET_SECONDS", 0.0)
    things = Run("replay", proven).cloud.things
    things.iot.call("CreateThing", thingName="pi")
    component = {"componentName": "com.example.Rain.Inference", "version": "1.0.0"}
    message = {
        "messageType": "COMPLETE",
        "overallDeviceStatus": "HEALTHY",
        "components": [{**component, "status": "RUNNING", "isRoot": True}],
        "thing": "pi",
        "sequenceNumber": 1,
    }
    topic = "$aws/things/pi/greengrassv2/health/json"
    things.data.call("Publish", topic=topic, payload=json.dumps(message).encode())
    reading = {"pressure": 1013.0, "temperature": 12.0, "humidity": 65.0}
    things.update_shadow(
        "pi", {"rain_reading": reading, "rain_prediction": 1, "rain_version": "1.0.0"}
    )
    rows = [list(reading.values())] * 4
    devices.replay("rain", inputs=rows, to="thing/pi")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 readings, one a cycle of the device: about ")
    assert lines[1:] == ["2 of 4 answered", "3 of 4 answered"]
    seen: list[tuple[int, int]] = []
    devices.replay(
        "rain", inputs=rows, to="thing/pi", on_answer=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert capsys.readouterr().out == ""


def test_a_log_of_no_device(workspace: Workspace) -> None:
    with pytest.raises(NotYetError, match="there is no core device pi"):
        devices.logs("pi", "com.example.Rain.Inference")


@pytest.mark.real
def test_one_thing_is_meant(workspace: Workspace) -> None:
    try:
        run = Run("replay", workspace)
        iot = run.cloud.things.iot.client
        for name in ("north", "south"):
            iot.create_thing(thingName=name)
        iot.create_thing_group(thingGroupName="both")
        iot.create_thing_group(thingGroupName="one")
        iot.create_thing_group(thingGroupName="none")
        for group, name in (("both", "north"), ("both", "south"), ("one", "south")):
            iot.add_thing_to_thing_group(thingGroupName=group, thingName=name)
        assert devices._thing(run, "thing/north") == "north"
        assert devices._thing(run, "thinggroup/one") == "south"
        with pytest.raises(GrammarError, match="it has north, south"):
            devices._thing(run, "thinggroup/both")
        with pytest.raises(GrammarError, match="it has none"):
            devices._thing(run, "thinggroup/none")
        with pytest.raises(TargetNotFoundError, match="there is no thing west"):
            devices._thing(run, "thing/west")
    finally:
        client.stop(workspace)
