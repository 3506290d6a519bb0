"""Component recipes as a device reads them (EDGE-CORE 1).

Keys and enums are taken in any case, unknown keys are ignored, as the classic nucleus does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ggml_magic.core.decode import RecipeError as RecipeError
from ggml_magic.core.decode import decode
from ggml_magic.core.platforms import Dialect as Dialect
from ggml_magic.core.platforms import device_platform as device_platform
from ggml_magic.core.platforms import dialect_of, never_on_lite, text
from ggml_magic.core.platforms import matches as matches
from ggml_magic.core.versions import is_range, is_version

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
TYPES = (
    "aws.greengrass.generic",
    "aws.greengrass.lambda",
    "aws.greengrass.plugin",
    "aws.greengrass.nucleus",
)
SHA256 = "SHA-256"
# The permission bits that nucleus lite gives to what does not say any.
LITE_BITS = 0o755
CHOICES = {
    "Unarchive": ("NONE", "ZIP"),
    "Read": ("NONE", "OWNER", "ALL"),
    "Execute": ("NONE", "OWNER", "ALL"),
    "DependencyType": ("HARD", "SOFT"),
    "Algorithm": (SHA256,),
}
STEPS = ("bootstrap", "install", "startup", "run", "shutdown", "uninstall", "recover")
# Seconds a step may take when the recipe does not say; a run may take for ever.
TIMEOUTS: dict[str, float] = {
    "bootstrap": 120, "install": 120, "startup": 120, "shutdown": 15, "uninstall": 120,
    "recover": 60,
}  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    """One file to download; ``digest`` is base64 of ``algorithm``.

    ``bits`` are its permissions where they do not come of ``read`` and ``execute``.
    """

    uri: str
    digest: str = ""
    algorithm: str = ""
    unarchive: str = "NONE"
    read: str = "OWNER"
    execute: str = "NONE"
    bits: int | None = None

    @property
    def name(self) -> str:
        """The file's name on the device."""
        return self.uri.rpartition(":")[2].rpartition("/")[2]


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
    kind: str = TYPES[0]
    description: str = ""
    publisher: str = ""
    source: str = ""


def parse(content: bytes | str, dialect: str = "classic") -> Recipe:
    """Read a recipe in JSON or YAML and check it as written; raises ``RecipeError``."""
    return read(plain(content, dialect))


def plain(content: bytes | str, dialect: str = "classic") -> dict[str, Any]:
    """A recipe's plain values as a nucleus reads them; raises ``RecipeError``.

    Nucleus lite takes every scalar of a YAML recipe for text, the classic one keeps the types.
    """
    found = decode(content)
    if dialect == "lite" and found.kind == "yaml":
        return {key: _texts(value) for key, value in found.document.items()}
    return found.document


def read(document: Mapping[str, Any]) -> Recipe:
    """A recipe from its plain values; raises ``RecipeError``."""
    name, version = _identity(document)
    try:
        manifests = value_of(document, "Manifests", None)
        if not isinstance(manifests, list) or not manifests:
            raise RecipeError("Manifests must be a list of at least one")
        for at, manifest in enumerate(manifests):
            _check_manifest(manifest, f"Manifests[{at}]")
        return Recipe(
            name, version, _map(_map(document, "ComponentConfiguration"), "DefaultConfiguration"),
            _dependencies(_map(document, "ComponentDependencies")), tuple(manifests),
            _map(document, "Lifecycle"), _kind(document), _text(document, "ComponentDescription"),
            _text(document, "ComponentPublisher"), _text(document, "ComponentSource"),
        )  # fmt: skip
    except RecipeError as error:
        raise RecipeError(f"the recipe of {name} {version}: {error}") from None


