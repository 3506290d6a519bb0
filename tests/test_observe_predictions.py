"""Readings go out as a sensor would send them, and each answer is the device's own."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic import workspace as ws
from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.device.context import Context
from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.device.cycle import Cycle
from ggml_magic.device.handlers import Handlers
from ggml_magic.errors import (
    DeploymentTimeoutError,
    FeatureMismatchError,
    MissingValuesError,
    NotYetError,
)
from ggml_magic.model.model import EdgeModel, Provenance
from ggml_magic.observe.predictions import (
    Prediction,
    Predictions,
    current,
    readings,
    recorded,
    replay,
)
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

COMPONENT = "com.example.Rain.Inference"
NAMES = ("pressure", "humidity")
CONTRACT = Contract(
    tuple(Feature(name, "", -1e30, -1e30, 1e30, 1e30, 0.0) for name in NAMES),
    Decision("threshold", at=0.5),
)
MODEL = EdgeModel(
    "rain", CONTRACT, "0" * 64, Path("nowhere"), Provenance("", "", None, "", "", 0, None)
)
# the bound of a wait; the cycle of the test's device takes some milliseconds
SOON = 10.0


class Mean:
    """A model that any row goes through: its answer is the mean."""

    def outputs(self, rows: Rows) -> Rows:
        return rows.mean(axis=1, keepdims=True).astype(np.float32)


class Link:
    """The device's own code on the cloud's shadow, without a core between them."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.reports = 0

    def shadow(self, thing: str) -> dict[str, Any]:
        return dict(self.cloud.things.shadow(thing).reported)

    def report(self, thing: str, reported: dict[str, Any]) -> None:
        self.reports += 1
        self.cloud.things.update_shadow(thing, reported)


@contextlib.contextmanager
def device(cloud: Cloud, thing: str, version: str = "1.0.0") -> Iterator[Link]:
    """A device that cycles until the block ends."""
    link, ended = Link(cloud), threading.Event()
    context = Context(thing, "rain", version, {}, CONTRACT, link)
    cycle = Cycle(context, Mean(), Handlers(), lambda text: None)

    def run() -> None:
        while not ended.wait(0.01):
            cycle.once()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield link
    finally:
        ended.set()
        thread.join()


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(finite, finite), min_size=1))
@settings(deadline=None)
def test_a_reading_is_the_very_float32_also_after_json(rows: list[tuple[float, float]]) -> None:
    for reading, row in zip(readings(MODEL, rows), rows, strict=True):
        back = json.loads(json.dumps(reading))
        assert back == reading
        assert np.array_equal(CONTRACT.row(back)[0], np.asarray(row, dtype=np.float32))


def test_a_reading_looks_as_a_person_would_write_it() -> None:
    assert readings(MODEL, np.asarray([[1013.2, 12.3]])) == [{"pressure": 1013.2, "humidity": 12.3}]


def test_columns_of_a_table_are_taken_by_name() -> None:
    table = pd.DataFrame({"humidity": [12.5], "other": ["x"], "pressure": [1013.0]})
    assert readings(MODEL, table) == [{"pressure": 1013.0, "humidity": 12.5}]


def shadow_of(**values: object) -> dict[str, object]:
    return {f"rain_{name}": value for name, value in values.items()}


def test_an_answer_is_read_from_the_shadow() -> None:
    assert current("rain", "pi", {"pressure": 1}) is None
    held = shadow_of(reading={"pressure": 1}, prediction=1, probability=0.75, version="1.0.0")
    found = current("rain", "pi", held)
    assert found is not None
    assert (found.prediction, found.probability, found.error) == (1, 0.75, None)
    refused = current("rain", "pi", shadow_of(reading={}, error="no 'pressure'", version="1.0.0"))
    assert refused is not None
    assert (refused.prediction, refused.error) == (None, "no 'pressure'")


def answer(number: int, **changes: Any) -> Prediction:
    given: dict[str, Any] = {
        "at": f"2026-01-02T03:04:{number % 60:02}+00:00",
        "thing": "pi",
        "reading": {"pressure": 1000.0 + number, "humidity": 1.0},
        "prediction": number % 2,
        "probability": 0.123456,
        "error": None,
        "version": "1.0.0",
    }
    return Prediction(**{**given, **changes})


def test_a_card_shows_the_last_answers_and_the_cloud() -> None:
    many = Predictions("rain", "pi", tuple(answer(n) for n in range(30)), "sandbox")
    text = str(many)
    assert text.splitlines()[0] == "30 predictions of rain on thing/pi, sandbox"
    assert "1029" in text
    assert "1019" not in text
    assert "0.123456" in text
    assert "the last 10 are shown" in text
    assert len(many) == len(list(many)) == 30
    assert "0 predictions" in str(Predictions("rain", "pi", (), "sandbox"))


def test_a_card_has_no_tail_of_a_float32_and_the_value_stays_exact() -> None:
    tail = 45.91556167602539
    item = answer(0, prediction=tail, reading={"pressure": tail, "humidity": 7})
    shown = Predictions("house", "pi", (item,), "sandbox")
    assert str(shown).split().count("45.9156") == 2
    assert "45.91556" not in str(shown)
    assert next(iter(shown)).prediction == tail


