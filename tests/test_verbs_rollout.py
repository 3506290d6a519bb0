"""Plan, deploy and status as verbs, on a real core device."""

from __future__ import annotations

import pytest

import ggml_magic
from ggml_magic.deploy.watch import Step
from ggml_magic.errors import GateError, GrammarError, TargetNotFoundError
from ggml_magic.headless import receipts
from ggml_magic.verbs import rollout
from ggml_magic.verbs.rollout import step_line
from ggml_magic.workspace import Workspace

ROWS = [[1013.0, 12.0, 65.0], [990.0, -3.0, 95.0], [1030.0, 20.0, 30.0]]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Step(0.12, "", "", "CREATED", "deployment 1"), "    0.1 s  cloud  CREATED  deployment 1"),
        (Step(12.5, "pi", "com.x", "RUNNING"), "   12.5 s  pi  com.x  RUNNING"),
    ],
)
def test_a_step_is_one_line(step: Step, line: str) -> None:
    assert step_line(step) == line


@pytest.mark.parametrize("verb", [rollout.plan, rollout.deploy])
def test_what_is_no_target_is_refused_first(workspace: Workspace, verb: object) -> None:
    assert callable(verb)
    with pytest.raises(GrammarError, match="'pi' is not a target"):
        verb("rain", to="pi")


@pytest.mark.real
def test_what_is_forced_is_forced_twice_and_recorded(proven: Workspace) -> None:
    with pytest.raises(GateError):
        ggml_magic.validate("rain", inputs=ROWS, max_size="1KB")
    with pytest.raises(GateError):
        ggml_magic.package("rain")
    with pytest.raises(GrammarError, match="no reason"):
        ggml_magic.package("rain", force=" ")
    assert ggml_magic.package("rain", force="a field test").forced == "a field test"
    ggml_magic.sandbox("core", "forced-pi")
    assert "proof FAILED" in str(rollout.plan("rain", to="thing/forced-pi"))
    with pytest.raises(GateError, match="the reason given was 'a field test'"):
        rollout.deploy("rain", to="thing/forced-pi")
    rollout.deploy("rain", to="thing/forced-pi", force="a field test, agreed")
    said = [(each.verb, each.status, each.forced) for each in receipts.read(proven)]
    assert said[-1] == ("deploy", "ok", "a field test, agreed")
    assert ("package", "ok", "a field test") in said


@pytest.mark.real
def test_deployed_watched_found_again_and_answering(proven: Workspace) -> None:
    ggml_magic.package("rain", interval=0.1)
    with pytest.raises(TargetNotFoundError):
        rollout.deploy("rain", to="thing/roll-pi")
    ggml_magic.sandbox("core", "roll-pi")
    planned = rollout.plan("rain", to="thing/roll-pi")
    assert [change.action for change in planned.changes] == ["+"]
    steps: list[Step] = []
    done = rollout.deploy("rain", to="thing/roll-pi", on_step=steps.append)
    assert (done.status, done.created) == ("SUCCEEDED", True)
    assert tuple(steps) == done.steps
    assert "sandbox" in str(done)

    again = rollout.deploy("rain", to="thing/roll-pi")
    assert (again.deployment_id, again.created) == (done.deployment_id, False)
    assert rollout.status("rain").status == "SUCCEEDED"
    deployed = [each for each in receipts.read(proven) if each.verb == "deploy"]
    assert [each.status for each in deployed] == ["failed", "ok", "ok"]
    assert deployed[1].outputs_sha256 == deployed[2].outputs_sha256

    rows = [[1013.0, 12.0, 65.0], [990.0, -3.0, 95.0]]
    sent = ggml_magic.replay("rain", inputs=rows, to="thing/roll-pi")
    assert len(sent) == 2
    # without a target: the thing of the latest deployment
    seen = ggml_magic.predictions("rain")
    assert seen.thing == "roll-pi"
    assert [item.prediction for item in seen][-2:] == [item.prediction for item in sent]
    assert "rain_prediction" in str(ggml_magic.shadow("roll-pi"))
    component = done.component
    assert component in str(ggml_magic.logs("roll-pi", component))
