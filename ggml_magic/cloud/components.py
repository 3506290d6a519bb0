"""Component versions of Greengrass V2: what is published, and publishing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ggml_magic.cloud.gateway import MISSING, Gateway, said
from ggml_magic.errors import CloudError, PublishError

CONTENT_TAG = "ggml:content"
# so that a colleague finds what belongs to a model, also on deployments
MODEL_TAG = "ggml:model"
IN_PROGRESS = ("REQUESTED", "INITIATED")
DEPLOYABLE, FAILED = "DEPLOYABLE", "FAILED"
# seconds between two looks; AWS limits the rate of DescribeComponent
POLL = {"sandbox": 0.1, "aws": 1.0}
# AWS reads every artifact once; 2 GB from S3 takes well under this
DEPLOYABLE_WITHIN = 120.0


@dataclass(frozen=True)
class ComponentVersion:
    """A component version in the cloud.

    ``content_sha256`` is what its tag says, empty where it has none; ``errors`` are (artifact
    URI, message) pairs.
    """

    name: str
    version: str
    arn: str
    state: str
    message: str
    errors: tuple[tuple[str, str], ...]
    content_sha256: str

    def cause(self) -> str:
        """Why it is not deployable, in one line."""
        wrong = "; ".join(f"{uri}: {text}" for uri, text in self.errors)
        return said(wrong or self.message or f"its state is {self.state}")


@dataclass(frozen=True)
class Components:
    """The component operations of one region and account."""

    greengrass: Gateway
    region: str
    account: str
    partition: str = "aws"

    def arn(self, name: str, version: str = "") -> str:
        """The ARN of a component of this account, or of one version of it."""
        arn = f"arn:{self.partition}:greengrass:{self.region}:{self.account}:components:{name}"
        return f"{arn}:versions:{version}" if version else arn

    def describe(self, name: str, version: str) -> ComponentVersion | None:
        """A version with its state, or ``None`` where there is no such version."""
        try:
            answer = self.greengrass.call("DescribeComponent", arn=self.arn(name, version))
        except CloudError as error:
            if error.code in MISSING:
                return None
            raise
        return _read(answer, answer.get("tags", {}))

    def versions(self, name: str) -> dict[str, str]:
        """Each published version's content hash, empty where it is not known."""
        try:
            listed = list(
                self.greengrass.pages(
                    "ListComponentVersions", "componentVersions", arn=self.arn(name)
                )
            )
        except CloudError as error:
            if error.code in MISSING:
                return {}
            raise
        found = (self.describe(name, item["componentVersion"]) for item in listed)
        return {seen.version: seen.content_sha256 for seen in found if seen is not None}

    def create(self, recipe: bytes, content_sha256: str, tags: Mapping[str, str]) -> str:
        """Publish a version from its recipe (JSON); its ARN. It is not deployable yet."""
        answer = self.greengrass.call(
            "CreateComponentVersion",
            inlineRecipe=recipe,
            tags={CONTENT_TAG: content_sha256, **tags},
        )
        return str(answer["arn"])

    def delete(self, name: str, version: str) -> None:
        """Take a version away; a device that runs it goes on."""
        self.greengrass.call("DeleteComponent", arn=self.arn(name, version))

    def wait_deployable(
        self, name: str, version: str, timeout_seconds: float = DEPLOYABLE_WITHIN
    ) -> ComponentVersion:
        """Wait until a version can be deployed.

        Raises ``PublishError`` with the service's own reasons, or when time is up.
        """
        poll = POLL[self.greengrass.cloud]
        end = time.monotonic() + timeout_seconds
        while True:
            seen = self.describe(name, version)
            if seen is None:
                why = "it is gone: somebody deleted it"
                raise PublishError(f"{name} {version} was not published", why)
            if seen.state == DEPLOYABLE:
                return seen
            if seen.state not in IN_PROGRESS:
                raise PublishError(f"{name} {version} cannot be deployed", seen.cause())
            if time.monotonic() > end:
                why = f"it is still {seen.state} after {timeout_seconds:g} s"
                raise PublishError(f"{name} {version} cannot be deployed yet", why)
            time.sleep(poll)


def _read(answer: Mapping[str, Any], tags: Mapping[str, str]) -> ComponentVersion:
    status = answer.get("status", {})
    return ComponentVersion(
        name=answer["componentName"],
        version=answer["componentVersion"],
        arn=answer["arn"],
        state=status.get("componentState", ""),
        message=status.get("message", ""),
        errors=tuple(sorted(status.get("errors", {}).items())),
        content_sha256=tags.get(CONTENT_TAG, ""),
    )
