"""Where a deployment goes: one thing, or a group of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ggml_magic.cloud.connect import Cloud
from ggml_magic.errors import GrammarError, TargetNotFoundError

KINDS = ("thing", "thinggroup")
# what IoT allows in names of things and groups
NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


@dataclass(frozen=True)
class Target:
    """A thing or a thing group, written ``thing/NAME`` or ``thinggroup/NAME``."""

    kind: Literal["thing", "thinggroup"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def parse(text: str) -> Target:
    """Read ``thing/NAME`` or ``thinggroup/NAME``; raises ``GrammarError`` for anything else."""
    kind, slash, name = text.strip().partition("/")
    if not slash or kind not in KINDS:
        meant = text.strip() if NAME.fullmatch(text.strip()) else "NAME"
        raise GrammarError(
            f"{text!r} is not a target",
            f"a target is {' or '.join(f'{kind}/NAME' for kind in KINDS)}",
            f"--to thing/{meant}",
        )
    if not NAME.fullmatch(name):
        raise GrammarError(
            f"{text!r} is not a target",
            "a name has 1 to 128 letters, digits, colons, hyphens and underscores",
            f"--to {kind}/NAME",
        )
    return Target("thing" if kind == "thing" else "thinggroup", name)


def arn(cloud: Cloud, target: Target) -> str:
    """The target's ARN; raises ``TargetNotFoundError``, naming those that exist."""
    find = cloud.things.thing_arn if target.kind == "thing" else cloud.things.group_arn
    found = find(target.name)
    if found is None:
        raise missing(cloud.name, target, cloud.things.names(), cloud.things.group_names())
    return found


def missing(
    cloud: str, target: Target, things: tuple[str, ...], groups: tuple[str, ...]
) -> TargetNotFoundError:
    """The error for a target that does not exist; it says what does."""
    there = [f"thing/{name}" for name in things] + [f"thinggroup/{name}" for name in groups]
    noun = "thing" if target.kind == "thing" else "thing group"
    device = target.name if target.kind == "thing" else "NAME"
    make = f"%ggml sandbox core {device}"
    return TargetNotFoundError(
        f"there is no {noun} {target.name} on {cloud}",
        f"there is {', '.join(there)}" if there else "there are no things at all",
        make if cloud == "sandbox" else "aws iot list-things",
    )


def devices(cloud: Cloud, target: Target) -> tuple[str, ...]:
    """The things that a deployment to the target concerns now."""
    return (target.name,) if target.kind == "thing" else cloud.things.members(target.name)