def bad_rows(kind: str, folder: Path) -> Any:
    rows = [[1.0, 2.0], [1.0, math.nan], [math.inf, math.nan]]
    if kind in ("frame", "csv"):
        table = pd.DataFrame(rows, columns=list(NAMES)).assign(station=["a", None, "c"])
        if kind == "frame":
            return table
        table.to_csv(folder / "x.csv", index=False)
    np.save(folder / "x.npy", np.asarray(rows))
    given = {"list": rows, "array": np.asarray(rows)}
    return given.get(kind, folder / f"x.{kind}")


@pytest.mark.parametrize("kind", ["list", "array", "frame", "csv", "npy"])
def test_what_is_no_reading_is_told_with_a_line_that_drops_it(kind: str, tmp_path: Path) -> None:
    given = bad_rows(kind, tmp_path)
    with pytest.raises(MissingValuesError) as failed:
        readings(MODEL, given)
    error = failed.value
    assert "pressure (1 row, first row 2), humidity (2 rows, first row 1)" in error.what
    assert "proof" not in str(error)
    assert "labels" not in str(error)
    line, word = error.remedy.split(", then ")
    assert word == "--inputs X"
    names = {"np": np, "X": given}
    if kind in ("frame", "csv"):
        names["pd"] = pd
    exec(line, names)  # noqa: S102  # the remedy must be a line that runs
    assert readings(MODEL, names["X"]) == [{"pressure": 1.0, "humidity": 2.0}]


def test_a_table_has_a_column_for_each_feature() -> None:
    refused = answer(1, prediction=None, probability=None, error="no 'humidity'")
    table = Predictions("rain", "pi", (answer(0), refused), "sandbox").to_df()
    assert list(table.columns) == [
        "at",
        "thing",
        "pressure",
        "humidity",
        "prediction",
        "probability",
        "error",
        "version",
    ]
    assert table["pressure"].tolist() == [1000.0, 1001.0]
    assert table["error"].tolist()[1] == "no 'humidity'"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("predictions") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


def install(cloud: Cloud, thing: str, version: str, number: int = 1) -> None:
    """Report the component as a core device does; ``number`` grows with each report."""
    component = {"componentName": COMPONENT, "version": version, "status": "RUNNING"}
    message = {
        "messageType": "COMPLETE",
        "overallDeviceStatus": "HEALTHY",
        "components": [{**component, "isRoot": True}],
        "thing": thing,
        "sequenceNumber": number,
    }
    cloud.things.data.call(
        "Publish",
        topic=f"$aws/things/{thing}/greengrassv2/health/json",
        payload=json.dumps(message).encode(),
    )


@pytest.fixture
def bare(cloud: Cloud, request: pytest.FixtureRequest) -> str:
    """A thing with nothing on it."""
    name = request.node.originalname.replace("_", "-")[:100]
    cloud.things.iot.call("CreateThing", thingName=name)
    return str(name)


@pytest.fixture
def thing(cloud: Cloud, bare: str) -> str:
    """A thing on which the model's component is installed."""
    install(cloud, bare, "1.0.0")
    return bare


