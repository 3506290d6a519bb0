"""A proven model as a component: one zip file, one recipe, a version that its content decides.

One component holds everything, so that it runs on classic nucleus and on nucleus lite alike
(GREENGRASS 1). Same content, same bytes, same version; nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_magic import settings as configured
from ggml_magic import workspace as ws
from ggml_magic.component import inference, versions
from ggml_magic.component.archive import write_zip
from ggml_magic.component.bundle import Artifact, Bundle, Component
from ggml_magic.component.lint import lint
from ggml_magic.component.recipe import (
    Access,
    Lifecycle,
    Manifest,
    Recipe,
    RecipeArtifact,
    Step,
    text,
)
from ggml_magic.device import environment as device_files
from ggml_magic.errors import GateError, NotYetError, PackagingError
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.settings import Settings
from ggml_magic.validate.kept import golden_vectors
from ggml_magic.workspace import Workspace

if TYPE_CHECKING:
    from ggml_magic.convert.convert import Conversion
    from ggml_magic.model.model import EdgeModel
    from ggml_magic.validate.report import Report

FOLDER = "bundles"
CURRENT = "current.json"
BUNDLE_FILE = "component.json"
RECIPE_FILE = "recipe.json"
# what the device's harness can load
PACKAGED = "tflite"
VERSION_VARIABLE = "GGML_COMPONENT_VERSION"
# Greengrass's own 120 s are too short for 163 MB over a slow link (EDGE-CORE 5, RUNTIMES 2)
INSTALL_SECONDS = 900
# measure.py runs where models are proven, not on devices
NOT_SHIPPED = ("measure.py",)
SHADOW = "aws.greengrass.ShadowManager"
SHADOW_CALLS = ("aws.greengrass#GetThingShadow", "aws.greengrass#UpdateThingShadow")
# variables are not filled in within a configuration (GREENGRASS 1), so not {iot:thingName}
SHADOWS = ("$aws/things/*/shadow",)

Entries = Mapping[str, "bytes | Path"]


def component_name(settings: Settings, model_name: str) -> str:
    """The component of a model: ``com.example.Rain.Inference``."""
    words = re.split(r"[^a-zA-Z0-9]+", model_name)
    camel = "".join(word[:1].upper() + word[1:] for word in words)
    return f"{settings.prefix}.{camel}.Inference"


def package(
    workspace: Workspace,
    settings: Settings,
    model: EdgeModel,
    conversion: Conversion,
    report: Report,
    *,
    interval_seconds: float = 1.0,
    published: Mapping[str, str],
    version: str | None = None,
    force: str | None = None,
) -> Bundle:
    """Write a proven model's component to the workspace; nothing is uploaded.

    ``published`` maps the versions in the cloud to their contents' hashes (empty when unknown).
    ``force`` is the reason to go on although the proof failed; the component holds it. Raises
    ``GateError`` without a passing proof of this very file otherwise, ``PackagingError`` for a
    version that is taken or a recipe that Greengrass would refuse, ``DiskFullError``.
    """
    if not (math.isfinite(interval_seconds) and interval_seconds > 0):
        raise PackagingError(
            f"the interval cannot be {interval_seconds:g}",
            "it is a number of seconds above 0",
            f"%ggml package {model.name} --interval 1",
        )
    _check_proof(model, conversion, report, force)
    name = component_name(settings, model.name)
    forced = None if report.passed else force
    entries = _entries(workspace, model, conversion, report, name, forced)
    content = _content(entries, _recipe(name, model.name, "", interval_seconds))
    folder = workspace.folder(FOLDER, name)
    with workspace.lock(f"package-{name}"):
        _check_owner(folder, model.name)
        chosen = versions.choose(content, {**_local(folder), **published}, version)
        recipe = _recipe(name, model.name, chosen, interval_seconds)
        _check_recipe(recipe)
        new = not _complete(folder / chosen, content)
        if new:
            _write(folder / chosen, entries, recipe, content, model, report, forced)
        ws.write_json(folder / CURRENT, {"version": chosen, "model": model.name})
    return _read(folder / chosen, new=new)


def load(workspace: Workspace, name: str) -> Bundle:
    """The bundle that a model was packaged into last; raises ``NotYetError``."""
    found = find(workspace, name)
    if found is None:
        raise NotYetError(
            f"{name} is not packaged", "there is no bundle of it", f"%ggml package {name}"
        )
    return found


def find(workspace: Workspace, name: str) -> Bundle | None:
    """The bundle that a model was packaged into last, if there is one."""
    folder = workspace.root / FOLDER / component_name(configured.load(workspace), name)
    current = ws.read_json(folder / CURRENT)
    if current is None or not (folder / current["version"] / BUNDLE_FILE).exists():
        return None
    return _read(folder / current["version"], new=False)


def _check_proof(
    model: EdgeModel, conversion: Conversion, report: Report, force: str | None
) -> None:
    remedy = f"%ggml validate {model.name} --inputs X_test"
    if runtimes.get(report.runtime).takes != PACKAGED:
        raise PackagingError(
            f"{model.name} cannot be packaged for {report.runtime}",
            "a component holds a .tflite file, and that runtime takes another kind",
            f"%ggml package {model.name} --runtime {runtimes.DEFAULT}",
        )
    if not (report.passed or (force or "").strip()):
        why = report.reasons[0] if report.reasons else "its report does not pass"
        raise GateError(f"{model.name} cannot be packaged", why, remedy)
    if report.file_sha256 != _sha256(conversion.file):
        why = f"the proof is of another file than {conversion.file.name}"
        raise GateError(f"{model.name} cannot be packaged", why, remedy)
    golden_vectors(model, report)


def _entries(
    workspace: Workspace,
    model: EdgeModel,
    conversion: Conversion,
    report: Report,
    component: str,
    forced: str | None,
) -> Entries:
    """What the zip file holds, by name."""
    package_folder = Path(device_files.__file__).parent
    shipped = [path for path in package_folder.glob("*.py") if path.name not in NOT_SHIPPED]
    # no version in it: the content would depend on it
    facts = {
        "name": model.name,
        "component": component,
        "model_sha256": model.sha256,
        "file_sha256": report.file_sha256,
        "variant": conversion.chosen,
        "runtime": report.runtime,
        "runtime_version": report.runtime_version,
        **({} if forced is None else {"forced": forced}),
    }
    code = inference.load(workspace, model.name)
    return {
        **{f"device/{path.name}": path for path in shipped},
        **({inference.FILE: code.encode()} if code is not None else {}),
        "component.json": _json(facts),
        "contract.json": _json(model.contract.to_dict()),
        "golden.json": golden_vectors(model, report),
        "model.tflite": conversion.file,
        "requirements.txt": runtimes.get(report.runtime).requirements,
    }


def _recipe(name: str, model_name: str, version: str, interval_seconds: float) -> dict[str, Any]:
    access = Access(
        SHADOW,
        f"{name}:shadow:1",
        "reads readings from the device's shadow and writes predictions to it",
        SHADOW_CALLS,
        SHADOWS,
    )
    lifecycle = Lifecycle(
        Step(_script(model_name, "install"), INSTALL_SECONDS),
        Step(_script(model_name, "launch")),
        {VERSION_VARIABLE: version},
    )
    return Recipe(
        name,
        version,
        f"Predictions of the model {model_name}, on the device.",
        # as text: a core may hand a whole number back as a fraction (GREENGRASS 1)
        {"InferenceInterval": f"{interval_seconds:g}"},
        (access,),
        (Manifest(lifecycle, (RecipeArtifact(f"{{artifact:{model_name}.zip}}", "ZIP"),)),),
    ).to_dict()


def _script(model_name: str, module: str) -> str:
    # an artifact unpacks into a folder of its stem; nucleus lite's paths end with a slash
    files = f"{{artifacts:decompressedPath}}/{model_name}"
    work = "{work:path}"
    return f'exec env PYTHONPATH="{files}" python3 -B -m device.{module} --work "{work}"'


def _content(entries: Entries, recipe: dict[str, Any]) -> str:
    """A hash of all that the component is, but for its version."""
    files = {
        name: hashlib.sha256(held).hexdigest() if isinstance(held, bytes) else _sha256(held)
        for name, held in entries.items()
    }
    return hashlib.sha256(_json({"recipe": text(recipe), "files": files})).hexdigest()


def _check_recipe(recipe: dict[str, Any]) -> None:
    findings = lint(recipe, operations=SHADOW_CALLS)
    if findings:
        raise PackagingError(
            f"the recipe of {recipe['ComponentName']} breaks a rule of Greengrass",
            "; ".join(str(finding) for finding in findings),
        )


def _check_owner(folder: Path, model_name: str) -> None:
    current = ws.read_json(folder / CURRENT) or {"model": model_name}
    if current["model"] != model_name:
        raise PackagingError(
            f"{model_name} cannot be packaged as {folder.name}",
            f"that is the component of the model {current['model']}",
            "%ggml model with another name",
        )


def _local(folder: Path) -> dict[str, str]:
    """The contents' hashes of the versions in the workspace."""
    held = {path.parent.name: ws.read_json(path) for path in folder.glob(f"[0-9]*/{BUNDLE_FILE}")}
    return {version: facts["content_sha256"] for version, facts in held.items()}


