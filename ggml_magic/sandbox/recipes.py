"""Component recipes as the cloud reads them: JSON or YAML in, one canonical form out.

Key names are read in any case and written in the canonical one (EDGE-CORE 1); artifact digests
are the service's own and replace whatever the author wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from nodesemver import valid_range  # type: ignore[import-untyped]  # it ships no types

from ggml_magic.core.platforms import PLAIN_BEGINNING
from ggml_magic.core.recipe import (
    ARTIFACT_KEYS,
    CHOICES,
    LARGEST_BYTES,
    MANIFEST_KEYS,
    NAME,
    RECIPE_KEYS,
    TYPES,
)
from ggml_magic.core.versions import is_version as is_version
from ggml_magic.sandbox.faults import invalid, unparsable

# GREENGRASS 4
FORMAT_VERSION = "2020-01-25"
S3_URI = re.compile(r"s3://([^/]+)/(.+)")
SERVICE_URI = re.compile(r"greengrass:/*([A-Za-z0-9._-]*[A-Za-z0-9_-])")
# Where the sandbox has what AWS keeps in a bucket of its own: greengrass:FILE of NAME VERSION is
# the object NAME/VERSION/FILE there.
SERVICE_BUCKET = "greengrass-component-artifacts"
DEPENDENCY_KEYS = ("VersionRequirement", "DependencyType")


class PlainLoader(yaml.SafeLoader):
    """YAML as JSON: no dates, and no aliases that unfold a small file into a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases; build anything else as usual."""
        if self.check_event(yaml.AliasEvent):
            raise unparsable("the recipe uses YAML aliases")
        return super().compose_node(parent, index)


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(content: bytes) -> dict[str, Any]:
    """A recipe in canonical form; raises a ``ValidationException`` that says what is wrong."""
    if len(content) > LARGEST_BYTES:
        raise invalid(
            "inlineRecipe", f"is {len(content)} bytes; a recipe has at most {LARGEST_BYTES}"
        )
    raw = _decoded(content)
    if not isinstance(raw, dict):
        raise unparsable("the recipe must be an object")
    recipe = _canonical(raw, RECIPE_KEYS, "the recipe")
    _check_head(recipe)
    _check_objects(recipe)
    manifests = recipe.get("Manifests")
    if not isinstance(manifests, list) or not manifests:
        raise invalid("Manifests", "must be a list with at least one manifest")
    recipe["Manifests"] = [_manifest(item, f"Manifests[{i}]") for i, item in enumerate(manifests)]
    if "ComponentDependencies" in recipe:
        recipe["ComponentDependencies"] = {
            name: _dependency(name, item) for name, item in recipe["ComponentDependencies"].items()
        }
    return recipe


def artifacts(recipe: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every artifact of a parsed recipe."""
    for manifest in recipe["Manifests"]:
        yield from manifest.get("Artifacts", ())


def place(recipe: Mapping[str, Any], uri: str) -> tuple[str, str]:
    """The bucket and key of an artifact of a parsed recipe."""
    if found := S3_URI.fullmatch(uri):
        return found[1], found[2]
    version = f"{recipe['ComponentName']}/{recipe['ComponentVersion']}"
    return SERVICE_BUCKET, f"{version}/{file_name(uri)}"


def file_name(uri: str) -> str:
    """The name that an artifact has on a device."""
    return uri.rpartition(":")[2].rpartition("/")[2]


