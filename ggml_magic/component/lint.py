"""The rules that a recipe must keep so that classic nucleus and nucleus lite both take it.

Each finding names its rule, the place and the mend. The rules are Greengrass's own (GREENGRASS
1, 3, 4; EDGE-CORE 1, 3, 4, 5, 8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ggml_magic.component import recipe as recipes
from ggml_magic.component import versions
from ggml_magic.core.recipe import (
    ARTIFACT_KEYS,
    LARGEST_BYTES,
    MANIFEST_KEYS,
    NAME,
    RECIPE_KEYS,
)

URI = re.compile(r"(s3://[a-z0-9-]+/|greengrass:|docker:|\{artifact:).+")
# "${…}" is the shell's
VARIABLE = re.compile(r"(?<!\$)\{([.\w-]+):([^:}]*)\}")
FOREIGN_VARIABLE = re.compile(r"(?<!\$)\{[.\w-]+:[.\w-]+:[^:}]*\}")
VARIABLES = {
    "artifacts": ("path", "decompressedPath"),
    "work": ("path",),
    "kernel": ("rootPath",),
    "iot": ("thingName",),
}
# Nucleus lite finds its steps in lower case only; the classic nucleus takes any.
STEPS = ("bootstrap", "install", "startup", "run", "shutdown", "recover", "uninstall")
STEP = ("Script", "RequiresPrivilege", "Skipif", "Timeout", "Setenv")
UNARCHIVE = ("NONE", "ZIP")
READERS = ("NONE", "OWNER", "ALL")


@dataclass(frozen=True)
class Finding:
    """A rule that a recipe breaks: which, where, and how to mend it."""

    rule: str
    where: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.mend} [{self.rule}]"


def lint(recipe: dict[str, Any], *, operations: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Every rule that a recipe breaks.

    ``operations`` are the IPC operations that the component's code calls, such as
    ``aws.greengrass#GetThingShadow``; ``accessControl`` must allow each.
    """
    shape = tuple(_shape(recipe))
    if shape:
        return shape  # what has another shape cannot be looked into
    found = [finding for rule in RULES for finding in rule(recipe)]
    return (*found, *_access(recipe, operations))


def _shape(recipe: dict[str, Any]) -> Iterator[Finding]:
    wanted: tuple[tuple[str, type], ...] = (
        ("ComponentName", str),
        ("ComponentVersion", str),
        ("Manifests", list),
    )
    for key, kind in wanted:
        if not isinstance(recipe.get(key), kind):
            yield Finding("schema", key, f"it must be there and be a {kind.__name__}")
    for place, value in _nested(recipe):
        if not isinstance(value, dict):
            yield Finding("schema", place, "it must be a map")


