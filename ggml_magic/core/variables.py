"""Recipe variables (EDGE-CORE 4).

What cannot be filled in stays as it was written, and is told to the log: the deployment goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_magic.core.config import Leaf, PointerError, Tree, pointer
from ggml_magic.core.config import Path as Keys
from ggml_magic.core.disk import Layout

OWN = re.compile(r"\{([.\w-]+):([^:}]*)\}")
OTHER = re.compile(r"\{([.\w-]+):([.\w-]+):([^:}]*)\}")

# A place in a list, as a JSON pointer names it.
INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

# The nucleus's switch for variables in configurations.
INTERPOLATES = "interpolateComponentConfiguration"


@dataclass(frozen=True)
class Subject:
    """A component version whose variables can be asked for."""

    name: str
    version: str
    configuration: Tree


@dataclass(frozen=True)
class Variables:
    """What a component's placeholders can be filled from."""

    layout: Layout
    thing: str
    own: Subject
    dependencies: Mapping[str, Subject] = field(default_factory=dict)
    # nucleus lite's paths of folders end with a slash
    dialect: str = "classic"

    def value(self, component: str | None, namespace: str, key: str) -> str:
        """One variable's text; ``component`` is ``None`` for the own one.

        Raises ``KeyError`` when there is no such variable.
        """
        subject = self.own if component is None else self.dependencies[component]
        if namespace == "configuration":
            return _text(_pointed(subject.configuration, pointer(key)))
        end = "/" if self.dialect == "lite" else ""
        own = Path(subject.name, subject.version)
        simple: dict[str, Callable[[], object]] = {
            "artifacts:path": lambda: f"{self.layout.artifacts / own}{end}",
            "artifacts:decompressedPath": lambda: f"{self.layout.unarchived / own}{end}",
            "work:path": lambda: f"{self.layout.work(subject.name)}{end}",
            "kernel:rootPath": lambda: self.layout.root,
            "iot:thingName": lambda: self.thing,
        }
        return str(simple[f"{namespace}:{key}"]())

    def system(self, component: str | None, namespace: str, key: str) -> str:
        """As ``value``, without configurations."""
        if namespace == "configuration":
            raise KeyError(key)
        return self.value(component, namespace, key)


def fill(written: Any, variables: Variables, failed: Callable[[str], None]) -> Any:
    """A lifecycle with its placeholders filled in; ``failed`` hears of those left as they are.

    ``written`` is any JSON value; keys are not touched. Text that was put in is not looked at
    again in the same pass; the pass for the own component comes before that for dependencies.
    """
    return _each(written, lambda text: fill_text(text, variables, failed))


def fill_configuration(written: Any, variables: Variables, failed: Callable[[str], None]) -> Any:
    """A configuration with its placeholders filled in, where the nucleus is told to.

    That is when ``interpolateComponentConfiguration`` is set. What stands in a configuration
    itself is no source: ``configuration:`` stays as it is.
    """
    return _each(written, lambda text: _passes(text, variables.system, failed))


def interpolates(nucleus: Mapping[str, Any]) -> bool:
    """Whether the nucleus's configuration wants variables in configurations filled in."""
    wanted = next(
        (value for key, value in nucleus.items() if key.lower() == INTERPOLATES.lower()), False
    )
    return str(wanted).lower() == "true"


def fill_text(text: str, variables: Variables, failed: Callable[[str], None]) -> str:
    """One text with its placeholders filled in."""
    return _passes(text, variables.value, failed)


def _each(written: Any, filled: Callable[[str], str]) -> Any:
    if isinstance(written, str):
        return filled(written)
    if isinstance(written, Mapping):
        return {key: _each(value, filled) for key, value in written.items()}
    if isinstance(written, Iterable):
        return [_each(value, filled) for value in written]
    return written


def _passes(
    text: str, read: Callable[[str | None, str, str], str], failed: Callable[[str], None]
) -> str:
    def value(match: re.Match[str]) -> str:
        groups = match.groups()
        component = groups[0] if len(groups) == OTHER.groups else None
        try:
            return read(component, groups[-2], groups[-1])
        except (KeyError, PointerError):
            failed(match.group())
            return match.group()

    return OTHER.sub(value, OWN.sub(value, text))


def _pointed(configuration: Tree, path: Keys) -> Any:
    """What a pointer names, which may lie in a list; raises ``KeyError``."""
    for depth in range(len(path)):
        node = configuration.node(path[:depth])
        if isinstance(node, Leaf):
            return _inside(node.value, path[depth:])
    return configuration.read(path)


def _inside(value: Any, path: Keys) -> Any:
    for key in path:
        if isinstance(value, list) and INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            raise KeyError(key)
    return value


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