def platforms(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The platforms of a parsed recipe, as DescribeComponent shows them."""
    shown = []
    for manifest in recipe["Manifests"]:
        attributes = {
            str(key): str(value) for key, value in (manifest.get("Platform") or {}).items()
        }
        named = "-".join(attributes[key] for key in ("os", "architecture") if key in attributes)
        shown.append({"name": manifest.get("Name") or named or "all", "attributes": attributes})
    return shown


def suits(recipe: Mapping[str, Any], device: Mapping[str, str]) -> bool:
    """Whether one of the recipe's manifests fits the device's attributes (EDGE-CORE 1)."""
    return any(
        all(_fits(key, wanted, device) for key, wanted in (manifest.get("Platform") or {}).items())
        for manifest in recipe["Manifests"]
    )


def _fits(key: str, wanted: object, device: Mapping[str, str]) -> bool:
    if wanted in (None, "*"):
        return True
    if key not in device:
        return False
    text, own = str(wanted), device[key]
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        return bool(re.fullmatch(text[1:-1], own))
    if key in ("os", "architecture") and text in ("all", "any"):
        return True
    return PLAIN_BEGINNING.match(text) is not None and text == own


def _decoded(content: bytes) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise unparsable("the recipe is not UTF-8 text") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise unparsable("the recipe is nested too deeply") from None
    except ValueError as error:
        if text.lstrip().startswith("{"):
            raise unparsable(f"the recipe is not JSON: {error}") from None
    try:
        raw = yaml.load(text, Loader=PlainLoader)  # noqa: S506  # a SafeLoader, made stricter
        return json.loads(json.dumps(raw, allow_nan=False))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise unparsable(f"the recipe is neither JSON nor YAML: {reason}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _canonical(raw: Mapping[str, Any], known: tuple[str, ...], where: str) -> dict[str, Any]:
    """Known keys in canonical case, unknown ones dropped as the cloud drops them."""
    spelled = {key.lower(): key for key in known}
    found: dict[str, Any] = {}
    for key, value in raw.items():
        name = spelled.get(str(key).lower())
        if name in found:
            raise unparsable(f"{where} has {name} twice")
        if name is not None and value is not None:
            found[name] = value
    return {key: found[key] for key in known if key in found}


def _check_head(recipe: dict[str, Any]) -> None:
    if recipe.get("RecipeFormatVersion") != FORMAT_VERSION:
        raise invalid("RecipeFormatVersion", f"must be {FORMAT_VERSION}")
    name, version = recipe.get("ComponentName"), recipe.get("ComponentVersion")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise invalid("ComponentName", "must be 1 to 128 letters, digits, -, _ or .")
    if not isinstance(version, str) or not is_version(version):
        raise invalid("ComponentVersion", "must be a semantic version, each number at most 999999")
    if "ComponentType" in recipe:
        recipe["ComponentType"] = str(recipe["ComponentType"]).lower()
        if recipe["ComponentType"] not in TYPES:
            raise invalid("ComponentType", f"must be one of {', '.join(TYPES)}")


def _check_objects(recipe: Mapping[str, Any]) -> None:
    for key in ("ComponentConfiguration", "ComponentDependencies"):
        if not isinstance(recipe.get(key, {}), dict):
            raise invalid(key, "must be an object")
    for key in ("ComponentDescription", "ComponentPublisher"):
        if not isinstance(recipe.get(key, ""), str):
            raise invalid(key, "must be text")


def _manifest(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise invalid(where, "must be an object")
    manifest = _canonical(raw, MANIFEST_KEYS, where)
    if not isinstance(manifest.get("Platform", {}), dict):
        raise invalid(f"{where}.Platform", "must be an object")
    _check_patterns(manifest.get("Platform", {}), where)
    listed = manifest.get("Artifacts", [])
    if not isinstance(listed, list):
        raise invalid(f"{where}.Artifacts", "must be a list")
    if "Artifacts" in manifest:
        manifest["Artifacts"] = [
            _artifact(item, f"{where}.Artifacts[{i}]") for i, item in enumerate(listed)
        ]
        names = [file_name(item["Uri"]) for item in manifest["Artifacts"]]
        if len(set(names)) != len(names):
            raise invalid(f"{where}.Artifacts", "must have unique file names")
    return manifest


def _check_patterns(platform: Mapping[str, Any], where: str) -> None:
    for key, value in platform.items():
        if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == "/":
            try:
                re.compile(value[1:-1])
            except re.error:
                raise invalid(f"{where}.Platform.{key}", "is not a regular expression") from None


def _artifact(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise invalid(where, "must be an object")
    artifact = _canonical(raw, ARTIFACT_KEYS, where)
    uri = artifact.get("Uri")
    if not isinstance(uri, str) or not (S3_URI.fullmatch(uri) or SERVICE_URI.fullmatch(uri)):
        raise invalid(f"{where}.Uri", "must be s3://bucket/key or greengrass:file")
    permission = artifact.get("Permission", {})
    if not isinstance(permission, dict):
        raise invalid(f"{where}.Permission", "must be an object")
    if "Permission" in artifact:
        artifact["Permission"] = _chosen(_canonical(permission, ("Read", "Execute"), where), where)
    for key in ("Digest", "Algorithm"):
        artifact.pop(key, None)
    return _chosen(artifact, where)


def _dependency(name: str, raw: Any) -> dict[str, Any]:
    where = f"ComponentDependencies.{name}"
    if not isinstance(raw, dict):
        raise invalid(where, "must be an object")
    dependency = _canonical(raw, DEPENDENCY_KEYS, where)
    requirement = dependency.get("VersionRequirement")
    if not isinstance(requirement, str) or valid_range(requirement, loose=False) is None:
        raise invalid(f"{where}.VersionRequirement", "must be a range of versions, as npm's")
    return _chosen(dependency, where)


def _chosen(found: dict[str, Any], where: str) -> dict[str, Any]:
    """Values of an enum in upper case, refused when they are none of it."""
    for key in found.keys() & CHOICES.keys():
        value = str(found[key]).upper()
        if value not in CHOICES[key]:
            raise invalid(f"{where}.{key}", f"must be one of {', '.join(CHOICES[key])}")
        found[key] = value
    return found
