"""What a device predicted: readings sent as its sensor would, and the answers it reported."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_magic import settings as configured
from ggml_magic import workspace as ws
from ggml_magic.cloud.connect import Cloud
from ggml_magic.cloud.deployments import InstalledComponent
from ggml_magic.deploy.deploy import Record, latest
from ggml_magic.errors import (
    DeploymentTimeoutError,
    MissingValuesError,
    NotYetError,
)
from ggml_magic.presentation import Card, Presented, plural
from ggml_magic.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped]  # it ships no types

    from ggml_magic.model.model import EdgeModel

FOLDER = "predictions"
# seconds between two looks at the shadow: well below the device's interval on the sandbox
POLL = {"sandbox": 0.05, "aws": 0.5}
SHOWN = 10
# significant digits in a card: a float32 widened to a double has a tail that means nothing
DIGITS = 6
FLOAT32_MAX = (2 - 2**-23) * 2.0**127


@dataclass(frozen=True)
class Prediction:
    """One answer of a device to one reading.

    ``reading`` holds the feature values that the device really used; ``prediction`` is None
    where it refused them, and ``error`` says why; ``at`` is UTC, ISO 8601; ``version`` is the
    component's.
    """

    at: str
    thing: str
    reading: Mapping[str, Any]
    prediction: int | float | str | None
    probability: float | None
    error: str | None
    version: str

    def same_answer(self, other: Prediction) -> bool:
        """Whether another one says the same, whenever it was seen."""
        return {**vars(self), "at": ""} == {**vars(other), "at": ""}


@dataclass(frozen=True)
class Predictions(Presented):
    """Answers of one thing, oldest first."""

    name: str
    thing: str
    items: tuple[Prediction, ...]
    cloud: str

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def to_df(self) -> pd.DataFrame:
        """One row an answer: at, thing, the features, prediction, probability, error, version."""
        import pandas as pd

        names = _features(self.items)
        columns = ["at", "thing", *names, "prediction", "probability", "error", "version"]
        rows = [{**p.reading, **{k: v for k, v in vars(p).items() if k != "reading"}} for p in self]
        return pd.DataFrame(rows, columns=columns)

    def card(self) -> Card:
        """The last few answers."""
        names = _features(self.items)
        rows = tuple(
            (
                p.at[:19],
                *(_shown(p.reading.get(name)) for name in names),
                _shown(p.prediction),
                _shown(p.probability),
                p.error or "",
                p.version,
            )
            for p in self.items[-SHOWN:]
        )
        shown = f"the last {SHOWN} are shown" if len(self) > SHOWN else ""
        return Card(
            f"{plural(len(self), 'prediction')} of {self.name} on thing/{self.thing}, {self.cloud}",
            columns=("at (UTC)", *names, "prediction", "probability", "error", "version")
            if rows
            else (),
            rows=rows,
            notes=(shown,) if shown else (),
        )


def _features(items: tuple[Prediction, ...]) -> list[str]:
    return list(dict.fromkeys(name for item in items for name in item.reading))


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def replay(
    cloud: Cloud,
    workspace: Workspace,
    model: EdgeModel,
    thing: str,
    rows: object,
    *,
    units: str | None = None,
    timeout_seconds: float = 30.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """Send rows as the sensor would, one after the other, and collect the device's answers.

    ``rows`` is anything that the model takes as inputs, shape (N, F), in ``units`` where these
    are not the contract's; ``timeout_seconds`` bounds the wait for each. An answer is kept in
    the workspace as soon as it is there, whatever ends the rest. Raises
    ``FeatureMismatchError``, ``MissingValuesError`` and ``NotYetError`` (the model is not
    installed there) before anything is sent, ``DeploymentTimeoutError`` where the device does
    not answer.
    """
    sent = readings(model, rows, units)
    component = _installed(cloud, workspace, model.name, thing)
    items = []
    for number, reading in enumerate(sent, start=1):
        cloud.things.update_shadow(thing, reading)
        answer = _answer(cloud, model.name, thing, reading, component.version, timeout_seconds)
        if answer is None:
            raise _silent(
                cloud, workspace, model.name, component.name, thing, number, timeout_seconds
            )
        _append(workspace, model.name, answer)
        items.append(answer)
        progress(number, len(sent))
    return Predictions(model.name, thing, tuple(items), cloud.name)


def readings(model: EdgeModel, rows: object, units: str | None = None) -> list[dict[str, float]]:
    """Rows as a sensor's readings: the shortest decimals that are the model's float32 values."""
    from ggml_magic.model.rows import rows as as_rows

    try:
        values = as_rows(rows, model.contract, "inputs", units)
    except MissingValuesError as error:
        raise MissingValuesError(
            error.what,
            "a reading is all finite numbers, so none was sent",
            _dropping(rows, model.contract.names),
        ) from None
    names = model.contract.names
    return [dict(zip(names, map(_decimal, row), strict=True)) for row in values]


def _dropping(rows: object, names: tuple[str, ...]) -> str:
    """A line that drops the rows which are no readings."""
    if isinstance(rows, (str, Path)):
        reader = "np.load" if Path(rows).suffix == ".npy" else "pd.read_csv"
        first = f'X = {reader}("{rows}"); '
        frame = reader == "pd.read_csv"
    else:
        first = "" if hasattr(rows, "shape") else "X = np.asarray(X, dtype=float); "
        frame = hasattr(rows, "columns")
    # the other columns of a table may hold text, or miss values that no device reads
    numbers = f"X[{list(names)}]" if frame else "X"
    return f"{first}X = X[np.isfinite({numbers}).all(axis=1)], then --inputs X"


def _decimal(value: np.float32) -> float:
    """The shortest decimal of a float32; of its largest, that one would lie beyond it."""
    short = float(str(value))
    return short if abs(short) <= FLOAT32_MAX else float(value)


def _installed(cloud: Cloud, workspace: Workspace, name: str, thing: str) -> InstalledComponent:
    """The model's component on a thing; raises ``NotYetError`` where there is none.

    Its version is the one whose answers count: those of an older one may still be in the shadow.
    """
    from ggml_magic.component.package import component_name

    record = _record(workspace, name)
    if record is not None and record.cloud == cloud.name:
        wanted = record.component
    else:  # deployed from another workspace
        wanted = component_name(configured.load(workspace), name)
    for component in cloud.deployments.installed(thing):
        if component.name == wanted:
            return component
    raise NotYetError(
        f"{name} is not installed on {thing}",
        f"it has no component {wanted}, so nothing was sent",
        f"%ggml deploy {name} --to thing/{thing}",
    )


def _record(workspace: Workspace, name: str) -> Record | None:
    try:
        return latest(workspace, name)
    except NotYetError:
        return None


def _answer(
    cloud: Cloud,
    name: str,
    thing: str,
    reading: Mapping[str, float],
    version: str,
    timeout_seconds: float,
) -> Prediction | None:
    """The device's answer to exactly this reading; ``None`` when time is up.

    The device writes only what has changed. Two equal readings in a row have one answer, which
    is there at once for the second.
    """
    end = time.monotonic() + timeout_seconds
    while True:
        found = current(name, thing, cloud.things.shadow(thing).reported)
        if found and found.reading == reading and version in ("", found.version):
            # a shadow's keys have no order: the answer takes that of the contract
            return replace(found, reading={key: found.reading[key] for key in reading})
        if time.monotonic() > end:
            return None
        time.sleep(POLL[cloud.name])


def current(name: str, thing: str, reported: Mapping[str, Any]) -> Prediction | None:
    """The answer that a shadow holds now, or ``None`` where the model never answered there."""
    reading = reported.get(f"{name}_reading")
    if reading is None:
        return None
    return Prediction(
        at=datetime.now(timezone.utc).isoformat(),
        thing=thing,
        reading=reading,
        prediction=reported.get(f"{name}_prediction"),
        probability=reported.get(f"{name}_probability"),
        error=reported.get(f"{name}_error"),
        version=reported.get(f"{name}_version", ""),
    )


def _silent(
    cloud: Cloud,
    workspace: Workspace,
    name: str,
    component: str,
    thing: str,
    number: int,
    timeout_seconds: float,
) -> DeploymentTimeoutError:
    record = _record(workspace, name)
    last = current(name, thing, cloud.things.shadow(thing).reported)
    installed = {c.name: c for c in cloud.deployments.installed(thing)}
    if component not in installed:
        why = f"{component} is not installed there any more"
        remedy = f"%ggml deploy {name} --to thing/{thing}"
    else:
        seen = installed[component]
        why = f"{seen.name} is {seen.state}" + (f": {seen.details}" if seen.details else "")
        remedy = f"%ggml logs {thing} {seen.name}"
    if last and last.error:
        why += f"; it last said: {last.error}"
    elif last:
        why += f"; its last answer was to {json.dumps(last.reading)}"
    return DeploymentTimeoutError(
        f"{thing} did not answer reading {number} within {timeout_seconds:g} s",
        why,
        remedy,
        deployment_id=record.deployment_id if record else "",
    )


def recorded(cloud: Cloud, workspace: Workspace, name: str, thing: str) -> Predictions:
    """The answers of a thing kept in the workspace, and the one in its shadow now."""
    items = [item for item in _kept(workspace, name) if item.thing == thing]
    now = current(name, thing, cloud.things.shadow(thing).reported)
    if now and not (items and items[-1].same_answer(now)):
        items.append(now)
    return Predictions(name, thing, tuple(items), cloud.name)


def _file(workspace: Workspace, name: str) -> Path:
    return workspace.folder(FOLDER) / f"{name}.jsonl"


def _append(workspace: Workspace, name: str, item: Prediction) -> None:
    path = _file(workspace, name)
    with ws.telling_of_a_full_disk(path), path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read() != b"\n"  # a run was killed in the middle of a line
        else:
            torn = False
        file.write(b"\n" * torn + json.dumps(vars(item)).encode() + b"\n")


def _kept(workspace: Workspace, name: str) -> Iterator[Prediction]:
    path = _file(workspace, name)
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield Prediction(**json.loads(line))
        except ValueError:  # a line cut short when a run was killed
            continue
