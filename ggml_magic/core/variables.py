"""Recipe variables (EDGE-CORE 4).

What cannot be filled in stays as it was written, and is told to the log: the deployment goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ggml_magic.core.config import PointerError, Tree, pointer
from ggml_magic.core.disk import Layout

OWN = re.compile(r"\{([.\w-]+):([^:}]*)\}")
OTHER = re.compile(r"\{([.\w-]+):([.\w-]+):([^:}]*)\}")


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

    def value(self, component: str | None, namespace: str, key: str) -> str:
        """One variable's text; ``component`` is ``None`` for the own one.

        Raises ``KeyError`` when there is no such variable.
        """
        subject = self.own if component is None else self.dependencies[component]
        if namespace == "configuration":
            return _text(subject.configuration.read(pointer(key)))
        simple: dict[str, Callable[[], object]] = {
            "artifacts:path": lambda: self.layout.artifacts / subject.name / subject.version,
            "artifacts:decompressedPath": lambda: (
                self.layout.unarchived / subject.name / subject.version
            ),
            "work:path": lambda: self.layout.work(subject.name),
            "kernel:rootPath": lambda: self.layout.root,
            "iot:thingName": lambda: self.thing,
        }
        return str(simple[f"{namespace}:{key}"]())


def fill(written: Any, variables: Variables, failed: Callable[[str], None]) -> Any:
    """A lifecycle with its placeholders filled in; ``failed`` hears of those left as they are.

    ``written`` is any JSON value; keys are not touched. Text that was put in is not looked at
    again in the same pass; the pass for the own component comes before that for dependencies.
    """
    if isinstance(written, str):
        return fill_text(written, variables, failed)
    if isinstance(written, Mapping):
        return {key: fill(value, variables, failed) for key, value in written.items()}
    if isinstance(written, Iterable):
        return [fill(value, variables, failed) for value in written]
    return written


def fill_text(text: str, variables: Variables, failed: Callable[[str], None]) -> str:
    """One text with its placeholders filled in."""

    def value(match: re.Match[str]) -> str:
        groups = match.groups()
        component = groups[0] if len(groups) == OTHER.groups else None
        try:
            return variables.value(component, groups[-2], groups[-1])
        except (KeyError, PointerError):
            failed(match.group())
            return match.group()

    return OTHER.sub(value, OWN.sub(value, text))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