def _identity(document: Mapping[str, Any]) -> tuple[str, str]:
    name, version = (_text(document, key) for key in ("ComponentName", "ComponentVersion"))
    if not name or not version:
        raise RecipeError("the recipe has no ComponentName or no ComponentVersion")
    if not NAME.fullmatch(name) or name in (".", ".."):
        raise RecipeError(
            f"ComponentName {name[:150]!r} is not 1 to 128 letters, digits, -, _ or ."
        )
    if not is_version(version):
        raise RecipeError(
            f"ComponentVersion {version[:100]!r} of {name} is no semantic version"
            " with numbers up to 999999"
        )
    if _text(document, "RecipeFormatVersion") != FORMAT:
        raise RecipeError(f"the recipe of {name} {version} is not of RecipeFormatVersion {FORMAT}")
    return name, version


def _kind(document: Mapping[str, Any]) -> str:
    kind = (_text(document, "ComponentType") or TYPES[0]).lower()
    if kind not in TYPES:
        raise RecipeError(f"ComponentType {kind!r} is none of {', '.join(TYPES)}")
    return kind


def _dependencies(written: Mapping[str, Any]) -> tuple[Dependency, ...]:
    return tuple(_dependency(str(name), entry) for name, entry in written.items())


def _dependency(name: str, entry: Any) -> Dependency:
    place = f"ComponentDependencies.{name}"
    if not NAME.fullmatch(name):
        raise RecipeError(f"{place} is no component's name")
    if not isinstance(entry, Mapping):
        raise RecipeError(f"{place} is no object")
    requirement = value_of(entry, "VersionRequirement", None)
    if requirement is None:
        raise RecipeError(f"{place} has no VersionRequirement")
    if isinstance(requirement, (Mapping, list)) or not is_range(text(requirement)):
        raise RecipeError(f"{place}: {requirement!r} is no range of versions")
    kind = _chosen(entry, "DependencyType", "HARD", place)
    return Dependency(name, text(requirement), hard=kind == "HARD")


def _check_manifest(manifest: Any, place: str) -> None:
    if not isinstance(manifest, Mapping):
        raise RecipeError(f"{place} is no object")
    _map(manifest, "Lifecycle")
    for key, value in _map(manifest, "Platform").items():
        if isinstance(value, (Mapping, list)):
            raise RecipeError(f"{place}.Platform.{key} is no text")
    words = value_of(manifest, "Selections", None) or []
    if not isinstance(words, list) or any(isinstance(word, (Mapping, list)) for word in words):
        raise RecipeError(f"{place}.Selections is no list of texts")
    artifacts = value_of(manifest, "Artifacts", None) or []
    if not isinstance(artifacts, list):
        raise RecipeError(f"{place}.Artifacts is no list")
    for at, artifact in enumerate(artifacts):
        _artifact(artifact, f"{place}.Artifacts[{at}]")


def choose(
    recipe: Recipe, platform: Mapping[str, str]
) -> tuple[dict[str, Any], tuple[Artifact, ...]]:
    """Lifecycle (as written) and artifacts of the first manifest that fits the platform.

    Raises ``RecipeError`` when none fits.
    """
    for manifest in recipe.manifests:
        if matches(_map(manifest, "Platform"), platform):
            listed = value_of(manifest, "Artifacts", None) or []
            read = _as_lite if dialect_of(platform) == "lite" else _artifact
            artifacts = tuple(read(entry, "Artifacts") for entry in listed)
            return lifecycle_of(recipe, manifest), artifacts
    described = ", ".join(f"{key}={value}" for key, value in platform.items())
    why = "".join(f"; {each}" for each in _never(recipe, platform))
    raise RecipeError(f"no manifest of {recipe.name} {recipe.version} fits {described}{why}")


def _never(recipe: Recipe, platform: Mapping[str, str]) -> dict[str, None]:
    """Reasons for which this device's dialect chooses a manifest on no platform, each once."""
    if dialect_of(platform) != "lite":
        return {}
    platforms = (_map(manifest, "Platform") for manifest in recipe.manifests)
    return dict.fromkeys(why for each in platforms for _, why in never_on_lite(each))


