"""A component's recipe as typed values, and as the JSON that both nuclei read.

Keys come out in Greengrass's canonical case, because nucleus lite heeds it (GREENGRASS 1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT_VERSION = "2020-01-25"
ACCESS_CONTROL = "accessControl"


@dataclass(frozen=True)
class Step:
    """One lifecycle step; ``timeout_seconds`` ``None`` leaves Greengrass's own limit."""

    script: str
    timeout_seconds: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As a recipe says it."""
        timeout = {} if self.timeout_seconds is None else {"Timeout": self.timeout_seconds}
        return {"Script": self.script, **timeout}


@dataclass(frozen=True)
class Lifecycle:
    """What a core does with the component: install it at every start, then run it."""

    install: Step
    run: Step
    setenv: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As a recipe says it."""
        setenv = {"Setenv": dict(self.setenv)} if self.setenv else {}
        return {**setenv, "install": self.install.to_dict(), "run": self.run.to_dict()}


@dataclass(frozen=True)
class RecipeArtifact:
    """A file that a core downloads; a ZIP is unpacked into a folder of its name's stem."""

    uri: str
    unarchive: str = "NONE"
    read: str = "OWNER"

    def to_dict(self) -> dict[str, Any]:
        """As a recipe says it."""
        return {"Uri": self.uri, "Unarchive": self.unarchive, "Permission": {"Read": self.read}}


@dataclass(frozen=True)
class Manifest:
    """What a kind of device gets; ``runtime`` ``*`` lets nucleus lite in (GREENGRASS 1)."""

    lifecycle: Lifecycle
    artifacts: tuple[RecipeArtifact, ...]
    os: str = "linux"
    runtime: str = "*"

    def to_dict(self) -> dict[str, Any]:
        """As a recipe says it."""
        return {
            "Platform": {"os": self.os, "runtime": self.runtime},
            "Lifecycle": self.lifecycle.to_dict(),
            "Artifacts": [artifact.to_dict() for artifact in self.artifacts],
        }


@dataclass(frozen=True)
class Access:
    """What a component may call over IPC: ``service`` such as ``aws.greengrass.ShadowManager``.

    ``policy`` must be unique on a device, so it begins with the component's name.
    """

    service: str
    policy: str
    description: str
    operations: tuple[str, ...]
    resources: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As an entry of ``accessControl``."""
        return {
            self.policy: {
                "policyDescription": self.description,
                "operations": list(self.operations),
                "resources": list(self.resources),
            }
        }


@dataclass(frozen=True)
class Recipe:
    """A component version: ``configuration`` holds its defaults without ``accessControl``."""

    name: str
    version: str
    description: str
    configuration: Mapping[str, Any]
    access: tuple[Access, ...]
    manifests: tuple[Manifest, ...]

    def to_dict(self) -> dict[str, Any]:
        """As a recipe file holds it."""
        control: dict[str, dict[str, Any]] = {}
        for access in self.access:
            control.setdefault(access.service, {}).update(access.to_dict())
        return {
            "RecipeFormatVersion": FORMAT_VERSION,
            "ComponentName": self.name,
            "ComponentVersion": self.version,
            "ComponentDescription": self.description,
            "ComponentConfiguration": {
                "DefaultConfiguration": {**self.configuration, ACCESS_CONTROL: control}
            },
            "Manifests": [manifest.to_dict() for manifest in self.manifests],
        }


def text(recipe: Mapping[str, Any]) -> str:
    """A recipe as compact JSON, as it is measured and sent."""
    return json.dumps(recipe, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
