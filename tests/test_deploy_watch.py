"""What a device's reports mean, and what is told of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.cloud.deployments import InstalledComponent
from ggml_magic.deploy.watch import (
    Aim,
    Sight,
    _fail_if_it_cannot_go_on,
    cause,
    failure,
    late,
    news,
    state_of,
    verdict,
)
from ggml_magic.errors import DeploymentError, DeploymentTimeoutError

ROOT = "com.example.Rain.Inference"
AIM = Aim("rain", "d-1", "thing/pi", ROOT, {ROOT: "1.0.1"}, ("pi",))


def installed(
    state: str, version: str = "1.0.1", details: str = "", name: str = ROOT
) -> InstalledComponent:
    return InstalledComponent(name, version, state, details, is_root=True)


def sight(status: str, *components: InstalledComponent, reason: str = "") -> Sight:
    return Sight("pi", status, reason, components)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (sight("SUCCEEDED", installed("RUNNING")), "done"),
        (sight("COMPLETED", installed("FINISHED")), "done"),
        (sight("SUCCEEDED", installed("RUNNING", "1.0.0")), "pending"),  # the old one still runs
        (sight("SUCCEEDED"), "pending"),  # it has not reported its components yet
        (sight("SUCCEEDED", installed("ERRORED")), "pending"),  # it is tried again
        (sight("SUCCEEDED", installed("BROKEN")), "failed"),
        (sight("IN_PROGRESS", installed("RUNNING")), "pending"),
        (sight("IN_PROGRESS", installed("BROKEN")), "pending"),  # the device has the last word
        (sight("QUEUED"), "pending"),
        (sight("FAILED", installed("RUNNING")), "failed"),
        (sight("REJECTED"), "failed"),
        (sight("TIMED_OUT"), "failed"),
        (sight("CANCELED"), "failed"),
    ],
)
def test_a_device_is_done_only_when_the_wanted_version_works(seen: Sight, wanted: str) -> None:
    assert verdict(AIM, seen) == wanted


def test_a_cause_is_one_line_with_the_devices_reason_and_the_components() -> None:
    seen = sight(
        "FAILED",
        installed("BROKEN", details="install ended with 1: no space left"),
        installed("ERRORED", name="com.other.Reader"),
        reason="FAILED_ROLLBACK_COMPLETE",
    )
    wanted = f"FAILED_ROLLBACK_COMPLETE; {ROOT} is BROKEN: install ended with 1: no space left"
    assert cause(AIM, seen) == wanted
    own = sight(
        "SUCCEEDED",
        installed("BROKEN", details=f"{ROOT} 1.0.1: run failed"),
        reason="SUCCESSFUL",
    )
    assert cause(AIM, own) == f"{ROOT} is BROKEN: run failed"
    assert cause(AIM, sight("REJECTED")) == "the device reports REJECTED"


def test_a_detail_that_the_reason_holds_is_not_said_twice() -> None:
    seen = sight("FAILED", installed("BROKEN", details="no space"), reason="FAILED: no space")
    assert cause(AIM, seen).count("no space") == 1


def test_news_come_once_and_in_order() -> None:
    known: dict[tuple[str, str], str] = {}
    sights = [
        sight("QUEUED", installed("RUNNING", "1.0.0")),
        sight("QUEUED", installed("RUNNING", "1.0.0")),
        sight("IN_PROGRESS", installed("NEW")),
        sight("IN_PROGRESS", installed("STARTING"), installed("BROKEN", name="com.other.Reader")),
        sight("SUCCEEDED", installed("RUNNING"), installed("RUNNING", name="com.other.Sender")),
        sight("SUCCEEDED", installed("RUNNING")),
    ]
    steps = [step for n, seen in enumerate(sights) for step in news(AIM, seen, known, float(n))]
    assert [(step.seconds, step.component, step.state) for step in steps] == [
        (0.0, "", "QUEUED"),
        (2.0, "", "IN_PROGRESS"),
        (2.0, ROOT, "NEW"),
        (3.0, ROOT, "STARTING"),
        (3.0, "com.other.Reader", "BROKEN"),
        (4.0, "", "SUCCEEDED"),
        (4.0, ROOT, "RUNNING"),
    ]


states = st.sampled_from(["NEW", "INSTALLED", "STARTING", "RUNNING", "BROKEN"])
statuses = st.sampled_from(["QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED"])


@given(st.lists(st.tuples(statuses, states)))
@settings(deadline=None)
def test_no_step_repeats_the_one_before(history: list[tuple[str, str]]) -> None:
    known: dict[tuple[str, str], str] = {}
    told: dict[str, list[str]] = {}
    for status, state in history:
        for step in news(AIM, sight(status, installed(state)), known, 0.0):
            told.setdefault(step.component, []).append(step.state)
    for component, values in told.items():
        assert all(a != b for a, b in itertools.pairwise(values))
        last = history[-1][0] if component == "" else history[-1][1]
        assert values[-1] == last


def test_an_offline_device_is_queued_and_the_remedy_starts_it() -> None:
    error = late(AIM, (sight("QUEUED"),), "sandbox", 300)
    assert isinstance(error, DeploymentTimeoutError)
    assert "pi is QUEUED, no core answers there" in error.why
    assert error.remedy == "%ggml sandbox core pi"
    assert error.deployment_id == "d-1"
    assert late(AIM, (sight("QUEUED"),), "aws", 300).remedy == "%ggml status rain"
    assert state_of(AIM, sight("QUEUED")).status == "QUEUED"


def test_a_device_at_work_when_time_is_up_says_where_it_stands() -> None:
    error = late(AIM, (sight("IN_PROGRESS", installed("STARTING")),), "sandbox", 2)
    assert error.what == "rain did not reach thing/pi on sandbox within 2 s"
    assert f"pi is IN_PROGRESS, {ROOT} is STARTING" in error.why
    assert error.remedy == "%ggml status rain"


def test_a_failure_is_told_at_once_though_another_device_is_offline() -> None:
    failed, queued = sight("FAILED", reason="no space"), sight("QUEUED")
    with pytest.raises(DeploymentError, match="pi: no space") as error:
        _fail_if_it_cannot_go_on(AIM, (failed, queued), "ACTIVE")
    assert error.value.deployment_id == "d-1"
    working = sight("IN_PROGRESS")
    _fail_if_it_cannot_go_on(AIM, (failed, working), "ACTIVE")  # its end is waited for
    _fail_if_it_cannot_go_on(AIM, (queued, working), "ACTIVE")


@pytest.mark.parametrize("overall", ["CANCELED", "INACTIVE"])
def test_a_deployment_that_was_replaced_is_given_up(overall: str) -> None:
    with pytest.raises(DeploymentError, match="given up") as error:
        _fail_if_it_cannot_go_on(AIM, (sight("QUEUED"),), overall)
    assert error.value.remedy == "%ggml plan rain --to thing/pi"


def test_of_many_failures_the_first_is_told_and_the_others_counted() -> None:
    error = failure(AIM, [sight("FAILED", reason="no space"), sight("REJECTED"), sight("FAILED")])
    assert error.why == "pi: no space (and 2 more devices)"
    assert error.remedy == f"%ggml logs pi {ROOT}"