def _as_lite(written: Any, place: str) -> Artifact:
    """Nucleus lite supposes the algorithm of a digest, and never unpacks a local recipe's file.

    It has permissions of its own for what does not say any.
    """
    artifact = _artifact(written, place)
    if value_of(written, "Permission", None) is None:
        artifact = replace(artifact, bits=LITE_BITS)
    if not artifact.digest:
        return replace(artifact, unarchive="NONE")
    return replace(artifact, algorithm=artifact.algorithm or SHA256)


def lifecycle_of(recipe: Recipe, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's lifecycle: its own, else what its selections name of the global one."""
    own = _map(manifest, "Lifecycle")
    if own:
        return dict(own)
    keywords = {"all", *(word for each in recipe.manifests for word in _selections(each))}
    chosen = _selected(recipe.lifecycle, (*_selections(manifest), "all"), keywords)
    return chosen if isinstance(chosen, dict) else {}


def _selections(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text(word).lower() for word in value_of(manifest, "Selections", None) or ())


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


def _artifact(written: Any, place: str) -> Artifact:
    if not isinstance(written, Mapping):
        raise RecipeError(f"{place} is no object")
    uri = _text(written, "Uri")
    if not uri:
        raise RecipeError(f"{place} has no Uri")
    permission = _map(written, "Permission")
    algorithm = _chosen(written, "Algorithm", "", place)
    return Artifact(
        uri, _text(written, "Digest"), algorithm, _chosen(written, "Unarchive", "NONE", place),
        _chosen(permission, "Read", "OWNER", f"{place}.Permission"),
        _chosen(permission, "Execute", "NONE", f"{place}.Permission"),
    )  # fmt: skip


def _chosen(written: Mapping[str, Any], key: str, default: str, place: str) -> str:
    """An enum's value in its canonical case; raises ``RecipeError`` for any other."""
    found = _text(written, key).upper() or default
    if found != default and found not in CHOICES[key]:
        raise RecipeError(f"{place}: {key} {found!r} is none of {', '.join(CHOICES[key])}")
    return found


def lifecycle(written: Mapping[str, Any]) -> Lifecycle:
    """The steps of a chosen lifecycle whose variables are filled in; raises ``RecipeError``."""
    by_name = {str(key).lower(): value for key, value in written.items()}
    steps = {name: _step(name, by_name[name]) for name in STEPS if by_name.get(name) is not None}
    return Lifecycle(_environment(written), {name: step for name, step in steps.items() if step})


def _step(name: str, written: Any) -> Step | None:
    if isinstance(written, list):
        raise RecipeError(f"{name} of the lifecycle is a list, no script")
    if not isinstance(written, Mapping):
        said = text(written)
        return Step(said, TIMEOUTS.get(name)) if said.strip() else None
    script = _text(written, "Script")
    if not script.strip():
        return None
    return Step(
        script,
        _timeout(name, value_of(written, "Timeout", None)),
        _text(written, "Skipif"),
        _environment(written),
        _text(written, "RequiresPrivilege").lower() == "true",
    )


def _timeout(name: str, written: object) -> float | None:
    if written is None:
        return TIMEOUTS.get(name)
    try:
        seconds = float(text(written))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise RecipeError(f"Timeout {written!r} of {name} is no number of seconds")
    return seconds


def _environment(written: Mapping[str, Any]) -> dict[str, str]:
    def said(value: object) -> str:
        if isinstance(value, (Mapping, list)):
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return text(value)

    return {str(key): said(value) for key, value in _map(written, "Setenv").items()}


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


def _text(mapping: Mapping[str, Any], name: str) -> str:
    found = value_of(mapping, name, None)
    if isinstance(found, (Mapping, list)):
        raise RecipeError(f"{name} is no text")
    return text(found)


def _texts(value: Any) -> Any:
    """The same with every scalar as text."""
    if isinstance(value, Mapping):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return text(value)
