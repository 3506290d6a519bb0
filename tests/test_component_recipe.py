from __future__ import annotations

import json

from ggml_magic.component.recipe import (
    Access,
    Lifecycle,
    Manifest,
    Recipe,
    RecipeArtifact,
    Step,
    text,
)

RECIPE = Recipe(
    "com.example.Rain.Inference",
    "1.0.0",
    "Predictions.",
    {"InferenceInterval": "1"},
    (
        Access("service", "one", "reads", ("op",), ("*",)),
        Access("service", "two", "writes", ("op",), ("*",)),
    ),
    (
        Manifest(
            Lifecycle(Step("install", 900), Step("run"), {"A": "b"}),
            (RecipeArtifact("s3://bucket/key.zip", "ZIP"),),
        ),
    ),
)


def test_a_recipe_has_greengrasss_own_keys() -> None:
    values = RECIPE.to_dict()
    assert list(values) == [
        "RecipeFormatVersion",
        "ComponentName",
        "ComponentVersion",
        "ComponentDescription",
        "ComponentConfiguration",
        "Manifests",
    ]
    assert values["Manifests"][0] == {
        "Platform": {"os": "linux", "runtime": "*"},
        "Lifecycle": {
            "Setenv": {"A": "b"},
            "install": {"Script": "install", "Timeout": 900},
            "run": {"Script": "run"},
        },
        "Artifacts": [
            {"Uri": "s3://bucket/key.zip", "Unarchive": "ZIP", "Permission": {"Read": "OWNER"}}
        ],
    }


def test_policies_of_one_service_stand_together() -> None:
    defaults = RECIPE.to_dict()["ComponentConfiguration"]["DefaultConfiguration"]
    assert defaults["InferenceInterval"] == "1"
    assert set(defaults["accessControl"]["service"]) == {"one", "two"}


def test_its_text_is_canonical_json() -> None:
    values = RECIPE.to_dict()
    assert text(values) == text(dict(reversed(values.items())))
    assert json.loads(text(values)) == values
