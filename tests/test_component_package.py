from __future__ import annotations

import errno
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edge import proven

from ggml_magic.component import inference, package
from ggml_magic.component.lint import lint
from ggml_magic.errors import DiskFullError, GateError, NotYetError, PackagingError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

NAME = "com.example.Rain.Inference"


@pytest.fixture
def facts(tmp_path: Path) -> tuple[Any, Any, Any]:
    return described(tmp_path, b"a model")


def described(tmp_path: Path, content: bytes) -> tuple[Any, Any, Any]:
    model = tmp_path / "float32.tflite"
    model.write_bytes(content)
    return proven(tmp_path, model, [[0.0, 1.0]], [[0.25]])


def packaged(workspace: Workspace, facts: tuple[Any, Any, Any], **options: Any) -> Any:
    options = {"published": {}, **options}
    return package.package(workspace, Settings(), *facts, **options)


@pytest.mark.parametrize(
    ("model", "component"),
    [
        ("rain", "com.example.Rain.Inference"),
        ("rain_v2", "com.example.RainV2.Inference"),
        ("heavyRain", "com.example.HeavyRain.Inference"),
    ],
)
def test_a_component_is_named_after_its_model(model: str, component: str) -> None:
    assert package.component_name(Settings(), model) == component


def test_a_bundle_holds_all_that_a_device_needs(workspace: Workspace, facts: Any) -> None:
    bundle = packaged(workspace, facts)
    assert (bundle.root.name, bundle.root.version, bundle.new) == (NAME, "1.0.0", True)
    (artifact,) = bundle.root.artifacts
    assert artifact.path == workspace.root / "bundles" / NAME / "1.0.0" / "artifacts" / "rain.zip"
    with zipfile.ZipFile(artifact.path) as archive:
        names = set(archive.namelist())
        held = {name: archive.read(name) for name in names}
    assert {"model.tflite", "contract.json", "golden.json", "requirements.txt"} <= names
    assert {"device/install.py", "device/launch.py", "device/harness.py"} <= names
    assert "device/measure.py" not in names and "inference.py" not in names
    assert held["model.tflite"] == b"a model"
    assert "1.0.0" not in held["component.json"].decode()
    assert json.loads(held["component.json"])["model_sha256"] == facts[0].sha256


def test_the_recipe_keeps_the_rules_and_tells_the_device_its_version(
    workspace: Workspace, facts: Any
) -> None:
    recipe = packaged(workspace, facts, interval_seconds=2.5).root.recipe
    assert lint(recipe, operations=package.SHADOW_CALLS) == ()
    (manifest,) = recipe["Manifests"]
    assert manifest["Lifecycle"]["Setenv"] == {"GGML_COMPONENT_VERSION": "1.0.0"}
    assert manifest["Artifacts"][0]["Uri"] == "{artifact:rain.zip}"
    defaults = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    assert defaults["InferenceInterval"] == "2.5"


def test_a_devices_files_import_nothing_that_is_not_there(workspace: Workspace, facts: Any) -> None:
    allowed = sys.stdlib_module_names | {"numpy", "awsiot"}
    with zipfile.ZipFile(packaged(workspace, facts).root.artifacts[0].path) as archive:
        for name in archive.namelist():
            if name.startswith("device/"):
                for line in archive.read(name).decode().splitlines():
                    words = line.split()
                    if words[:1] in (["import"], ["from"]) and not words[1].startswith("."):
                        assert words[1].split(".")[0] in allowed, f"{name}: {line}"


def test_the_same_content_keeps_its_version_and_writes_nothing(
    workspace: Workspace, facts: Any
) -> None:
    first = packaged(workspace, facts)
    path = first.root.artifacts[0].path
    made = path.stat().st_mtime_ns
    again = packaged(workspace, facts)
    assert not again.new and again.root == first.root and path.stat().st_mtime_ns == made


def test_another_workspace_makes_the_same_bytes(tmp_path: Path, facts: Any) -> None:
    one, two = (packaged(Workspace(tmp_path / name), facts) for name in ("one", "two"))
    assert one.root.content_sha256 == two.root.content_sha256
    assert one.root.recipe == two.root.recipe
    assert one.root.artifacts[0].sha256 == two.root.artifacts[0].sha256


@pytest.mark.parametrize("what", ["model", "interval", "code", "golden"])
def test_changed_content_gets_the_next_version(
    tmp_path: Path, workspace: Workspace, facts: Any, what: str
) -> None:
    first = packaged(workspace, facts)
    options = {"interval_seconds": 7.0} if what == "interval" else {}
    if what == "model":
        facts = described(tmp_path, b"another model")
    if what == "code":
        inference.store(workspace, "rain", "def read(context):\n    ...")
    if what == "golden":
        facts = proven(tmp_path, facts[1].file, [[0.0, 1.0]], [[0.26]])
    second = packaged(workspace, facts, **options)
    assert second.root.version == "1.0.1" and second.new
    assert first.root.artifacts[0].path.exists()
    assert package.load(workspace, "rain").root == second.root


