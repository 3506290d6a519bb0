"""Who may do what: ``accessControl`` in a component's configuration (EDGE-CORE 8).

Default deny. The principal is the component that carries the policy. A policy that names an
unknown operation or an illegal resource is not loaded. Nor is any of two policies of a service
with the same id on one device: a real one loads none of that service's policies then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ggml_magic.core.config import Tree

PREFIX = "aws.greengrass#"
ACCESS_CONTROL = "accessControl"
PUBSUB = "aws.greengrass.ipc.pubsub"
MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
SHADOWS = "aws.greengrass.ShadowManager"
SECRETS = "aws.greengrass.SecretManager"
METRICS = "aws.greengrass.ipc.componentmetric"
# Services whose operations need a policy, and these operations.
SERVICES: dict[str, frozenset[str]] = {
    PUBSUB: frozenset({"PublishToTopic", "SubscribeToTopic"}),
    MQTT_PROXY: frozenset({"PublishToIoTCore", "SubscribeToIoTCore"}),
    SHADOWS: frozenset(
        {"GetThingShadow", "UpdateThingShadow", "DeleteThingShadow", "ListNamedShadowsForThing"}
    ),
    SECRETS: frozenset({"GetSecretValue"}),
    "aws.greengrass.ipc.lifecycle": frozenset({"PauseComponent", "ResumeComponent"}),
    "aws.greengrass.Cli": frozenset(
        {"ListComponents", "GetComponentDetails", "RestartComponent", "StopComponent",
         "CreateLocalDeployment", "GetLocalDeploymentStatus", "ListLocalDeployments",
         "CancelLocalDeployment", "CreateDebugPassword"}
    ),
    "aws.greengrass.clientdevices.Auth": frozenset(
        {"SubscribeToCertificateUpdates", "VerifyClientDeviceIdentity", "GetClientDeviceAuthToken",
         "AuthorizeClientDeviceAction"}
    ),
    METRICS: frozenset({"PutComponentMetric"}),
}  # fmt: skip
# Only in these do + and # stand for levels of a topic.
TOPICS = (PUBSUB, MQTT_PROXY)
ALL = "*"
TOKEN = re.compile(r"\$\{(.)\}|(.)", re.DOTALL)
# A # in what is asked for means all levels below, which one level does not cover.
LEVEL = "[^/#]*"
# The decisions that are kept: a component that asks for ever new topics fills no memory.
MOST_DECISIONS = 4096

Decision = tuple[str, str, str, str]


@dataclass(frozen=True)
class Policy:
    """One loaded policy of a component: operations as they are on the wire, or ``*``."""

    component: str
    service: str
    name: str
    operations: frozenset[str]
    resources: tuple[re.Pattern[str], ...]

    def allows(self, operation: str, resource: str) -> bool:
        """Whether an operation, named without its prefix, may be done on a resource."""
        named = PREFIX + operation in self.operations or ALL in self.operations
        return named and any(pattern.fullmatch(resource) for pattern in self.resources)


class PolicyError(ValueError):
    """Why a policy is not loaded."""


class Policies:
    """The loaded policies of a device's components.

    ``refusals`` says in one sentence each which policies are not loaded, and why.
    """

    def __init__(self, configurations: Mapping[str, Tree]) -> None:
        self.refusals: list[str] = []
        self._held: dict[tuple[str, str], list[Policy]] = {}
        self._decisions: dict[Decision, bool] = {}
        for policy in self._unique(configurations):
            self._held.setdefault((policy.component, policy.service), []).append(policy)

    def allows(self, component: str, service: str, operation: str, resource: str) -> bool:
        """Whether a component may do an operation on a resource."""
        asked = (component, service, operation, resource)
        known = self._decisions.get(asked)
        if known is None:
            policies = self._held.get((component, service), ())
            known = any(policy.allows(operation, resource) for policy in policies)
            if len(self._decisions) >= MOST_DECISIONS:
                self._decisions.clear()
            self._decisions[asked] = known
        return known

    def _unique(self, configurations: Mapping[str, Tree]) -> Iterator[Policy]:
        """The policies whose id no other one of the same service has."""
        found = [
            policy
            for component, tree in configurations.items()
            for policy in _policies(component, tree, self.refusals.append)
        ]
        carriers: dict[tuple[str, str], list[str]] = {}
        for policy in found:
            carriers.setdefault((policy.service, policy.name), []).append(policy.component)
        for (service, name), components in carriers.items():
            if len(components) > 1:
                self.refusals.append(
                    f"policy {name} of {service} is not loaded: {' and '.join(components)} "
                    "carry that id, and it must be unique on the device"
                )
        for policy in found:
            if len(carriers[policy.service, policy.name]) == 1:
                yield policy


def _policies(component: str, tree: Tree, refuse: Callable[[str], None]) -> Iterator[Policy]:
    """The policies of one component that can be loaded by themselves."""
    try:
        services = _map(tree.read((ACCESS_CONTROL,)), ACCESS_CONTROL)
    except KeyError:
        return
    except PolicyError as error:
        refuse(f"{component}: no policy is loaded: {error}")
        return
    for service, entries in services.items():
        try:
            known = _map(entries, service)
            if service not in SERVICES:
                raise PolicyError(f"{service} is no service of this core")
        except PolicyError as error:
            refuse(f"{component}: no policy of {service} is loaded: {error}")
            continue
        for name, written in known.items():
            try:
                yield _policy(component, service, name, _map(written, name))
            except PolicyError as error:
                refuse(f"{component}: policy {name} of {service} is not loaded: {error}")


def _map(written: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(written, Mapping):
        raise PolicyError(f"{name} is no map")
    return written


def _policy(component: str, service: str, name: str, written: Mapping[str, Any]) -> Policy:
    keys = {key.lower(): value for key, value in written.items()}
    operations, resources = (_texts(keys.get(key), key) for key in ("operations", "resources"))
    unknown = set(operations) - {PREFIX + each for each in SERVICES[service]} - {ALL}
    if unknown:
        raise PolicyError(f"{', '.join(sorted(unknown))} is no operation of this service")
    patterns = tuple(compiled(each, service) for each in resources)
    return Policy(component, service, name, frozenset(operations), patterns)


def _texts(written: Any, name: str) -> list[str]:
    texts = isinstance(written, list) and all(isinstance(each, str) for each in written)
    if not texts or not written:
        raise PolicyError(f"{name} is no list of strings")
    return list(written)


def covers(pattern: str, resource: str, service: str) -> bool:
    """Whether a policy's resource covers one that is asked for; raises ``PolicyError``."""
    return compiled(pattern, service).fullmatch(resource) is not None


