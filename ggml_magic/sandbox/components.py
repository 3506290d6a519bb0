"""Greengrass V2's components: versions that never change, checked as AWS checks them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from nodesemver import (  # type: ignore[import-untyped]  # it ships no types
    compare,
    max_satisfying,
    valid_range,
)

from ggml_magic.sandbox import arns, recipes, signed, tags, tokens
from ggml_magic.sandbox.faults import conflict, invalid, not_found
from ggml_magic.sandbox.gateway import Gateway
from ggml_magic.sandbox.pages import page
from ggml_magic.sandbox.service import Call, Handler
from ggml_magic.sandbox.store import Store, dump

DEPLOYABLE = "DEPLOYABLE"
FAILED = "FAILED"
ALGORITHM = "SHA-256"


class Components:
    """The component operations of Greengrass V2."""

    def __init__(self, store: Store, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway

    def handlers(self) -> dict[str, Handler]:
        """Each operation served here."""
        return {
            "CreateComponentVersion": self.create,
            "DescribeComponent": self.describe,
            "GetComponent": self.get,
            "ListComponents": self.list_components,
            "ListComponentVersions": self.list_versions,
            "DeleteComponent": self.delete,
            "ResolveComponentCandidates": self.resolve,
            "GetComponentVersionArtifact": self.artifact,
        }

    def create(self, call: Call) -> dict[str, Any]:
        """CreateComponentVersion from a recipe; a Lambda function is no source here."""
        content = call.parameters.get("inlineRecipe")
        if content is None:
            raise invalid("inlineRecipe", "is required: the sandbox takes no lambdaFunction")
        return tokens.once(
            self._store, "CreateComponentVersion", call.parameters, lambda: self._create(call)
        )

    def _create(self, call: Call) -> dict[str, Any]:
        recipe = recipes.parse(call.parameters["inlineRecipe"])
        name, version = recipe["ComponentName"], recipe["ComponentVersion"]
        arn = arns.component(call.region, self._gateway.account, name, version)
        if self.find(call.region, name, version):
            raise _exists(arn, name, version)
        errors = self._digest(recipe)
        state = FAILED if errors else DEPLOYABLE
        message = "; ".join(sorted(set(errors.values())))
        created = time.time()
        row = (call.region, name, version, json.dumps(recipe), state, message, dump(errors))
        try:
            with self._store.writing() as database:
                database.execute(
                    "INSERT INTO components VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, created)
                )
                tags.put(database, arn, call.parameters.get("tags") or {})
        except sqlite3.IntegrityError:
            raise _exists(arn, name, version) from None
        return {
            "arn": arn,
            "componentName": name,
            "componentVersion": version,
            "creationTimestamp": created,
            # decided already, but AWS answers before it has looked (GREENGRASS 5)
            "status": {"componentState": "REQUESTED", "message": "NONE", "errors": {}},
        }

    def _digest(self, recipe: Mapping[str, Any]) -> dict[str, str]:
        """Put digests into the recipe; returns what failed, by artifact."""
        errors = {}
        for artifact in recipes.artifacts(recipe):
            bucket, key = recipes.place(recipe, artifact["Uri"])
            try:
                artifact["Digest"] = self._gateway.digest(bucket, key)
                artifact["Algorithm"] = ALGORITHM
            except LookupError as error:
                errors[artifact["Uri"]] = str(error.args[0])
        return errors

    def find(self, region: str, name: str, version: str) -> sqlite3.Row | None:
        """A version's row."""
        return self._store.row(
            "SELECT * FROM components WHERE region = ? AND name = ? AND version = ?",
            region,
            name,
            version,
        )

    def versions(self, region: str, name: str) -> list[sqlite3.Row]:
        """All versions of a component, the newest first."""
        rows = self._store.rows(
            "SELECT * FROM components WHERE region = ? AND name = ?", region, name
        )
        return sorted(rows, key=lambda row: _Order(row["version"]), reverse=True)

    def _named(self, call: Call) -> sqlite3.Row:
        arn = call.parameters["arn"]
        row = self.find(call.region, *arns.component_of(arn))
        if row is None:
            raise not_found("componentVersion", arn)
        return row

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeComponent."""
        row = self._named(call)
        recipe = json.loads(row["recipe"])
        arn = self._arn(row)
        status = {
            "componentState": row["state"],
            "message": row["message"] or "NONE",
            "errors": json.loads(row["errors"]),
            "vendorGuidance": "ACTIVE",
        }
        return {
            "arn": arn,
            "componentName": row["name"],
            "componentVersion": row["version"],
            "creationTimestamp": row["created"],
            "status": status,
            "tags": tags.of(self._store, arn),
            **_description(recipe),
        }

    def get(self, call: Call) -> dict[str, Any]:
        """GetComponent: the recipe with its digests, as JSON or YAML."""
        row = self._named(call)
        wanted = call.parameters.get("recipeOutputFormat") or "JSON"
        recipe = json.loads(row["recipe"])
        text = (
            json.dumps(recipe, indent=2)
            if wanted == "JSON"
            else yaml.safe_dump(recipe, sort_keys=False)
        )
        return {
            "recipeOutputFormat": wanted,
            "recipe": text.encode(),
            "tags": tags.of(self._store, self._arn(row)),
        }

    def list_components(self, call: Call) -> dict[str, Any]:
        """ListComponents; the sandbox has no public ones."""
        if (call.parameters.get("scope") or "PRIVATE") == "PUBLIC":
            return {"components": []}
        rows = self._store.rows(
            "SELECT DISTINCT name FROM components WHERE region = ? ORDER BY name", call.region
        )
        answer = page("components", [row["name"] for row in rows], call.parameters)
        answer["components"] = [self._summary(call.region, name) for name in answer["components"]]
        return answer

    def _summary(self, region: str, name: str) -> dict[str, Any]:
        latest = self.versions(region, name)[0]
        return {
            "arn": arns.component(region, self._gateway.account, name),
            "componentName": name,
            "latestVersion": {
                "arn": self._arn(latest),
                "componentVersion": latest["version"],
                "creationTimestamp": latest["created"],
                **_description(json.loads(latest["recipe"])),
            },
        }

    def list_versions(self, call: Call) -> dict[str, Any]:
        """ListComponentVersions, the newest first."""
        arn = call.parameters["arn"]
        rows = self.versions(call.region, arns.component_of(arn)[0])
        if not rows:
            raise not_found("component", arn)
        items = [
            {
                "componentName": row["name"],
                "componentVersion": row["version"],
                "arn": self._arn(row),
            }
            for row in rows
        ]
        return page("componentVersions", items, call.parameters)

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteComponent: one version."""
        row = self._named(call)
        with self._store.writing() as database:
            database.execute(
                "DELETE FROM components WHERE region = ? AND name = ? AND version = ?",
                (row["region"], row["name"], row["version"]),
            )
            tags.drop(database, self._arn(row))
        return {}

    def artifact(self, call: Call) -> dict[str, Any]:
        """GetComponentVersionArtifact: a signed address of an artifact by its file's name."""
        row, wanted = self._named(call), call.parameters["artifactName"]
        recipe = json.loads(row["recipe"])
        for artifact in recipes.artifacts(recipe):
            if recipes.file_name(artifact["Uri"]) == wanted:
                bucket, key = recipes.place(recipe, artifact["Uri"])
                return {"preSignedUrl": signed.address(call.host, row["region"], bucket, key)}
        raise not_found("artifact", wanted)

    def resolve(self, call: Call) -> dict[str, Any]:
        """ResolveComponentCandidates: the best version of each that meets all requirements."""
        platform = (call.parameters.get("platform") or {}).get("attributes") or {}
        candidates = call.parameters.get("componentCandidates") or []
        resolved = [self._resolve(call.region, item, platform) for item in candidates]
        return {"resolvedComponentVersions": resolved}

    def _resolve(
        self, region: str, candidate: Mapping[str, Any], platform: Mapping[str, str]
    ) -> dict[str, Any]:
        name = candidate.get("componentName") or ""
        requirements = candidate.get("versionRequirements") or {}
        for dependent, requirement in requirements.items():
            if valid_range(requirement, loose=False) is None:
                raise invalid(
                    f"versionRequirements.{dependent}", f"{requirement!r} is no range of versions"
                )
        rows = {
            row["version"]: row
            for row in self.versions(region, name)
            if row["state"] == DEPLOYABLE
            and (not platform or recipes.suits(json.loads(row["recipe"]), platform))
        }
        chosen = _best(list(rows), list(requirements.values()))
        if chosen is None:
            wanted = " and ".join(sorted(set(requirements.values()))) or "any version"
            held = ", ".join(rows) or "none"
            raise not_found(
                "componentVersion",
                name,
                f"no version of {name} for this platform meets {wanted}; deployable: {held}",
            )
        row = rows[chosen]
        return {
            "arn": self._arn(row),
            "componentName": name,
            "componentVersion": chosen,
            "recipe": row["recipe"].encode(),
            "vendorGuidance": "ACTIVE",
        }

    def _arn(self, row: sqlite3.Row) -> str:
        return arns.component(row["region"], self._gateway.account, row["name"], row["version"])


class _Order:
    """Semantic versions in order, for ``sorted``."""

    def __init__(self, version: str) -> None:
        self.version = version

    def __lt__(self, other: _Order) -> bool:
        return bool(compare(self.version, other.version, loose=False) < 0)


def _best(versions: Sequence[str], requirements: Sequence[str]) -> str | None:
    """The highest version that meets all requirements; a range given alone is met by itself."""
    left = list(versions)
    for requirement in requirements:
        left = [item for item in left if max_satisfying([item], requirement, loose=False)]
    ordered = sorted(left, key=_Order)
    return ordered[-1] if ordered else None


def _description(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "publisher": recipe.get("ComponentPublisher"),
        "description": recipe.get("ComponentDescription"),
        "platforms": recipes.platforms(recipe),
    }


def _exists(arn: str, name: str, version: str) -> Exception:
    return conflict("componentVersion", arn, f"component {name} version {version} exists already")
