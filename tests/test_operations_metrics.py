"""The IPC operations of ``metrics``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

from typing import Any

import pytest
from awsiot.greengrasscoreipc import model
from ipcs import OWN, SOON, Core, client_of_own, core_with_two_components

from ggml_magic.core.authorize import METRICS

__all__ = ["client_of_own", "core_with_two_components"]

AWS = "aws.greengrass.Example"
SIZE = {"name": "BytesSent", "unit": "BYTES", "value": 12.5}


def put(core: Core, name: str, *metrics: dict[str, Any]) -> None:
    client = core.client(name)
    try:
        client.put_component_metric(metrics=[model.Metric(**each) for each in metrics])
    finally:
        client.close().result(SOON)


def test_a_metric_of_awss_own_component_is_a_line_of_its_log(core: Core) -> None:
    core.allow(METRICS, ["PutComponentMetric"], "*", name=AWS)
    put(core, AWS, SIZE, {"name": "Calls", "unit": "count", "value": 3.0})
    log = core.layout.log(AWS).read_text()
    assert "metric BytesSent: 12.5 BYTES" in log
    assert "metric Calls: 3 COUNT" in log


def test_nobody_else_gives_metrics_whatever_the_policy(core: Core) -> None:
    core.allow(METRICS, ["PutComponentMetric"], "*")
    with pytest.raises(model.UnauthorizedError):
        put(core, OWN, SIZE)
    core.add(AWS, {})
    with pytest.raises(model.UnauthorizedError):
        put(core, AWS, SIZE)


@pytest.mark.parametrize(
    "metrics",
    [
        [],
        [{**SIZE, "name": ""}],
        [{**SIZE, "name": "x" * 33}],
        [{**SIZE, "unit": "FURLONGS"}],
        [{**SIZE, "unit": None}],
        [{**SIZE, "value": -1.0}],
        [{**SIZE, "value": None}],
        [SIZE, {**SIZE, "value": -1.0}],
    ],
)
def test_what_is_no_metric(core: Core, metrics: list[dict[str, Any]]) -> None:
    core.allow(METRICS, ["PutComponentMetric"], "*", name=AWS)
    with pytest.raises(model.InvalidArgumentsError):
        put(core, AWS, *metrics)
    log = core.layout.log(AWS)
    assert not log.exists() or "metric" not in log.read_text()
