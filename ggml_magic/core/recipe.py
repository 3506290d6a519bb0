"""Component recipes as a device reads them (EDGE-CORE 1).

Keys and enums are taken in any case, unknown keys are ignored, as the classic nucleus does.
"""

from __future__ import annotations

import json
import os
import platform as machine
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = "2020-01-25"
# What the service and a linter hold a recipe to, in its canonical spelling (GREENGRASS 1, 4).
LARGEST_BYTES = 16_000
NAME = re.compile(r"[a-zA-Z0-9-_.]{1,128}")
RECIPE_KEYS = (
    "RecipeFormatVersion",
    "ComponentName",
    "ComponentVersion",
    "ComponentType",
    "ComponentDescription",
    "ComponentPublisher",
    "ComponentSource",
    "ComponentConfiguration",
    "ComponentDependencies",
    "Manifests",
    "Lifecycle",
)
MANIFEST_KEYS = ("Name", "Platform", "Lifecycle", "Selections", "Artifacts")
ARTIFACT_KEYS = ("Uri", "Unarchive", "Permission", "Digest", "Algorithm")
STEPS = ("bootstrap", "install", "startup", "run", "shutdown", "recover")
# Seconds a step may take when the recipe does not say; a run may take for ever.
TIMEOUTS: dict[str, float] = {
    "bootstrap": 120, "install": 120, "startup": 120, "shutdown": 15, "recover": 60
}  # fmt: skip
ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "i386": "x86",
    "i686": "x86",
    "aarch64": "aarch64",
    "arm64": "aarch64",
}
DETAILED = ("arm", "aarch64")


class RecipeError(Exception):
    """A recipe that a device cannot use; the text says why."""


@dataclass(frozen=True)
class Artifact:
    """One file to download; ``digest`` is base64 of ``algorithm``."""

    uri: str
    digest: str = ""
    algorithm: str = ""
    unarchive: str = "NONE"
    read: str = "OWNER"
    execute: str = "NONE"

    @property
    def name(self) -> str:
        """The file's name on the device."""
        return self.uri.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Dependency:
    """Another component, and the npm range of its versions."""

    name: str
    requirement: str
    hard: bool = True


@dataclass(frozen=True)
class Step:
    """A script of a lifecycle; ``timeout`` in seconds, ``None`` for no limit."""

    script: str
    timeout: float | None = None
    skip_if: str = ""
    setenv: Mapping[str, str] = field(default_factory=dict)
    privileged: bool = False


@dataclass(frozen=True)
class Lifecycle:
    """The steps of a component by lower-case name, and the environment of all of them."""

    setenv: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, Step] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A component version. ``manifests`` and ``lifecycle`` are as they were written."""

    name: str
    version: str
    defaults: Mapping[str, Any]
    dependencies: tuple[Dependency, ...]
    manifests: tuple[Mapping[str, Any], ...]
    lifecycle: Mapping[str, Any]


def device_platform() -> dict[str, str]:
    """This device's platform, as the classic nucleus describes it (no ``runtime`` key)."""
    kind = machine.machine().lower()
    architecture = ARCHITECTURES.get(kind, "arm" if kind.startswith("arm") else kind)
    found = {"os": "darwin" if sys.platform == "darwin" else "linux", "architecture": architecture}
    if architecture in DETAILED:
        found["architecture.detail"] = os.uname().machine
    return found


def parse(content: bytes | str) -> Recipe:
    """Read a recipe in JSON; raises ``RecipeError``."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise RecipeError(f"the recipe is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise RecipeError("the recipe is no JSON object")
    name, version = (
        str(value_of(document, key, "")) for key in ("ComponentName", "ComponentVersion")
    )
    if not name or not version:
        raise RecipeError("the recipe has no ComponentName or no ComponentVersion")
    if value_of(document, "RecipeFormatVersion", "") != FORMAT:
        raise RecipeError(f"the recipe of {name} {version} is not of RecipeFormatVersion {FORMAT}")
    manifests = value_of(document, "Manifests", [])
    if not manifests or not all(isinstance(manifest, dict) for manifest in manifests):
        raise RecipeError(f"the recipe of {name} {version} has no manifests, or an empty one")
    return Recipe(
        name, version, _map(_map(document, "ComponentConfiguration"), "DefaultConfiguration"),
        _dependencies(_map(document, "ComponentDependencies")), tuple(manifests),
        _map(document, "Lifecycle"),
    )  # fmt: skip


def _dependencies(written: Mapping[str, Any]) -> tuple[Dependency, ...]:
    return tuple(
        Dependency(
            name,
            str(value_of(entry, "VersionRequirement", "*")),
            str(value_of(entry, "DependencyType", "HARD")).upper() != "SOFT",
        )
        for name, entry in written.items()
    )


def choose(
    recipe: Recipe, platform: Mapping[str, str]
) -> tuple[dict[str, Any], tuple[Artifact, ...]]:
    """Lifecycle (as written) and artifacts of the first manifest that fits the platform.

    Raises ``RecipeError`` when none fits.
    """
    for manifest in recipe.manifests:
        if matches(_map(manifest, "Platform"), platform):
            artifacts = value_of(manifest, "Artifacts", None) or []
            return _lifecycle_of(recipe, manifest), tuple(_artifact(entry) for entry in artifacts)
    described = ", ".join(f"{key}={value}" for key, value in platform.items())
    raise RecipeError(f"no manifest of {recipe.name} {recipe.version} fits {described}")


def matches(wanted: Mapping[str, Any], platform: Mapping[str, str]) -> bool:
    """Whether every entry of a manifest's Platform is satisfied."""
    return all(
        _entry_matches(str(key), value, platform.get(str(key))) for key, value in wanted.items()
    )