def _nested(recipe: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What must be maps."""
    yield "ComponentConfiguration", recipe.get("ComponentConfiguration", {})
    yield "DefaultConfiguration", _defaults(recipe)
    manifests = recipe.get("Manifests")
    for at, manifest in enumerate(manifests if isinstance(manifests, list) else []):
        yield f"Manifests[{at}]", manifest
        if not isinstance(manifest, dict):
            continue
        for key in ("Platform", "Lifecycle"):
            yield f"Manifests[{at}].{key}", manifest.get(key, {})
        artifacts = manifest.get("Artifacts", [])
        for number, artifact in enumerate(artifacts if isinstance(artifacts, list) else [None]):
            yield f"Manifests[{at}].Artifacts[{number}]", artifact


def _defaults(recipe: Mapping[str, Any]) -> Any:
    configuration = recipe.get("ComponentConfiguration", {})
    return configuration.get("DefaultConfiguration", {}) if isinstance(configuration, dict) else {}


def _identity(recipe: dict[str, Any]) -> Iterator[Finding]:
    if recipe.get("RecipeFormatVersion") != recipes.FORMAT_VERSION:
        yield Finding("format", "RecipeFormatVersion", f"it must be {recipes.FORMAT_VERSION}")
    if not NAME.fullmatch(recipe["ComponentName"]):
        mend = "1 to 128 letters, digits, dots, hyphens and underscores"
        yield Finding("name", "ComponentName", mend)
    wrong = versions.fault(recipe["ComponentVersion"])
    if wrong:
        yield Finding("version", "ComponentVersion", wrong)


def _size(recipe: dict[str, Any]) -> Iterator[Finding]:
    count = len(recipes.text(recipe).encode())
    if count > LARGEST_BYTES:
        yield Finding("size", "recipe", f"{count} bytes are more than {LARGEST_BYTES}")


def _keys(recipe: dict[str, Any]) -> Iterator[Finding]:
    yield from _known("recipe", recipe, RECIPE_KEYS)
    for place, manifest in _manifests(recipe):
        yield from _known(place, manifest, MANIFEST_KEYS)
        yield from _known(f"{place}.Lifecycle", manifest.get("Lifecycle", {}), [*STEPS, "Setenv"])
        for name, step in _steps(manifest):
            if isinstance(step, dict):
                yield from _known(f"{place}.Lifecycle.{name}", step, STEP)
        for number, artifact in enumerate(manifest.get("Artifacts", [])):
            yield from _known(f"{place}.Artifacts[{number}]", artifact, ARTIFACT_KEYS)


def _known(place: str, value: Mapping[str, Any], known: Iterable[str]) -> Iterator[Finding]:
    canonical = {key.lower(): key for key in known}
    for key in value:
        right = canonical.get(key.lower())
        if right is None:
            yield Finding("key", f"{place}.{key}", "Greengrass knows no such key")
        elif right != key:
            yield Finding("key-case", f"{place}.{key}", f"nucleus lite needs it as {right}")


def _platforms(recipe: dict[str, Any]) -> Iterator[Finding]:
    if not recipe["Manifests"]:
        yield Finding("manifest", "Manifests", "there must be at least one")
    for place, manifest in _manifests(recipe):
        if manifest.get("Platform", {}).get("runtime") not in ("*", "aws_nucleus_lite"):
            yield Finding("runtime", f"{place}.Platform", 'nucleus lite needs runtime: "*"')


def _lifecycles(recipe: dict[str, Any]) -> Iterator[Finding]:
    for place, manifest in _manifests(recipe):
        if recipe.get("Lifecycle") and not manifest.get("Lifecycle"):
            continue  # the global lifecycle is the one that counts
        steps = dict(_steps(manifest))
        started = [name for name in ("startup", "run") if name in steps]
        if len(started) != 1:
            mend = "it needs one of run and startup, and not both"
            yield Finding("lifecycle", f"{place}.Lifecycle", mend)
        for name, step in steps.items():
            yield from _step(f"{place}.Lifecycle.{name}", step)


def _step(place: str, step: Any) -> Iterator[Finding]:
    script = step.get("Script") if isinstance(step, dict) else step
    if not isinstance(script, str) or not script.strip():
        yield Finding("script", place, "it must be a script, or a map with Script")
    timeout = step.get("Timeout", 1) if isinstance(step, dict) else 1
    if not re.fullmatch(r"[1-9]\d*", str(timeout)):
        yield Finding("timeout", f"{place}.Timeout", "it is a whole number of seconds above 0")


def _artifacts(recipe: dict[str, Any]) -> Iterator[Finding]:
    for place, manifest in _manifests(recipe):
        names: set[str] = set()
        for number, artifact in enumerate(manifest.get("Artifacts", [])):
            where = f"{place}.Artifacts[{number}]"
            uri = str(artifact.get("Uri", ""))
            if not URI.fullmatch(uri):
                mend = "Uri is s3://BUCKET/KEY with no dot in the bucket's name"
                yield Finding("uri", where, mend)
            name = uri.removesuffix("}").replace(":", "/").rsplit("/", 1)[-1]
            if name in names:
                yield Finding("artifact-name", where, f"{name} is there twice in one manifest")
            names.add(name)
            if artifact.get("Unarchive", "NONE") not in UNARCHIVE:
                yield Finding("unarchive", where, f"it is one of {', '.join(UNARCHIVE)}")
            permission = artifact.get("Permission", {})
            if not isinstance(permission, dict) or permission.get("Read", "OWNER") not in READERS:
                yield Finding("permission", where, f"Read is one of {', '.join(READERS)}")


def _variables(recipe: dict[str, Any]) -> Iterator[Finding]:
    defaults = _defaults(recipe)
    for place, manifest in _manifests(recipe):
        for text in _texts(manifest.get("Lifecycle", {})):
            for variable in FOREIGN_VARIABLE.findall(text):
                mend = "nucleus lite has no variables of other components"
                yield Finding("variable", f"{place} {variable}", mend)
            for match in VARIABLE.finditer(text):
                wrong = _variable(match.group(1), match.group(2), defaults)
                if wrong:
                    yield Finding("variable", f"{place} {match.group()}", wrong)


def _variable(space: str, key: str, defaults: Any) -> str | None:
    if space == "configuration":
        return None if _points(defaults, key) else "DefaultConfiguration has no such value"
    known = VARIABLES.get(space)
    if known is None:
        return f"there are {', '.join(VARIABLES)} and configuration"
    return None if key in known else f"{space} has {', '.join(known)}"


def _points(value: Any, pointer: str) -> bool:
    """Whether a JSON pointer leads somewhere."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return not pointer or pointer.startswith("/")


def _access(recipe: dict[str, Any], operations: Sequence[str]) -> Iterator[Finding]:
    place = f"DefaultConfiguration.{recipes.ACCESS_CONTROL}"
    control = _defaults(recipe).get(recipes.ACCESS_CONTROL, {})
    allowed: set[str] = set()
    for service, policies in control.items() if isinstance(control, dict) else ():
        for policy, body in policies.items() if isinstance(policies, dict) else ():
            named = body.get("operations", []) if isinstance(body, dict) else []
            resources = body.get("resources") if isinstance(body, dict) else None
            if not named or not resources:
                mend = "a policy needs operations and resources"
                yield Finding("access", f"{place}.{service}.{policy}", mend)
            allowed.update(named)
    for operation in operations:
        if not {operation, "*"} & allowed:
            mend = f"the code calls {operation}, which no policy allows"
            yield Finding("access", place, mend)


def _manifests(recipe: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for at, manifest in enumerate(recipe["Manifests"]):
        yield f"Manifests[{at}]", manifest


def _steps(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    lifecycle = manifest.get("Lifecycle", {})
    return ((name, step) for name, step in lifecycle.items() if name in STEPS)


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested maps."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for held in value.values():
            yield from _texts(held)


RULES: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
    _identity,
    _size,
    _keys,
    _platforms,
    _lifecycles,
    _artifacts,
    _variables,
)
