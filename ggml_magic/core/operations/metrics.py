"""Metrics that AWS's own components give of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ggml_magic.core import authorize
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.operations import requests

# The nucleus takes metrics from components of these names only, whatever their policies are.
ALLOWED_NAMES = "aws."
MOST_NAME_BYTES = 32
UNITS = ("BYTES", "BYTES_PER_SECOND", "COUNT", "COUNT_PER_SECOND", "MEGABYTES", "SECONDS")


class Metrics:
    """PutComponentMetric.

    A metric is a line of its component's log: no cloud takes it, and a log is bounded.
    """

    def __init__(self, held: Inventory, engine: Engine) -> None:
        self._held = held
        self._engine = engine

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {"PutComponentMetric": self.put_component_metric}

    async def put_component_metric(self, call: Call) -> Mapping[str, Any]:
        """Take metrics of a component of AWS's own."""
        requests.authorise(self._held, call, authorize.METRICS, authorize.ALL)
        if not call.component.startswith(ALLOWED_NAMES):
            raise requests.unauthorised(call, authorize.METRICS, authorize.ALL)
        metrics = call.request.get("metrics")
        if not isinstance(metrics, list) or not metrics:
            raise IpcError("InvalidArgumentsError", "metrics is an empty list, or none")
        lines = [_line(each) for each in metrics]
        for line in lines:
            self._engine.log(call.component).info(line)
        return {}


def _line(metric: Any) -> str:
    """A metric as a line of a log; raises ``InvalidArgumentsError``."""
    given = metric if isinstance(metric, dict) else {}
    name, unit, value = given.get("name"), given.get("unit"), given.get("value")
    if not isinstance(name, str) or not 0 < len(name.encode()) <= MOST_NAME_BYTES:
        raise IpcError("InvalidArgumentsError", f"a name has 1 to {MOST_NAME_BYTES} bytes")
    if not isinstance(unit, str) or unit.upper() not in UNITS:
        raise IpcError("InvalidArgumentsError", f"{name}: unit is one of {', '.join(UNITS)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise IpcError("InvalidArgumentsError", f"{name}: value is a number, not below 0")
    return f"metric {name}: {value:g} {unit.upper()}"