def test_going_back_to_old_content_goes_back_to_its_version(
    tmp_path: Path, workspace: Workspace, facts: Any
) -> None:
    packaged(workspace, facts)
    packaged(workspace, described(tmp_path, b"another model"))
    back = packaged(workspace, described(tmp_path, b"a model"))
    assert back.root.version == "1.0.0" and not back.new
    assert package.load(workspace, "rain").root.version == "1.0.0"


def test_what_the_cloud_has_decides_too(workspace: Workspace, facts: Any) -> None:
    content = packaged(workspace, facts).root.content_sha256
    other = {"1.0.0": "other", "1.4.0": "another"}
    assert packaged(workspace, facts, published=other).root.version == "1.4.1"
    assert packaged(workspace, facts, published={"3.0.0": content}).root.version == "3.0.0"
    with pytest.raises(PackagingError, match="taken"):
        packaged(workspace, facts, published={"3.0.0": "other"}, version="3.0.0")


def test_a_damaged_bundle_is_written_anew(workspace: Workspace, facts: Any) -> None:
    first = packaged(workspace, facts)
    first.root.artifacts[0].path.write_bytes(b"damaged")
    again = packaged(workspace, facts)
    assert again.new and again.root == first.root
    assert zipfile.is_zipfile(again.root.artifacts[0].path)


def test_without_a_passing_proof_of_this_file_nothing_is_packaged(
    workspace: Workspace, facts: Any
) -> None:
    model, conversion, report = facts
    failed = SimpleNamespace(**{**vars(report), "passed": False, "reasons": ("3 flips",)})
    with pytest.raises(GateError, match=r"3 flips\nNext: %ggml validate rain") as caught:
        packaged(workspace, (model, conversion, failed))
    assert caught.value.what == "rain cannot be packaged"
    other = SimpleNamespace(**{**vars(report), "file_sha256": "0" * 64})
    with pytest.raises(GateError, match="another file"):
        packaged(workspace, (model, conversion, other))
    golden = model.folder / "reports" / "ai-edge-litert.golden.json"
    golden.write_text(json.dumps({**json.loads(golden.read_text()), "file_sha256": "0" * 64}))
    with pytest.raises(NotYetError, match=r"golden vectors .* another file's"):
        packaged(workspace, facts)
    golden.unlink()
    with pytest.raises(NotYetError, match="golden"):
        packaged(workspace, facts)
    assert not list(workspace.root.glob("bundles/*/*"))


def test_a_forced_component_holds_the_reason(workspace: Workspace, facts: Any) -> None:
    model, conversion, report = facts
    failed = SimpleNamespace(**{**vars(report), "passed": False, "reasons": ("3 flips",)})
    with pytest.raises(GateError, match="3 flips"):
        packaged(workspace, (model, conversion, failed), force="  ")
    bundle = packaged(workspace, (model, conversion, failed), force="the field test of May")
    with zipfile.ZipFile(bundle.root.artifacts[0].path) as archive:
        assert json.loads(archive.read("component.json"))["forced"] == "the field test of May"
    assert bundle.forced == "the field test of May" and "FAILED" in str(bundle)
    assert package.load(workspace, "rain").forced == "the field test of May"


def test_force_says_nothing_where_the_proof_passed(workspace: Workspace, facts: Any) -> None:
    assert packaged(workspace, facts, force="no need").forced is None


def test_a_runtime_that_takes_no_tflite_is_no_device_s(workspace: Workspace, facts: Any) -> None:
    model, conversion, report = facts
    other = SimpleNamespace(**{**vars(report), "runtime": "tensorflow"})
    with pytest.raises(PackagingError, match="cannot be packaged for tensorflow"):
        packaged(workspace, (model, conversion, other))


def test_a_full_disk_leaves_nothing_half_written(
    workspace: Workspace, facts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(package, "write_zip", full)
    with pytest.raises(DiskFullError):
        packaged(workspace, facts)
    assert not list((workspace.root / "bundles" / NAME).iterdir())
    with pytest.raises(NotYetError):
        package.load(workspace, "rain")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_an_interval_that_cannot_be_is_refused(
    workspace: Workspace, facts: Any, seconds: float
) -> None:
    with pytest.raises(PackagingError, match="interval") as caught:
        packaged(workspace, facts, interval_seconds=seconds)
    assert caught.value.remedy == "%ggml package rain --interval 1"


def test_a_recipe_that_breaks_a_rule_is_refused(workspace: Workspace, facts: Any) -> None:
    long = Settings(prefix="p" * 64)
    model = SimpleNamespace(**{**vars(facts[0]), "name": "r" * 80})
    with pytest.raises(PackagingError, match=r"ComponentName: 1 to 128 .* \[name\]"):
        package.package(workspace, long, model, *facts[1:], published={})


def test_two_models_do_not_share_a_component(workspace: Workspace, facts: Any) -> None:
    packaged(workspace, facts)
    model = SimpleNamespace(**{**vars(facts[0]), "name": "_rain"})
    with pytest.raises(PackagingError, match="the component of the model rain"):
        packaged(workspace, (model, *facts[1:]))


def test_a_model_that_is_not_packaged_says_how(workspace: Workspace) -> None:
    with pytest.raises(NotYetError, match="Next: %ggml package rain"):
        package.load(workspace, "rain")
