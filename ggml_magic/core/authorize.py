"""Who may do what: ``accessControl`` in a component's configuration (EDGE-CORE 8).

Default deny. The principal is the component that carries the policy. A policy that names an
unknown operation or an illegal resource is not loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ggml_magic.core.config import Tree

PREFIX = "aws.greengrass#"
PUBSUB = "aws.greengrass.ipc.pubsub"
MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
SHADOWS = "aws.greengrass.ShadowManager"
# Services whose operations need a policy, and these operations.
SERVICES: dict[str, frozenset[str]] = {
    PUBSUB: frozenset({"PublishToTopic", "SubscribeToTopic"}),
    MQTT_PROXY: frozenset({"PublishToIoTCore", "SubscribeToIoTCore"}),
    SHADOWS: frozenset(
        {"GetThingShadow", "UpdateThingShadow", "DeleteThingShadow", "ListNamedShadowsForThing"}
    ),
    "aws.greengrass.SecretManager": frozenset({"GetSecretValue"}),
    "aws.greengrass.ipc.lifecycle": frozenset({"PauseComponent", "ResumeComponent"}),
    "aws.greengrass.Cli": frozenset(
        {"ListComponents", "GetComponentDetails", "RestartComponent", "StopComponent",
         "CreateLocalDeployment", "GetLocalDeploymentStatus", "ListLocalDeployments",
         "CreateDebugPassword"}
    ),
    "aws.greengrass.clientdevices.Auth": frozenset(
        {"SubscribeToCertificateUpdates", "VerifyClientDeviceIdentity", "GetClientDeviceAuthToken",
         "AuthorizeClientDeviceAction"}
    ),
    "aws.greengrass.ipc.componentmetric": frozenset({"PutComponentMetric"}),
}  # fmt: skip
# Only in these do + and # stand for levels of a topic.
TOPICS = (PUBSUB, MQTT_PROXY)
TOKEN = re.compile(r"\$\{(.)\}|(.)", re.DOTALL)
LEVEL = "[^/]*"


@dataclass(frozen=True)
class Policy:
    """One loaded policy: operations without their prefix, ``*`` for all."""

    service: str
    operations: frozenset[str]
    resources: tuple[str, ...]


def allowed(configuration: Tree, service: str, operation: str, resource: str) -> bool:
    """Whether a component with this configuration may do an operation on a resource."""
    return any(
        policy.service == service
        and (operation in policy.operations or "*" in policy.operations)
        and any(covers(pattern, resource, service) for pattern in policy.resources)
        for policy in policies(configuration)
    )


def policies(configuration: Tree) -> Iterator[Policy]:
    """The policies of a component that can be loaded."""
    try:
        written = configuration.read(("accessControl",))
    except KeyError:
        return
    for service, entries in _maps(written):
        for _, entry in _maps(entries):
            policy = _policy(service, {key.lower(): value for key, value in entry.items()})
            if policy is not None:
                yield policy


def _maps(written: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(written, Mapping):
        yield from ((key, value) for key, value in written.items() if isinstance(value, Mapping))


def _policy(service: str, written: Mapping[str, Any]) -> Policy | None:
    known = SERVICES.get(service)
    operations, resources = written.get("operations"), written.get("resources")
    if known is None or not isinstance(operations, list) or not isinstance(resources, list):
        return None
    names = frozenset(str(name).removeprefix(PREFIX) for name in operations)
    if not names or not names <= known | {"*"}:
        return None
    patterns = tuple(str(pattern) for pattern in resources)
    if any(compiled(pattern, service) is None for pattern in patterns):
        return None
    return Policy(service, names, patterns)


def covers(pattern: str, resource: str, service: str) -> bool:
    """Whether a policy's resource covers one that is asked for."""
    expression = compiled(pattern, service)
    return expression is not None and expression.fullmatch(resource) is not None


def compiled(pattern: str, service: str) -> re.Pattern[str] | None:
    """A policy's resource as an expression; ``None`` when it is illegal.

    ``*`` is any run of characters, also across ``/``; ``${c}`` is the character itself; ``?`` is
    reserved. In topics ``+`` is one level and a last ``#`` all that follow.
    """
    if not pattern or "?" in pattern.replace("${?}", ""):
        return None
    if service not in TOPICS:
        return re.compile(_glob(pattern), re.DOTALL)
    levels = pattern.split("/")
    many = levels[-1] == "#"
    parts = [LEVEL if level == "+" else _glob(level) for level in levels[: -1 if many else None]]
    if not many:
        return re.compile("/".join(parts), re.DOTALL)
    return re.compile("/".join(parts) + "(/.*)?" if parts else ".*", re.DOTALL)


def _glob(text: str) -> str:
    parts = []
    for escaped, plain in TOKEN.findall(text):
        parts.append(".*" if plain == "*" else re.escape(escaped or plain))
    return "".join(parts)
