"""What Greengrass asks of the other services: is it there, who belongs to it, what is in it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Protocol

from ggml_magic.sandbox.upstream import OK, Upstream


class Gateway(Protocol):
    """IoT's registry and S3, as far as Greengrass looks at them."""

    account: str

    def is_thing(self, region: str, name: str) -> bool:
        """Whether IoT's registry has the thing."""

    def is_group(self, region: str, name: str) -> bool:
        """Whether IoT's registry has the thing group."""

    def members(self, region: str, group: str) -> list[str]:
        """The things of a group."""

    def groups(self, region: str, thing: str) -> list[str] | None:
        """The groups that a thing is in; ``None`` for a thing that the registry has not."""

    def add_thing(self, region: str, name: str) -> None:
        """Put a thing into the registry when it is not there."""

    def add_members(self, region: str, group: str, things: Sequence[str]) -> None:
        """Put things into a group, which is made when it is not there."""

    def digest(self, bucket: str, key: str) -> str:
        """The base64 SHA-256 of an object; raises ``LookupError`` saying why there is none."""


class MotoGateway:
    """The gateway to moto."""

    def __init__(self, upstream: Upstream) -> None:
        self.account = upstream.account
        self._upstream = upstream

    def is_thing(self, region: str, name: str) -> bool:
        """Whether IoT's registry has the thing."""
        return self._upstream.json("iot", region, f"/things/{name}") is not None

    def is_group(self, region: str, name: str) -> bool:
        """Whether IoT's registry has the thing group."""
        return self._upstream.json("iot", region, f"/thing-groups/{name}") is not None

    def members(self, region: str, group: str) -> list[str]:
        """The things of a group."""
        return list(self._upstream.pages(region, f"/thing-groups/{group}/things", "things"))

    def groups(self, region: str, thing: str) -> list[str] | None:
        """The groups that a thing is in; ``None`` for a thing that the registry has not."""
        if not self.is_thing(region, thing):
            return None
        found = self._upstream.pages(region, f"/things/{thing}/thing-groups", "thingGroups")
        return [str(each["groupName"]) for each in found]

    def add_thing(self, region: str, name: str) -> None:
        """Put a thing into the registry when it is not there."""
        if not self.is_thing(region, name):
            self._upstream.ask("iot", region, "POST", f"/things/{name}", body=b"{}")

    def add_members(self, region: str, group: str, things: Sequence[str]) -> None:
        """Put things into a group, which is made when it is not there."""
        if not self.is_group(region, group):
            self._upstream.ask("iot", region, "POST", f"/thing-groups/{group}", body=b"{}")
        held = set(self.members(region, group))
        for thing in things:
            if thing not in held:
                body = json.dumps({"thingGroupName": group, "thingName": thing}).encode()
                path = "/thing-groups/addThingToThingGroup"
                self._upstream.ask("iot", region, "PUT", path, body=body)

    def digest(self, bucket: str, key: str) -> str:
        """The base64 SHA-256 of an object; raises ``LookupError`` saying why there is none."""
        if "." in bucket:
            raise LookupError(f"bucket {bucket} has a dot in its name, which Greengrass refuses")
        response = self._upstream.ask("s3", "us-east-1", "GET", f"/{bucket}/{key}")
        if response.status != OK:
            raise LookupError(f"s3://{bucket}/{key} does not exist or cannot be read")
        return base64.b64encode(hashlib.sha256(response.body).digest()).decode()
