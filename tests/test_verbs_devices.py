"""What the devices do, as verbs; their answers are looked at in test_verbs_rollout."""

from __future__ import annotations

import pytest

from ggml_magic.errors import GrammarError, NotYetError, TargetNotFoundError
from ggml_magic.sandbox import client
from ggml_magic.verbs import devices
from ggml_magic.verbs.run import Run
from ggml_magic.workspace import Workspace


def test_predictions_of_what_was_never_deployed(workspace: Workspace) -> None:
    with pytest.raises(NotYetError, match="rain has not been deployed"):
        devices.predictions("rain")
    assert client.running(workspace) is None


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