def compiled(pattern: str, service: str) -> re.Pattern[str]:
    """A policy's resource as an expression; raises ``PolicyError`` when it is illegal.

    ``*`` is any run of characters, also across ``/``; ``${c}`` is the character itself; ``?`` is
    reserved. In topics ``+`` is one level and a last ``#`` all that follow. A subscription's
    filter is matched as a string too.
    """
    if not pattern:
        raise PolicyError("a resource is empty")
    tokens = TOKEN.findall(pattern)
    if ("", "?") in tokens:
        raise PolicyError(f"resource {pattern!r} has a ?, which is reserved; write ${{?}}")
    below = ""
    if service in TOPICS and tokens[-1] == ("", "#") and tokens[-2:-1] in ([], [("", "/")]):
        if len(tokens) == 1:
            return re.compile(".*", re.DOTALL)
        tokens, below = tokens[:-2], "(?:/.*)?"
    parts = [""]
    for place, (escaped, plain) in enumerate(tokens):
        if plain == ALL:
            parts.append("")
        elif plain == "+" and service in TOPICS and _is_level(tokens, place):
            parts[-1] += LEVEL
        else:
            parts[-1] += re.escape(escaped or plain)
    return re.compile(_runs(parts) + below, re.DOTALL)


def _is_level(tokens: list[tuple[str, str]], place: int) -> bool:
    """Whether the token there is a whole level of a topic."""
    around = [*tokens[max(place - 1, 0) : place], *tokens[place + 1 : place + 2]]
    return all(token == ("", "/") for token in around)


def _runs(parts: list[str]) -> str:
    """Parts with any run of characters between them.

    Each part between two runs is taken where it comes first, for good: trying other places would
    change nothing, and take a time that grows with the power of the number of runs.
    """
    if len(parts) == 1:
        return parts[0]
    middle = "".join(
        f"(?=(?P<run{place}>.*?{part}))(?P=run{place})" for place, part in enumerate(parts[1:-1])
    )
    return f"{parts[0]}{middle}.*{parts[-1]}"
