"""A thing's shadow, as the cloud has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ggml_magic.cloud.connect import Cloud
from ggml_magic.deploy import target as targets
from ggml_magic.deploy.target import Target
from ggml_magic.errors import TargetNotFoundError
from ggml_magic.presentation import Card, Presented


@dataclass(frozen=True)
class Shadow(Presented):
    """A thing's classic shadow; ``at`` is UTC, ISO 8601, empty where there is no shadow yet."""

    thing: str
    cloud: str
    reported: Mapping[str, Any]
    desired: Mapping[str, Any]
    version: int
    at: str

    def card(self) -> Card:
        """Each value on a line, reported before desired."""
        rows = tuple(
            (part, name, json.dumps(value))
            for part, values in (("reported", self.reported), ("desired", self.desired))
            for name, value in sorted(values.items())
        )
        what = f"version {self.version}, {self.at}" if self.at else "nothing was reported yet"
        return Card(
            f"shadow of thing/{self.thing} on {self.cloud}: {what}",
            columns=("", "name", "value") if rows else (),
            rows=rows,
        )


def read(cloud: Cloud, thing: str) -> Shadow:
    """A thing's shadow now; raises ``TargetNotFoundError`` where there is no such thing."""
    document = cloud.things.shadow(thing)
    if not document.version:
        _check_there(cloud, thing)
    at = datetime.fromtimestamp(document.at, timezone.utc).isoformat() if document.version else ""
    return Shadow(thing, cloud.name, document.reported, document.desired, document.version, at)


def _check_there(cloud: Cloud, thing: str) -> None:
    try:
        targets.arn(cloud, Target("thing", thing))
    except TargetNotFoundError as error:
        meant = targets.near(thing, cloud.things.names())
        remedy = f"%ggml shadow {meant}" if meant else error.remedy
        raise TargetNotFoundError(error.what, error.why, remedy) from None
