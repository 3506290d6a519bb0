"""Where a deployment goes: one thing, or a group of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
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
    """The error for a target that does not exist; it says what does, and how to go on."""
    there = {"thing": things, "thinggroup": groups}
    noun = "thing" if target.kind == "thing" else "thing group"
    listed = [f"{kind}/{name}" for kind in KINDS for name in there[kind]]
    meant = near(target.name, there[target.kind])
    other = next(kind for kind in KINDS if kind != target.kind)
    if meant:
        remedy = f"--to {target.kind}/{meant}"
    elif target.name in there[other]:
        remedy = f"--to {other}/{target.name}"
    else:
        remedy = _making(cloud, target)
    return TargetNotFoundError(
        f"there is no {noun} {target.name} on {cloud}",
        f"there is {', '.join(listed)}" if listed else "there are no things at all",
        remedy,
    )


def near(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant, or an empty text."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")


def _making(cloud: str, target: Target) -> str:
    """How to make a target; things of AWS are made with their certificates, elsewhere."""
    if target.kind == "thing":
        return f"%ggml sandbox core {target.name}" if cloud == "sandbox" else "aws iot list-things"
    make = f"aws iot create-thing-group --thing-group-name {target.name}"
    return f"{make}, after the exports of %ggml sandbox env" if cloud == "sandbox" else make


def devices(cloud: Cloud, target: Target) -> tuple[str, ...]:
    """The things that a deployment to the target concerns now."""
    return (target.name,) if target.kind == "thing" else cloud.things.members(target.name)