def _complete(place: Path, content: str) -> bool:
    facts = ws.read_json(place / BUNDLE_FILE)
    if facts is None or facts["content_sha256"] != content:
        return False
    paths = {place / "artifacts" / held["name"]: held["sha256"] for held in facts["artifacts"]}
    return all(path.exists() and _sha256(path) == sha256 for path, sha256 in paths.items())


def _write(
    place: Path,
    entries: Entries,
    recipe: dict[str, Any],
    content: str,
    model: EdgeModel,
    report: Report,
    forced: str | None,
) -> None:
    with ws.whole_folder(place) as aside:
        artifact = aside / "artifacts" / f"{model.name}.zip"
        artifact.parent.mkdir()
        write_zip(artifact, entries)
        held = {
            "name": artifact.name,
            "sha256": _sha256(artifact),
            "size": artifact.stat().st_size,
        }
        ws.write_json(aside / RECIPE_FILE, recipe)
        facts = {
            "model": model.name,
            "model_sha256": model.sha256,
            "runtime": report.runtime,
            "runtime_version": report.runtime_version,
            "content_sha256": content,
            "forced": forced,
            "artifacts": [held],
        }
        ws.write_json(aside / BUNDLE_FILE, facts)


def _read(place: Path, *, new: bool) -> Bundle:
    facts = ws.read_json(place / BUNDLE_FILE)
    recipe = ws.read_json(place / RECIPE_FILE)
    artifacts = tuple(
        Artifact(place / "artifacts" / held["name"], held["sha256"], held["size"])
        for held in facts["artifacts"]
    )
    component = Component(
        recipe["ComponentName"],
        recipe["ComponentVersion"],
        recipe,
        artifacts,
        facts["content_sha256"],
    )
    return Bundle(
        facts["model"],
        (component,),
        facts["model_sha256"],
        facts["runtime"],
        facts["runtime_version"],
        new,
        facts.get("forced"),
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
