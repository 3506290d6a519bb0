"""IoT things, their groups and their classic shadows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ggml_magic.cloud.gateway import MISSING, Gateway, telling
from ggml_magic.errors import CloudError

# names shown to a person who asked for one that does not exist
MOST_NAMES = 20


@dataclass(frozen=True)
class ShadowDocument:
    """A thing's classic shadow; ``at`` is epoch seconds, ``version`` 0 where there is none."""

    thing: str
    reported: Mapping[str, Any] = field(default_factory=dict)
    desired: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    at: int = 0


@dataclass(frozen=True)
class Things:
    """The thing and shadow operations of one region and account."""

    iot: Gateway
    data: Gateway

    def thing_arn(self, name: str) -> str | None:
        """A thing's ARN, or ``None`` where there is no such thing."""
        return self._arn("DescribeThing", "thingArn", thingName=name)

    def group_arn(self, name: str) -> str | None:
        """A thing group's ARN, or ``None`` where there is no such group."""
        return self._arn("DescribeThingGroup", "thingGroupArn", thingGroupName=name)

    def names(self) -> tuple[str, ...]:
        """The first few things there are."""
        listed = self.iot.pages("ListThings", "things")
        return tuple(item["thingName"] for item in itertools.islice(listed, MOST_NAMES))

    def group_names(self) -> tuple[str, ...]:
        """The first few thing groups there are."""
        listed = self.iot.pages("ListThingGroups", "thingGroups")
        return tuple(item["groupName"] for item in itertools.islice(listed, MOST_NAMES))

    def members(self, group: str) -> tuple[str, ...]:
        """The things of a group and of the groups in it, sorted."""
        listed = self.iot.pages(
            "ListThingsInThingGroup", "things", thingGroupName=group, recursive=True
        )
        return tuple(sorted(set(listed)))

    def shadow(self, thing: str) -> ShadowDocument:
        """A thing's classic shadow; an empty one where it has none."""
        try:
            answer = self.data.call("GetThingShadow", thingName=thing)
        except CloudError as error:
            if error.code in MISSING:
                return ShadowDocument(thing)
            raise
        with telling(self.data.cloud, "GetThingShadow"):
            document = json.loads(answer["payload"].read())
        state = document.get("state", {})
        return ShadowDocument(
            thing=thing,
            reported=state.get("reported") or {},
            desired=state.get("desired") or {},
            version=document.get("version", 0),
            at=document.get("timestamp", 0),
        )

    def update_shadow(self, thing: str, reported: Mapping[str, Any]) -> None:
        """Report values as the thing itself would."""
        payload = json.dumps({"state": {"reported": dict(reported)}}, allow_nan=False).encode()
        self.data.call("UpdateThingShadow", thingName=thing, payload=payload)

    def _arn(self, operation: str, item: str, **name: str) -> str | None:
        try:
            return str(self.iot.call(operation, **name)[item])
        except CloudError as error:
            if error.code in MISSING:
                return None
            raise
