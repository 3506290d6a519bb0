"""What nucleus lite refuses of what the classic nucleus takes (EDGE-CORE 1, 4, 7, 8).

Each reason why not a recipe is one sentence, ``where: why``, so that a notebook learns it before
a device does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ggml_magic.core import access, recipe, spelling
from ggml_magic.core.calls import Call, IpcError, Operation
from ggml_magic.core.decode import LARGEST_TEXT_BYTES, RecipeError, decode
from ggml_magic.core.disk import read_json, write_json
from ggml_magic.core.platforms import DIALECTS, Dialect, never_on_lite
from ggml_magic.core.recipe import value_of
from ggml_magic.core.wire import MAX_FRAME

LITE_LARGEST_BYTES = 16 * 1024
DEPENDENCY_KEYS = ("VersionRequirement", "DependencyType")
STEP_KEYS = ("Script", "Timeout", "RequiresPrivilege", "Skipif", "Setenv")
# Steps that nucleus lite has no unit for.
UNSERVED = ("shutdown", "recover")
# A component without one of these never reports that it is done.
REPORTING = ("run", "startup")
FOREIGN = re.compile(r"(?<!\$)\{[.\w-]+:[.\w-]+:[^:}]*\}")
# All that nucleus lite does for a component (EDGE-CORE 8).
LITE_OPERATIONS = (
    "PublishToTopic", "SubscribeToTopic", "PublishToIoTCore", "SubscribeToIoTCore",
    "GetConfiguration", "UpdateConfiguration", "SubscribeToConfigurationUpdate", "UpdateState",
    "RestartComponent", "CreateLocalDeployment", "ValidateAuthorizationToken",
)  # fmt: skip
# A longer message of a component ends its connection to nucleus lite.
LITE_MESSAGE_BYTES = 10_000


def kept(file: Path, asked: str) -> Dialect:
    """The dialect of a core: the one asked for, else that of its last start, else classic.

    It is written to ``file``, so that a restart keeps it.
    """
    held = read_json(file)
    before = held.get("dialect") if isinstance(held, dict) else None
    found: Dialect = next((each for each in DIALECTS if each == (asked or before)), "classic")
    if found != before:
        write_json(file, {"dialect": found})
    return found


def served(operations: Mapping[str, Operation], dialect: str) -> dict[str, Operation]:
    """Of a core's operations, by name, those that a nucleus of the dialect does for components.

    The others are refused with ``ServiceError``, but to the terminal: it is this project's own.
    """
    if dialect != "lite":
        return dict(operations)
    return {
        name: each if name in LITE_OPERATIONS else _for_the_terminal(each)
        for name, each in operations.items()
    }


def _for_the_terminal(operation: Operation) -> Operation:
    async def answer(call: Call) -> Mapping[str, Any]:
        if call.component != access.PRINCIPAL:
            message = f"{call.operation} is not served by nucleus lite"
            raise IpcError("ServiceError", message, context={"operation": call.operation})
        return await operation(call)

    return answer


def longest(dialect: str, component: str) -> int:
    """Bytes that a message of a component, or of the terminal, may have."""
    limited = dialect == "lite" and component != access.PRINCIPAL
    return LITE_MESSAGE_BYTES if limited else MAX_FRAME


def check(content: bytes, dialect: str) -> None:
    """Raise ``RecipeError`` with every reason for which a nucleus refuses a recipe."""
    if dialect != "lite":
        return
    reasons = list(refusals(decode(content).document, dialect))
    if len(content) > LITE_LARGEST_BYTES:
        reasons.append(f"the recipe: it has {len(content)} bytes, at most {LITE_LARGEST_BYTES} fit")
    if reasons:
        raise RecipeError(f"nucleus lite refuses it: {'; '.join(reasons)}")


def refusals(document: Mapping[str, Any], dialect: str) -> tuple[str, ...]:
    """Why a nucleus of the dialect refuses a recipe's plain values; empty when it does not."""
    if dialect != "lite":
        return ()
    found = recipe.read(document)
    reasons = [*_spelling(document)]
    if found.kind != recipe.TYPES[0]:
        reasons.append(f"ComponentType: {found.kind} is for the classic nucleus only")
    usable = [(at, each) for at, each in enumerate(found.manifests) if not [*_platform(at, each)]]
    if not usable:
        reasons += [why for at, each in enumerate(found.manifests) for why in _platform(at, each)]
    for at, manifest in usable:
        reasons += _lifecycle(found, at, manifest)
    return tuple(dict.fromkeys(reasons))


def warnings(content: bytes, dialect: str) -> tuple[str, ...]:
    """What a nucleus passes over, and what nucleus lite takes otherwise than the classic one."""
    if len(content) > LARGEST_TEXT_BYTES:
        return ()
    found = decode(content)
    said = [*spelling.passed_over(found.document)]
    if dialect == "lite":
        said += _supposed(found.document)
        if found.kind == "yaml" and _typed(found.document):
            said.append("the recipe: nucleus lite reads numbers, booleans and nulls of YAML as text"
                        "; write JSON")  # fmt: skip
    return tuple(said)


