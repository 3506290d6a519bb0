"""What a local deployment asks for (EDGE-CORE 7): read from a request, as it comes and is kept.

It is incremental: present root components of its group stay, minus those that it removes, plus
those that it adds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_magic.core.orders import LOCAL_DEPLOYMENTS, Document, DocumentError, Limits, Wanted
from ggml_magic.core.recipe import NAME
from ggml_magic.core.versions import is_range

OF_THINGS = "thinggroup/"
# What a request may hold: far more than a person writes, little enough to keep.
MOST_COMPONENTS = 1000
ON_FAILURE = {"ROLLBACK": True, "DO_NOTHING": False}
UPDATE_KEYS = ("MERGE", "RESET")
FOLDER_ERRORS = {
    "recipeDirectoryPath": "InvalidRecipeDirectoryPathError",
    "artifactsDirectoryPath": "InvalidArtifactsDirectoryPathError",
}


class RequestError(DocumentError):
    """A request that cannot be; ``shape`` is the error's name in the IPC model."""

    def __init__(self, text: str, shape: str = "InvalidArgumentsError") -> None:
        super().__init__(text)
        self.shape = shape


@dataclass(frozen=True)
class Update:
    """What becomes of a component's configuration."""

    merge: Mapping[str, Any] = field(default_factory=dict)
    reset: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunWith:
    """Whom a component runs as, and what it may take; ``None`` where that stays as it is."""

    user: str | None = None
    limits: Limits | None = None


@dataclass(frozen=True)
class Request:
    """A local deployment; ``recipes`` and ``artifacts`` are folders, where it brings some.

    ``add`` maps components to npm ranges of versions.
    """

    group: str
    add: Mapping[str, str]
    remove: tuple[str, ...]
    configuration: Mapping[str, Update]
    run_with: Mapping[str, RunWith]
    recipes: Path | None
    artifacts: Path | None
    rolls_back: bool


def parse(written: Mapping[str, Any]) -> Request:
    """Read a CreateLocalDeployment request; raises ``RequestError``."""
    group = _text(written, "groupName")
    if group and not NAME.fullmatch(group.replace(":", "-")):
        raise RequestError(f"groupName {group!r} is no name of a thing group")
    policy = _text(written, "failureHandlingPolicy") or "ROLLBACK"
    if policy not in ON_FAILURE:
        raise RequestError(f"failureHandlingPolicy is one of {', '.join(ON_FAILURE)}")
    updates = _components(written, "componentToConfiguration")
    return Request(
        f"{OF_THINGS}{group}" if group else LOCAL_DEPLOYMENTS,
        {name: _range(name, each) for name, each in _added(written).items()},
        _removed(written),
        {name: _update(name, each) for name, each in updates.items() if each is not None},
        {name: _run_with(name, each) for name, each in _run_withs(written).items()},
        _folder(written, "recipeDirectoryPath"),
        _folder(written, "artifactsDirectoryPath"),
        ON_FAILURE[policy],
    )


def _text(written: Mapping[str, Any], key: str) -> str:
    value = written.get(key)
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{key} is no string")
    return value or ""


def _components(written: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A map whose keys are names of components."""
    value = written.get(key) or {}
    if not isinstance(value, Mapping) or len(value) > MOST_COMPONENTS:
        raise RequestError(f"{key} is no object of up to {MOST_COMPONENTS} components")
    for name in value:
        _check_name(name)
    return value


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise RequestError(f"{name[:200]!r} is no name of a component")


def _added(written: Mapping[str, Any]) -> Mapping[str, Any]:
    return _components(written, "rootComponentVersionsToAdd")


def _run_withs(written: Mapping[str, Any]) -> dict[str, Any]:
    found = _components(written, "componentToRunWithInfo")
    return {name: each for name, each in found.items() if each is not None}


def _range(name: str, requirement: Any) -> str:
    if not isinstance(requirement, str) or not is_range(requirement):
        raise RequestError(f"{requirement!r} is no version of {name}")
    return requirement


def _removed(written: Mapping[str, Any]) -> tuple[str, ...]:
    value = written.get("rootComponentsToRemove") or []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise RequestError("rootComponentsToRemove is no list of strings")
    for name in value:
        _check_name(name)
    return tuple(value)


def _update(name: str, written: Any) -> Update:
    if not isinstance(written, Mapping) or not set(written) <= set(UPDATE_KEYS):
        raise RequestError(f"the configuration of {name} has other keys than MERGE and RESET")
    merge, reset = written.get("MERGE") or {}, written.get("RESET") or []
    if not isinstance(merge, Mapping):
        raise RequestError(f"MERGE of {name} is no object")
    if not isinstance(reset, list) or not all(isinstance(pointer, str) for pointer in reset):
        raise RequestError(f"RESET of {name} is no list of JSON pointers")
    return Update(merge, tuple(reset))


def _run_with(name: str, written: Any) -> RunWith:
    if not isinstance(written, Mapping):
        raise RequestError(f"runWith of {name} is no object")
    limits = written.get("systemResourceLimits") or {}
    if not isinstance(limits, Mapping):
        raise RequestError(f"systemResourceLimits of {name} is no object")
    cpus, memory = (_amount(name, key, limits.get(key)) for key in ("cpus", "memory"))
    told = cpus is not None or memory is not None
    found = Limits(cpus, None if memory is None else int(memory)) if told else None
    return RunWith(_text(written, "posixUser") or None, found)


def _amount(name: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise RequestError(f"{key} of {name} is no number above 0")
    return float(value)


def _folder(written: Mapping[str, Any], key: str) -> Path | None:
    text = _text(written, key)
    if not text:
        return None
    if "\0" in text or not Path(text).is_absolute():
        raise RequestError(f"{key} {text!r} is no absolute path", FOLDER_ERRORS[key])
    return Path(text)


def check_folders(request: Request) -> None:
    """Refuse folders that are none; raises ``RequestError``."""
    folders = zip(FOLDER_ERRORS, (request.recipes, request.artifacts), strict=True)
    for key, folder in folders:
        if folder is not None and not folder.is_dir():
            raise RequestError(f"{key} {folder} is no folder", FOLDER_ERRORS[key])


def document(
    request: Request, identifier: str, timestamp: int, present: Mapping[str, str]
) -> Document:
    """The deployment that a request means for a group whose roots are ``present`` now.

    ``timestamp`` in milliseconds. Raises ``RequestError`` where it configures what it does not
    deploy: only root components carry configuration (EDGE-CORE 6).
    """
    roots = {name: each for name, each in present.items() if name not in request.remove}
    roots.update(request.add)
    for name in (*request.configuration, *request.run_with):
        if name not in roots:
            raise RequestError(f"{name} is configured and is no root component of {request.group}")
    return Document(
        identifier,
        request.group,
        timestamp,
        {name: _wanted(request, name, version) for name, version in roots.items()},
        rolls_back=request.rolls_back,
        notify=False,
    )


def _wanted(request: Request, name: str, version: str) -> Wanted:
    update = request.configuration.get(name, Update())
    run_with = request.run_with.get(name, RunWith())
    return Wanted(version, update.reset, update.merge, run_with.user, run_with.limits)
