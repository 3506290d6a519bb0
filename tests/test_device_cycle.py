from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from edge import merged
from hypothesis import given
from hypothesis import strategies as st
from test_device_contract import contract_of

from ggml_magic.device.context import CallError, ConnectionLostError, Context, NoShadowError
from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.device.cycle import INTERVAL_SECONDS, SHORTEST_SECONDS, Cycle, interval
from ggml_magic.device.handlers import Handlers

FEATURE = Feature("b", "m", -1.0, -0.9, 0.9, 1.0, 0.0)


class Shadow:
    """One thing's shadow, in memory, which merges as a real one does."""

    def __init__(self, reported: dict[str, Any] | None = None) -> None:
        self.reported = reported
        self.writes: list[dict[str, Any]] = []
        self.failure: Exception | None = None

    def shadow(self, thing: str) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        if self.reported is None:
            raise NoShadowError(thing)
        return self.reported

    def report(self, thing: str, reported: dict[str, Any]) -> None:
        if self.failure:
            raise self.failure
        self.writes.append(reported)
        self.reported = merged(self.reported or {}, reported)


class Sum:
    """A model whose output is the sum of its features."""

    def outputs(self, rows: Rows) -> Rows:
        return rows.sum(axis=1, keepdims=True)


def cycle_of(shadow: Shadow, decision: Decision | None = None, **handlers: Any) -> Cycle:
    said: list[str] = []
    context = Context("pi", "rain", "1.0.0", {}, contract_of(["a", "b"], decision), shadow)
    cycle = Cycle(context, Sum(), Handlers(**handlers), said.append)
    cycle.said = said  # type: ignore[attr-defined]  # what the test looks at
    return cycle


def test_a_reading_is_answered_in_the_shadow() -> None:
    shadow = Shadow({"a": 0.25, "b": 0.5, "other": 9})
    cycle_of(shadow).once()
    assert shadow.reported == {
        "a": 0.25,
        "b": 0.5,
        "other": 9,
        "rain_prediction": 1,
        "rain_probability": 0.75,
        "rain_reading": {"a": 0.25, "b": 0.5},
        "rain_version": "1.0.0",
    }


def test_under_median_a_missing_reading_is_answered_and_shown_as_missing() -> None:
    shadow = Shadow({"a": 0.25})
    refused = cycle_of(shadow)
    refused.once()
    assert shadow.reported["rain_error"] == "the reading has no 'b'"
    answered = cycle_of(shadow)
    features = (answered.context.contract.features[0], replace(FEATURE, median=0.5))
    answered.context.contract = Contract(features, Decision("threshold", 0.5), "median")
    for absent in ({"a": 0.25}, {"a": 0.25, "b": None}):
        answered.handlers = Handlers(read=lambda _, absent=absent: absent)  # type: ignore[misc]  # mypy does not infer a default's type
        answered.once()
        assert shadow.reported["rain_prediction"] == 1
        assert shadow.reported["rain_probability"] == 0.75
        assert shadow.reported["rain_reading"] == {"a": 0.25}
        assert "rain_error" not in shadow.reported
    answered.handlers = Handlers(read=lambda _: {"a": 0.25, "b": math.nan})
    answered.once()
    assert shadow.reported["rain_prediction"] == 1
    assert shadow.reported["rain_reading"] == {"a": 0.25, "b": "nan"}
    answered.handlers = Handlers(read=lambda _: {"a": 0.25, "b": math.inf})
    answered.once()
    assert (
        "rain_prediction" not in shadow.reported and "'b' is inf" in shadow.reported["rain_error"]
    )


def test_nothing_new_writes_and_says_nothing() -> None:
    shadow = Shadow({"a": 0.25, "b": 0.5})
    cycle = cycle_of(shadow)
    for _ in range(3):
        cycle.once()
    assert len(shadow.writes) == 1 and len(cycle.said) == 1
    shadow.reported["b"] = 0.5 + 1e-9  # another reading, though the same answer
    cycle.once()
    assert len(shadow.writes) == 2


def test_without_a_shadow_or_a_reading_nothing_is_written() -> None:
    for shadow in (Shadow(None), Shadow({"other": 1})):
        cycle = cycle_of(shadow)
        cycle.once()
        assert not shadow.writes and not cycle.said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"b": "wet"}, "'b' is 'wet'"),
        ({"b": None}, "no 'b'"),
        ({"b": math.nan}, "'b' is nan"),
        ({"b": True}, "'b' is True"),
    ],
)
def test_a_refused_reading_never_keeps_the_last_answer(change: dict[str, Any], why: str) -> None:
    shadow = Shadow({"a": 0.25, "b": 0.5})
    cycle = cycle_of(shadow)
    cycle.once()
    shadow.reported = merged(shadow.reported, change)
    cycle.once()
    cycle.once()
    assert "rain_prediction" not in shadow.reported and "rain_probability" not in shadow.reported
    assert why in shadow.reported["rain_error"]
    assert shadow.reported["rain_reading"].get("a") == 0.25
    assert shadow.reported["rain_reading"].get("b") != 0.5
    assert len(shadow.writes) == 2 and len(cycle.said) == 2
    shadow.reported["b"] = 0.5
    cycle.once()
    assert shadow.reported["rain_prediction"] == 1 and "rain_error" not in shadow.reported