def _supposed(document: Mapping[str, Any]) -> Iterator[str]:
    """Digests without the algorithm, which the classic nucleus does not take."""
    for at, manifest in enumerate(value_of(document, "Manifests", None) or ()):
        for number, artifact in enumerate(value_of(manifest, "Artifacts", None) or ()):
            if value_of(artifact, "Digest", None) and not value_of(artifact, "Algorithm", None):
                place = f"Manifests[{at}].Artifacts[{number}]"
                yield f"{place}: nucleus lite supposes that its digest is of {recipe.SHA256}"


def _typed(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_typed(each) for each in value.values())
    if isinstance(value, list):
        return any(_typed(each) for each in value)
    return not isinstance(value, str)


def _platform(at: int, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Why a manifest is never chosen on nucleus lite."""
    for key, why in never_on_lite(value_of(manifest, "Platform", None) or {}):
        yield f"{'.'.join(filter(None, (f'Manifests[{at}].Platform', key)))}: {why}"


def _lifecycle(found: recipe.Recipe, at: int, manifest: Mapping[str, Any]) -> Iterator[str]:
    place = f"Manifests[{at}].Lifecycle"
    if not value_of(manifest, "Lifecycle", None):
        place = "Lifecycle"
        if found.lifecycle and "all" not in found.lifecycle:
            yield "Lifecycle: nucleus lite reads a global lifecycle only below the key all"
            return
    chosen = recipe.lifecycle_of(found, manifest)
    steps = {str(name).lower(): step for name, step in chosen.items() if step}
    steps = {name: step for name, step in steps.items() if name in recipe.STEPS}
    if not steps:
        yield f"{place}: nucleus lite supports no lifecycle without a phase"
    elif not any(name in steps for name in REPORTING):
        yield (
            f"{place}: without run or startup nucleus lite never hears that it is done"
            " and waits until the deployment fails"
        )
    for name, step in steps.items():
        if name in UNSERVED:
            yield f"{place}.{name}: nucleus lite has no such step"
        if isinstance(step, Mapping) and value_of(step, "Skipif", None):
            yield f"{place}.{name}.Skipif: nucleus lite does not know it"
    for text in _texts(chosen):
        for match in FOREIGN.finditer(text):
            yield f"{place}: {match[0]} asks for another component, which nucleus lite cannot fill"
    yield from _steps_spelling(place, chosen)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)


def _spelling(document: Mapping[str, Any]) -> Iterator[str]:
    """Keys and values in another case than the canonical one, which nucleus lite overlooks."""
    yield from _keys("the recipe", document, recipe.RECIPE_KEYS)
    configuration = value_of(document, "ComponentConfiguration", None) or {}
    yield from _keys("ComponentConfiguration", configuration, ("DefaultConfiguration",))
    for name, entry in (value_of(document, "ComponentDependencies", None) or {}).items():
        place = f"ComponentDependencies.{name}"
        yield from _keys(place, entry, DEPENDENCY_KEYS)
        yield from _value(place, entry, "DependencyType")
    for at, manifest in enumerate(value_of(document, "Manifests", None)):
        yield from _keys(f"Manifests[{at}]", manifest, recipe.MANIFEST_KEYS)
        for number, artifact in enumerate(value_of(manifest, "Artifacts", None) or ()):
            yield from _artifact(f"Manifests[{at}].Artifacts[{number}]", artifact)


def _artifact(place: str, artifact: Mapping[str, Any]) -> Iterator[str]:
    yield from _keys(place, artifact, recipe.ARTIFACT_KEYS)
    yield from _value(place, artifact, "Unarchive")
    permission = value_of(artifact, "Permission", None) or {}
    yield from _keys(f"{place}.Permission", permission, ("Read", "Execute"))
    for key in ("Read", "Execute"):
        yield from _value(f"{place}.Permission", permission, key)


def _steps_spelling(place: str, lifecycle: Mapping[str, Any]) -> Iterator[str]:
    yield from _keys(place, lifecycle, (*recipe.STEPS, "Setenv"))
    for name, step in lifecycle.items():
        if isinstance(step, Mapping) and str(name).lower() in recipe.STEPS:
            yield from _keys(f"{place}.{name}", step, STEP_KEYS)


def _keys(place: str, written: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    canonical = {key.lower(): key for key in known}
    for key in written:
        wanted = canonical.get(str(key).lower())
        if wanted is not None and wanted != key:
            yield f"{place}: nucleus lite reads keys in their exact case, {wanted} for {key}"


def _value(place: str, written: Mapping[str, Any], key: str) -> Iterator[str]:
    found = value_of(written, key, None)
    if isinstance(found, str) and found != found.upper():
        yield f"{place}.{key}: nucleus lite reads values in their exact case, {found.upper()}"