@pytest.mark.real
def test_each_row_gets_the_answer_to_exactly_this_row(
    cloud: Cloud, thing: str, workspace: Workspace
) -> None:
    rows = np.asarray([[0.1, 0.3], [1.0, 2.0], [0.1, 0.3]], dtype=np.float32)
    seen: list[tuple[int, int]] = []
    with device(cloud, thing):
        found = replay(
            cloud,
            workspace,
            MODEL,
            thing,
            rows,
            timeout_seconds=SOON,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert [item.prediction for item in found] == [0, 1, 0]
    assert [item.reading["pressure"] for item in found] == [0.1, 1.0, 0.1]
    assert all(tuple(item.reading) == NAMES for item in found)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert recorded(cloud, workspace, "rain", thing).items == found.items


@pytest.mark.real
def test_equal_rows_in_a_row_are_each_answered_at_once(
    cloud: Cloud, thing: str, workspace: Workspace
) -> None:
    rows = [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]
    with device(cloud, thing) as link:
        found = replay(cloud, workspace, MODEL, thing, rows, timeout_seconds=SOON)
    assert [item.prediction for item in found] == [1, 1, 1, 0]
    assert link.reports == 2  # the device writes only what has changed


@pytest.mark.real
def test_an_answer_of_the_version_before_does_not_count(
    cloud: Cloud, thing: str, workspace: Workspace
) -> None:
    install(cloud, thing, "1.0.1", number=2)
    record = {
        "deployment_id": "d",
        "target": f"thing/{thing}",
        "cloud": "sandbox",
        "component": COMPONENT,
        "version": "1.0.1",
    }
    ws.write_json(workspace.root / "deployments" / "rain.json", record)
    late = pytest.raises(DeploymentTimeoutError, match="its last answer was to")
    with device(cloud, thing, "1.0.0"), late as failed:
        replay(cloud, workspace, MODEL, thing, [[1.0, 2.0]], timeout_seconds=0.5)
    assert failed.value.remedy == f"%ggml logs {thing} {COMPONENT}"
    assert f"{COMPONENT} is RUNNING" in failed.value.why
    with device(cloud, thing, "1.0.1"):
        (found,) = replay(cloud, workspace, MODEL, thing, [[1.0, 2.0]], timeout_seconds=SOON)
    assert found.version == "1.0.1"


@pytest.mark.real
def test_a_device_that_does_not_answer_is_told_with_the_cause(
    cloud: Cloud, thing: str, workspace: Workspace
) -> None:
    with pytest.raises(DeploymentTimeoutError, match="is RUNNING") as failed:
        replay(cloud, workspace, MODEL, thing, [[1.0, 2.0]], timeout_seconds=0.1)
    assert failed.value.what == f"{thing} did not answer reading 1 within 0.1 s"
    assert failed.value.remedy == f"%ggml logs {thing} {COMPONENT}"
    cloud.things.update_shadow(thing, shadow_of(reading={"pressure": 9}, error="no 'humidity'"))
    with pytest.raises(DeploymentTimeoutError, match="it last said: no 'humidity'"):
        replay(cloud, workspace, MODEL, thing, [[1.0, 2.0]], timeout_seconds=0.1)


@pytest.mark.real
def test_where_the_model_is_not_installed_nothing_is_sent(
    cloud: Cloud, bare: str, workspace: Workspace
) -> None:
    with pytest.raises(NotYetError, match="rain is not installed on") as failed:
        replay(cloud, workspace, MODEL, bare, [[1.0, 2.0]], timeout_seconds=SOON)
    assert failed.value.remedy == f"%ggml deploy rain --to thing/{bare}"
    assert cloud.things.shadow(bare).version == 0


@pytest.mark.real
def test_an_interrupt_keeps_what_was_answered(
    cloud: Cloud, thing: str, workspace: Workspace
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    rows = [[0.0, 0.0], [1.0, 2.0], [0.1, 0.3]]
    with device(cloud, thing), pytest.raises(KeyboardInterrupt):
        replay(cloud, workspace, MODEL, thing, rows, timeout_seconds=SOON, progress=stop)
    kept = (workspace.root / "predictions" / "rain.jsonl").read_text().splitlines()
    assert [json.loads(line)["prediction"] for line in kept] == [0, 1]


@pytest.mark.real
def test_a_failure_keeps_what_was_answered(cloud: Cloud, thing: str, workspace: Workspace) -> None:
    with device(cloud, thing):
        first = replay(cloud, workspace, MODEL, thing, [[1.0, 2.0]], timeout_seconds=SOON)
    # the device is gone: its answer of before is there at once, the next one never comes
    with pytest.raises(DeploymentTimeoutError, match="did not answer reading 2"):
        replay(cloud, workspace, MODEL, thing, [[1.0, 2.0], [0.0, 0.0]], timeout_seconds=0.1)
    kept = (workspace.root / "predictions" / "rain.jsonl").read_text().splitlines()
    assert [json.loads(line)["prediction"] for line in kept] == [first.items[0].prediction] * 2


@pytest.mark.real
@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([[1.0, 2.0], [1.0, math.nan]], MissingValuesError),
        ([[1.0, 2.0, 3.0]], FeatureMismatchError),
    ],
)
def test_rows_that_the_contract_refuses_are_not_sent_at_all(
    cloud: Cloud, workspace: Workspace, rows: list[list[float]], error: type[Exception]
) -> None:
    thing = f"unsent-{error.__name__}"
    cloud.things.iot.call("CreateThing", thingName=thing)
    with pytest.raises(error):
        replay(cloud, workspace, MODEL, thing, rows)
    assert cloud.things.shadow(thing).version == 0


@pytest.mark.real
def test_the_answer_of_now_is_beside_those_recorded_and_a_torn_line_is_passed_over(
    cloud: Cloud, thing: str, workspace: Workspace
) -> None:
    with device(cloud, thing):
        first = replay(cloud, workspace, MODEL, thing, [[1.0, 2.0]], timeout_seconds=SOON)
    with (workspace.root / "predictions" / "rain.jsonl").open("a") as file:
        file.write('{"at": "2026')
    assert recorded(cloud, workspace, "rain", thing).items == first.items
    with device(cloud, thing):
        second = replay(cloud, workspace, MODEL, thing, [[2.0, 2.0]], timeout_seconds=SOON)
    assert recorded(cloud, workspace, "rain", thing).items == (*first.items, *second.items)
    now = shadow_of(reading={"pressure": 0.0}, prediction=0, version="1.0.0")
    cloud.things.update_shadow(thing, now)
    later = recorded(cloud, workspace, "rain", thing).items
    assert later[:-1] == (*first.items, *second.items)
    assert later[-1].prediction == 0
    assert recorded(cloud, workspace, "rain", "another").items == ()