def test_an_answer_whose_reading_is_gone_is_taken_back() -> None:
    shadow = Shadow({"rain_prediction": 1, "rain_probability": 0.9})
    cycle_of(shadow).once()
    assert "rain_prediction" not in shadow.reported and shadow.reported["rain_error"]


def test_a_value_has_no_probability_even_when_refused() -> None:
    shadow = Shadow({"a": 1, "b": 2})
    cycle = cycle_of(shadow, Decision("value"))
    cycle.once()
    assert shadow.reported["rain_prediction"] == 3.0
    shadow.reported["b"] = "x"
    cycle.once()
    assert all("rain_probability" not in write for write in shadow.writes)


def test_the_users_functions_are_used() -> None:
    results = []
    shadow = Shadow({})
    cycle_of(
        shadow,
        read=lambda context: {"a": np.float32(1), "b": np.int64(2)},
        predict=lambda rows, model: model.outputs(rows) * 2,
        write=lambda result, context: results.append(result),
    ).once()
    (result,) = results
    assert (result.prediction, result.outputs) == (1, (6.0,)) and not shadow.writes
    assert result.reading == {"a": 1.0, "b": 2}


def fault(*_: Any) -> Any:
    raise ZeroDivisionError("of the user")


def leave(*_: Any) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize("function", ["read", "predict", "write"])
@pytest.mark.parametrize("broken", [fault, leave])
def test_a_fault_of_the_users_code_is_told_and_ends_nothing(function: str, broken: Any) -> None:
    shadow = Shadow({"a": 0.25, "b": 0.5})
    cycle = cycle_of(shadow, **{function: broken})
    cycle.once()
    cycle.once()
    kind = "ZeroDivisionError" if broken is fault else "SystemExit"
    assert shadow.reported["rain_error"].startswith(f"{function} failed: {kind}")
    assert "rain_prediction" not in shadow.reported and len(cycle.said) == 1


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ([[1.0, 2.0]], "shape"),
        ([[math.nan]], "finite"),
        ("text", "ValueError"),
        (None, "finite|shape"),
    ],
)
def test_outputs_that_are_no_answer_are_refused(outputs: Any, why: str) -> None:
    shadow = Shadow({"a": 1, "b": 1})
    cycle_of(shadow, predict=lambda rows, model: outputs).once()
    assert any(part in shadow.reported["rain_error"] for part in why.split("|"))
    assert "rain_prediction" not in shadow.reported


def test_a_reading_that_is_no_dict_is_refused() -> None:
    shadow = Shadow({})
    cycle_of(shadow, read=lambda context: [1, 2]).once()
    assert "list" in shadow.reported["rain_error"]


def test_trouble_with_the_core_is_said_once_and_the_answer_follows() -> None:
    shadow = Shadow({"a": 0.25, "b": 0.5})
    cycle = cycle_of(shadow)
    shadow.failure = CallError("not now")
    cycle.once()
    cycle.once()
    assert cycle.said == ["the core: not now"]
    shadow.failure = None
    cycle.once()
    assert shadow.reported["rain_prediction"] == 1
    shadow.failure = CallError("not now")
    cycle.once()
    assert cycle.said.count("the core: not now") == 2


def test_a_lost_connection_is_not_swallowed() -> None:
    shadow = Shadow({})
    shadow.failure = ConnectionLostError("gone")
    with pytest.raises(ConnectionLostError):
        cycle_of(shadow).once()


@given(st.floats(min_value=SHORTEST_SECONDS, max_value=1e6))
def test_an_interval_is_a_number_or_its_text(seconds: float) -> None:
    for value in (seconds, str(seconds)):
        assert interval({"InferenceInterval": value}) == (seconds, None)


def test_no_interval_is_the_default() -> None:
    assert interval({}) == (INTERVAL_SECONDS, None)


@pytest.mark.parametrize("value", ["soon", "", None, 0, -1, "nan", "inf", True, [], {"a": 1}])
def test_what_is_no_interval_leaves_the_default_and_is_told(value: Any) -> None:
    seconds, complaint = interval({"InferenceInterval": value})
    assert seconds == INTERVAL_SECONDS and repr(value) in complaint


def test_a_core_is_not_asked_more_often_than_it_answers() -> None:
    assert interval({"InferenceInterval": 0.0001}) == (SHORTEST_SECONDS, None)
