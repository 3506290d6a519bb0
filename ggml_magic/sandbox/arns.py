"""Amazon resource names, taken apart and put together."""

from __future__ import annotations

from dataclasses import dataclass

from ggml_magic.sandbox.faults import invalid


@dataclass(frozen=True)
class Target:
    """A deployment's target: ``kind`` is ``thing`` or ``thinggroup``."""

    kind: str
    name: str
    arn: str


def component(region: str, account: str, name: str, version: str = "") -> str:
    """A component's ARN, or that of one version."""
    tail = f":versions:{version}" if version else ""
    return f"arn:aws:greengrass:{region}:{account}:components:{name}{tail}"


def component_of(arn: str) -> tuple[str, str]:
    """The name and version ("" for none) in a component's ARN that fits the model's pattern."""
    parts = arn.split(":")
    return parts[6], parts[8] if len(parts) > 8 else ""


def deployment(region: str, account: str, identifier: str) -> str:
    """A deployment's ARN, which tags name it by."""
    return f"arn:aws:greengrass:{region}:{account}:deployments:{identifier}"


def job(region: str, account: str, identifier: str) -> str:
    """The ARN of the IoT job that carries a deployment."""
    return f"arn:aws:iot:{region}:{account}:job/{identifier}"


def core(region: str, account: str, thing: str) -> str:
    """A core device's ARN."""
    return f"arn:aws:greengrass:{region}:{account}:coreDevices:{thing}"


def configuration(region: str, account: str, target: Target, revision: int) -> str:
    """The ARN by which a device knows a deployment's group and revision (EDGE-CORE 7)."""
    place = f"{target.kind}/{target.name}:{revision}"
    return f"arn:aws:greengrass:{region}:{account}:configuration:{place}"


def target(arn: str, region: str, account: str) -> Target:
    """A target's ARN taken apart; refuses one of another account or region."""
    _, _, _, own_region, own_account, resource = arn.split(":", 5)
    if (own_region, own_account) != (region, account):
        raise invalid("targetArn", f"must be of {region} and account {account}")
    kind, _, name = resource.partition("/")
    return Target(kind, name, arn)
