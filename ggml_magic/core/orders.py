"""Deployments as they are asked for: the documents that a device is handed (EDGE-CORE 7)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CONFIGURATION = ":configuration:"
# The group of what is deployed from this machine's own terminal.
LOCAL_DEPLOYMENTS = "LOCAL_DEPLOYMENTS"
# What a document may ask of a core; the nucleus's words for what this one can do.
CAPABILITIES = ("LARGE_CONFIGURATION", "LINUX_RESOURCE_LIMITS", "SUB_DEPLOYMENTS")
ANSWER_SECONDS = 60.0


class DocumentError(Exception):
    """A deployment that cannot be done as it is written."""


class CapabilityError(DocumentError):
    """A deployment that asks for what this core cannot do."""


@dataclass(frozen=True)
class Limits:
    """What a component's processes may take: ``cpus`` cores and ``memory_kb``; ``None`` is all."""

    cpus: float | None = None
    memory_kb: int | None = None


@dataclass(frozen=True)
class Wanted:
    """One root component of a deployment.

    ``run_with`` is ``user[:group]``, empty for the core's own choice; it and ``limits`` stay as
    they are when they are ``None``.
    """

    version: str
    reset: tuple[str, ...] = ()
    merge: Mapping[str, Any] = field(default_factory=dict)
    run_with: str | None = None
    limits: Limits | None = None


@dataclass(frozen=True)
class Document:
    """A deployment; ``timestamp`` in milliseconds, ``group`` its target.

    ``components`` are all roots of the group from now on, but those that ``removes`` names.
    ``revision`` counts the deployments of a target and is 0 where nobody counts. Components are
    asked before they are updated when ``notify`` is true, and may take ``notify_seconds`` to
    answer; ``validate_seconds`` to say whether they can live with a configuration.
    """

    identifier: str
    group: str
    timestamp: int
    components: Mapping[str, Wanted]
    rolls_back: bool = True
    notify: bool = True
    notify_seconds: float = ANSWER_SECONDS
    validate_seconds: float = ANSWER_SECONDS
    removes: tuple[str, ...] = ()
    revision: int = 0
    arn: str = ""

    @property
    def roots(self) -> dict[str, Wanted]:
        """The group's root components after this deployment."""
        gone = set(self.removes)
        return {name: each for name, each in self.components.items() if name not in gone}

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def load(dumped: Mapping[str, Any]) -> Document:
    """What ``Document.dump`` wrote."""
    components = {
        name: Wanted(
            each["version"],
            tuple(each["reset"]),
            each["merge"],
            each["run_with"],
            Limits(**each["limits"]) if each["limits"] else None,
        )
        for name, each in dumped["components"].items()
    }
    changed = {"components": components, "removes": tuple(dumped["removes"])}
    return Document(**{**dumped, **changed})


def parse(text: str) -> Document:
    """Read a job's document; raises ``DocumentError``."""
    try:
        written = json.loads(text)
        arn = str(written["configurationArn"])
        group, revision = _target(arn)
        update = written.get("componentUpdatePolicy") or {}
        validation = written.get("configurationValidationPolicy") or {}
        document = Document(
            str(written["deploymentId"]),
            group,
            int(written["creationTimestamp"]),
            {name: _wanted(entry) for name, entry in written["components"].items()},
            written.get("failureHandlingPolicy", "ROLLBACK") != "DO_NOTHING",
            update.get("action", "NOTIFY_COMPONENTS") != "SKIP_NOTIFY_COMPONENTS",
            _seconds(update),
            _seconds(validation),
            revision=revision,
            arn=arn,
        )
        asked = [str(each) for each in written.get("requiredCapabilities") or ()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"the deployment document cannot be read: {error!r}") from None
    if unknown := [each for each in asked if each not in CAPABILITIES]:
        raise CapabilityError(f"the deployment asks for {', '.join(unknown)}, which is not here")
    return document


def identifier_of(text: str) -> str:
    """A job document's deployment, as far as it can be read; empty when it cannot."""
    try:
        return str(json.loads(text)["deploymentId"])
    except (ValueError, KeyError, TypeError):
        return ""


def _target(arn: str) -> tuple[str, int]:
    """A configuration's target, as ``thing/NAME`` or ``thinggroup/NAME``, and its revision."""
    target = arn.partition(CONFIGURATION)[2] or arn
    name, _, revision = target.rpartition(":")
    return name or target, int(revision) if name and revision.isdigit() else 0


def _seconds(policy: Mapping[str, Any]) -> float:
    found = policy.get("timeoutInSeconds", policy.get("timeout"))
    return ANSWER_SECONDS if found is None else float(found)


def _wanted(entry: Mapping[str, Any]) -> Wanted:
    update = entry.get("configurationUpdate") or {}
    merge = update.get("merge") or {}
    if not isinstance(merge, Mapping):
        raise DocumentError("configurationUpdate.merge is no object")
    written = entry.get("runWith")
    if not isinstance(written, Mapping):
        return Wanted(str(entry["version"]), tuple(update.get("reset") or ()), merge)
    user = str(written["posixUser"] or "") if "posixUser" in written else None
    limits = _limits(written.get("systemResourceLimits") or {})
    return Wanted(str(entry["version"]), tuple(update.get("reset") or ()), merge, user, limits)


def _limits(written: Mapping[str, Any]) -> Limits:
    """A component's limits; those that are not written are none."""
    cpus, memory = written.get("cpus"), written.get("memory")
    return Limits(
        float(cpus) if cpus is not None else None, int(memory) if memory is not None else None
    )
