"""What a device has: the root components of each group, and every component's configuration.

Written whole after each change, so that a core that is killed comes back with what it had.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ggml_magic.core import config, recipe
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.lifecycle import Service
from ggml_magic.core.orders import Limits
from ggml_magic.core.provided import NUCLEUS, NUCLEUS_LITE
from ggml_magic.core.recipe import Dependency


@dataclass(frozen=True)
class Group:
    """A target's last deployment: its root components with the versions asked for.

    ``timestamp`` is that of the deployment, in milliseconds; ``revision`` counts the target's
    deployments, ``arn`` names the configuration in the cloud.
    """

    roots: Mapping[str, str]
    timestamp: int
    deployment: str
    revision: int = 0
    arn: str = ""

    def newer_than(self, timestamp: int, revision: int) -> bool:
        """Whether another deployment of the group comes too late.

        A higher revision is newer whatever its time: the clock was put back in between.
        """
        return timestamp < self.timestamp and not revision > self.revision > 0


@dataclass(frozen=True)
class Component:
    """A component version on the device; ``lifecycle`` is as written, its variables filled in."""

    version: str
    lifecycle: Mapping[str, Any]
    dependencies: tuple[Dependency, ...]
    configuration: Tree
    run_with: str = ""
    limits: Limits | None = None

    def differs_from(self, other: Component) -> bool:
        """Whether anything but times of writing is different."""
        own, others = self._facts(), other._facts()
        return own != others or bool(config.changes(self.configuration, other.configuration))

    def _facts(self) -> tuple[object, ...]:
        return (self.version, self.lifecycle, self.dependencies, self.run_with, self.limits)


@dataclass(frozen=True)
class Contents:
    """All that is on a device, by group and by component."""

    groups: Mapping[str, Group] = field(default_factory=dict)
    components: Mapping[str, Component] = field(default_factory=dict)

    @property
    def roots(self) -> set[str]:
        """Components that a deployment names."""
        return {name for group in self.groups.values() for name in group.roots}

    def dependents(self, component: str) -> list[str]:
        """Who depends on a component that no deployment names."""
        if component in self.roots:
            return []
        return [
            name for name, each in self.components.items()
            if any(dependency.name == component for dependency in each.dependencies)
        ]  # fmt: skip

    def services(self) -> dict[str, Service]:
        """What runs; raises ``RecipeError`` for a lifecycle that cannot be."""
        default = self._default_user()
        return {
            name: Service(
                name, each.version, recipe.lifecycle(each.lifecycle),
                tuple(d.name for d in each.dependencies if d.hard and d.name in self.components),
                each.run_with or default, each.limits,
            )
            for name, each in self.components.items()
        }  # fmt: skip

    def _default_user(self) -> str:
        """Whom components run as that name nobody: the nucleus's runWithDefault (EDGE-CORE 5)."""
        for name in (NUCLEUS, NUCLEUS_LITE):
            with contextlib.suppress(KeyError):
                found = self.components[name].configuration.read(("runWithDefault", "posixUser"))
                return found if isinstance(found, str) else ""
        return ""

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "groups": {name: vars(group) for name, group in self.groups.items()},
            "components": {
                name: {
                    **vars(each),
                    "dependencies": [vars(dependency) for dependency in each.dependencies],
                    "configuration": each.configuration.dump(),
                    "limits": vars(each.limits) if each.limits else None,
                }
                for name, each in self.components.items()
            },
        }


def load(dumped: Mapping[str, Any]) -> Contents:
    """What ``dump`` wrote."""
    groups = {name: Group(**group) for name, group in dumped["groups"].items()}
    components = {
        name: Component(
            each["version"], each["lifecycle"],
            tuple(Dependency(**dependency) for dependency in each["dependencies"]),
            config.load(each["configuration"]), each["run_with"],
            Limits(**each["limits"]) if each.get("limits") else None,
        )
        for name, each in dumped["components"].items()
    }  # fmt: skip
    return Contents(groups, components)


def changed(before: Contents, wanted: Contents) -> list[str]:
    """Components that a deployment adds, removes or changes."""
    old, new = before.components, wanted.components
    return [
        name for name in {**old, **new}
        if name not in old or name not in new or old[name].differs_from(new[name])
    ]  # fmt: skip


def proposals(before: Contents, wanted: Contents) -> dict[str, object]:
    """Configurations that change under a component that goes on in its version."""
    return {
        name: each.configuration.read(())
        for name, each in wanted.components.items()
        if (old := before.components.get(name)) is not None
        and old.version == each.version
        and config.changes(old.configuration, each.configuration)
    }


def caught_up(before: Contents, held: Contents, wanted: Contents) -> Contents:
    """What is wanted, with what components wrote into their configurations since ``before``."""
    both = before.components.keys() & held.components.keys()
    components = {
        name: replace(each, configuration=config.caught_up(
            before.components[name].configuration, held.components[name].configuration,
            each.configuration,
        )) if name in both else each
        for name, each in wanted.components.items()
    }  # fmt: skip
    return Contents(wanted.groups, components)


class Inventory:
    """The device's present contents, kept in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        stored = read_json(file)
        self.contents = load(stored) if stored else Contents()

    def replace(self, contents: Contents) -> None:
        """These are the contents from now on."""
        write_json(self._file, contents.dump())
        self.contents = contents

    def save(self) -> None:
        """Keep a configuration that was changed in place."""
        write_json(self._file, self.contents.dump())