def _entry_matches(key: str, wanted: object, own: str | None) -> bool:
    if wanted is None or wanted == "*":
        return True
    text = str(wanted)
    if own is None:
        return False
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        try:
            return re.fullmatch(text[1:-1], own) is not None
        except re.error as error:
            raise RecipeError(f"Platform {key} {text} is no pattern: {error}") from None
    if key in ("os", "architecture") and text in ("all", "any"):
        return True
    return text[:1].isalnum() and text == own


def _lifecycle_of(recipe: Recipe, manifest: Mapping[str, Any]) -> dict[str, Any]:
    own = _map(manifest, "Lifecycle")
    if own:
        return dict(own)
    keywords = {"all", *(word for each in recipe.manifests for word in _selections(each))}
    chosen = _selected(recipe.lifecycle, (*_selections(manifest), "all"), keywords)
    return chosen if isinstance(chosen, dict) else {}


def _selections(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(word).lower() for word in value_of(manifest, "Selections", None) or ())


def _selected(written: Any, selections: Iterable[str], keywords: set[str]) -> Any:
    """The part of a global lifecycle that selections name; ``None`` where nothing remains."""
    if not isinstance(written, Mapping):
        return written
    by_name = {str(key).lower(): value for key, value in written.items()}
    if keywords & set(by_name):
        for word in selections:
            if word in by_name:
                return _selected(by_name[word], selections, keywords)
        return None
    parts = {key: _selected(value, selections, keywords) for key, value in written.items()}
    return {key: part for key, part in parts.items() if part is not None}


def _artifact(written: Mapping[str, Any]) -> Artifact:
    permission = _map(written, "Permission")
    return Artifact(
        str(value_of(written, "Uri", "")),
        str(value_of(written, "Digest", "") or ""),
        str(value_of(written, "Algorithm", "") or ""),
        str(value_of(written, "Unarchive", "NONE")).upper(),
        str(value_of(permission, "Read", "OWNER")).upper(),
        str(value_of(permission, "Execute", "NONE")).upper(),
    )


def lifecycle(written: Mapping[str, Any]) -> Lifecycle:
    """The steps of a chosen lifecycle whose variables are filled in; raises ``RecipeError``."""
    by_name = {str(key).lower(): value for key, value in written.items()}
    steps = {name: _step(name, by_name[name]) for name in STEPS if by_name.get(name) is not None}
    return Lifecycle(_environment(written), {name: step for name, step in steps.items() if step})


def _step(name: str, written: Any) -> Step | None:
    if not isinstance(written, Mapping):
        return Step(str(written), TIMEOUTS.get(name)) if str(written).strip() else None
    script = str(value_of(written, "Script", "") or "")
    if not script.strip():
        return None
    return Step(
        script,
        _timeout(name, value_of(written, "Timeout", None)),
        str(value_of(written, "Skipif", "") or ""),
        _environment(written),
        str(value_of(written, "RequiresPrivilege", "false")).lower() == "true",
    )


def _timeout(name: str, written: object) -> float | None:
    if written is None:
        return TIMEOUTS.get(name)
    try:
        return float(str(written))
    except ValueError:
        raise RecipeError(f"Timeout {written!r} of {name} is no number of seconds") from None


def _environment(written: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in _map(written, "Setenv").items()}


def value_of(mapping: Mapping[str, Any], name: str, default: Any) -> Any:
    """A value by its key in any case."""
    if name in mapping:
        return mapping[name]
    wanted = name.lower()
    return next((value for key, value in mapping.items() if str(key).lower() == wanted), default)


def _map(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value_of(mapping, name, None)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise RecipeError(f"{name} is no object")
    return found
