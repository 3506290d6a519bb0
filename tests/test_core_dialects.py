"""What nucleus lite refuses (EDGE-CORE 1, 4, 7, 8)."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core import access, dialects
from ggml_magic.core.calls import Call, IpcError, Stream
from ggml_magic.core.decode import RecipeError

GOOD: dict[str, Any] = {
    "RecipeFormatVersion": "2020-01-25",
    "ComponentName": "com.example.A",
    "ComponentVersion": "1.0.0",
    "ComponentConfiguration": {"DefaultConfiguration": {"any": {"componentName": 1}}},
    "ComponentDependencies": {"b": {"VersionRequirement": "*", "DependencyType": "HARD"}},
    "Manifests": [
        {
            "Platform": {"os": "linux", "runtime": "*"},
            "Lifecycle": {
                "Setenv": {"a": "{work:path}"},
                "install": {"Script": "i", "Timeout": "9", "RequiresPrivilege": "true"},
                "run": "echo {configuration:/any} ${shell:-x:y}",
            },
            "Artifacts": [{"Uri": "s3://b/k", "Unarchive": "ZIP", "Permission": {"Read": "ALL"}}],
        }
    ],
}


def manifest(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "Manifests": [{**GOOD["Manifests"][0], **changes}]}


def test_a_portable_recipe_is_refused_by_nobody() -> None:
    assert dialects.refusals(GOOD, "lite") == ()
    dialects.check(json.dumps(GOOD).encode(), "lite")


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"componentName": "a", **{k: v for k, v in GOOD.items() if k != "ComponentName"}},
         "ComponentName for componentName"),
        ({**GOOD, "ComponentDependencies": {"b": {"versionRequirement": "*"}}},
         "VersionRequirement for versionRequirement"),
        ({**GOOD, "ComponentDependencies": {"b": {"VersionRequirement": "*",
                                                  "DependencyType": "hard"}}},
         "ComponentDependencies.b.DependencyType: nucleus lite reads values in their exact case"),
        (manifest(Artifacts=[{"URI": "s3://b/k"}]), "Uri for URI"),
        (manifest(Artifacts=[{"Uri": "s3://b/k", "Unarchive": "zip"}]), "exact case, ZIP"),
        (manifest(Artifacts=[{"Uri": "s3://b/k", "Permission": {"read": "ALL"}}]), "Read for read"),
        (manifest(Lifecycle={"Run": "x"}), "run for Run"),
        (manifest(Lifecycle={"run": {"script": "x"}}), "Script for script"),
        (manifest(Lifecycle={"setEnv": {}, "run": "x"}), "Setenv for setEnv"),
        (manifest(Platform={"os": "linux"}), 'only what names runtime "*" or "aws_nucleus_lite"'),
        (manifest(Platform={"runtime": "*", "os": "/linux/"}), "no regular expressions"),
        (manifest(Platform={"runtime": "*", "os": "windows"}), "linux only"),
        (manifest(Lifecycle={"run": "x", "shutdown": "y"}), "Lifecycle.shutdown: nucleus lite has"),
        (manifest(Lifecycle={"run": "x", "recover": "y"}), "Lifecycle.recover: nucleus lite has"),
        (manifest(Lifecycle={"run": {"Script": "x", "Skipif": "onpath y"}}), "run.Skipif"),
        (manifest(Lifecycle={"run": "{b:artifacts:path}/x"}), "{b:artifacts:path} asks for"),
        (manifest(Lifecycle={}), "no lifecycle without a phase"),
        (manifest(Lifecycle={"install": "x"}), "without run or startup"),
        ({**manifest(Lifecycle={}), "Lifecycle": {"linux": {"run": "x"}}}, "below the key all"),
        ({**GOOD, "ComponentType": "aws.greengrass.plugin"}, "ComponentType: aws.greengrass"),
    ],
)  # fmt: skip
def test_lite_refuses_with_the_reason_what_classic_takes(
    document: dict[str, Any], why: str
) -> None:
    reasons = dialects.refusals(document, "lite")
    assert any(why in reason for reason in reasons), reasons
    assert len(reasons) == 1
    assert dialects.refusals(document, "classic") == ()
    with pytest.raises(RecipeError, match="nucleus lite refuses it"):
        dialects.check(json.dumps(document).encode(), "lite")
    dialects.check(json.dumps(document).encode(), "classic")


def test_a_global_lifecycle_below_all_will_do() -> None:
    document = {**manifest(Lifecycle={}), "Lifecycle": {"all": {"run": "x"}}}
    assert dialects.refusals(document, "lite") == ()


def test_a_manifest_for_the_classic_core_does_not_count_beside_one_for_lite() -> None:
    document = copy.deepcopy(GOOD)
    document["Manifests"].insert(
        0, {"Platform": {"os": "/windows|darwin/"}, "Lifecycle": {"run": "x", "shutdown": "y"}}
    )
    assert dialects.refusals(document, "lite") == ()


def test_a_recipe_of_more_than_16_kib_is_refused() -> None:
    document = {**GOOD, "ComponentDescription": "x" * 16 * 1024}
    with pytest.raises(RecipeError, match="at most 16384"):
        dialects.check(json.dumps(document).encode(), "lite")


def test_numbers_of_yaml_are_warned_of() -> None:
    yaml = b"ComponentName: a\nComponentVersion: 3\n"
    assert "as text" in dialects.warnings(yaml, "lite")[0]
    assert dialects.warnings(yaml, "classic") == ()
    assert dialects.warnings(b"ComponentName: a\nComponentVersion: '3'\n", "lite") == ()
    assert dialects.warnings(b'{"ComponentVersion": 3}', "lite") == ()


def test_a_digest_without_its_algorithm_is_warned_of() -> None:
    artifacts = [{"Uri": "a"}, {"Digest": "d", "Algorithm": "SHA-256"}, {"Digest": "d"}]
    content = json.dumps({"Manifests": [{}, {"Artifacts": artifacts}]}).encode()
    (warning,) = dialects.warnings(content, "lite")
    assert warning.startswith("Manifests[1].Artifacts[2]: nucleus lite supposes")
    assert dialects.warnings(content, "classic") == ()


def test_a_core_stays_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "dialect.json"
    assert dialects.kept(file, "") == "classic"
    assert dialects.kept(file, "lite") == "lite"
    assert dialects.kept(file, "") == "lite"
    assert dialects.kept(file, "classic") == "classic"
    file.write_text('{"dialect": "other"}')
    assert dialects.kept(file, "") == "classic"


async def answers(call: Call) -> dict[str, Any]:
    return {"operation": call.operation}


def ask(dialect: str, operation: str, component: str) -> Any:
    class Silent:
        def event(self, number: int, shape: str, content: bytes) -> None:
            raise NotImplementedError

        def keep_early(self, size: int) -> None:
            raise NotImplementedError

    operations = dict.fromkeys(("UpdateState", "GetThingShadow", "ListComponents"), answers)
    call = Call(component, operation, {}, Stream(1, Silent()))
    return asyncio.run(dialects.served(operations, dialect)[operation](call))


@pytest.mark.parametrize("operation", ["GetThingShadow", "ListComponents"])
def test_lite_does_for_components_what_it_can_and_for_the_terminal_all(operation: str) -> None:
    assert ask("lite", "UpdateState", "a") == {"operation": "UpdateState"}
    assert ask("classic", operation, "a") == {"operation": operation}
    assert ask("lite", operation, access.PRINCIPAL) == {"operation": operation}
    with pytest.raises(IpcError, match="is not served by nucleus lite") as refused:
        ask("lite", operation, "a")
    assert refused.value.shape == "ServiceError"
    assert refused.value.members["context"] == {"operation": operation}


def test_lite_takes_short_messages_of_components() -> None:
    assert dialects.longest("lite", "a") == 10_000
    assert dialects.longest("lite", access.PRINCIPAL) > 10_000
    assert dialects.longest("classic", "a") > 10_000
